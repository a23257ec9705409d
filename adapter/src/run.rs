//! An adapter at work: events in through the broker, executions, acknowledgement.
//!
//! Invariants:
//! - one resource is reconciled by one worker at a time, and what arrives meanwhile coalesces into
//!   one further execution (see `lanes`);
//! - an event is acknowledged when repeating it would not help, also when it failed (the failure
//!   was reported); it goes back to the broker, with back-off, when the failure may pass by
//!   itself;
//! - a change of an object that an execution looked at starts the next execution at once (see
//!   `watch`), so a finished Job is reported in milliseconds and not at the next pulse.

mod lanes;
mod watch;

use std::sync::Arc;

use async_trait::async_trait;
use hyperfleet_broker::{
    Delivery, Handler, Outcome as Settlement, SubscribeError, Subscriber, Subscription,
};
use hyperfleet_runtime::clock::Clock;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::cluster::kube::KubeTarget;
use crate::cluster::{ClusterTarget, NoCluster};
use crate::config::Config;
use crate::event::Event;
use crate::metrics::AdapterMetrics;
use crate::pipeline::Pipeline;

use lanes::Lanes;

/// What an adapter needs to run.
pub struct AdapterOptions {
    /// The checked configuration; it must name a topic and a subscription.
    pub config: Config,
    /// Where events come from.
    pub broker: Arc<dyn Subscriber>,
    /// The management cluster; `None` connects as the configuration says (a kubeconfig path, else
    /// in-cluster).
    pub kube: Option<kube::Client>,
    /// Calls the HyperFleet API.
    pub http: reqwest::Client,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Executions at a time.
    pub parallelism: usize,
    /// Counters; share one per process.
    pub metrics: AdapterMetrics,
    /// Ends the adapter.
    pub shutdown: CancellationToken,
}

/// The adapter cannot start or go on.
#[derive(Debug, thiserror::Error)]
pub enum AdapterError {
    /// A setting that only running needs is missing.
    #[error("{setting} is required: set it in the adapter configuration or by {variable}")]
    Missing {
        /// The configuration key.
        setting: &'static str,
        /// The environment variable that sets it.
        variable: &'static str,
    },
    /// The management cluster cannot be reached at all.
    #[error("cannot connect to the management cluster")]
    Cluster(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The Maestro transport cannot be used.
    #[error("cannot use the Maestro transport: {problem}")]
    Maestro {
        /// Why.
        problem: String,
    },
    /// The broker refused the subscription.
    #[error("cannot subscribe")]
    Subscribe(#[source] SubscribeError),
}

/// A running adapter.
pub struct Adapter {
    name: String,
    task: JoinHandle<Result<(), SubscribeError>>,
    lanes: Lanes,
    metrics: AdapterMetrics,
}

impl Adapter {
    /// Connects and subscribes. When this returns, no event published from now on is missed.
    ///
    /// # Errors
    /// When the configuration lacks a topic or subscription, or a connection is refused.
    pub async fn start(options: AdapterOptions) -> Result<Self, AdapterError> {
        let subscription = subscription(&options.config, options.parallelism)?;
        let cluster = connect(&options).await?;
        let name = options.config.adapter.name.clone();
        for warning in &options.config.warnings {
            tracing::warn!(component = %name, "{warning}");
        }
        options
            .broker
            .declare(&subscription)
            .await
            .map_err(AdapterError::Subscribe)?;
        let pipeline = Pipeline::new(
            options.config,
            options.http,
            Arc::clone(&cluster),
            options.clock,
        );
        let pipeline = Arc::new(pipeline.with_metrics(options.metrics.clone()));
        let lanes = Lanes::new(
            pipeline,
            cluster,
            options.metrics.clone(),
            options.parallelism,
            options.shutdown.clone(),
        );
        let handler = Arc::new(EventHandler {
            name: name.clone(),
            lanes: lanes.clone(),
        });
        let broker = options.broker;
        let shutdown = options.shutdown;
        let task = tokio::spawn(async move { broker.run(subscription, handler, shutdown).await });
        options.metrics.up(&name, true);
        Ok(Self {
            name,
            task,
            lanes,
            metrics: options.metrics,
        })
    }

    /// The adapter's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Waits until the adapter ended after shutdown; running executions finish first.
    ///
    /// # Errors
    /// When the broker ended the subscription for good.
    pub async fn join(self) -> Result<(), AdapterError> {
        let result = match self.task.await {
            Ok(result) => result.map_err(AdapterError::Subscribe),
            Err(panic) => {
                tracing::error!(component = %self.name, "the subscription ended abnormally: {panic}");
                Ok(())
            }
        };
        self.metrics.up(&self.name, false);
        self.lanes.drain().await;
        result
    }
}

fn subscription(config: &Config, parallelism: usize) -> Result<Subscription, AdapterError> {
    let broker = &config.adapter.broker;
    let topic = broker.topic.clone().ok_or(AdapterError::Missing {
        setting: "clients.broker.topic",
        variable: "HYPERFLEET_BROKER_TOPIC",
    })?;
    let id = broker
        .subscription_id
        .clone()
        .ok_or(AdapterError::Missing {
            setting: "clients.broker.subscription_id",
            variable: "HYPERFLEET_BROKER_SUBSCRIPTION_ID",
        })?;
    // Twice the workers, because deliveries that coalesce wait while holding a slot.
    Ok(Subscription::new(topic, id).with_parallelism(parallelism.saturating_mul(2)))
}

async fn connect(options: &AdapterOptions) -> Result<Arc<dyn ClusterTarget>, AdapterError> {
    if let Some(maestro) = &options.config.adapter.maestro {
        return Err(AdapterError::Maestro {
            problem: maestro.problem().unwrap_or_else(|| {
                "this version describes, checks and rehearses Maestro configurations, but has no \
                 connection to a Maestro server; remove clients.maestro to use Kubernetes"
                    .to_owned()
            }),
        });
    }
    if let Some(client) = &options.kube {
        return Ok(Arc::new(KubeTarget::new(client.clone())));
    }
    if options.config.task.resources.is_empty() {
        return Ok(Arc::new(NoCluster));
    }
    let client = crate::cluster::kube::client(&options.config.adapter.kubernetes)
        .await
        .map_err(AdapterError::Cluster)?;
    Ok(Arc::new(KubeTarget::new(client)))
}

struct EventHandler {
    name: String,
    lanes: Lanes,
}

#[async_trait]
impl Handler for EventHandler {
    async fn handle(&self, delivery: Delivery) -> Settlement {
        let event = match Event::from_envelope(&delivery.envelope) {
            Ok(event) => event,
            Err(error) => {
                tracing::warn!(
                    component = %self.name,
                    event_id = %delivery.envelope.id,
                    "event handler failed (acked): {error}"
                );
                self.lanes.count_malformed();
                return Settlement::Acknowledge;
            }
        };
        if delivery.attempt > 1 {
            tracing::info!(
                component = %self.name,
                event_id = %event.id,
                attempt = delivery.attempt,
                "event is delivered again"
            );
        }
        self.lanes.submit(event).await
    }
}
