//! Topics and subscriptions: which there are, and which may be made.
//!
//! | Thing | Name |
//! |---|---|
//! | topic | as configured |
//! | subscription | the subscription id |
//! | topic for its dead letters | as the subscription has it; `{subscription id}-dlq` where HyperFleet makes it |
//! | subscription that keeps them | `{topic for dead letters}-sub` |

use std::time::Duration;

use google_cloud_gax::error::rpc::Code;
use google_cloud_pubsub::model;
use google_cloud_wkt as wkt;
use tokio::time::timeout;

use super::error::{Operation, code};
use super::{PubSubError, PubSubOptions, Shared};
use crate::Subscription;

/// How long a question about topics and subscriptions may take.
const ADMINISTRATION_DEADLINE: Duration = Duration::from_secs(5);

/// The least and the most deliveries that Pub/Sub takes for a dead-letter policy.
const DELIVERY_LIMITS: (u32, u32) = (5, 100);

/// The most that Pub/Sub takes for a delay before a redelivery.
const LONGEST_BACKOFF: Duration = Duration::from_mins(10);

/// How long somebody who looks at a dead letter has it to themselves, at most.
const DEAD_LETTER_ACK_DEADLINE_SECONDS: i32 = 60;

/// A subscription as it is at Pub/Sub; all names are full.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) subscription: String,
    /// Where its dead letters go.
    pub(super) dead_letter_topic: String,
    /// After how many deliveries Pub/Sub makes an event a dead letter by itself; nothing means never.
    pub(super) maximum_attempts: Option<u32>,
}

impl Place {
    /// The subscription that keeps the dead letters.
    pub(super) fn dead_letter_subscription(&self) -> String {
        keeper(&self.dead_letter_topic)
    }
}

/// The subscription that keeps what comes to a topic for dead letters.
fn keeper(dead_letter_topic: &str) -> String {
    format!(
        "{}-sub",
        dead_letter_topic.replacen("/topics/", "/subscriptions/", 1)
    )
}

impl PubSubOptions {
    pub(super) fn topic(&self, id: &str) -> String {
        format!("projects/{}/topics/{id}", self.project_id)
    }

    pub(super) fn subscription(&self, id: &str) -> String {
        format!("projects/{}/subscriptions/{id}", self.project_id)
    }

    fn default_place(&self, subscription_id: &str) -> Place {
        Place {
            subscription: self.subscription(subscription_id),
            dead_letter_topic: self.topic(&format!("{subscription_id}-dlq")),
            maximum_attempts: None,
        }
    }

    /// The subscription to create.
    fn new_subscription(&self, wanted: &Subscription) -> model::Subscription {
        let place = self.default_place(&wanted.subscription_id);
        let (least, most) = DELIVERY_LIMITS;
        let attempts = self
            .dead_letter_max_attempts
            .unwrap_or(wanted.redelivery.maximum_attempts)
            .get()
            .clamp(least, most);
        let minimum = self
            .retry_minimum_backoff
            .unwrap_or(wanted.redelivery.initial_delay)
            .min(LONGEST_BACKOFF);
        let maximum = self
            .retry_maximum_backoff
            .unwrap_or(wanted.redelivery.maximum_delay)
            .clamp(minimum, LONGEST_BACKOFF);
        let mut expiration = model::ExpirationPolicy::new();
        if let Some(ttl) = self.expiration_ttl.filter(|ttl| !ttl.is_zero()) {
            expiration = expiration.set_or_clear_ttl(duration(ttl));
        }
        let ack_deadline = self.ack_deadline.map_or(0, |deadline| deadline.as_secs());
        model::Subscription::new()
            .set_name(place.subscription)
            .set_topic(self.topic(&wanted.topic))
            .set_ack_deadline_seconds(i32::try_from(ack_deadline).unwrap_or(0))
            .set_or_clear_message_retention_duration(self.message_retention.and_then(duration))
            .set_expiration_policy(expiration)
            .set_retry_policy(
                model::RetryPolicy::new()
                    .set_or_clear_minimum_backoff(duration(minimum))
                    .set_or_clear_maximum_backoff(duration(maximum)),
            )
            .set_dead_letter_policy(
                model::DeadLetterPolicy::new()
                    .set_dead_letter_topic(place.dead_letter_topic)
                    .set_max_delivery_attempts(i32::try_from(attempts).unwrap_or(i32::MAX)),
            )
    }
}

/// Nothing for durations beyond what the service can say, ten thousand years.
fn duration(duration: Duration) -> Option<wkt::Duration> {
    duration.try_into().ok()
}

