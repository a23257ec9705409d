//! What the audit counts. Names and help are constants; labels are bounded.

use prometheus::{IntCounter, IntCounterVec, Opts, Registry};

const RECORDED: (&str, &str) = (
    "hyperfleet_api_audit_entries_recorded_total",
    "Requests that changed nothing and were written to the audit",
);
const DROPPED: (&str, &str) = (
    "hyperfleet_api_audit_entries_dropped_total",
    "Requests that changed nothing and were not written to the audit, by reason: rate, queue or shutdown",
);
const FAILED: (&str, &str) = (
    "hyperfleet_api_audit_entries_write_failures_total",
    "Attempts to write the audit that failed and are repeated",
);
const PURGED: (&str, &str) = (
    "hyperfleet_api_audit_entries_purged_total",
    "Entries that were removed from the audit, too old or too many",
);

/// The metrics of the audit.
#[derive(Clone, Debug)]
pub struct AuditMetrics {
    pub(super) recorded: IntCounter,
    pub(super) dropped: IntCounterVec,
    pub(super) failed: IntCounter,
    pub(super) purged: IntCounter,
}

impl Default for AuditMetrics {
    /// Metrics that nobody reads.
    fn default() -> Self {
        let counter = |(name, help): (&str, &str)| {
            IntCounter::new(name, help).expect("constant options are valid")
        };
        Self {
            recorded: counter(RECORDED),
            dropped: IntCounterVec::new(Opts::new(DROPPED.0, DROPPED.1), &["reason"])
                .expect("constant options are valid"),
            failed: counter(FAILED),
            purged: counter(PURGED),
        }
    }
}

impl AuditMetrics {
    /// Registers the metrics.
    ///
    /// # Errors
    /// When they are registered there already.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let metrics = Self::default();
        for counter in [&metrics.recorded, &metrics.failed, &metrics.purged] {
            registry.register(Box::new(counter.clone()))?;
        }
        registry.register(Box::new(metrics.dropped.clone()))?;
        Ok(metrics)
    }

    pub(super) fn drop(&self, reason: &str, number: usize) {
        let dropped = self.dropped.with_label_values(&[reason]);
        dropped.inc_by(number as u64);
    }
}
