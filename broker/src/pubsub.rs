//! Google Pub/Sub.
//!
//! Invariants:
//! - A publish is confirmed by the service, or it is an error; it never waits longer than
//!   [`PubSubOptions::publish_deadline`].
//! - A consumer answers each delivery once: acknowledged when it was handled or became a dead letter, given
//!   back otherwise. What a consumer that dies leaves unanswered comes again after its lease.
//! - A dead letter is confirmed on its topic before the event is acknowledged. A crash in between delivers
//!   the event again, so there may then be two dead letters, never none.
//! - Nothing is created unless the options allow it.
//!
//! Delays between deliveries are Pub/Sub's own (its retry policy) and therefore approximate; a consumer keeps
//! an event that failed with it and comes back early until it is due. Dead letters are messages of a topic;
//! they are looked at by receiving them and giving them back, so what somebody else looks at is not seen
//! for that moment.

mod check;
mod connection;
mod consumer;
mod dead_letters;
mod delivery;
mod error;
mod history;
mod message;
mod options;
mod publisher;
mod streams;
mod topology;

use std::sync::Arc;

pub use error::{Operation, PubSubError};
pub use options::{InvalidUrl, PubSubOptions};

use crate::BrokerMetrics;
use connection::Connection;
use history::History;
use publisher::Routes;

/// A handle on a project's Pub/Sub; clones share connections.
#[derive(Clone, Debug)]
pub struct PubSubBroker {
    shared: Arc<Shared>,
    metrics: BrokerMetrics,
}

#[derive(Debug)]
struct Shared {
    options: PubSubOptions,
    connection: Connection,
    routes: Routes,
    history: History,
}

impl PubSubBroker {
    /// A handle. Nothing is asked of the service yet.
    ///
    /// # Errors
    /// [`PubSubError::Credentials`] when the environment has none.
    pub async fn connect(options: PubSubOptions) -> Result<Self, PubSubError> {
        let shared = Shared {
            connection: Connection::new(&options).await?,
            options,
            routes: Routes::default(),
            history: History::default(),
        };
        Ok(Self {
            shared: Arc::new(shared),
            metrics: BrokerMetrics::default(),
        })
    }

    /// The same broker, counting under the name of a component.
    pub fn with_metrics(&self, metrics: BrokerMetrics) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            metrics,
        }
    }
}
