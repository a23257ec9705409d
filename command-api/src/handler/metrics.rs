//! What commands cause, counted.

use hyperfleet_domain::condition::{Condition, ConditionStatus};
use hyperfleet_domain::resource::{Family, Resource, StreamChange};
use prometheus::{IntCounterVec, Opts, Registry};

const STARTED: (&str, &str) = (
    "hyperfleet_api_reconciliation_started_total",
    "How often Reconciled became False, by kind; a creation counts",
);
const LABELS: [&str; 4] = ["resource_type", "is_delete", "component", "version"];
const RECONCILED: &str = "Reconciled";

/// The metrics of the commands of a process.
#[derive(Clone, Debug)]
pub struct CommandMetrics {
    component: String,
    version: String,
    started: IntCounterVec,
}

impl Default for CommandMetrics {
    /// Metrics that nobody reads.
    fn default() -> Self {
        let started = IntCounterVec::new(Opts::new(STARTED.0, STARTED.1), &LABELS)
            .expect("constant options are valid");
        Self {
            component: String::new(),
            version: String::new(),
            started,
        }
    }
}

/// A reconciliation that an append starts: the kind, and whether it is a deletion.
pub(super) type Started = (String, bool);

impl CommandMetrics {
    /// Registers the metrics.
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
        registry.register(Box::new(metrics.started.clone()))?;
        Ok(metrics)
    }

    /// Counts what an append started, once it is committed.
    pub(super) fn count(&self, started: &[Started]) {
        for (kind, is_delete) in started {
            let is_delete = if *is_delete { "true" } else { "false" };
            let labels = [kind, is_delete, &self.component, &self.version];
            self.started.with_label_values(&labels).inc();
        }
    }
}

/// The reconciliations that changes start: Reconciled was absent or True, and is False.
pub(super) fn started(family: &Family, changes: &[StreamChange]) -> Vec<Started> {
    let is_false = |conditions: &[Condition]| {
        conditions.iter().any(|condition| {
            condition.r#type == RECONCILED && condition.status == ConditionStatus::False
        })
    };
    let before = |id: &str| {
        let relatives = family.parent.iter().chain(&family.descendants);
        std::iter::once(&family.target)
            .chain(relatives)
            .find(|resource| resource.id == id)
    };
    let starts = |change: &&StreamChange| {
        let resource: &Resource = &change.resource;
        let was = before(&resource.id).is_some_and(|before| is_false(&before.conditions));
        resource.exists() && is_false(&resource.conditions) && !was
    };
    let kind = |change: &StreamChange| {
        let resource = &change.resource;
        (resource.kind.clone(), resource.deleted_time.is_some())
    };
    changes.iter().filter(starts).map(kind).collect()
}
