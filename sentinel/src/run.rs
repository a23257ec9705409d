//! The loop of one sentinel.
//!
//! Invariants:
//! - A row is completed only after its event was confirmed; until then it comes back by itself.
//! - Times of decisions are the database's, so that sentinels with different clocks agree.
//! - No failure ends the loop. The queue or the broker failing slows it down, up to [`LONGEST_PAUSE`].
//! - A sentinel asks the queue when something was committed, and once per [`IDLE_PAUSE`] for what becomes due
//!   by itself: a few index look-ups that write nothing.

mod allowance;
mod batch;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use chrono::{DateTime, Utc};
use hyperfleet_broker::Publisher;
use hyperfleet_domain::registry::Registry;
use hyperfleet_projections::reconcile_queue::{self, ClaimRequest, Claimer, Registration};
use hyperfleet_runtime::{Clock, IdSource};
use sqlx::PgPool;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::metrics::SentinelMetrics;
use crate::{ConfigError, Payload, Policy, SentinelConfig};
use allowance::Allowance;
use batch::Outcome;

/// Between two questions to an idle queue while nothing is committed: how late a retry or a refresh may be.
/// Also how late a change may be when the wake-ups of other processes are lost.
const IDLE_PAUSE: Duration = Duration::from_millis(100);

/// The shortest time between two questions, however many commits there are.
const SHORTEST_PAUSE: Duration = Duration::from_millis(2);

/// First pause after a failure; doubles with each further one.
const FAILURE_PAUSE: Duration = Duration::from_millis(250);

/// Ceiling of the pause after failures.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// How often the depth of the queue is measured.
const DEPTH_INTERVAL: Duration = Duration::from_secs(30);

/// How often a sentinel says that it runs, and looks for what none selects.
const REGISTRATION_INTERVAL: Duration = Duration::from_secs(10);

/// From this age on, due resources are told of.
const OVERDUE_SECONDS: f64 = 60.0;

/// Ids of unselected resources in a line of the log.
const UNSELECTED_SHOWN: u32 = 5;

/// Everything one sentinel needs.
pub struct SentinelOptions {
    /// What it does.
    pub config: SentinelConfig,
    /// The kinds that exist.
    pub registry: Arc<Registry>,
    /// The database with the reconcile queue.
    pub pool: PgPool,
    /// Moves whenever something was committed; see `EventStore::commits`.
    pub commits: watch::Receiver<u64>,
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

/// What a sentinel last did, for readiness and liveness checks; clones share it.
#[derive(Debug, Clone)]
pub struct SentinelStatus {
    /// Unix milliseconds of the last successful poll; 0 is never.
    last_poll: Arc<AtomicI64>,
    begun: Instant,
    /// Milliseconds from then to when the loop last turned.
    last_turn: Arc<AtomicU64>,
}

impl Default for SentinelStatus {
    fn default() -> Self {
        Self {
            last_poll: Arc::default(),
            begun: Instant::now(),
            last_turn: Arc::default(),
        }
    }
}

impl SentinelStatus {
    /// The time of the last successful poll.
    pub fn last_successful_poll(&self) -> Option<DateTime<Utc>> {
        match self.last_poll.load(Ordering::Relaxed) {
            0 => None,
            milliseconds => DateTime::from_timestamp_millis(milliseconds),
        }
    }

    /// How long the loop has not turned, successful or not. A queue or broker that is away does not stop it.
    pub fn stands_still_for(&self) -> Duration {
        let last = Duration::from_millis(self.last_turn.load(Ordering::Relaxed));
        self.begun.elapsed().saturating_sub(last)
    }

    fn polled(&self, now: DateTime<Utc>) {
        self.last_poll
            .store(now.timestamp_millis(), Ordering::Relaxed);
    }

