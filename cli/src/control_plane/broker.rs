//! Which broker a URL means.

use std::sync::Arc;

use anyhow::bail;
use hyperfleet_broker::memory::{MemoryBroker, MemoryOptions};
use hyperfleet_broker::pubsub::{PubSubBroker, PubSubOptions};
use hyperfleet_broker::rabbitmq::{RabbitMqBroker, RabbitMqOptions};
use hyperfleet_broker::{BrokerMetrics, DeadLetters, Publisher, Subscriber};

use crate::environment;

/// Names an emulator to use instead of Google Pub/Sub, `host:port`.
const PUBSUB_EMULATOR_HOST: &str = "PUBSUB_EMULATOR_HOST";

/// A broker that was chosen by URL.
#[derive(Clone)]
pub(crate) enum Broker {
    Memory(MemoryBroker),
    PubSub(PubSubBroker),
    RabbitMq(RabbitMqBroker),
}

impl Broker {
    pub(crate) async fn connect(url: &str) -> anyhow::Result<Self> {
        match url.split_once(':').map_or(url, |(scheme, _)| scheme) {
            "memory" => Ok(Self::Memory(MemoryBroker::new(MemoryOptions::default()))),
            "pubsub" => {
                let emulator = environment::variables().remove(PUBSUB_EMULATOR_HOST);
                let options = PubSubOptions::from_url(url, emulator.as_deref())?;
                Ok(Self::PubSub(PubSubBroker::connect(options).await?))
            }
            "amqp" | "amqps" => {
                let options = RabbitMqOptions::from_url(url)?;
                Ok(Self::RabbitMq(RabbitMqBroker::new(options)))
            }
            scheme => bail!(
                "there is no broker {scheme:?}; there are `memory:`, the broker inside one process, \
                 `amqp[s]://USER:PASSWORD@HOST/VHOST`, RabbitMQ, and `pubsub://PROJECT`, Google Pub/Sub"
            ),
        }
    }

    /// The same broker, which counts there.
    pub(crate) fn with_metrics(&self, metrics: BrokerMetrics) -> Self {
        match self {
            Self::Memory(broker) => Self::Memory(broker.with_metrics(metrics)),
            Self::PubSub(broker) => Self::PubSub(broker.with_metrics(metrics)),
            Self::RabbitMq(broker) => Self::RabbitMq(broker.with_metrics(metrics)),
        }
    }

    pub(crate) fn publisher(&self) -> Arc<dyn Publisher> {
        match self {
            Self::Memory(broker) => Arc::new(broker.clone()),
            Self::PubSub(broker) => Arc::new(broker.clone()),
            Self::RabbitMq(broker) => Arc::new(broker.clone()),
        }
    }

    pub(crate) fn subscriber(&self) -> Arc<dyn Subscriber> {
        match self {
            Self::Memory(broker) => Arc::new(broker.clone()),
            Self::PubSub(broker) => Arc::new(broker.clone()),
            Self::RabbitMq(broker) => Arc::new(broker.clone()),
        }
    }

    pub(crate) fn dead_letters(&self) -> Arc<dyn DeadLetters> {
        match self {
            Self::Memory(broker) => Arc::new(broker.clone()),
            Self::PubSub(broker) => Arc::new(broker.clone()),
            Self::RabbitMq(broker) => Arc::new(broker.clone()),
        }
    }
}
