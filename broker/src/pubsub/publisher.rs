//! Publishing, confirmed.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use google_cloud_pubsub::error::PublishError as Unpublished;
use google_cloud_pubsub::model::Message;
use tokio::time::{Instant, timeout};

use super::error::Operation;
use super::{PubSubBroker, PubSubError, Shared, message};
use crate::{Envelope, PublishError, Publisher};

/// For how long a topic that had subscriptions is taken to have them still.
const ROUTE_AGE: Duration = Duration::from_secs(10);

/// Asked after to learn whether the service answers. It need not exist.
const PROBE_TOPIC: &str = "hyperfleet-health-probe";

/// How long a health check waits.
pub(super) const PROBE_DEADLINE: Duration = Duration::from_secs(3);

/// When topics were last seen to have subscriptions, by full name.
///
/// Pub/Sub confirms an event that nobody subscribes to, and forgets it.
#[derive(Debug, Default)]
pub(super) struct Routes {
    seen: Mutex<HashMap<String, Instant>>,
    /// Held while looking, so that publishers that wait for the answer do not look too.
    looking: tokio::sync::Mutex<()>,
}

impl Routes {
    fn seen(&self) -> MutexGuard<'_, HashMap<String, Instant>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_fresh(&self, topic: &str) -> bool {
        let seen = self.seen();
        seen.get(topic)
            .is_some_and(|seen| seen.elapsed() < ROUTE_AGE)
    }

    fn forget(&self, topic: &str) {
        self.seen().remove(topic);
    }
}

impl Shared {
    /// Sends a message to a topic and waits until Pub/Sub has it.
    pub(super) async fn send(&self, topic: &str, message: Message) -> Result<(), PubSubError> {
        let clients = self.connection.clients();
        let sent = clients.publisher(topic).publish(message);
        match timeout(self.options.publish_deadline, sent).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(Unpublished::Rpc(answer))) => {
                Err(PubSubError::of(Operation::Publish, topic, answer))
            }
            Ok(Err(error)) => Err(PubSubError::Failed {
                operation: Operation::Publish,
                resource: topic.to_owned(),
                source: error.into(),
            }),
            Err(_) => {
                self.connection.renew(&clients).await;
                Err(PubSubError::Deadline {
                    operation: Operation::Publish,
                    resource: topic.to_owned(),
                    waited: self.options.publish_deadline,
                })
            }
        }
    }

    /// Whether somebody will receive what is published to a topic.
    async fn is_routable(&self, topic: &str) -> Result<bool, PubSubError> {
        if self.routes.is_fresh(topic) {
            return Ok(true);
        }
        let _looking = self.routes.looking.lock().await;
        if self.routes.is_fresh(topic) {
            return Ok(true);
        }
        let is_first = !self.routes.seen().contains_key(topic);
        if is_first {
            self.ensure_topic(topic).await?;
        }
        let is_routable = match self.subscriptions_of(topic).await? {
            Some(0) => self.options.tolerate_no_subscription,
            Some(_) => true,
            None => {
                if is_first {
                    tracing::warn!(
                        topic,
                        "may not look whether the topic has subscriptions (role {}): events that nobody \
                         subscribes to will be lost without an error",
                        Operation::LookAtTopic.role()
                    );
                }
                true
            }
        };
        if is_routable {
            self.routes.seen().insert(topic.to_owned(), Instant::now());
        } else {
            self.routes.forget(topic);
        }
        Ok(is_routable)
    }
}

/// A right that is missing, a topic that does not exist: trying again does not help before somebody acts.
///
/// A topic that may be created will be, by the next publish.
fn unconfirmed(topic: &str, error: PubSubError, creates: bool) -> PublishError {
    let topic = topic.to_owned();
    let will_be_created = creates && matches!(error, PubSubError::Missing { .. });
    let is_permanent = error.is_permanent() && !will_be_created;
    let source = error.into();
    if is_permanent {
        PublishError::Refused { topic, source }
    } else {
        PublishError::Unconfirmed { topic, source }
    }
}

impl PubSubBroker {
    async fn publish_confirmed(&self, topic: &str, message: Message) -> Result<(), PublishError> {
        if topic.is_empty() {
            return Err(PublishError::EmptyTopic);
        }
        let creates = self.shared.options.create_topic_if_missing;
        let unconfirmed = |error| unconfirmed(topic, error, creates);
        let name = self.shared.options.topic(topic);
        if message.data.is_empty() && message.attributes.is_empty() {
            // As the service does, which emulators do not.
            return Err(unconfirmed(PubSubError::Invalid {
                operation: Operation::Publish,
                resource: name,
                source: "a message needs a body or an attribute".into(),
            }));
        }
        if !self.shared.is_routable(&name).await.map_err(unconfirmed)? {
            return Err(PublishError::Unroutable {
                topic: topic.to_owned(),
            });
        }
        let sent = self.shared.send(&name, message).await;
        if matches!(sent, Err(PubSubError::Missing { .. })) {
            // Deleted meanwhile: the next publish makes it again, if it may.
            self.shared.routes.forget(&name);
        }
        sent.map_err(unconfirmed)
    }

    pub(super) async fn publish_counted(
        &self,
        topic: &str,
        message: Message,
    ) -> Result<(), PublishError> {
        let publishing = self.metrics.publishing(topic);
        let published = self.publish_confirmed(topic, message).await;
        publishing.ended(&published);
        published
    }

    /// Publishes a message as it stands, with these attributes, whether or not it is an event.
    ///
    /// # Errors
    /// As [`Publisher::publish`].
    pub async fn publish_message(
        &self,
        topic: &str,
        attributes: &[(&str, &str)],
        body: Vec<u8>,
    ) -> Result<(), PublishError> {
        let message = Message::new().set_data(body);
        let message = message.set_attributes(attributes.iter().copied());
        self.publish_counted(topic, message).await
    }
}

#[async_trait]
impl Publisher for PubSubBroker {
    async fn publish(&self, topic: &str, envelope: &Envelope) -> Result<(), PublishError> {
        self.publish_counted(topic, message::of_event(envelope))
            .await
    }

    /// Healthy when the service answers for this account, be it that the topic asked after does not exist or
    /// that publishers may not ask.
    async fn check(&self) -> Result<(), PublishError> {
        let probed = self.shared.probe().await;
        probed.map_err(|error| unconfirmed(PROBE_TOPIC, error, false))
    }
}

impl Shared {
    /// Whether the service answers.
    pub(super) async fn probe(&self) -> Result<(), PubSubError> {
        let clients = self.connection.clients();
        let name = self.options.topic(PROBE_TOPIC);
        let look = clients.topics.get_topic().set_topic(&name).send();
        let Ok(answer) = timeout(PROBE_DEADLINE, look).await else {
            self.connection.renew(&clients).await;
            return Err(PubSubError::Deadline {
                operation: Operation::LookAtTopic,
                resource: name,
                waited: PROBE_DEADLINE,
            });
        };
        match answer.map_err(|answer| PubSubError::of(Operation::LookAtTopic, &name, answer)) {
            Ok(_) | Err(PubSubError::Missing { .. } | PubSubError::PermissionDenied { .. }) => {
                Ok(())
            }
            Err(error) => Err(error),
        }
    }
}
