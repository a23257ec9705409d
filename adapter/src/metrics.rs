//! What an adapter counts. Names, labels and buckets are those of the existing dashboards.

use std::time::{Duration, Instant};

use prometheus::core::Collector;
use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
};

use crate::outcome::{Operation, Outcome};

/// Gauge, 1 for every running build; labels `component`, `version`, `commit`.
pub const BUILD_INFO: &str = "hyperfleet_adapter_build_info";
/// Gauge, 1 while running and 0 during shutdown.
pub const UP: &str = "hyperfleet_adapter_up";
/// Counter by `status`: success, failed, skipped.
pub const EVENTS_PROCESSED: &str = "hyperfleet_adapter_events_processed_total";
/// Histogram of execution times.
pub const EVENT_PROCESSING_DURATION: &str = "hyperfleet_adapter_event_processing_duration_seconds";
/// Counter by `error_type`, the failed phase.
pub const ERRORS: &str = "hyperfleet_adapter_errors_total";
/// Counter by `resource_type` and `status`: success, error.
pub const RESOURCES_DELETED: &str = "hyperfleet_adapter_resources_deleted_total";
/// Histogram of deletion times by `resource_type`.
pub const RESOURCE_DELETION_DURATION: &str =
    "hyperfleet_adapter_resource_deletion_duration_seconds";
/// Gauge of deletions under way by `resource_type`.
pub const RESOURCE_DELETIONS_IN_PROGRESS: &str =
    "hyperfleet_adapter_resource_deletions_in_progress";

/// Histogram of the times that phases took, by `phase`.
pub const PHASE_DURATION: &str = "hyperfleet_adapter_phase_duration_seconds";

/// Upper bounds in seconds.
pub const DURATION_BUCKETS: [f64; 9] = [0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0];

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The metric families of a process; several adapters share them.
#[derive(Debug, Clone, Default)]
pub struct AdapterMetrics {
    families: Option<Families>,
}

#[derive(Debug, Clone)]
struct Families {
    events: IntCounterVec,
    duration: HistogramVec,
    errors: IntCounterVec,
    phases: HistogramVec,
    deleted: IntCounterVec,
    deletion_duration: HistogramVec,
    deletions_in_progress: IntGaugeVec,
    up: IntGaugeVec,
    build: IntGaugeVec,
}

