//! RabbitMQ, each case in a virtual host of its own.

use std::sync::Arc;

use async_trait::async_trait;
use hyperfleet_broker::rabbitmq::{RabbitMqBroker, RabbitMqOptions};
use hyperfleet_broker::{BrokerMetrics, DeadLetters, PublishError, Publisher, Subscriber};

use crate::suite::{Backend, Kind};

/// Where nobody listens: no server has this port.
pub(crate) const NOBODY: &str = "127.0.0.1:1";

/// Nothing where there is no server.
pub(crate) fn start(parameters: &str) -> Option<RabbitMqBroker> {
    let url = hyperfleet_test_support::rabbitmq()?.url();
    let options = RabbitMqOptions::from_url(&format!("{url}{parameters}")).unwrap();
    Some(RabbitMqBroker::new(options))
}

#[async_trait]
impl Backend for RabbitMqBroker {
    fn kind(&self) -> Kind {
        Kind::RabbitMq
    }

    fn publisher(&self) -> &dyn Publisher {
        self
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
        Self::publish_message(self, topic, attributes, body.to_vec()).await
    }

    fn with_metrics(&self, metrics: BrokerMetrics) -> Box<dyn Backend> {
        Box::new(Self::with_metrics(self, metrics))
    }

    async fn unreachable(&self) -> Option<Box<dyn Backend>> {
        let url = format!("amqp://guest:guest@{NOBODY}");
        let options = RabbitMqOptions::from_url(&url).unwrap();
        Some(Box::new(Self::new(options)))
    }
}
