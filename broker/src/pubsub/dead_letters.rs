//! Dead letters: messages on a topic of their own, kept by a subscription of that topic.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use async_trait::async_trait;
use chrono::DateTime;
use google_cloud_pubsub::model::Message;
use google_cloud_pubsub::subscriber::handler::Handler as Lease;
use tokio::time::{sleep, timeout};

use super::error::Operation;
use super::topology::Place;
use super::{PubSubBroker, PubSubError, message};
use crate::{DeadLetter, DeadLetterError, DeadLetters, SubscriptionDepth};

/// Why it was given up.
const REASON: &str = "hyperfleet_dead_letter_reason";
/// How often it was delivered.
const ATTEMPTS: &str = "hyperfleet_dead_letter_attempts";
/// Who gave it up.
const SUBSCRIPTION: &str = "hyperfleet_dead_letter_subscription";
/// Where it was published.
const TOPIC: &str = "hyperfleet_dead_letter_topic";

/// What Pub/Sub itself writes when it gives an event up.
const SOURCE_SUBSCRIPTION: &str = "CloudPubSubDeadLetterSourceSubscription";
const SOURCE_DELIVERIES: &str = "CloudPubSubDeadLetterSourceDeliveryCount";
const SOURCE_PREFIX: &str = "CloudPubSubDeadLetterSource";

/// The most bytes that Pub/Sub takes for the value of an attribute.
const LONGEST_VALUE: usize = 1024;

/// Dead letters that are looked at in one go; also how many are held back from others meanwhile.
const AT_ONCE: usize = 1000;

/// How long nothing more must come before all are taken to have come. Pub/Sub cannot say how many there are.
const QUIET: Duration = Duration::from_secs(1);

/// How long Pub/Sub may take to notice that a stream has ended.
const CLOSING: Duration = Duration::from_millis(200);

/// How long what was looked at stays away from others when its looker dies.
const LEASE: Duration = Duration::from_secs(10);

/// An event that was given up, as a message.
pub(super) fn of(
    event: &Message,
    topic: &str,
    subscription_id: &str,
    attempts: u32,
    reason: &str,
) -> Message {
    let mut attributes = event.attributes.clone();
    attributes.insert(REASON.to_owned(), shortened(reason));
    attributes.insert(ATTEMPTS.to_owned(), attempts.to_string());
    attributes.insert(SUBSCRIPTION.to_owned(), subscription_id.to_owned());
    attributes.insert(TOPIC.to_owned(), topic.to_owned());
    Message::new()
        .set_data(event.data.clone())
        .set_attributes(attributes)
}

fn shortened(reason: &str) -> String {
    reason[..reason.floor_char_boundary(LONGEST_VALUE)].to_owned()
}

/// Whether a dead letter is of this subscription. A topic may gather those of several; one that says nothing
/// can be of any.
fn is_of(message: &Message, subscription_id: &str) -> bool {
    [SUBSCRIPTION, SOURCE_SUBSCRIPTION]
        .iter()
        .find_map(|name| message.attributes.get(*name))
        .is_none_or(|source| source == subscription_id)
}

fn letter(message: &Message, topic: &str, subscription_id: &str) -> DeadLetter {
    let attribute = |name: &str| message.attributes.get(name);
    let attempts = attribute(ATTEMPTS)
        .or_else(|| attribute(SOURCE_DELIVERIES))
        .and_then(|attempts| attempts.parse().ok())
        .unwrap_or(0);
    let reason = attribute(REASON).cloned().unwrap_or_else(|| {
        "given up by Pub/Sub: its consumers ended, or were silent for longer than their lease, each time"
            .to_owned()
    });
    DeadLetter {
        dead_letter_id: message.message_id.clone(),
        topic: topic.to_owned(),
        subscription_id: subscription_id.to_owned(),
        body: message.data.to_vec(),
        reason,
        attempts,
    }
}

