//! The sending side of the port.

use std::num::NonZeroUsize;
use std::time::Duration;

use async_trait::async_trait;
use futures::{StreamExt as _, stream};

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

    /// Sends many events, at most `window` of them unconfirmed at a time, and tells what became of each, in
    /// the same order. A failure does not keep the others from being sent.
    async fn publish_many(
        &self,
        topic: &str,
        envelopes: &[Envelope],
        window: NonZeroUsize,
    ) -> Vec<Result<(), PublishError>> {
        let publishes = envelopes
            .iter()
            .map(|envelope| self.publish(topic, envelope));
        // Collected first: a stream of borrowing closures is not `Send` for every lifetime.
        let publishes: Vec<_> = publishes.collect();
        stream::iter(publishes)
            .buffered(window.get())
            .collect()
            .await
    }

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
    /// The broker refused the event, and will until its set-up or the configuration is changed.
    #[error("the broker refused the event on topic {topic:?}")]
    Refused {
        /// The topic that was published to.
        topic: String,
        /// What the transport reported.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
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
        !matches!(self, Self::EmptyTopic | Self::Refused { .. })
    }
}
