//! One lane per resource: executions of a resource never overlap, and events that arrive during
//! one wait together for a single further one.
//!
//! A lane exists only while its resource is worked on, so memory follows work in flight. The
//! event that is kept when several coalesce is the one of the highest generation, the latest among
//! equals: state is fetched by the execution anyway.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hyperfleet_broker::Outcome as Settlement;
use hyperfleet_runtime::telemetry::trace_context;
use tokio::sync::{Semaphore, oneshot};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument;
use tracing::field::Empty;

use super::watch::Watches;
use crate::cluster::ClusterTarget;
use crate::event::{Event, ResourceKey};
use crate::metrics::AdapterMetrics;
use crate::outcome::Outcome;
use crate::pipeline::Pipeline;

/// The longest an execution may take. Every call has its own timeout; this one keeps a worker
/// from being lost to a server that answers one byte at a time.
const EXECUTION_BUDGET: Duration = Duration::from_mins(2);

/// The lanes of one adapter.
#[derive(Clone)]
pub(super) struct Lanes {
    shared: Arc<Shared>,
}

struct Shared {
    pipeline: Arc<Pipeline>,
    metrics: AdapterMetrics,
    adapter: String,
    subscription: String,
    workers: Semaphore,
    lanes: Mutex<HashMap<ResourceKey, Option<Work>>>,
    watches: Watches,
    tasks: TaskTracker,
    shutdown: CancellationToken,
}

/// An event to execute and those who wait for it.
struct Work {
    event: Event,
    waiters: Vec<oneshot::Sender<Settlement>>,
}

impl Lanes {
    pub(super) fn new(
        pipeline: Arc<Pipeline>,
        cluster: Arc<dyn ClusterTarget>,
        metrics: AdapterMetrics,
        parallelism: usize,
        shutdown: CancellationToken,
    ) -> Self {
        let settings = &pipeline.config().adapter;
        let adapter = settings.name.clone();
        let subscription = settings.broker.subscription_id.clone();
        Self {
            shared: Arc::new(Shared {
                adapter,
                subscription: subscription.unwrap_or_default(),
                pipeline,
                metrics,
                workers: Semaphore::new(parallelism.max(1)),
                lanes: Mutex::default(),
                watches: Watches::new(cluster, shutdown.clone()),
                tasks: TaskTracker::new(),
                shutdown,
            }),
        }
    }

    /// Executes the event, or joins it to the next execution of its resource; answers how the
    /// delivery is settled.
    pub(super) async fn submit(&self, event: Event) -> Settlement {
        let (sender, receiver) = oneshot::channel();
        self.enqueue(Work {
            event,
            waiters: vec![sender],
        });
        receiver
            .await
            .unwrap_or_else(|_| Settlement::retry("the execution was abandoned"))
    }

    pub(super) fn count_malformed(&self) {
        self.shared
            .metrics
            .event_processed(&self.shared.adapter, "failed");
    }

    /// Waits for running executions.
    pub(super) async fn drain(&self) {
        self.shared.tasks.close();
        self.shared.tasks.wait().await;
        self.shared.watches.drain().await;
    }

    fn enqueue(&self, work: Work) {
        let key = work.event.resource_key();
        let mut lanes = self
            .shared
            .lanes
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        match lanes.entry(key.clone()) {
            Entry::Occupied(mut lane) => match lane.get_mut() {
                Some(queued) => queued.absorb(work),
                slot @ None => *slot = Some(work),
            },
            Entry::Vacant(lane) => {
                lane.insert(None);
                drop(lanes);
                let lanes = self.clone();
                self.shared
                    .tasks
                    .spawn(async move { lanes.work(key, work).await });
            }
        }
    }

