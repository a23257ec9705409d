//! RabbitMQ.
//!
//! Invariants:
//! - A publish is confirmed by the server and routed to a queue, or it is an error; it never waits longer than
//!   [`RabbitMqOptions::publish_deadline`].
//! - An event leaves its queue only by an acknowledgement, and is acknowledged only when it was handled, or
//!   when the server confirmed its copy in a queue for retries or for dead letters. A crash in between gives
//!   two copies, never none.
//! - A retried event waits in a queue of its delay, never in front of others.
//! - Whoever connects declares what it needs, so a server that lost everything is set up again.
//!
//! Nothing here depends on a plug-in of the server.

mod check;
mod consumer;
mod dead_letters;
mod delivery;
mod error;
mod link;
mod message;
mod options;
mod publisher;
mod topology;

use std::sync::Arc;

pub use error::RabbitMqError;
pub use options::{InvalidRabbitMqUrl, QueueType, RabbitMqOptions};

use crate::BrokerMetrics;
use link::Publishing;

/// A handle on a RabbitMQ server; clones share the connection that publishes.
#[derive(Clone, Debug)]
pub struct RabbitMqBroker {
    shared: Arc<Shared>,
    metrics: BrokerMetrics,
}

#[derive(Debug)]
struct Shared {
    options: RabbitMqOptions,
    publishing: tokio::sync::Mutex<Publishing>,
    /// Places for publishes that wait for their confirmation.
    window: tokio::sync::Semaphore,
}

impl RabbitMqBroker {
    /// A handle. The server is connected to when it is first needed.
    pub fn new(options: RabbitMqOptions) -> Self {
        let shared = Shared {
            window: tokio::sync::Semaphore::new(options.publish_window.get()),
            publishing: tokio::sync::Mutex::default(),
            options,
        };
        Self {
            shared: Arc::new(shared),
            metrics: BrokerMetrics::default(),
        }
    }

    /// The same broker, counting under the name of a component.
    pub fn with_metrics(&self, metrics: BrokerMetrics) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            metrics,
        }
    }
}
