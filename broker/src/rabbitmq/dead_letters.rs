//! Dead letters: messages of a queue, with headers that tell why they are there.
//!
//! Looking takes messages without settling them, and gives them back by closing the channel: they keep their
//! place, and a crash in between loses none.

use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use lapin::message::Delivery as Message;
use lapin::options::{BasicAckOptions, BasicGetOptions, QueuePurgeOptions};
use lapin::{BasicProperties, Channel};
use sha2::{Digest as _, Sha256};
use tokio::time::{Instant, sleep};

use super::link::{failed, short};
use super::topology::{Queues, depth};
use super::{RabbitMqBroker, RabbitMqError, message};
use crate::{DeadLetter, DeadLetterError, DeadLetters, SubscriptionDepth};

const REASON: &str = "hyperfleet_dead_letter_reason";
const ATTEMPTS: &str = "hyperfleet_dead_letter_attempts";
const SUBSCRIPTION: &str = "hyperfleet_dead_letter_subscription";
const TOPIC: &str = "hyperfleet_dead_letter_topic";
const SINCE: &str = "hyperfleet_dead_letter_time";

/// Where the server itself tells why and how often it passed a message on.
const DEATHS: &str = "x-death";
const RETURNS: &str = "x-delivery-count";

/// Longest reason, in bytes.
const LONGEST_REASON: usize = 1024;

/// How long looking may take.
const DEADLINE: Duration = Duration::from_secs(30);

/// How long what was looked at may take to come back, where one dead letter is wanted.
const PATIENCE: Duration = Duration::from_secs(1);

/// Between two attempts; also how long a list waits for more.
const PAUSE: Duration = Duration::from_millis(100);

/// The properties of an event as a dead letter.
pub(super) fn properties(
    event: &Message,
    topic: &str,
    subscription_id: &str,
    attempts: u32,
    reason: &str,
    since: Option<DateTime<Utc>>,
) -> BasicProperties {
    let mut headers = message::original_headers(event);
    let end = reason.floor_char_boundary(LONGEST_REASON);
    for (name, value) in [
        (REASON, &reason[..end]),
        (ATTEMPTS, &attempts.to_string()),
        (SUBSCRIPTION, subscription_id),
        (TOPIC, topic),
    ] {
        headers.insert(name.to_owned(), value.to_owned());
    }
    if let Some(since) = since {
        headers.insert(SINCE.to_owned(), since.to_rfc3339());
    }
    message::persistent(Some(&headers))
}

/// Reads a dead letter, whoever made it one.
fn letter(message: &Message, topic: &str, subscription_id: &str) -> DeadLetter {
    let headers = message::headers(message);
    let attempts = headers.get(ATTEMPTS).and_then(|text| text.parse().ok());
    let table = message.properties.headers().as_ref();
    let returns = table
        .and_then(|table| table.inner().get(RETURNS))
        .and_then(message::count);
    let by_the_server = table.is_some_and(|table| table.contains_key(DEATHS));
    let reason = headers.get(REASON).cloned().unwrap_or_else(|| {
        if by_the_server {
            "its consumers ended without answering, again and again".to_owned()
        } else {
            "unknown: something else put it here".to_owned()
        }
    });
    let mut hash = Sha256::new();
    hash.update(&message.data);
    hash.update(&reason);
    let hash = hash.finalize();
    DeadLetter {
        dead_letter_id: hex::encode(&hash[..8]),
        topic: topic.to_owned(),
        subscription_id: subscription_id.to_owned(),
        body: message.data.clone(),
        reason,
        attempts: attempts.or(returns).unwrap_or_default(),
    }
}

/// Since when a message is a dead letter, if whoever made it one wrote it down.
fn since(message: &Message) -> Option<DateTime<Utc>> {
    let headers = message::headers(message);
    let time = DateTime::parse_from_rfc3339(headers.get(SINCE)?).ok()?;
    Some(time.with_timezone(&Utc))
}

/// A channel whose end gives back what was taken through it.
struct Look {
    channel: Channel,
    queues: Queues,
    topic: String,
    subscription_id: String,
    /// How many dead letters of each id were taken.
    taken: std::collections::HashMap<String, usize>,
}

impl Look {
    async fn next(&mut self) -> Result<Option<(Message, DeadLetter)>, DeadLetterError> {
        let queue = &self.queues.dead_letters;
        let name = short(queue).map_err(unavailable)?;
        let taken = self.channel.basic_get(name, BasicGetOptions::default());
        let taken = taken
            .await
            .map_err(|source| unavailable(failed("show a message of queue", queue, source)))?;
        let Some(message) = taken.map(|taken| taken.delivery) else {
            return Ok(None);
        };
        let mut letter = letter(&message, &self.topic, &self.subscription_id);
        let taken = self.taken.entry(letter.dead_letter_id.clone()).or_default();
        *taken += 1;
        if *taken > 1 {
            // The same event for the same reason, once more.
            letter.dead_letter_id = format!("{}-{taken}", letter.dead_letter_id);
        }
        Ok(Some((message, letter)))
    }

    /// As [`Self::next`], but waits for a moment before it says that there is nothing more: what somebody looked
    /// at just before comes back a little later than their channel ends.
    async fn next_or_late(
        &mut self,
        patience: Duration,
    ) -> Result<Option<(Message, DeadLetter)>, DeadLetterError> {
        let begun = Instant::now();
        loop {
            let next = self.next().await?;
            if next.is_some() || begun.elapsed() > patience {
                return Ok(next);
            }
            sleep(PAUSE).await;
        }
    }