    /// Runs until nothing more is queued for the resource.
    async fn work(&self, key: ResourceKey, mut work: Work) {
        loop {
            let span = tracing::info_span!(
                "reconcile",
                otel.name = "Execute",
                otel.kind = "consumer",
                component = %self.shared.adapter,
                event_id = %work.event.id,
                event_type = %work.event.r#type,
                resource_type = %key.kind,
                resource_id = %key.id,
                observed_generation = work.event.generation(),
                subscription = %self.shared.subscription,
                // Names that operators search by.
                cluster_id = Empty,
                nodepool_id = Empty,
            );
            let named = match key.kind.as_str() {
                "Cluster" => Some("cluster_id"),
                "NodePool" => Some("nodepool_id"),
                _ => None,
            };
            if let Some(field) = named {
                span.record(field, &key.id);
            }
            if let Some(cause) = &work.event.traceparent {
                trace_context::continue_trace(&span, cause);
            }
            let settlement = self.execute(&work.event).instrument(span).await;
            for waiter in work.waiters {
                // A waiter that is gone was cancelled by its broker, which delivers again.
                let _ = waiter.send(settlement.clone());
            }
            let mut lanes = self
                .shared
                .lanes
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            if let Some(next) = lanes.get_mut(&key).and_then(Option::take) {
                work = next;
            } else {
                lanes.remove(&key);
                return;
            }
        }
    }

    async fn execute(&self, event: &Event) -> Settlement {
        let shared = &self.shared;
        if shared.shutdown.is_cancelled() {
            return Settlement::retry("the adapter is shutting down");
        }
        let Ok(_worker) = shared.workers.acquire().await else {
            return Settlement::retry("the adapter is shutting down");
        };
        let started = std::time::Instant::now();
        tracing::info!("Processing event");
        // A task of its own, so that a panic ends this execution and not the lane.
        let pipeline = Arc::clone(&shared.pipeline);
        let own_event = event.clone();
        let execution =
            tokio::spawn(
                async move {
                    tokio::time::timeout(EXECUTION_BUDGET, pipeline.execute(&own_event)).await
                }
                .in_current_span(),
            );
        let outcome = match execution.await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) => {
                shared.metrics.event_processed(&shared.adapter, "failed");
                return Settlement::retry(format!(
                    "the execution took longer than {EXECUTION_BUDGET:?}"
                ));
            }
            Err(panic) => {
                tracing::error!("the execution ended abnormally: {panic}");
                shared.metrics.event_processed(&shared.adapter, "failed");
                return Settlement::retry("the execution ended abnormally");
            }
        };
        shared
            .metrics
            .execution(&shared.adapter, &outcome, started.elapsed());
        let lanes = self.clone();
        shared
            .watches
            .follow(event, &outcome.observed, move |event| {
                lanes.enqueue(Work {
                    event,
                    waiters: Vec::new(),
                });
            });
        settle(&outcome)
    }
}

/// Retried only when something failed that may pass by itself.
fn settle(outcome: &Outcome) -> Settlement {
    if !outcome.is_failed() {
        return Settlement::Acknowledge;
    }
    if outcome.transient {
        return Settlement::retry(outcome.error_summary());
    }
    let phases: Vec<&str> = outcome.errors.keys().map(|phase| phase.as_str()).collect();
    tracing::warn!(failed_phases = ?phases, "event handler failed (acked)");
    Settlement::Acknowledge
}

impl Work {
    fn absorb(&mut self, other: Self) {
        if other.event.generation() >= self.event.generation() {
            self.event = other.event;
        }
        self.waiters.extend(other.waiters);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn event(generation: i64, id: &str) -> Event {
        let mut event = Event::from_data(json!({"id": "c1", "generation": generation})).unwrap();
        id.clone_into(&mut event.id);
        event
    }

    #[test]
    fn the_newest_generation_survives_coalescing() {
        let mut work = Work {
            event: event(2, "first"),
            waiters: Vec::new(),
        };
        for (generation, id, expected) in [
            (1, "older", "first"),
            (2, "same", "same"),
            (3, "newer", "newer"),
        ] {
            work.absorb(Work {
                event: event(generation, id),
                waiters: Vec::new(),
            });
            assert_eq!(work.event.id, expected);
        }
    }

    #[test]
    fn only_transient_failures_are_retried() {
        let mut outcome = Outcome::default();
        assert_eq!(settle(&outcome), Settlement::Acknowledge);
        outcome
            .errors
            .insert(crate::outcome::Phase::Resources, "x".to_owned());
        assert_eq!(settle(&outcome), Settlement::Acknowledge);
        outcome.transient = true;
        assert_eq!(settle(&outcome), Settlement::retry("resources: x"));
    }
}
