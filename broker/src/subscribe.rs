//! The receiving side of the port.

use std::num::NonZeroUsize;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::FutureExt as _;
use tokio_util::sync::CancellationToken;

use crate::{Envelope, RedeliveryPolicy};

/// The longest delay that a handler can ask for; more is cut to it. What has to wait for longer is published
/// again by then.
pub const LONGEST_DELAY: Duration = Duration::from_hours(1);

/// Which events to receive and how.
#[derive(Debug, Clone, PartialEq)]
pub struct Subscription {
    /// The topic to receive from.
    pub topic: String,
    /// Consumers with the same id share the events; each different id gets all of them.
    pub subscription_id: String,
    /// How many events are handled at a time by one call of [`Subscriber::run`].
    pub parallelism: NonZeroUsize,
    /// How many unsettled events one call of [`Subscriber::run`] may hold, those in work included. Absent means
    /// what the broker's options say, and less than `parallelism` means `parallelism`.
    pub prefetch: Option<NonZeroUsize>,
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
            prefetch: None,
            redelivery: RedeliveryPolicy::default(),
        }
    }

    /// Handles up to this many events at a time; zero means one.
    pub fn with_parallelism(mut self, parallelism: usize) -> Self {
        self.parallelism = NonZeroUsize::new(parallelism).unwrap_or(NonZeroUsize::MIN);
        self
    }

    /// Holds up to this many unsettled events; zero means what the broker's options say.
    pub fn with_prefetch(mut self, prefetch: usize) -> Self {
        self.prefetch = NonZeroUsize::new(prefetch);
        self
    }

    /// Replaces the redelivery policy.
    pub fn with_redelivery(mut self, redelivery: RedeliveryPolicy) -> Self {
        self.redelivery = redelivery;
        self
    }

    /// Unsettled events to hold: what the subscription says, else what the options say, but never so few that
    /// workers would wait.
    pub(crate) fn prefetch_or(&self, configured: Option<usize>) -> Option<usize> {
        let wanted = self.prefetch.map(NonZeroUsize::get).or(configured);
        wanted.map(|wanted| wanted.max(self.parallelism.get()))
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
    /// A panic counts as [`Outcome::Retry`]. Whoever computes for long does so in a task of its own: until it first
    /// waits, a handler may hold up the other events of its consumer.
    async fn handle(&self, delivery: Delivery) -> Outcome;
}

/// Has an event handled; a panic is a retry.
///
/// The handler has to be prepared for concurrent calls, so one that failed leaves nothing half done.
pub(crate) async fn handle(handler: &dyn Handler, delivery: Delivery) -> Outcome {
    let handled = AssertUnwindSafe(handler.handle(delivery));
    let outcome = handled.catch_unwind().await;
    outcome.unwrap_or_else(|_| Outcome::retry("the handler panicked"))
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
    /// Failed for now: deliver it again after a delay. It counts as an attempt of the redelivery policy.
    Retry {
        /// Why, for operators.
        reason: String,
        /// The delay, where the handler knows better than the redelivery policy: not earlier than that, and at
        /// most [`LONGEST_DELAY`]. How much later it may be depends on the broker.
        after: Option<Duration>,
    },
    /// It can never succeed: keep it aside as a dead letter.
    DeadLetter {
        /// Why, for operators.
        reason: String,
    },
}

impl Outcome {
    /// To be delivered again after the delay of the redelivery policy.
    pub fn retry(reason: impl Into<String>) -> Self {
        Self::Retry {
            reason: reason.into(),
            after: None,
        }
    }

    /// To be delivered again after this delay.
    pub fn retry_after(delay: Duration, reason: impl Into<String>) -> Self {
        Self::Retry {
            reason: reason.into(),
            after: Some(delay),
        }
    }

    /// Never to be delivered again, but kept aside.
    pub fn dead_letter(reason: impl Into<String>) -> Self {
        Self::DeadLetter {
            reason: reason.into(),
        }
    }
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
