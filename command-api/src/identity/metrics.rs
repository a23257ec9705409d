//! What is counted about callers.

use prometheus::{IntCounterVec, IntGaugeVec, Opts, Registry};

const REFUSED: (&str, &str) = (
    "hyperfleet_api_refused_requests_total",
    "Requests refused before they reached a handler, by reason",
);
const KEYS: (&str, &str) = (
    "hyperfleet_api_issuer_keys",
    "Keys in force to verify the tokens of an issuer",
);
const REFRESHES: (&str, &str) = (
    "hyperfleet_api_issuer_key_refreshes_total",
    "Attempts to read the keys of an issuer, by source (url, file) and outcome (read, failed)",
);
const LIMITED_KEYS: (&str, &str) = (
    "hyperfleet_api_rate_limit_callers",
    "Callers whose rate is being remembered",
);

/// The metrics of who calls. Clones count together.
#[derive(Clone, Debug)]
pub(super) struct IdentityMetrics {
    refused: IntCounterVec,
    keys: IntGaugeVec,
    refreshes: IntCounterVec,
    callers: prometheus::IntGauge,
}

impl IdentityMetrics {
    /// Registers the metrics.
    pub(super) fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let metrics = Self {
            refused: IntCounterVec::new(Opts::new(REFUSED.0, REFUSED.1), &["reason"])?,
            keys: IntGaugeVec::new(Opts::new(KEYS.0, KEYS.1), &["issuer"])?,
            refreshes: IntCounterVec::new(
                Opts::new(REFRESHES.0, REFRESHES.1),
                &["issuer", "source", "outcome"],
            )?,
            callers: prometheus::IntGauge::new(LIMITED_KEYS.0, LIMITED_KEYS.1)?,
        };
        registry.register(Box::new(metrics.refused.clone()))?;
        registry.register(Box::new(metrics.keys.clone()))?;
        registry.register(Box::new(metrics.refreshes.clone()))?;
        registry.register(Box::new(metrics.callers.clone()))?;
        Ok(metrics)
    }

    pub(super) fn count_refusal(&self, reason: &str) {
        self.refused.with_label_values(&[reason]).inc();
    }

    pub(super) fn set_keys(&self, issuer: &str, count: usize) {
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        self.keys.with_label_values(&[issuer]).set(count);
    }

    pub(super) fn count_refresh(&self, issuer: &str, source: &str, read: bool) {
        let outcome = if read { "read" } else { "failed" };
        self.refreshes
            .with_label_values(&[issuer, source, outcome])
            .inc();
    }

    pub(super) fn set_callers(&self, count: usize) {
        self.callers.set(i64::try_from(count).unwrap_or(i64::MAX));
    }
}