impl Shared {
    /// Puts a question to the service, with a deadline.
    pub(super) async fn ask<T>(
        &self,
        operation: Operation,
        resource: &str,
        question: impl Future<Output = google_cloud_pubsub::Result<T>>,
    ) -> Result<T, PubSubError> {
        match timeout(ADMINISTRATION_DEADLINE, question).await {
            Ok(answer) => answer.map_err(|answer| PubSubError::of(operation, resource, answer)),
            Err(_) => Err(PubSubError::Deadline {
                operation,
                resource: resource.to_owned(),
                waited: ADMINISTRATION_DEADLINE,
            }),
        }
    }

    /// Sees to it that a topic exists.
    pub(super) async fn ensure_topic(&self, name: &str) -> Result<(), PubSubError> {
        let topics = &self.connection.clients().topics;
        if !self.options.create_topic_if_missing {
            let look = topics.get_topic().set_topic(name).send();
            return match self.ask(Operation::LookAtTopic, name, look).await {
                // Who may publish need not be allowed to look; the publish will tell.
                Ok(_) | Err(PubSubError::PermissionDenied { .. }) => Ok(()),
                Err(error) => Err(error),
            };
        }
        let create = async {
            match topics.create_topic().set_name(name).send().await {
                Err(answer) if code(&answer) == Some(Code::AlreadyExists) => Ok(()),
                answer => answer.map(drop),
            }
        };
        self.ask(Operation::CreateTopic, name, create).await
    }