/// The attributes that the event had.
fn original_attributes(message: &Message) -> HashMap<String, String> {
    message
        .attributes
        .iter()
        .filter(|(name, _)| {
            let name = name.as_str();
            let ours = [REASON, ATTEMPTS, SUBSCRIPTION, TOPIC];
            !ours.contains(&name) && !name.starts_with(SOURCE_PREFIX)
        })
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

/// A dead letter that is held back from others. Dropping it gives it back.
struct Held {
    message: Message,
    lease: Lease,
}

impl PubSubBroker {
    async fn keeper(&self, topic: &str, subscription_id: &str) -> Result<Place, DeadLetterError> {
        match self.shared.place(topic, subscription_id).await {
            Ok(place) => Ok(place),
            Err(PubSubError::Missing { .. } | PubSubError::OtherTopic { .. }) => {
                Err(DeadLetterError::UnknownSubscription {
                    topic: topic.to_owned(),
                    subscription_id: subscription_id.to_owned(),
                })
            }
            Err(error) => Err(unavailable(error)),
        }
    }

    /// Takes dead letters of a subscription, oldest first, hands them to `look`, and gives back those that
    /// it does not settle. Returns once Pub/Sub has the answers.
    async fn look_at<T>(
        &self,
        place: &Place,
        subscription_id: &str,
        look: impl AsyncFnOnce(Vec<Held>) -> T,
    ) -> Result<T, DeadLetterError> {
        let name = place.dead_letter_subscription();
        let clients = self.shared.connection.clients();
        let mut stream = clients
            .subscriber
            .subscribe(&name)
            .set_max_outstanding_messages(i64::try_from(AT_ONCE).unwrap_or(i64::MAX))
            .set_max_lease_extension(LEASE)
            .build();
        let token = stream.shutdown_token();
        let mut seen = HashSet::new();
        let mut held = Vec::new();
        while seen.len() < AT_ONCE {
            match timeout(QUIET, stream.next()).await {
                Err(_) | Ok(None) => break,
                Ok(Some(Ok((message, lease)))) => {
                    seen.insert(message.message_id.clone());
                    held.push(Held { message, lease });
                }
                Ok(Some(Err(answer))) => {
                    let error = PubSubError::of(Operation::Receive, &name, answer);
                    return Err(unavailable(error));
                }
            }
        }
        // Before anything is given back, or it would come to this stream again. The leases go on.
        drop(stream);
        sleep(CLOSING).await;
        held.retain(|held| is_of(&held.message, subscription_id));
        held.sort_by(|one, other| age(&one.message).cmp(&age(&other.message)));
        let found = look(held).await;
        token.shutdown().await;
        Ok(found)
    }

    async fn one<T>(
        &self,
        topic: &str,
        subscription_id: &str,
        dead_letter_id: &str,
        look: impl AsyncFnOnce(Held) -> Result<T, DeadLetterError>,
    ) -> Result<T, DeadLetterError> {
        let place = self.keeper(topic, subscription_id).await?;
        self.look_at(&place, subscription_id, async |held| {
            let wanted = held
                .into_iter()
                .find(|held| held.message.message_id == dead_letter_id);
            match wanted {
                Some(held) => look(held).await,
                None => Err(DeadLetterError::UnknownDeadLetter {
                    subscription_id: subscription_id.to_owned(),
                    dead_letter_id: dead_letter_id.to_owned(),
                }),
            }
        })
        .await?
    }
}

/// When it became a dead letter, then its id, for those of the same moment.
fn age(message: &Message) -> (Option<(i64, i32)>, &str) {
    let time = message.publish_time;
    (
        time.map(|time| (time.seconds(), time.nanos())),
        &message.message_id,
    )
}

fn unavailable(error: PubSubError) -> DeadLetterError {
    DeadLetterError::Unavailable(error.into())
}

#[async_trait]
impl DeadLetters for PubSubBroker {
    async fn list(
        &self,
        topic: &str,
        subscription_id: &str,
        limit: usize,
    ) -> Result<Vec<DeadLetter>, DeadLetterError> {
        let place = self.keeper(topic, subscription_id).await?;
        self.look_at(&place, subscription_id, async |held| {
            held.iter()
                .take(limit)
                .map(|held| letter(&held.message, topic, subscription_id))
                .collect()
        })
        .await
    }

    async fn inspect(
        &self,
        topic: &str,
        subscription_id: &str,
        dead_letter_id: &str,
    ) -> Result<DeadLetter, DeadLetterError> {
        self.one(topic, subscription_id, dead_letter_id, async |held| {
            Ok(letter(&held.message, topic, subscription_id))
        })
        .await
    }

    async fn requeue(
        &self,
        topic: &str,
        subscription_id: &str,
        dead_letter_id: &str,
    ) -> Result<(), DeadLetterError> {
        self.one(topic, subscription_id, dead_letter_id, async |held| {
            let Held { message, lease } = held;
            let attributes = original_attributes(&message);
            let again = message::for_only(subscription_id, message.data.to_vec(), attributes);
            let name = self.shared.options.topic(topic);
            // Confirmed first: a crash in between leaves the dead letter, and the event comes twice.
            self.shared.send(&name, again).await.map_err(unavailable)?;
            lease.ack();
            Ok(())
        })
        .await
    }

    async fn purge(&self, topic: &str, subscription_id: &str) -> Result<usize, DeadLetterError> {
        let place = self.keeper(topic, subscription_id).await?;
        let mut purged = 0;
        loop {
            let now = self
                .look_at(&place, subscription_id, async |held| {
                    let ids: HashSet<_> = held
                        .iter()
                        .map(|held| held.message.message_id.clone())
                        .collect();
                    for held in held {
                        held.lease.ack();
                    }
                    ids.len()
                })
                .await?;
            purged += now;
            if now == 0 {
                return Ok(purged);
            }
        }
    }

    /// Takes them for a moment, because Pub/Sub does not count them.
    async fn depth(
        &self,
        topic: &str,
        subscription_id: &str,
    ) -> Result<SubscriptionDepth, DeadLetterError> {
        let place = self.keeper(topic, subscription_id).await?;
        self.look_at(&place, subscription_id, async |held| SubscriptionDepth {
            waiting: None,
            dead_letters: u64::try_from(held.len()).unwrap_or(u64::MAX),
            oldest_dead_letter: held.first().and_then(|held| {
                let time = held.message.publish_time?;
                let nanoseconds = u32::try_from(time.nanos()).ok()?;
                DateTime::from_timestamp(time.seconds(), nanoseconds)
            }),
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event() -> Message {
        Message::new()
            .set_data("{}")
            .set_attributes([("_watermill_message_uuid", "1")])
    }

    #[test]
    fn a_dead_letter_keeps_the_event_and_tells_why() {
        // Given an event that was given up
        let dead = of(&event(), "clusters", "dns", 3, "no such zone");
        // Then the letter has everything, and the event's own attributes are kept apart
        let read = letter(&dead.clone().set_message_id("7"), "clusters", "dns");
        let expected = DeadLetter {
            dead_letter_id: "7".to_owned(),
            topic: "clusters".to_owned(),
            subscription_id: "dns".to_owned(),
            body: b"{}".to_vec(),
            reason: "no such zone".to_owned(),
            attempts: 3,
        };
        assert_eq!(read, expected);
        assert_eq!(original_attributes(&dead), event().attributes);
    }

    #[test]
    fn a_letter_that_pubsub_wrote_is_understood() {
        let dead = event().set_attributes([
            (SOURCE_SUBSCRIPTION, "dns"),
            (SOURCE_DELIVERIES, "5"),
            ("CloudPubSubDeadLetterSourceSubscriptionProject", "p"),
        ]);
        let read = letter(&dead, "clusters", "dns");
        assert_eq!(read.attempts, 5);
        assert!(
            read.reason.starts_with("given up by Pub/Sub"),
            "{}",
            read.reason
        );
        assert!(original_attributes(&dead).is_empty());
    }

    #[test]
    fn letters_of_other_subscriptions_on_a_shared_topic_are_told_apart() {
        let ours = of(&event(), "clusters", "dns", 1, "r");
        let theirs = event().set_attributes([(SOURCE_SUBSCRIPTION, "validation")]);
        assert!(is_of(&ours, "dns") && !is_of(&ours, "validation"));
        assert!(is_of(&theirs, "validation") && !is_of(&theirs, "dns"));
        assert!(is_of(&event(), "dns"));
    }

    #[test]
    fn a_long_reason_is_cut_between_characters() {
        let reason = format!("{}é", "x".repeat(LONGEST_VALUE - 1));
        assert_eq!(shortened(&reason).len(), LONGEST_VALUE - 1);
    }
}