    async fn find(&mut self, id: &str) -> Result<(Message, DeadLetter), DeadLetterError> {
        while let Some(found) = self.next_or_late(PATIENCE).await? {
            if found.1.dead_letter_id == id {
                return Ok(found);
            }
        }
        Err(DeadLetterError::UnknownDeadLetter {
            subscription_id: self.subscription_id.clone(),
            dead_letter_id: id.to_owned(),
        })
    }

    /// Gives back all that was taken and not settled.
    async fn end(self) {
        let _ = self.channel.close(200, "OK".into()).await;
    }
}

fn unavailable(error: RabbitMqError) -> DeadLetterError {
    DeadLetterError::Unavailable(error.into())
}

impl RabbitMqBroker {
    async fn look(&self, topic: &str, subscription_id: &str) -> Result<Look, DeadLetterError> {
        let queues = self.shared.options.queues_of(topic, subscription_id);
        let opened = self.shared.within(DEADLINE, async {
            let channel = self.shared.link().await?.channel().await?;
            depth(&channel, &queues.work).await?;
            Ok(channel)
        });
        match opened.await {
            Ok(channel) => Ok(Look {
                channel,
                queues,
                topic: topic.to_owned(),
                subscription_id: subscription_id.to_owned(),
                taken: std::collections::HashMap::new(),
            }),
            Err(error) if error.is_missing() => Err(DeadLetterError::UnknownSubscription {
                topic: topic.to_owned(),
                subscription_id: subscription_id.to_owned(),
            }),
            Err(error) => Err(unavailable(error)),
        }
    }

    /// Confirmed in the subscription's queue first, taken from the dead letters then.
    async fn revive(&self, look: &Look, message: &Message) -> Result<(), RabbitMqError> {
        let shared = &self.shared;
        let link = shared.link().await?;
        let properties = message::persistent(Some(&message::original_headers(message)));
        let work = &look.queues.work;
        let sent = link.send(&shared.options, "", work, &message.data, properties);
        if sent.await? == super::link::Sent::Unroutable {
            return Err(RabbitMqError::QueueGone { name: work.clone() });
        }
        let settled = message.acker.ack(BasicAckOptions::default()).await;
        settled
            .map(drop)
            .map_err(|source| failed("remove a message of queue", work, source))
    }
}

#[async_trait]
impl DeadLetters for RabbitMqBroker {
    async fn list(
        &self,
        topic: &str,
        subscription_id: &str,
        limit: usize,
    ) -> Result<Vec<DeadLetter>, DeadLetterError> {
        let mut look = self.look(topic, subscription_id).await?;
        let mut letters = Vec::new();
        while letters.len() < limit {
            match look.next_or_late(PAUSE).await? {
                Some((message, letter)) => letters.push((since(&message), letter)),
                None => break,
            }
        }
        look.end().await;
        // One that came back late, because somebody looked at it just before, is behind younger ones.
        letters.sort_by_key(|(since, _)| *since);
        Ok(letters.into_iter().map(|(_, letter)| letter).collect())
    }

    async fn inspect(
        &self,
        topic: &str,
        subscription_id: &str,
        dead_letter_id: &str,
    ) -> Result<DeadLetter, DeadLetterError> {
        let mut look = self.look(topic, subscription_id).await?;
        let found = look.find(dead_letter_id).await;
        look.end().await;
        found.map(|(_, letter)| letter)
    }

    async fn requeue(
        &self,
        topic: &str,
        subscription_id: &str,
        dead_letter_id: &str,
    ) -> Result<(), DeadLetterError> {
        let mut look = self.look(topic, subscription_id).await?;
        let revived = match look.find(dead_letter_id).await {
            Ok((message, _)) => self
                .shared
                .within(DEADLINE, self.revive(&look, &message))
                .await
                .map_err(unavailable),
            Err(error) => Err(error),
        };
        look.end().await;
        revived
    }

    async fn purge(&self, topic: &str, subscription_id: &str) -> Result<usize, DeadLetterError> {
        let look = self.look(topic, subscription_id).await?;
        let queue = &look.queues.dead_letters;
        let name = short(queue).map_err(unavailable)?;
        let purged = look.channel.queue_purge(name, QueuePurgeOptions::default());
        let count = purged
            .await
            .map_err(|source| unavailable(failed("purge queue", queue, source)))?;
        look.end().await;
        Ok(usize::try_from(count).unwrap_or(usize::MAX))
    }

    /// Takes the oldest dead letter for a moment, because the server does not tell its age.
    async fn depth(
        &self,
        topic: &str,
        subscription_id: &str,
    ) -> Result<SubscriptionDepth, DeadLetterError> {
        let mut look = self.look(topic, subscription_id).await?;
        let ready = async |queue: &str| depth(&look.channel, queue).await.map_err(unavailable);
        let waiting = ready(&look.queues.work).await?;
        let dead_letters = ready(&look.queues.dead_letters).await?;
        let oldest = if dead_letters > 0 {
            look.next().await?
        } else {
            None
        };
        look.end().await;
        Ok(SubscriptionDepth {
            waiting: Some(waiting.into()),
            dead_letters: dead_letters.into(),
            oldest_dead_letter: oldest.and_then(|(message, _)| since(&message)),
        })
    }
}
