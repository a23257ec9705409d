//! What carrying out commands counts. Names and help are constants; labels are bounded.

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

/// The metrics of one command handler.
#[derive(Clone, Debug)]
pub struct CommandMetrics {
    keyed: IntCounterVec,
    conditional: IntCounterVec,
}

impl Default for CommandMetrics {
    fn default() -> Self {
        let counters = |(name, help): (&str, &str)| {
            IntCounterVec::new(Opts::new(name, help), &["outcome"])
                .expect("constant options are valid")
        };
        Self {
            keyed: counters(KEYED),
            conditional: counters(CONDITIONAL),
        }
    }
}

impl CommandMetrics {
    /// Every metric, to be registered where they are served.
    pub fn collectors(&self) -> Vec<Box<dyn Collector>> {
        vec![
            Box::new(self.keyed.clone()),
            Box::new(self.conditional.clone()),
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
