//! How the projections are: for operators, and as gauges.

use chrono::{DateTime, Utc};
use prometheus::{GaugeVec, IntGaugeVec, Opts, Registry};
use sqlx::{PgPool, Row as _};

use crate::error::Error;

/// Up to here the lag is counted; a projection further behind is at least as far behind. Counting is a
/// scan of an index.
const LAG_LIMIT: i64 = 1_000_000;

const LAG_EVENTS: (&str, &str) = (
    "hyperfleet_projection_lag_events",
    "Events that a catch-up projection has not passed yet; counted up to 1000000",
);
const LAG_SECONDS: (&str, &str) = (
    "hyperfleet_projection_lag_seconds",
    "Age of the oldest event that a catch-up projection has not passed yet; 0 when it has caught up",
);
const PARKED: (&str, &str) = (
    "hyperfleet_projection_parked_events",
    "Events that a catch-up projection passed by, by state: failed, or waiting behind a failed one",
);
const PAUSED: (&str, &str) = (
    "hyperfleet_projection_paused",
    "Whether an operator has paused a catch-up projection",
);

/// How a projection is.
#[derive(Clone, Debug, PartialEq)]
pub struct ProjectionStatus {
    /// Its name.
    pub name: String,
    /// Its checkpoint.
    pub position: u64,
    /// Events after its checkpoint; counted up to a million.
    pub lag_events: u64,
    /// Age of the first event after its checkpoint, in seconds; 0 when it has caught up.
    pub lag_seconds: f64,
    /// Parked events that could not be applied.
    pub failed: u64,
    /// Parked events that wait behind one that could not be applied.
    pub waiting: u64,
    /// Events that an operator gave up.
    pub skipped: u64,
    /// Since when it is paused, if it is.
    pub paused_at: Option<DateTime<Utc>>,
    /// Who applied the last batch.
    pub runner: Option<String>,
    /// When that was.
    pub updated_at: DateTime<Utc>,
}

const STATUSES: &str = "
SELECT name, position, paused_at, runner, updated_at,
    (SELECT count(*) FROM (SELECT FROM events WHERE events.position > checkpoints.position LIMIT $1)
        AS behind) AS lag_events,
    coalesce(greatest(extract(epoch FROM now() - (
        SELECT recorded_at FROM events WHERE events.position > checkpoints.position
        ORDER BY events.position LIMIT 1)), 0), 0)::float8 AS lag_seconds,
    coalesce(failed, 0) AS failed, coalesce(waiting, 0) AS waiting, coalesce(skipped, 0) AS skipped
FROM checkpoints LEFT JOIN (
    SELECT projection,
        count(*) FILTER (WHERE skipped_at IS NULL AND error IS NOT NULL) AS failed,
        count(*) FILTER (WHERE skipped_at IS NULL AND error IS NULL) AS waiting,
        count(*) FILTER (WHERE skipped_at IS NOT NULL) AS skipped
    FROM parked_events GROUP BY projection
) AS parked ON projection = name
ORDER BY name";

/// How every projection is that ever ran.
///
/// # Errors
/// When the database cannot answer.
pub async fn statuses(pool: &PgPool) -> Result<Vec<ProjectionStatus>, Error> {
    let rows = sqlx::query(STATUSES)
        .bind(LAG_LIMIT)
        .fetch_all(pool)
        .await?;
    rows.iter()
        .map(|row| {
            let unsigned = |column| row.try_get::<i64, _>(column).map(i64::unsigned_abs);
            Ok(ProjectionStatus {
                name: row.try_get("name")?,
                position: unsigned("position")?,
                lag_events: unsigned("lag_events")?,
                lag_seconds: row.try_get("lag_seconds")?,
                failed: unsigned("failed")?,
                waiting: unsigned("waiting")?,
                skipped: unsigned("skipped")?,
                paused_at: row.try_get("paused_at")?,
                runner: row.try_get("runner")?,
                updated_at: row.try_get("updated_at")?,
            })
        })
        .collect()
}

/// The gauges of the projections. They come from the database, so any process shows them, also when no
/// runner is left.
#[derive(Clone, Debug)]
pub struct ProjectionGauges {
    lag_events: IntGaugeVec,
    lag_seconds: GaugeVec,
    parked: IntGaugeVec,
    paused: IntGaugeVec,
}

impl ProjectionGauges {
    /// Registers the gauges.
    ///
    /// # Errors
    /// When they are registered there already.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let integers = |(name, help): (&str, &str), labels: &[&str]| {
            IntGaugeVec::new(Opts::new(name, help), labels)
        };
        let gauges = Self {
            lag_events: integers(LAG_EVENTS, &["projection"])?,
            lag_seconds: GaugeVec::new(Opts::new(LAG_SECONDS.0, LAG_SECONDS.1), &["projection"])?,
            parked: integers(PARKED, &["projection", "state"])?,
            paused: integers(PAUSED, &["projection"])?,
        };
        registry.register(Box::new(gauges.lag_events.clone()))?;
        registry.register(Box::new(gauges.lag_seconds.clone()))?;
        registry.register(Box::new(gauges.parked.clone()))?;
        registry.register(Box::new(gauges.paused.clone()))?;
        Ok(gauges)
    }

    /// Sets the gauges to what is so now. When that cannot be known they are absent.
    pub async fn refresh(&self, pool: &PgPool) {
        let statuses = statuses(pool).await;
        self.lag_events.reset();
        self.lag_seconds.reset();
        self.parked.reset();
        self.paused.reset();
        let statuses = match statuses {
            Ok(statuses) => statuses,
            Err(error) => {
                let error = hyperfleet_runtime::error_chain(&error);
                tracing::warn!(error, "the state of the projections cannot be read");
                return;
            }
        };
        let gauge = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        for status in statuses {
            let name = status.name.as_str();
            let parked = |state| self.parked.with_label_values(&[name, state]);
            parked("failed").set(gauge(status.failed));
            parked("waiting").set(gauge(status.waiting));
            self.lag_events
                .with_label_values(&[name])
                .set(gauge(status.lag_events));
            self.lag_seconds
                .with_label_values(&[name])
                .set(status.lag_seconds);
            let paused = i64::from(status.paused_at.is_some());
            self.paused.with_label_values(&[name]).set(paused);
        }
    }
}
