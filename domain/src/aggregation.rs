//! Conditions of a resource, computed from its adapters' stored reports (API contract v1,
//! aggregation).
//!
//! Pure: the same inputs give the same conditions, and no clock is read. Invariants: a transition
//! time moves only together with its status; `created_time` of a condition never changes; reports
//! of adapters that the kind does not require have no influence.

mod last_known_reconciled;
mod per_adapter;
mod reconciled;
mod snapshot;

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};

use crate::condition::{Condition, ConditionStatus};
use crate::resource::Resource;

pub use per_adapter::condition_type;
pub use snapshot::Snapshot;

/// Everything that the conditions of a resource depend on.
#[derive(Debug, Clone)]
pub struct Inputs<'a> {
    /// Adapters that the kind requires, in their order of display.
    pub required: &'a [String],
    /// What is usable of each required adapter's report, in the same order; missing ones left out.
    pub snapshots: Vec<Snapshot<'a>>,
    /// Generation of the resource.
    pub generation: i32,
    /// When what is wanted last changed.
    pub updated_time: DateTime<Utc>,
    /// Whether the deletion of the resource was requested.
    pub deleting: bool,
    /// Whether it owns a resource whose deletion was not requested.
    pub has_active_child: bool,
    /// The conditions until now.
    pub previous: &'a [Condition],
}

impl<'a> Inputs<'a> {
    /// The inputs, as they are in the state of a resource.
    pub fn of(resource: &'a Resource, required: &'a [String]) -> Self {
        let snapshot = |adapter: &'a String| {
            let status = resource.statuses.get(adapter)?;
            Snapshot::of(status, resource.generation)
        };
        Self {
            required,
            snapshots: required.iter().filter_map(snapshot).collect(),
            generation: resource.generation,
            updated_time: resource.updated_time,
            deleting: resource.deleted_time.is_some(),
            has_active_child: resource.has_active_child(),
            previous: &resource.conditions,
        }
    }

    fn previous(&self, r#type: &str) -> Option<&'a Condition> {
        self.previous
            .iter()
            .find(|condition| condition.r#type == r#type)
    }

    fn snapshot(&self, adapter: &str) -> Option<&Snapshot<'a>> {
        self.snapshots
            .iter()
            .find(|snapshot| snapshot.adapter == adapter)
    }

    /// Earliest observation among the snapshots of a generation.
    fn earliest_at(&self, generation: i32) -> Option<DateTime<Utc>> {
        let at = self
            .snapshots
            .iter()
            .filter(|snapshot| snapshot.generation == generation);
        at.map(|snapshot| snapshot.observed).min()
    }

    fn is_missing_any(&self) -> bool {
        self.required
            .iter()
            .any(|adapter| self.snapshot(adapter).is_none())
    }
}

/// The conditions that a resource should have, in their order of display.
pub fn aggregate(resource: &Resource, required_adapters: &[String]) -> Vec<Condition> {
    let inputs = Inputs::of(resource, required_adapters);
    let mut conditions = vec![
        reconciled::condition(&inputs),
        last_known_reconciled::condition(&inputs),
    ];
    conditions.extend(per_adapter::conditions(&inputs));
    conditions
}

/// When a status last changed: kept while it stays, else the time of the change.
fn transition(
    previous: Option<&Condition>,
    status: ConditionStatus,
    changed: DateTime<Utc>,
) -> DateTime<Utc> {
    previous
        .filter(|previous| previous.status == status)
        .map_or(changed, |previous| previous.last_transition_time)
}

/// Names in brackets, sorted, as in the messages of conditions.
fn listed<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names: BTreeSet<&str> = names.collect();
    format!("[{}]", names.into_iter().collect::<Vec<_>>().join(", "))
}
