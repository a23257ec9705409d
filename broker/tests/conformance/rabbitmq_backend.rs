//! RabbitMQ, each case in a virtual host of its own.

use std::sync::Arc;

use async_trait::async_trait;
use hyperfleet_broker::rabbitmq::{RabbitMqBroker, RabbitMqOptions};
use hyperfleet_broker::{DeadLetters, PublishError, Publisher, Subscriber};

use crate::suite::Backend;

/// Nothing where there is no server.
pub(crate) fn start(parameters: &str) -> Option<RabbitMqBroker> {
    let url = hyperfleet_test_support::rabbitmq()?.url();
    let options = RabbitMqOptions::from_url(&format!("{url}{parameters}")).unwrap();
    Some(RabbitMqBroker::new(options))
}

#[async_trait]
impl Backend for RabbitMqBroker {
    fn publisher(&self) -> &dyn Publisher {
        self
    }

    fn subscriber(&self) -> Arc<dyn Subscriber> {
        Arc::new(self.clone())
    }

    fn dead_letters(&self) -> &dyn DeadLetters {
        self
    }

    async fn publish_body(&self, topic: &str, body: &[u8]) -> Result<(), PublishError> {
        Self::publish_body(self, topic, body.to_vec()).await
    }
}
