//! Which broker a role uses.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use hyperfleet_broker::memory::{MemoryBroker, MemoryOptions};
use hyperfleet_broker::pubsub::{PubSubBroker, PubSubOptions};
use hyperfleet_broker::rabbitmq::{RabbitMqBroker, RabbitMqOptions};
use hyperfleet_broker::{
    BrokerMetrics, DeadLetters, Inspect, MetricFamilies, Publisher, Subscriber,
};
use tokio_util::sync::CancellationToken;

use crate::broker_file::{self, BrokerFile, Described};
use crate::environment;

/// Names an emulator to use instead of Google Pub/Sub, `host:port`.
const PUBSUB_EMULATOR_HOST: &str = "PUBSUB_EMULATOR_HOST";

/// How often a broker is asked for the depth of a subscription. Pub/Sub has to hand dead letters out for it.
const LOOK_INTERVAL: (Duration, Duration) = (Duration::from_secs(15), Duration::from_mins(5));

/// The broker inside the process.
pub(crate) const MEMORY: &str = "memory:";

/// What was said about which broker to use.
#[derive(Clone, Debug)]
pub(crate) enum BrokerChoice {
    /// By `--broker` or its variable.
    Url(String),
    /// By the broker file and its variables.
    File(Box<BrokerFile>),
}

impl BrokerChoice {
    /// The URL if there is one, else what the broker file says; nothing where neither says anything.
    ///
    /// What the file says that means nothing is logged.
    pub(crate) fn of(url: Option<&str>) -> anyhow::Result<Option<Self>> {
        if let Some(url) = url {
            return Ok(Some(Self::Url(url.to_owned())));
        }
        Self::described_by(&environment::variables())
    }

    /// What this broker file says.
    pub(crate) fn of_file(path: &Path) -> anyhow::Result<Self> {
        let mut variables = environment::variables();
        let named = path.display().to_string();
        variables.insert(broker_file::BROKER_CONFIG_FILE.to_owned(), named);
        Self::described_by(&variables)?.context("the broker file has no broker.type")
    }

    fn described_by(variables: &BTreeMap<String, String>) -> anyhow::Result<Option<Self>> {
        let emulator = variables.get(PUBSUB_EMULATOR_HOST).map(String::as_str);
        let file = broker_file::read(variables, emulator)?;
        if let Some(file) = &file {
            for warning in &file.warnings {
                tracing::warn!(file = file.path, "broker file: {warning}");
            }
            if let Some(settings) = &file.logged {
                tracing::info!(file = file.path, settings, "broker configuration");
            }
        }
        Ok(file.map(Box::new).map(Self::File))
    }

    /// As [`Self::of`]; saying nothing is an error. `purpose` completes "which broker to …".
    pub(crate) fn required(url: Option<&str>, purpose: &str) -> anyhow::Result<Self> {
        let chosen = Self::of(url)?;
        chosen.with_context(|| {
            format!(
                "say which broker to {purpose} with --broker URL, HYPERFLEET_BROKER or BROKER_CONFIG_FILE"
            )
        })
    }

    pub(crate) fn is_memory(&self) -> bool {
        matches!(self, Self::Url(url) if url.starts_with(MEMORY))
    }

    /// Handlers at a time, where a broker file says so.
    pub(crate) fn parallelism(&self) -> Option<usize> {
        match self {
            Self::Url(_) => None,
            Self::File(file) => file.parallelism,
        }
    }

    /// For people, without a password.
    pub(crate) fn described(&self) -> String {
        match self {
            Self::Url(url) => broker_file::without_password(url),
            Self::File(file) => match &file.broker {
                Described::RabbitMq(options) => format!("{} of {}", options.address(), file.path),
                Described::PubSub(options) => {
                    format!("pubsub://{} of {}", options.project_id, file.path)
                }
            },
        }
    }
}

/// A broker that was chosen.
#[derive(Clone)]
pub(crate) enum Broker {
    Memory(MemoryBroker),
    PubSub(PubSubBroker),
    RabbitMq(RabbitMqBroker),
}

impl Broker {
    pub(crate) async fn open(choice: &BrokerChoice) -> anyhow::Result<Self> {
        let file = match choice {
            BrokerChoice::Url(url) => return Self::connect(url).await,
            BrokerChoice::File(file) => file,
        };
        Ok(match &file.broker {
            Described::RabbitMq(options) => {
                Self::RabbitMq(RabbitMqBroker::new(options.as_ref().clone()))
            }
            Described::PubSub(options) => {
                Self::PubSub(PubSubBroker::connect(options.as_ref().clone()).await?)
            }
        })
    }

    /// The broker inside the process, which keeps everything in a folder.
    pub(crate) fn in_folder(folder: &Path) -> anyhow::Result<Self> {
        let opened = MemoryBroker::open(MemoryOptions::default(), folder);
        let opened = opened.with_context(|| {
            let folder = folder.display();
            format!("cannot keep events in {folder}; what is there can be deleted, and pulses come again by themselves")
        });
        opened.map(Self::Memory)
    }

    async fn connect(url: &str) -> anyhow::Result<Self> {
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

    /// What can look at the broker without changing it; nothing for the one inside the process.
    pub(crate) fn inspect(&self) -> Option<Arc<dyn Inspect>> {
        match self {
            Self::Memory(_) => None,
            Self::PubSub(broker) => Some(Arc::new(broker.clone())),
            Self::RabbitMq(broker) => Some(Arc::new(broker.clone())),
        }
    }

    /// Keeps the gauges of a subscription true until shutdown.
    pub(crate) fn watch(
        &self,
        metrics: BrokerMetrics,
        topic: &str,
        subscription_id: &str,
        shutdown: &CancellationToken,
    ) {
        let (often, seldom) = LOOK_INTERVAL;
        let interval = match self {
            Self::Memory(_) | Self::RabbitMq(_) => often,
            Self::PubSub(_) => seldom,
        };
        tokio::spawn(hyperfleet_broker::watch_depth(
            self.dead_letters(),
            metrics,
            topic.to_owned(),
            subscription_id.to_owned(),
            interval,
            shutdown.clone(),
        ));
    }

    pub(crate) fn dead_letters(&self) -> Arc<dyn DeadLetters> {
        match self {
            Self::Memory(broker) => Arc::new(broker.clone()),
            Self::PubSub(broker) => Arc::new(broker.clone()),
            Self::RabbitMq(broker) => Arc::new(broker.clone()),
        }
    }
}

/// The metrics of brokers, which know the system's time.
pub(crate) fn families(registry: &prometheus::Registry) -> anyhow::Result<MetricFamilies> {
    let clock = environment::clock();
    let families = MetricFamilies::register(registry, Arc::new(move || clock.now()));
    families.context("cannot count what the broker does")
}
