//! What carrying out commands counts. Names and help are constants; labels are bounded.

use hyperfleet_domain::mapping::MappingFailure;
use prometheus::core::Collector;
use prometheus::{IntCounterVec, Opts};

use crate::handler::CommandError;
use crate::handler::conditions::Conditions;

const KEYED: (&str, &str) = (
    "hyperfleet_api_idempotent_requests_total",
    "Requests with an idempotency key, by outcome: recorded, replayed or reused",
);
const CONDITIONAL: (&str, &str) = (
    "hyperfleet_api_conditional_writes_total",
    "Writes with If-Match, by outcome: met or failed",
);

const MAPPING_FAILURES: (&str, &str) = (
    "hyperfleet_api_condition_mapping_failures_total",
    "Evaluations of a condition rule that failed; its condition says MappingFailed, or is left out for too long a reason.",
);

/// The metrics of one command handler.
#[derive(Clone, Debug)]
pub struct CommandMetrics {
    keyed: IntCounterVec,
    conditional: IntCounterVec,
    mapping_failures: IntCounterVec,
}

impl Default for CommandMetrics {
    fn default() -> Self {
        let counters = |(name, help): (&str, &str), labels: &[&str]| {
            IntCounterVec::new(Opts::new(name, help), labels).expect("constant options are valid")
        };
        Self {
            keyed: counters(KEYED, &["outcome"]),
            conditional: counters(CONDITIONAL, &["outcome"]),
            // Bounded: rules are configuration.
            mapping_failures: counters(MAPPING_FAILURES, &["kind", "type"]),
        }
    }
}

impl CommandMetrics {
    /// Every metric, to be registered where they are served.
    pub fn collectors(&self) -> Vec<Box<dyn Collector>> {
        vec![
            Box::new(self.keyed.clone()),
            Box::new(self.conditional.clone()),
            Box::new(self.mapping_failures.clone()),
        ]
    }

    pub(crate) fn carried_out(&self, conditions: &Conditions<'_>) {
        if conditions.key.is_some() {
            self.keyed.with_label_values(&["recorded"]).inc();
        }
        if conditions.expected.is_some() {
            self.conditional.with_label_values(&["met"]).inc();
        }
    }

    pub(crate) fn mapping_failed(&self, failure: &MappingFailure) {
        let labels = [failure.kind.as_str(), failure.condition.as_str()];
        self.mapping_failures.with_label_values(&labels).inc();
    }

    pub(crate) fn replayed(&self) {
        self.keyed.with_label_values(&["replayed"]).inc();
    }

    pub(crate) fn failed(&self, error: &CommandError) {
        match error {
            CommandError::KeyReused => self.keyed.with_label_values(&["reused"]).inc(),
            CommandError::Outdated { .. } => self.conditional.with_label_values(&["failed"]).inc(),
            _ => {}
        }
    }
}
