//! Which resources wait to be reconciled, counted when metrics are asked for.
//!
//! The counts come from an index of the pending resources, so a healthy fleet costs nothing.

use chrono::{DateTime, Utc};
use hyperfleet_domain::timestamp;
use prometheus::{GaugeVec, IntGaugeVec, Opts, Registry};
use sqlx::{PgPool, Row};

use crate::error::Error;
use crate::resource_view::unsigned;

const PENDING: (&str, &str) = (
    "hyperfleet_api_resource_pending_reconciliation",
    "Resources that are not reconciled",
);
const STUCK: (&str, &str) = (
    "hyperfleet_api_resource_pending_reconciliation_stuck",
    "Resources that have not been reconciled for longer than the threshold",
);
const STUCK_SECONDS: (&str, &str) = (
    "hyperfleet_api_resource_pending_reconciliation_stuck_duration_seconds",
    "Greatest time without being reconciled among the stuck; 0 when none is",
);
const LABELS: [&str; 4] = ["resource_type", "is_delete", "component", "version"];

/// The pending resources of one kind, either active or being deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PendingGroup {
    /// The kind.
    pub kind: String,
    /// Whether their deletion was requested.
    pub is_delete: bool,
    /// How many there are.
    pub pending: u64,
    /// How many of them have been pending since before the threshold.
    pub stuck: u64,
    /// Since when the first of them is pending.
    pub oldest: DateTime<Utc>,
}

const COUNT: &str = "
SELECT kind, deleted_time IS NOT NULL AS is_delete, count(*) AS pending,
       count(*) FILTER (WHERE unreconciled_since < $1) AS stuck,
       min(unreconciled_since)::timestamptz AS oldest
FROM resources WHERE unreconciled_since IS NOT NULL GROUP BY 1, 2";

/// Counts the pending resources; groups without any are left out.
///
/// # Errors
/// When the database cannot answer.
pub async fn count(pool: &PgPool, stuck_before: DateTime<Utc>) -> Result<Vec<PendingGroup>, Error> {
    let rows = sqlx::query(COUNT)
        .bind(timestamp::format(&stuck_before))
        .fetch_all(pool)
        .await?;
    rows.iter()
        .map(|row| {
            Ok(PendingGroup {
                kind: row.try_get("kind")?,
                is_delete: row.try_get("is_delete")?,
                pending: unsigned("pending", row.try_get("pending")?)?,
                stuck: unsigned("stuck", row.try_get("stuck")?)?,
                oldest: row.try_get("oldest")?,
            })
        })
        .collect()
}

/// The gauges of pending resources.
#[derive(Clone, Debug)]
pub struct PendingMetrics {
    component: String,
    version: String,
    pending: IntGaugeVec,
    stuck: IntGaugeVec,
    stuck_seconds: GaugeVec,
}

impl PendingMetrics {
    /// Registers the gauges.
    ///
    /// # Errors
    /// When they are registered there already.
    pub fn register(
        registry: &Registry,
        component: &str,
        version: &str,
    ) -> Result<Self, prometheus::Error> {
        let metrics = Self {
            component: component.to_owned(),
            version: version.to_owned(),
            pending: IntGaugeVec::new(Opts::new(PENDING.0, PENDING.1), &LABELS)?,
            stuck: IntGaugeVec::new(Opts::new(STUCK.0, STUCK.1), &LABELS)?,
            stuck_seconds: GaugeVec::new(Opts::new(STUCK_SECONDS.0, STUCK_SECONDS.1), &LABELS)?,
        };
        registry.register(Box::new(metrics.pending.clone()))?;
        registry.register(Box::new(metrics.stuck.clone()))?;
        registry.register(Box::new(metrics.stuck_seconds.clone()))?;
        Ok(metrics)
    }

    /// Sets the gauges to what is pending now. When that cannot be known they are absent, so that an
    /// alert on old values is not taken for the truth.
    pub async fn refresh(&self, pool: &PgPool, now: DateTime<Utc>, threshold: chrono::TimeDelta) {
        let counted = count(pool, now - threshold).await;
        self.pending.reset();
        self.stuck.reset();
        self.stuck_seconds.reset();
        let groups = match counted {
            Ok(groups) => groups,
            Err(error) => {
                error.count();
                let error = hyperfleet_runtime::error_chain(&error);
                tracing::warn!(error, "the pending resources cannot be counted");
                return;
            }
        };
        for group in groups {
            let kind = group.kind.to_lowercase();
            let is_delete = if group.is_delete { "true" } else { "false" };
            let labels = [kind.as_str(), is_delete, &self.component, &self.version];
            let gauge = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
            self.pending
                .with_label_values(&labels)
                .set(gauge(group.pending));
            self.stuck
                .with_label_values(&labels)
                .set(gauge(group.stuck));
            let age = (now - group.oldest).as_seconds_f64();
            let age = if group.stuck > 0 { age } else { 0.0 };
            self.stuck_seconds.with_label_values(&labels).set(age);
        }
    }
}
