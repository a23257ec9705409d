//! What the audit of refusals counts. Names and help are constants; labels are bounded.

use prometheus::{IntCounter, IntCounterVec, Opts, Registry};

const RECORDED: (&str, &str) = (
    "hyperfleet_api_audit_refusals_recorded_total",
    "Refused changes that were written to the audit",
);
const DROPPED: (&str, &str) = (
    "hyperfleet_api_audit_refusals_dropped_total",
    "Refused changes that were not written to the audit, by reason: rate, queue or shutdown",
);
const FAILED: (&str, &str) = (
    "hyperfleet_api_audit_refusals_write_failures_total",
    "Attempts to write refused changes that failed and are repeated",
);
const PURGED: (&str, &str) = (
    "hyperfleet_api_audit_refusals_purged_total",
    "Refused changes that were removed from the audit, too old or too many",
);

/// The metrics of the audit of refusals.
#[derive(Clone, Debug)]
pub struct RefusalMetrics {
    pub(super) recorded: IntCounter,
    pub(super) dropped: IntCounterVec,
    pub(super) failed: IntCounter,
    pub(super) purged: IntCounter,
}

impl Default for RefusalMetrics {
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

impl RefusalMetrics {
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
