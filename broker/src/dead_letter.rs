//! Events that were given up, kept for people to look at.

use async_trait::async_trait;
use chrono::{DateTime, Utc};

/// An event that a subscription gave up on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// Names this dead letter within its subscription; not the event's id, which may repeat.
    pub dead_letter_id: String,
    /// The topic the event was published to.
    pub topic: String,
    /// The subscription that gave up.
    pub subscription_id: String,
    /// The event as it was on the wire. Not decoded, because it may be here for being undecodable.
    pub body: Vec<u8>,
    /// Why it was given up.
    pub reason: String,
    /// How often it was delivered; 0 when it could not even be decoded.
    pub attempts: u32,
}

/// How much a broker holds of a subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SubscriptionDepth {
    /// Events that wait for a consumer; nothing where the broker does not tell.
    pub waiting: Option<u64>,
    /// Dead letters; where the broker does not count them, those that can be seen in one look.
    pub dead_letters: u64,
    /// When the oldest of them was given up; nothing where there is none or nobody wrote it down.
    pub oldest_dead_letter: Option<DateTime<Utc>>,
}

/// Looking after dead letters.
#[async_trait]
pub trait DeadLetters: Send + Sync {
    /// The oldest `limit` dead letters of a subscription, oldest first.
    ///
    /// # Errors
    /// The subscription does not exist or the broker cannot be reached.
    async fn list(
        &self,
        topic: &str,
        subscription_id: &str,
        limit: usize,
    ) -> Result<Vec<DeadLetter>, DeadLetterError>;

    /// One dead letter.
    ///
    /// # Errors
    /// As [`DeadLetters::list`], or there is none with this id.
    async fn inspect(
        &self,
        topic: &str,
        subscription_id: &str,
        dead_letter_id: &str,
    ) -> Result<DeadLetter, DeadLetterError>;

    /// Delivers a dead letter again, to its own subscription only, with its attempts counted anew.
    ///
    /// # Errors
    /// As [`DeadLetters::inspect`], or the subscription has no room.
    async fn requeue(
        &self,
        topic: &str,
        subscription_id: &str,
        dead_letter_id: &str,
    ) -> Result<(), DeadLetterError>;

    /// Forgets all dead letters of a subscription and tells how many there were.
    ///
    /// # Errors
    /// As [`DeadLetters::list`].
    async fn purge(&self, topic: &str, subscription_id: &str) -> Result<usize, DeadLetterError>;

    /// How much there is.
    ///
    /// # Errors
    /// As [`DeadLetters::list`].
    async fn depth(
        &self,
        topic: &str,
        subscription_id: &str,
    ) -> Result<SubscriptionDepth, DeadLetterError>;
}

/// Why dead letters cannot be looked after.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DeadLetterError {
    /// No such subscription.
    #[error("topic {topic:?} has no subscription {subscription_id:?}")]
    UnknownSubscription {
        /// The topic that was asked for.
        topic: String,
        /// The subscription that was asked for.
        subscription_id: String,
    },
    /// No such dead letter; somebody else may have requeued or purged it.
    #[error("subscription {subscription_id:?} has no dead letter {dead_letter_id:?}")]
    UnknownDeadLetter {
        /// The subscription that was asked for.
        subscription_id: String,
        /// The dead letter that was asked for.
        dead_letter_id: String,
    },
    /// The subscription holds as many unsettled events as it may.
    #[error(
        "subscription {subscription_id:?} is full: try again when its consumers have caught up"
    )]
    Full {
        /// The subscription without room.
        subscription_id: String,
    },
    /// The broker cannot be reached.
    #[error("the broker could not be asked about dead letters")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
}
