//! What carrying out commands counts. Names and help are constants; labels are bounded.

use hyperfleet_domain::mapping::MappingFailure;
use prometheus::{IntCounterVec, Opts, Registry};

use crate::handler::CommandError;
use crate::handler::Started;
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

const STARTED: (&str, &str) = (
    "hyperfleet_api_reconciliation_started_total",
    "How often Reconciled became False, by kind; a creation counts",
);

/// The metrics of one command handler.
#[derive(Clone, Debug)]
pub struct CommandMetrics {
    keyed: IntCounterVec,
    conditional: IntCounterVec,
    mapping_failures: IntCounterVec,
    started: IntCounterVec,
    component: String,
    version: String,
}

impl Default for CommandMetrics {
    /// Metrics that nobody reads.
    fn default() -> Self {
        let counters = |(name, help): (&str, &str), labels: &[&str]| {
            IntCounterVec::new(Opts::new(name, help), labels).expect("constant options are valid")
        };
        Self {
            keyed: counters(KEYED, &["outcome"]),
            conditional: counters(CONDITIONAL, &["outcome"]),
            // Bounded: rules are configuration.
            mapping_failures: counters(MAPPING_FAILURES, &["kind", "type"]),
            started: counters(
                STARTED,
                &["resource_type", "is_delete", "component", "version"],
            ),
            component: String::new(),
            version: String::new(),
        }
    }
}

impl CommandMetrics {
    /// Registers the metrics of a component, `api` for example.
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
            ..Self::default()
        };
        for counters in [
            &metrics.keyed,
            &metrics.conditional,
            &metrics.mapping_failures,
            &metrics.started,
        ] {
            registry.register(Box::new(counters.clone()))?;
        }
        Ok(metrics)
    }

    /// Counts the reconciliations that an append started, once it is committed.
    pub(crate) fn started(&self, started: &[Started]) {
        for Started { kind, is_delete } in started {
            let is_delete = if *is_delete { "true" } else { "false" };
            let labels = [kind, is_delete, &self.component, &self.version];
            self.started.with_label_values(&labels).inc();
        }
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
