//! Google Pub/Sub, on a server in memory, each case in a project of its own.

use std::sync::Arc;

use async_trait::async_trait;
use hyperfleet_broker::pubsub::{PubSubBroker, PubSubOptions};
use hyperfleet_broker::{
    BrokerMetrics, DeadLetter, DeadLetterError, DeadLetters, Handler, PublishError, Publisher,
    SubscribeError, Subscriber, Subscription, SubscriptionDepth,
};
use hyperfleet_test_support::pubsub_project;
use tokio_util::sync::CancellationToken;

use crate::rabbitmq_backend::NOBODY;
use crate::suite::{Backend, Kind};

/// The broker, with subscription ids that are long enough for Pub/Sub.
#[derive(Clone)]
pub(crate) struct Renaming(PubSubBroker);

const PREFIX: &str = "subscription-";

/// Nothing where there is no server.
pub(crate) async fn start() -> Option<Renaming> {
    let project = pubsub_project()?;
    let broker = PubSubBroker::connect(PubSubOptions {
        emulator_host: Some(project.host),
        create_topic_if_missing: true,
        create_subscription_if_missing: true,
        ..PubSubOptions::new(project.project_id)
    });
    Some(Renaming(broker.await.unwrap()))
}

fn renamed(id: &str) -> String {
    if id.is_empty() {
        String::new()
    } else {
        format!("{PREFIX}{id}")
    }
}

fn own(mut letter: DeadLetter) -> DeadLetter {
    let id = letter.subscription_id.strip_prefix(PREFIX).unwrap();
    letter.subscription_id = id.to_owned();
    letter
}

#[async_trait]
impl Subscriber for Renaming {
    async fn declare(&self, subscription: &Subscription) -> Result<(), SubscribeError> {
        let mut subscription = subscription.clone();
        subscription.subscription_id = renamed(&subscription.subscription_id);
        self.0.declare(&subscription).await
    }

    async fn run(
        &self,
        mut subscription: Subscription,
        handler: Arc<dyn Handler>,
        shutdown: CancellationToken,
    ) -> Result<(), SubscribeError> {
        subscription.subscription_id = renamed(&subscription.subscription_id);
        self.0.run(subscription, handler, shutdown).await
    }
}

#[async_trait]
impl DeadLetters for Renaming {
    async fn list(
        &self,
        topic: &str,
        subscription_id: &str,
        limit: usize,
    ) -> Result<Vec<DeadLetter>, DeadLetterError> {
        let letters = self.0.list(topic, &renamed(subscription_id), limit).await?;
        Ok(letters.into_iter().map(own).collect())
    }

    async fn inspect(
        &self,
        topic: &str,
        subscription_id: &str,
        dead_letter_id: &str,
    ) -> Result<DeadLetter, DeadLetterError> {
        let subscription_id = renamed(subscription_id);
        let letter = self.0.inspect(topic, &subscription_id, dead_letter_id);
        letter.await.map(own)
    }

    async fn requeue(
        &self,
        topic: &str,
        subscription_id: &str,
        dead_letter_id: &str,
    ) -> Result<(), DeadLetterError> {
        let subscription_id = renamed(subscription_id);
        self.0
            .requeue(topic, &subscription_id, dead_letter_id)
            .await
    }

    async fn purge(&self, topic: &str, subscription_id: &str) -> Result<usize, DeadLetterError> {
        self.0.purge(topic, &renamed(subscription_id)).await
    }

    async fn depth(
        &self,
        topic: &str,
        subscription_id: &str,
    ) -> Result<SubscriptionDepth, DeadLetterError> {
        self.0.depth(topic, &renamed(subscription_id)).await
    }
}

#[async_trait]
impl Backend for Renaming {
    fn kind(&self) -> Kind {
        Kind::PubSub
    }

    fn publisher(&self) -> &dyn Publisher {
        &self.0
    }

    fn subscriber(&self) -> Arc<dyn Subscriber> {
        Arc::new(self.clone())
    }

    fn dead_letters(&self) -> &dyn DeadLetters {
        self
    }

    fn shared_dead_letters(&self) -> Arc<dyn DeadLetters> {
        Arc::new(self.clone())
    }

    async fn publish_message(
        &self,
        topic: &str,
        attributes: &[(&str, &str)],
        body: &[u8],
    ) -> Result<(), PublishError> {
        let body = body.to_vec();
        self.0.publish_message(topic, attributes, body).await
    }

    fn with_metrics(&self, metrics: BrokerMetrics) -> Box<dyn Backend> {
        Box::new(Self(self.0.with_metrics(metrics)))
    }

    async fn unreachable(&self) -> Option<Box<dyn Backend>> {
        let options = PubSubOptions {
            emulator_host: Some(NOBODY.to_owned()),
            ..PubSubOptions::new("nobody")
        };
        let broker = PubSubBroker::connect(options).await.unwrap();
        Some(Box::new(Self(broker)))
    }
}
