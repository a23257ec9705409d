//! Publishing, confirmed.

use std::time::Duration;

use async_trait::async_trait;
use lapin::BasicProperties;
use tokio::time::timeout;

use super::link::Sent;
use super::{RabbitMqBroker, RabbitMqError, Shared, message};
use crate::{Envelope, PublishError, Publisher};

/// How long a health check waits.
const PROBE_DEADLINE: Duration = Duration::from_secs(3);

impl Shared {
    async fn deliver(
        &self,
        topic: &str,
        body: &[u8],
        properties: BasicProperties,
    ) -> Result<Sent, RabbitMqError> {
        let _place = self.window.acquire().await;
        let link = self.link().await?;
        let exchange = self.options.exchange_of(topic);
        let routing_key = &self.options.routing_key;
        link.send(&self.options, exchange, routing_key, body, properties)
            .await
    }

    /// Bounds a wait; a server that did not answer is connected to anew.
    pub(super) async fn within<T>(
        &self,
        waited: Duration,
        asked: impl Future<Output = Result<T, RabbitMqError>>,
    ) -> Result<T, RabbitMqError> {
        if let Ok(answer) = timeout(waited, asked).await {
            return answer;
        }
        self.forget_link().await;
        Err(RabbitMqError::Deadline {
            address: self.options.address(),
            waited,
        })
    }
}

impl RabbitMqBroker {
    async fn publish_confirmed(
        &self,
        topic: &str,
        body: &[u8],
        properties: BasicProperties,
    ) -> Result<(), PublishError> {
        if topic.is_empty() {
            return Err(PublishError::EmptyTopic);
        }
        let shared = &self.shared;
        let sent = shared
            .within(
                shared.options.publish_deadline,
                shared.deliver(topic, body, properties),
            )
            .await;
        match sent {
            Ok(Sent::Unroutable) if !shared.options.tolerate_no_subscription => {
                Err(PublishError::Unroutable {
                    topic: topic.to_owned(),
                })
            }
            Ok(_) => Ok(()),
            Err(error) => Err(unconfirmed(topic, error)),
        }
    }

    async fn publish_counted(
        &self,
        topic: &str,
        body: &[u8],
        properties: BasicProperties,
    ) -> Result<(), PublishError> {
        let publishing = self.metrics.publishing(topic);
        let published = self.publish_confirmed(topic, body, properties).await;
        publishing.ended(&published);
        published
    }

    /// Publishes a message as it stands, with these headers, whether or not it is an event.
    ///
    /// # Errors
    /// As [`Publisher::publish`].
    pub async fn publish_message(
        &self,
        topic: &str,
        headers: &[(&str, &str)],
        body: Vec<u8>,
    ) -> Result<(), PublishError> {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let headers: message::Headers = headers.iter().map(owned).collect();
        let properties = message::persistent(Some(&headers).filter(|some| !some.is_empty()));
        self.publish_counted(topic, &body, properties).await
    }
}

fn unconfirmed(topic: &str, error: RabbitMqError) -> PublishError {
    let topic = topic.to_owned();
    let is_permanent = error.is_permanent();
    let source = error.into();
    if is_permanent {
        PublishError::Refused { topic, source }
    } else {
        PublishError::Unconfirmed { topic, source }
    }
}

#[async_trait]
impl Publisher for RabbitMqBroker {
    async fn publish(&self, topic: &str, envelope: &Envelope) -> Result<(), PublishError> {
        let properties = message::of_event(envelope);
        self.publish_counted(topic, &envelope.to_bytes(), properties)
            .await
    }

    /// Healthy when the server answers a question on the connection that publishes.
    async fn check(&self) -> Result<(), PublishError> {
        let probed = self.shared.within(PROBE_DEADLINE, async {
            self.shared.link().await?.probe().await
        });
        probed.await.map_err(|error| unconfirmed("", error))
    }
}