    fn turned(&self) {
        let now = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last_turn.store(now, Ordering::Relaxed);
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

/// When to ask the queue again.
#[derive(Clone, Copy)]
enum Next {
    AtOnce,
    After(Duration),
    /// When something was committed, or may have become due by itself.
    WhenDue,
}

struct Sentinel {
    options: SentinelOptions,
    policy: Policy,
    payload: Payload,
    claimer: Claimer,
    registration: Registration,
    allowance: Allowance,
    /// Failures in a row.
    failures: u32,
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
        let labels: BTreeMap<_, _> = labels
            .map(|item| (item.label.clone(), item.value.clone()))
            .collect();
        let registration = Registration {
            id: options.ids.new_id(),
            name: config.name.clone(),
            kind: descriptor.kind.clone(),
            labels: labels.clone(),
            shard: config.shard,
        };
        let request = ClaimRequest {
            kind: descriptor.kind.clone(),
            labels,
            shard: config.shard,
            limit: config.claims.batch_size,
            visibility: config.claims.visibility_timeout,
        };
        let policy = Policy::compile(config)?;
        let payload = Payload::compile(&config.message_data)?;
        Ok(Self {
            policy,
            payload,
            claimer: Claimer::new(request),
            registration,
            allowance: Allowance::new(config),
            failures: 0,
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
        let mut registration_due = Instant::now();
        while !self.options.shutdown.is_cancelled() {
            self.options.status.turned();
            if Instant::now() >= registration_due {
                self.register().await;
                registration_due = Instant::now() + REGISTRATION_INTERVAL;
            }
            if Instant::now() >= depth_due {
                self.measure_depth().await;
                depth_due = Instant::now() + DEPTH_INTERVAL;
            }
            self.options.commits.mark_unchanged();
            let next = self.cycle().await;
            self.wait(next).await;
        }
        if let Err(error) =
            reconcile_queue::unregister(&self.options.pool, self.registration.id).await
        {
            tracing::debug!(error = &error as &dyn std::error::Error, "not unregistered");
        }
        tracing::info!(sentinel = self.options.config.name, "sentinel stopped");
    }

    /// Waits until the queue is to be asked again.
    async fn wait(&mut self, next: Next) {
        let pause = match next {
            Next::AtOnce => return,
            Next::After(pause) => pause,
            Next::WhenDue => IDLE_PAUSE,
        };
        let commits = &mut self.options.commits;
        let woken = async {
            sleep(SHORTEST_PAUSE).await;
            // When there can be no more commits, the pause is left.
            if !matches!(next, Next::WhenDue) || commits.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            () = self.options.shutdown.cancelled() => {}
            () = woken => {}
            () = sleep(pause) => {}
        }
    }

    /// Handles one batch and tells when to ask for the next.
    async fn cycle(&mut self) -> Next {
        let started = Instant::now();
        let wanted = self.options.config.claims.batch_size;
        let pool = &self.options.pool;
        let claimed = match self.allowance.refill(pool, wanted).await {
            Ok(0) => return Next::After(self.allowance.pause()),
            Ok(limit) => self.claimer.claim(pool, limit).await,
            Err(error) => Err(error),
        };
        let due = match claimed {
            Ok(due) => due,
            Err(error) => {
                self.options.metrics.queue_failed("fetch_error");
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "due resources not claimed"
                );
                return Next::After(self.pause_after_failure());
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
            return Next::WhenDue;
        }
        let (outcome, published) = self.handle(due).await;
        self.allowance.spend(published);
        self.options.metrics.batch_done(started.elapsed());
        match outcome {
            Outcome::Done => {
                self.failures = 0;
                Next::AtOnce
            }
            Outcome::Failed => Next::After(self.pause_after_failure()),
        }
    }

    fn pause_after_failure(&mut self) -> Duration {
        let pause = FAILURE_PAUSE
            .saturating_mul(1 << self.failures.min(16))
            .min(LONGEST_PAUSE);
        self.failures = self.failures.saturating_add(1);
        pause
    }

    /// Says that it runs, and sets aside what no sentinel selects.
    async fn register(&self) {
        let pool = &self.options.pool;
        let kind = &self.registration.kind;
        let done = async {
            reconcile_queue::register(pool, &self.registration).await?;
            reconcile_queue::set_unselected_aside(pool, kind).await?;
            reconcile_queue::unselected(pool, kind, UNSELECTED_SHOWN).await
        };
        let unselected = match done.await {
            Ok(unselected) => unselected,
            Err(error) => {
                self.options.metrics.queue_failed("fetch_error");
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "not registered; unselected resources not looked for"
                );
                return;
            }
        };
        #[expect(clippy::cast_precision_loss, reason = "10,000 are counted at most")]
        self.options.metrics.unselected(unselected.count as f64);
        if unselected.count > 0 {
            tracing::warn!(
                resource_type = self.options.config.resource_type,
                count = unselected.count,
                first = unselected.first.join(", "),
                "no running sentinel selects these resources, so their adapters hear nothing of them: start one \
                 whose resource_selector and shard fit, or change their labels"
            );
        }
    }

    async fn measure_depth(&self) {
        let kind = &self.registration.kind;
        let depth = match reconcile_queue::depth(&self.options.pool, kind).await {
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
                "resources have been due for long: more is due than is published, or publishing fails"
            );
        }
    }
}
