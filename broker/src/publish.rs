//! The sending side of the port.

use std::time::Duration;

use async_trait::async_trait;

use crate::Envelope;

/// Sends events to a topic.
#[async_trait]
pub trait Publisher: Send + Sync {
    /// Sends one event to every subscription of the topic.
    ///
    /// Returns only when the broker has confirmed that each of them holds the event. After an error the
    /// event may still have reached some: publish it again, consumers are idempotent. The wait is always
    /// bounded, also while the broker is away.
    ///
    /// # Errors
    /// See [`PublishError`]; [`PublishError::is_transient`] tells whether trying again can help.
    async fn publish(&self, topic: &str, envelope: &Envelope) -> Result<(), PublishError>;

    /// Tells whether the broker can be reached, for readiness checks.
    ///
    /// # Errors
    /// The error that a publish would meet now.
    async fn check(&self) -> Result<(), PublishError> {
        Ok(())
    }
}

/// Why an event was not, or not certainly, handed over.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PublishError {
    /// The topic name is empty, so that nobody could ever receive the event.
    #[error("the topic name is empty: set the topic in the configuration")]
    EmptyTopic,
    /// No subscription exists on the topic.
    #[error(
        "topic {topic:?} has no subscription, so nobody would receive the event: start or declare a \
         subscriber first"
    )]
    Unroutable {
        /// The topic that was published to.
        topic: String,
    },
    /// A subscription holds as many unsettled events as it may, and none was settled in time.
    #[error(
        "subscription {subscription_id:?} of topic {topic:?} was still full after {waited:?}: its \
         consumers are too slow or stopped"
    )]
    Full {
        /// The topic that was published to.
        topic: String,
        /// The subscription without room.
        subscription_id: String,
        /// How long the publisher waited for room.
        waited: Duration,
    },
    /// The broker did not confirm in time, or the connection failed.
    #[error("the broker did not confirm the event on topic {topic:?}")]
    Unconfirmed {
        /// The topic that was published to.
        topic: String,
        /// What the transport reported.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl PublishError {
    /// Whether publishing the same event again may succeed without a change of configuration.
    pub fn is_transient(&self) -> bool {
        !matches!(self, Self::EmptyTopic)
    }
}
