//! The receiving side of the port.

use std::num::NonZeroUsize;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use async_trait::async_trait;
use futures::FutureExt as _;
use tokio_util::sync::CancellationToken;

use crate::{Envelope, RedeliveryPolicy};

/// Which events to receive and how.
#[derive(Debug, Clone, PartialEq)]
pub struct Subscription {
    /// The topic to receive from.
    pub topic: String,
    /// Consumers with the same id share the events; each different id gets all of them.
    pub subscription_id: String,
    /// How many events are handled at a time by one call of [`Subscriber::run`].
    pub parallelism: NonZeroUsize,
    /// What happens to an event whose handling failed.
    pub redelivery: RedeliveryPolicy,
}

impl Subscription {
    /// One event at a time, with the default redelivery policy.
    pub fn new(topic: impl Into<String>, subscription_id: impl Into<String>) -> Self {
        Self {
            topic: topic.into(),
            subscription_id: subscription_id.into(),
            parallelism: NonZeroUsize::MIN,
            redelivery: RedeliveryPolicy::default(),
        }
    }

    /// Handles up to this many events at a time; zero means one.
    pub fn with_parallelism(mut self, parallelism: usize) -> Self {
        self.parallelism = NonZeroUsize::new(parallelism).unwrap_or(NonZeroUsize::MIN);
        self
    }

    /// Replaces the redelivery policy.
    pub fn with_redelivery(mut self, redelivery: RedeliveryPolicy) -> Self {
        self.redelivery = redelivery;
        self
    }

    pub(crate) fn validate(&self) -> Result<(), SubscribeError> {
        if self.topic.is_empty() {
            return Err(SubscribeError::EmptyTopic);
        }
        if self.subscription_id.is_empty() {
            return Err(SubscribeError::EmptySubscriptionId {
                topic: self.topic.clone(),
            });
        }
        Ok(())
    }
}

/// Receives events.
#[async_trait]
pub trait Subscriber: Send + Sync {
    /// Makes the subscription exist, so that events published from now on are kept for it.
    ///
    /// Repeating it is harmless.
    ///
    /// # Errors
    /// The subscription is not valid or the broker cannot be reached.
    async fn declare(&self, subscription: &Subscription) -> Result<(), SubscribeError>;

    /// Declares the subscription and hands its events to `handler` until `shutdown` is cancelled.
    ///
    /// On shutdown nothing new is taken, and handlers that run finish and are settled before this
    /// returns. The subscription itself stays and collects events. Dropping the returned future instead
    /// gives unfinished events back to the subscription.
    ///
    /// # Errors
    /// The subscription is not valid or the broker refused it for good; a lost connection is not an
    /// error, backends reconnect by themselves.
    async fn run(
        &self,
        subscription: Subscription,
        handler: Arc<dyn Handler>,
        shutdown: CancellationToken,
    ) -> Result<(), SubscribeError>;
}

/// Does something with an event.
#[async_trait]
pub trait Handler: Send + Sync {
    /// Handles one delivery. The same event may come again, also after it was acknowledged.
    ///
    /// A panic counts as [`Outcome::Retry`].
    async fn handle(&self, delivery: Delivery) -> Outcome;
}

/// Has an event handled; a panic is a retry.
///
/// The handler has to be prepared for concurrent calls, so one that failed leaves nothing half done.
pub(crate) async fn handle(handler: &dyn Handler, delivery: Delivery) -> Outcome {
    let handled = AssertUnwindSafe(handler.handle(delivery));
    let outcome = handled.catch_unwind().await;
    outcome.unwrap_or_else(|_| Outcome::Retry {
        reason: "the handler panicked".to_owned(),
    })
}

/// One event on its way through a handler.
#[derive(Debug, Clone, PartialEq)]
pub struct Delivery {
    /// The event.
    pub envelope: Envelope,
    /// How often this subscription has been given this event, this time included: 1 at first.
    pub attempt: u32,
}

/// What a handler decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Done: never deliver it again.
    Acknowledge,
    /// Failed for now: deliver it again after the delay of the redelivery policy.
    Retry {
        /// Why, for operators.
        reason: String,
    },
    /// It can never succeed: keep it aside as a dead letter.
    DeadLetter {
        /// Why, for operators.
        reason: String,
    },
}

/// Why a subscription cannot be served.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SubscribeError {
    /// The topic name is empty.
    #[error("the topic name is empty: set the topic in the configuration")]
    EmptyTopic,
    /// The subscription id is empty.
    #[error("the subscription id for topic {topic:?} is empty: set it in the configuration")]
    EmptySubscriptionId {
        /// The topic to receive from.
        topic: String,
    },
    /// The broker refused the subscription or could not be reached.
    #[error("subscription {subscription_id:?} of topic {topic:?} was refused by the broker")]
    Refused {
        /// The topic to receive from.
        topic: String,
        /// The subscription.
        subscription_id: String,
        /// What the transport reported.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}
