//! The loop of one sentinel.
//!
//! Invariants:
//! - A row is completed only after its event was confirmed; until then it comes back by itself.
//! - Times of decisions are the database's, so that sentinels with different clocks agree.
//! - No failure ends the loop. The queue or the broker failing slows it down, up to [`LONGEST_PAUSE`].
//! - An idle sentinel asks the queue once per [`IDLE_PAUSE`], one index look-up that writes nothing. While
//!   resources are changing it asks more often, because one change is often followed by the next.

mod batch;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use chrono::{DateTime, Utc};
use hyperfleet_broker::Publisher;
use hyperfleet_domain::registry::Registry;
use hyperfleet_projections::reconcile_queue::{self, ClaimRequest};
use hyperfleet_runtime::{Clock, IdSource};
use sqlx::PgPool;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::metrics::SentinelMetrics;
use crate::{ConfigError, Payload, Policy, SentinelConfig};
use batch::Outcome;

/// Between two questions to an idle queue: less than the 50 ms within which a change is to be published.
const IDLE_PAUSE: Duration = Duration::from_millis(25);

/// The same, for as long as [`BUSY_TIME`] after the last due resource.
const BUSY_PAUSE: Duration = Duration::from_millis(5);

/// How long a sentinel stays attentive.
const BUSY_TIME: Duration = Duration::from_secs(2);

/// First pause after a failure; doubles with each further one.
const FAILURE_PAUSE: Duration = Duration::from_millis(250);

/// Ceiling of the pause after failures.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// How often the depth of the queue is measured.
const DEPTH_INTERVAL: Duration = Duration::from_secs(30);

/// From this age on, a resource that is due is taken for one that no sentinel selects.
const OVERDUE_SECONDS: f64 = 60.0;

/// Everything one sentinel needs.
pub struct SentinelOptions {
    /// What it does.
    pub config: SentinelConfig,
    /// The kinds that exist.
    pub registry: Arc<Registry>,
    /// The database with the reconcile queue.
    pub pool: PgPool,
    /// Where events go.
    pub publisher: Arc<dyn Publisher>,
    /// For the time of the last successful poll.
    pub clock: Arc<dyn Clock>,
    /// For event ids and trace contexts.
    pub ids: Arc<dyn IdSource>,
    /// Where it counts.
    pub metrics: SentinelMetrics,
    /// Where it reports that it lives.
    pub status: SentinelStatus,
    /// Ends it.
    pub shutdown: CancellationToken,
}

/// When a sentinel last asked the queue with success; clones share it.
#[derive(Debug, Clone, Default)]
pub struct SentinelStatus {
    /// Unix milliseconds; 0 is never.
    last_poll: Arc<AtomicI64>,
}

impl SentinelStatus {
    /// The time of the last successful poll, for readiness and liveness checks.
    pub fn last_successful_poll(&self) -> Option<DateTime<Utc>> {
        match self.last_poll.load(Ordering::Relaxed) {
            0 => None,
            milliseconds => DateTime::from_timestamp_millis(milliseconds),
        }
    }

    fn polled(&self, now: DateTime<Utc>) {
        self.last_poll
            .store(now.timestamp_millis(), Ordering::Relaxed);
    }
}

/// Runs one sentinel until shutdown. Several may run, for different kinds or as replicas of each other.
///
/// On shutdown the current batch is finished and what was not begun is released at once.
///
/// # Errors
/// The configuration cannot work. Once running, it does not fail: it retries.
pub async fn run(options: SentinelOptions) -> Result<(), ConfigError> {
    Sentinel::new(options)?.run().await;
    Ok(())
}

struct Sentinel {
    options: SentinelOptions,
    policy: Policy,
    payload: Payload,
    request: ClaimRequest,
    /// Failures in a row.
    failures: u32,
    /// When something was last due.
    last_due: Instant,
}

