//! Gauges that are read when metrics are asked for.

use std::time::Duration;

use axum::Router;
use chrono::TimeDelta;
use hyperfleet_event_store::catch_up::ProjectionGauges;
use hyperfleet_projections::WatchHub;
use hyperfleet_projections::pending::PendingMetrics;
use prometheus::{IntGaugeVec, Opts, Registry};
use sqlx::PgPool;

use crate::environment;

const OPEN: (&str, &str) = (
    "hyperfleet_db_connections_open",
    "Connections of the pool for reading",
);
const IN_USE: (&str, &str) = (
    "hyperfleet_db_connections_in_use",
    "Connections of the pool for reading that are in use",
);

/// The gauges of the API.
pub(super) struct ScrapedMetrics {
    pending: PendingMetrics,
    projections: ProjectionGauges,
    open: IntGaugeVec,
    in_use: IntGaugeVec,
    component: &'static str,
    version: &'static str,
}

impl ScrapedMetrics {
    /// Registers the gauges, and what every process shows.
    pub(super) fn register(
        registry: &Registry,
        component: &'static str,
        version: &'static str,
    ) -> anyhow::Result<Self> {
        let labels = ["component", "version"];
        let metrics = Self {
            pending: PendingMetrics::register(registry, component, version)?,
            projections: ProjectionGauges::register(registry)?,
            open: IntGaugeVec::new(Opts::new(OPEN.0, OPEN.1), &labels)?,
            in_use: IntGaugeVec::new(Opts::new(IN_USE.0, IN_USE.1), &labels)?,
            component,
            version,
        };
        registry.register(Box::new(metrics.open.clone()))?;
        registry.register(Box::new(metrics.in_use.clone()))?;
        let build = [
            ("component", component),
            ("version", version),
            (
                "commit",
                option_env!("HYPERFLEET_BUILD_COMMIT").unwrap_or("unknown"),
            ),
            // Dashboards select by it; this is no Go program.
            ("go_version", "none"),
        ];
        hyperfleet_runtime::metrics::register_process(
            registry,
            "hyperfleet_api_build_info",
            &build,
        )?;
        Ok(metrics)
    }

    /// The routes of the metrics server.
    pub(super) fn router(
        self,
        registry: &Registry,
        pool: &PgPool,
        stuck: Duration,
        watches: WatchHub,
    ) -> Router {
        let pool = pool.clone();
        let threshold = TimeDelta::from_std(stuck).unwrap_or(TimeDelta::MAX);
        let metrics = std::sync::Arc::new(self);
        hyperfleet_runtime::metrics::refreshed_router(registry.clone(), move || {
            let (metrics, pool) = (std::sync::Arc::clone(&metrics), pool.clone());
            let watches = watches.clone();
            async move {
                metrics.count_connections(&pool);
                let now = environment::clock().now();
                tokio::join!(
                    metrics.pending.refresh(&pool, now, threshold),
                    metrics.projections.refresh(&pool),
                    watches.refresh_metrics()
                );
            }
        })
    }

    fn count_connections(&self, pool: &PgPool) {
        let labels = [self.component, self.version];
        let open = i64::from(pool.size());
        let idle = i64::try_from(pool.num_idle()).unwrap_or(open);
        self.open.with_label_values(&labels).set(open);
        self.in_use
            .with_label_values(&labels)
            .set((open - idle).max(0));
    }
}
