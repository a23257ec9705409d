//! Looking after the dead letters of the in-process broker.

use std::sync::Arc;

use async_trait::async_trait;

use super::MemoryBroker;
use super::queue::{NotRevived, Queue};
use crate::{DeadLetter, DeadLetterError, DeadLetters, SubscriptionDepth};

impl MemoryBroker {
    fn existing(&self, topic: &str, subscription_id: &str) -> Result<Arc<Queue>, DeadLetterError> {
        let topics = self.topics();
        let queue = topics
            .get(topic)
            .and_then(|queues| queues.get(subscription_id));
        queue
            .cloned()
            .ok_or_else(|| DeadLetterError::UnknownSubscription {
                topic: topic.to_owned(),
                subscription_id: subscription_id.to_owned(),
            })
    }
}

fn unknown(subscription_id: &str, dead_letter_id: &str) -> DeadLetterError {
    DeadLetterError::UnknownDeadLetter {
        subscription_id: subscription_id.to_owned(),
        dead_letter_id: dead_letter_id.to_owned(),
    }
}

#[async_trait]
impl DeadLetters for MemoryBroker {
    async fn list(
        &self,
        topic: &str,
        subscription_id: &str,
        limit: usize,
    ) -> Result<Vec<DeadLetter>, DeadLetterError> {
        let queue = self.existing(topic, subscription_id)?;
        Ok(queue.dead_letters(|letters| {
            let letters = letters.iter().take(limit);
            letters.map(|dead| dead.letter.clone()).collect()
        }))
    }

    async fn inspect(
        &self,
        topic: &str,
        subscription_id: &str,
        dead_letter_id: &str,
    ) -> Result<DeadLetter, DeadLetterError> {
        let queue = self.existing(topic, subscription_id)?;
        queue
            .dead_letters(|letters| {
                letters
                    .iter()
                    .find(|dead| dead.letter.dead_letter_id == dead_letter_id)
                    .map(|dead| dead.letter.clone())
            })
            .ok_or_else(|| unknown(subscription_id, dead_letter_id))
    }

    async fn requeue(
        &self,
        topic: &str,
        subscription_id: &str,
        dead_letter_id: &str,
    ) -> Result<(), DeadLetterError> {
        let queue = self.existing(topic, subscription_id)?;
        queue
            .revive(dead_letter_id)
            .map_err(|refused| match refused {
                NotRevived::Unknown => unknown(subscription_id, dead_letter_id),
                NotRevived::Full => DeadLetterError::Full {
                    subscription_id: subscription_id.to_owned(),
                },
            })
    }

    async fn purge(&self, topic: &str, subscription_id: &str) -> Result<usize, DeadLetterError> {
        let queue = self.existing(topic, subscription_id)?;
        Ok(queue.purge())
    }

    async fn depth(
        &self,
        topic: &str,
        subscription_id: &str,
    ) -> Result<SubscriptionDepth, DeadLetterError> {
        Ok(self.existing(topic, subscription_id)?.depth())
    }
}