impl Sentinel {
    fn new(options: SentinelOptions) -> Result<Self, ConfigError> {
        let config = &options.config;
        config.validate()?;
        let Some(descriptor) = options.registry.by_plural(&config.resource_type) else {
            let known: Vec<_> = options
                .registry
                .iter()
                .map(|kind| kind.plural.as_str())
                .collect();
            return Err(ConfigError::invalid(
                "resource_type",
                format!("no kind has the plural name {:?}", config.resource_type),
                format!("known are {}", known.join(", ")),
            ));
        };
        let labels = config.resource_selector.iter();
        let request = ClaimRequest {
            kind: descriptor.kind.clone(),
            labels: labels
                .map(|item| (item.label.clone(), item.value.clone()))
                .collect(),
            limit: config.claims.batch_size,
            visibility: config.claims.visibility_timeout,
        };
        let policy = Policy::compile(config)?;
        let payload = Payload::compile(&config.message_data)?;
        Ok(Self {
            policy,
            payload,
            request,
            failures: 0,
            last_due: Instant::now(),
            options,
        })
    }

    async fn run(mut self) {
        tracing::info!(
            sentinel = self.options.config.name,
            resource_type = self.options.config.resource_type,
            resource_selector = self.options.config.selector_label(),
            topic = self.options.config.topic,
            "sentinel started"
        );
        let mut depth_due = Instant::now();
        while !self.options.shutdown.is_cancelled() {
            if Instant::now() >= depth_due {
                self.measure_depth().await;
                depth_due = Instant::now() + DEPTH_INTERVAL;
            }
            let pause = self.cycle().await;
            if !pause.is_zero() {
                tokio::select! {
                    () = self.options.shutdown.cancelled() => {}
                    () = sleep(pause) => {}
                }
            }
        }
        tracing::info!(sentinel = self.options.config.name, "sentinel stopped");
    }

    /// Handles one batch and tells how long to pause after it.
    async fn cycle(&mut self) -> Duration {
        let started = Instant::now();
        let due = match reconcile_queue::claim(&self.options.pool, &self.request).await {
            Ok(due) => due,
            Err(error) => {
                self.options.metrics.queue_failed("fetch_error");
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "due resources not claimed"
                );
                return self.pause_after_failure();
            }
        };
        let now = self.options.clock.now();
        self.options.status.polled(now);
        #[expect(
            clippy::cast_precision_loss,
            reason = "a time of today fits with room to spare"
        )]
        self.options
            .metrics
            .queue_asked(now.timestamp_millis() as f64 / 1000.0);
        if due.is_empty() {
            self.failures = 0;
            let busy = self.last_due.elapsed() < BUSY_TIME;
            return if busy { BUSY_PAUSE } else { IDLE_PAUSE };
        }
        self.last_due = Instant::now();
        let outcome = self.handle(due).await;
        self.options.metrics.batch_done(started.elapsed());
        match outcome {
            Outcome::Done => {
                self.failures = 0;
                Duration::ZERO
            }
            Outcome::Failed => self.pause_after_failure(),
        }
    }

    fn pause_after_failure(&mut self) -> Duration {
        let pause = FAILURE_PAUSE
            .saturating_mul(1 << self.failures.min(16))
            .min(LONGEST_PAUSE);
        self.failures = self.failures.saturating_add(1);
        pause
    }

    async fn measure_depth(&self) {
        let depth = match reconcile_queue::depth(&self.options.pool, &self.request.kind).await {
            Ok(depth) => depth,
            Err(error) => {
                self.options.metrics.queue_failed("fetch_error");
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "queue depth not measured"
                );
                return;
            }
        };
        let (due, oldest) = (depth.due, depth.oldest_due_seconds);
        #[expect(clippy::cast_precision_loss, reason = "no fleet has 2^52 resources")]
        self.options.metrics.queue_depth(due as f64, oldest);
        if oldest > OVERDUE_SECONDS {
            tracing::warn!(
                resource_type = self.options.config.resource_type,
                due,
                oldest_due_seconds = oldest,
                "resources have been due for long: either no sentinel's resource_selector matches \
                 them, or publishing fails"
            );
        }
    }
}