impl AdapterMetrics {
    /// Creates the families and registers them. The default value counts nothing.
    ///
    /// # Errors
    /// The registry already has metrics of these names.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let common = ["component", "version", "adapter_name"];
        let with = |label: &'static str| [common[0], common[1], common[2], label];
        let families = Families {
            events: IntCounterVec::new(
                Opts::new(EVENTS_PROCESSED, "Events processed, by result."),
                &with("status"),
            )?,
            duration: HistogramVec::new(
                HistogramOpts::new(EVENT_PROCESSING_DURATION, "How long executions took.")
                    .buckets(DURATION_BUCKETS.to_vec()),
                &common,
            )?,
            errors: IntCounterVec::new(
                Opts::new(ERRORS, "Failed phases of executions."),
                &with("error_type"),
            )?,
            deleted: IntCounterVec::new(
                Opts::new(RESOURCES_DELETED, "Objects deleted, by kind and result."),
                &[common[0], common[1], common[2], "resource_type", "status"],
            )?,
            phases: HistogramVec::new(
                HistogramOpts::new(PHASE_DURATION, "How long phases of executions took.")
                    .buckets(DURATION_BUCKETS.to_vec()),
                &with("phase"),
            )?,
            deletion_duration: HistogramVec::new(
                HistogramOpts::new(
                    RESOURCE_DELETION_DURATION,
                    "How long deletions took, by kind.",
                )
                .buckets(DURATION_BUCKETS.to_vec()),
                &with("resource_type"),
            )?,
            deletions_in_progress: IntGaugeVec::new(
                Opts::new(
                    RESOURCE_DELETIONS_IN_PROGRESS,
                    "Deletions under way, by kind.",
                ),
                &with("resource_type"),
            )?,
            up: IntGaugeVec::new(Opts::new(UP, "1 while the adapter runs."), &common)?,
            build: IntGaugeVec::new(
                Opts::new(BUILD_INFO, "The running build; always 1."),
                &["component", "version", "commit"],
            )?,
        };
        let collectors: [Box<dyn Collector>; 9] = [
            Box::new(families.phases.clone()),
            Box::new(families.deletion_duration.clone()),
            Box::new(families.deletions_in_progress.clone()),
            Box::new(families.build.clone()),
            Box::new(families.events.clone()),
            Box::new(families.duration.clone()),
            Box::new(families.errors.clone()),
            Box::new(families.deleted.clone()),
            Box::new(families.up.clone()),
        ];
        for collector in collectors {
            registry.register(collector)?;
        }
        Ok(Self {
            families: Some(families),
        })
    }

    /// Notes that an adapter runs, or no longer does.
    pub fn up(&self, adapter: &str, running: bool) {
        if let Some(families) = &self.families {
            families
                .up
                .with_label_values(&[adapter, VERSION, short_name(adapter)])
                .set(i64::from(running));
            let commit = option_env!("HYPERFLEET_BUILD_COMMIT").unwrap_or("unknown");
            families
                .build
                .with_label_values(&[adapter, VERSION, commit])
                .set(1);
        }
    }

    /// Notes that an object of a kind is being deleted, until the returned value is dropped.
    pub(crate) fn deletion(&self, adapter: &str, kind: &str) -> DeletionInProgress {
        let kind = if kind.is_empty() { "Unknown" } else { kind };
        let labels = [adapter, VERSION, short_name(adapter), kind];
        let counted = self.families.as_ref().map(|families| {
            let in_progress = families.deletions_in_progress.with_label_values(&labels);
            in_progress.inc();
            let duration = families.deletion_duration.with_label_values(&labels);
            (in_progress, duration)
        });
        DeletionInProgress {
            counted,
            started: Instant::now(),
        }
    }

    pub(crate) fn event_processed(&self, adapter: &str, status: &str) {
        if let Some(families) = &self.families {
            families
                .events
                .with_label_values(&[adapter, VERSION, short_name(adapter), status])
                .inc();
        }
    }

    /// Counts one execution.
    pub fn execution(&self, adapter: &str, outcome: &Outcome, elapsed: Duration) {
        self.event_processed(adapter, outcome.status());
        let Some(families) = &self.families else {
            return;
        };
        let name = short_name(adapter);
        families
            .duration
            .with_label_values(&[adapter, VERSION, name])
            .observe(elapsed.as_secs_f64());
        for (phase, took) in &outcome.durations {
            families
                .phases
                .with_label_values(&[adapter, VERSION, name, phase.as_str()])
                .observe(took.as_secs_f64());
        }
        for phase in outcome.errors.keys() {
            families
                .errors
                .with_label_values(&[adapter, VERSION, name, phase.as_str()])
                .inc();
        }
        for resource in &outcome.resources {
            if resource.operation != Operation::Delete {
                continue;
            }
            let status = if resource.error.is_some() {
                "error"
            } else {
                "success"
            };
            families
                .deleted
                .with_label_values(&[adapter, VERSION, name, &resource.kind, status])
                .inc();
        }
    }
}

/// A deletion under way.
pub(crate) struct DeletionInProgress {
    counted: Option<(IntGauge, Histogram)>,
    started: Instant,
}

impl Drop for DeletionInProgress {
    fn drop(&mut self) {
        if let Some((in_progress, duration)) = &self.counted {
            in_progress.dec();
            duration.observe(self.started.elapsed().as_secs_f64());
        }
    }
}

/// The adapter's name without the usual prefix or suffix.
pub fn short_name(adapter: &str) -> &str {
    ["hyperfleet-adapter-", "adapter-"]
        .iter()
        .find_map(|prefix| adapter.strip_prefix(prefix))
        .or_else(|| adapter.strip_suffix("-adapter"))
        .unwrap_or(adapter)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::Phase;

    #[test]
    fn short_names_drop_the_usual_affixes() {
        for (name, expected) in [
            ("hyperfleet-adapter-dns", "dns"),
            ("adapter-dns", "dns"),
            ("dns-adapter", "dns"),
            ("dns", "dns"),
        ] {
            assert_eq!(short_name(name), expected);
        }
    }

    #[test]
    fn executions_are_counted_by_result_and_failed_phase() {
        let registry = Registry::new();
        let metrics = AdapterMetrics::register(&registry).unwrap();
        let skipped = Outcome {
            skipped: true,
            ..Outcome::default()
        };
        let mut failed = Outcome::default();
        failed.errors.insert(Phase::Resources, "x".to_owned());
        for outcome in [&Outcome::default(), &skipped, &failed] {
            metrics.execution("dns-adapter", outcome, Duration::from_millis(5));
        }
        let families = metrics.families.unwrap();
        for status in ["success", "skipped", "failed"] {
            let labels = ["dns-adapter", VERSION, "dns", status];
            assert_eq!(
                families.events.with_label_values(&labels).get(),
                1,
                "{status}"
            );
        }
        let labels = ["dns-adapter", VERSION, "dns", "resources"];
        assert_eq!(families.errors.with_label_values(&labels).get(), 1);
        assert!(AdapterMetrics::register(&registry).is_err());
    }
}