    /// How many subscriptions a topic has; nothing if this account may not look.
    pub(super) async fn subscriptions_of(&self, topic: &str) -> Result<Option<usize>, PubSubError> {
        let topics = &self.connection.clients().topics;
        let look = topics.list_topic_subscriptions().set_topic(topic).send();
        match self.ask(Operation::LookAtTopic, topic, look).await {
            Ok(listed) => Ok(Some(listed.subscriptions.len())),
            Err(PubSubError::PermissionDenied { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// A subscription as the service has it.
    pub(super) async fn look_at(&self, name: &str) -> Result<model::Subscription, PubSubError> {
        let subscriptions = &self.connection.clients().subscriptions;
        let look = subscriptions
            .get_subscription()
            .set_subscription(name)
            .send();
        self.ask(Operation::LookAtSubscription, name, look).await
    }

    /// Where a subscription of this topic is, if it exists.
    pub(super) async fn place(
        &self,
        topic: &str,
        subscription_id: &str,
    ) -> Result<Place, PubSubError> {
        let mut place = self.options.default_place(subscription_id);
        let found = match self.look_at(&place.subscription).await {
            Ok(found) => found,
            Err(PubSubError::PermissionDenied { .. }) => {
                tracing::warn!(
                    subscription = place.subscription,
                    "may not look at the subscription (role {}); taken to be set up as HyperFleet would",
                    Operation::LookAtSubscription.role()
                );
                return Ok(place);
            }
            Err(PubSubError::Missing { resource, .. }) => {
                return Err(PubSubError::Missing {
                    resource,
                    topic: Some(topic.to_owned()),
                });
            }
            Err(error) => return Err(error),
        };
        let expected = self.options.topic(topic);
        if found.topic != expected {
            return Err(PubSubError::OtherTopic {
                subscription: place.subscription,
                actual: found.topic,
                expected,
            });
        }
        if let Some(policy) = found.dead_letter_policy {
            place.dead_letter_topic = policy.dead_letter_topic;
            place.maximum_attempts = u32::try_from(policy.max_delivery_attempts).ok();
        } else {
            tracing::warn!(
                subscription = place.subscription,
                "the subscription has no dead-letter policy: deliveries are counted by each consumer for \
                 itself; set one with `gcloud pubsub subscriptions update {subscription_id} \
                 --dead-letter-topic={subscription_id}-dlq --max-delivery-attempts=10`"
            );
        }
        Ok(place)
    }

    /// Sees to it that a subscription and what keeps its dead letters exist.
    pub(super) async fn ensure_subscription(
        &self,
        wanted: &Subscription,
    ) -> Result<Place, PubSubError> {
        let place = match self.place(&wanted.topic, &wanted.subscription_id).await {
            Err(PubSubError::Missing { .. }) if self.options.create_subscription_if_missing => {
                self.create(wanted).await?
            }
            place => place?,
        };
        self.ensure_keeper(&place).await?;
        Ok(place)
    }

    async fn create(&self, wanted: &Subscription) -> Result<Place, PubSubError> {
        let dead_letter_topic = self
            .options
            .default_place(&wanted.subscription_id)
            .dead_letter_topic;
        // By themselves, because a refused creation does not tell which of them is missing.
        self.ensure_topic(&self.options.topic(&wanted.topic))
            .await?;
        self.ensure_topic(&dead_letter_topic).await?;
        self.create_subscription(self.options.new_subscription(wanted))
            .await?;
        // Read back: somebody else may have been faster, with other settings.
        self.place(&wanted.topic, &wanted.subscription_id).await
    }

    async fn create_subscription(&self, wanted: model::Subscription) -> Result<(), PubSubError> {
        let name = wanted.name.clone();
        let subscriptions = &self.connection.clients().subscriptions;
        let create = async {
            let request = subscriptions.create_subscription().with_request(wanted);
            match request.send().await {
                Err(answer) if code(&answer) == Some(Code::AlreadyExists) => Ok(()),
                answer => answer.map(drop),
            }
        };
        self.ask(Operation::CreateSubscription, &name, create).await
    }

    /// Without a subscription, what comes to the topic for dead letters is lost.
    async fn ensure_keeper(&self, place: &Place) -> Result<(), PubSubError> {
        let keeper = place.dead_letter_subscription();
        match self.look_at(&keeper).await {
            // Who may not look cannot tell either.
            Ok(_) | Err(PubSubError::PermissionDenied { .. }) => Ok(()),
            Err(PubSubError::Missing { .. }) if self.options.create_subscription_if_missing => {
                if self.options.create_topic_if_missing {
                    self.ensure_topic(&place.dead_letter_topic).await?;
                }
                let wanted = model::Subscription::new()
                    .set_name(keeper)
                    .set_topic(&place.dead_letter_topic)
                    .set_ack_deadline_seconds(DEAD_LETTER_ACK_DEADLINE_SECONDS)
                    .set_expiration_policy(model::ExpirationPolicy::new());
                self.create_subscription(wanted).await
            }
            Err(missing @ PubSubError::Missing { .. }) => {
                tracing::warn!(
                    topic = place.dead_letter_topic,
                    "dead letters will be lost, because nothing subscribes to their topic: {missing}"
                );
                Ok(())
            }
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;
    use crate::RedeliveryPolicy;

    fn seconds(value: u64) -> Option<wkt::Duration> {
        duration(Duration::from_secs(value))
    }

    #[test]
    fn a_new_subscription_follows_the_redelivery_policy() {
        // Given a policy, and nothing configured
        let wanted = Subscription::new("clusters", "dns").with_redelivery(RedeliveryPolicy {
            initial_delay: Duration::from_secs(2),
            maximum_delay: Duration::from_hours(1),
            maximum_attempts: NonZeroU32::new(3).unwrap(),
        });
        // When a subscription is made up for it
        let made = PubSubOptions::new("p").new_subscription(&wanted);
        // Then it has the policy as far as Pub/Sub's limits allow, and never expires
        assert_eq!(made.name, "projects/p/subscriptions/dns");
        assert_eq!(made.topic, "projects/p/topics/clusters");
        let retry = made.retry_policy.unwrap();
        assert_eq!(retry.minimum_backoff, seconds(2));
        assert_eq!(retry.maximum_backoff, seconds(600));
        let dead = made.dead_letter_policy.unwrap();
        assert_eq!(dead.dead_letter_topic, "projects/p/topics/dns-dlq");
        assert_eq!(dead.max_delivery_attempts, 5);
        assert_eq!(made.expiration_policy.unwrap().ttl, None);
        assert!(!made.enable_message_ordering);
    }

    #[test]
    fn configured_settings_come_first() {
        let options = PubSubOptions {
            ack_deadline: Some(Duration::from_secs(30)),
            message_retention: Some(Duration::from_hours(1)),
            expiration_ttl: Some(Duration::from_hours(48)),
            retry_minimum_backoff: Some(Duration::from_secs(10)),
            retry_maximum_backoff: Some(Duration::from_secs(20)),
            dead_letter_max_attempts: NonZeroU32::new(7),
            ..PubSubOptions::new("p")
        };
        let made = options.new_subscription(&Subscription::new("clusters", "dns"));
        assert_eq!(made.ack_deadline_seconds, 30);
        assert_eq!(made.message_retention_duration, seconds(3600));
        assert_eq!(made.expiration_policy.unwrap().ttl, seconds(48 * 3600));
        let retry = made.retry_policy.unwrap();
        assert_eq!(retry.minimum_backoff, seconds(10));
        assert_eq!(retry.maximum_backoff, seconds(20));
        assert_eq!(made.dead_letter_policy.unwrap().max_delivery_attempts, 7);
    }

    #[test]
    fn dead_letters_of_the_shared_layout_have_the_same_names() {
        let place = Place {
            dead_letter_topic: "projects/p/topics/ns-clusters-dlq".to_owned(),
            ..PubSubOptions::new("p").default_place("dns")
        };
        assert_eq!(
            place.dead_letter_subscription(),
            "projects/p/subscriptions/ns-clusters-dlq-sub"
        );
    }
}
