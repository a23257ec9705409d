//! Which reconciliations a command starts, for what is counted of them.

use hyperfleet_domain::condition::{Condition, ConditionStatus};
use hyperfleet_domain::resource::{Family, Resource, StreamChange};

const RECONCILED: &str = "Reconciled";

/// A reconciliation that an append starts.
pub(crate) struct Started {
    /// Of a resource of this kind.
    pub(crate) kind: String,
    /// Whether the resource is being deleted.
    pub(crate) is_delete: bool,
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
        Started {
            kind: resource.kind.clone(),
            is_delete: resource.deleted_time.is_some(),
        }
    };
    changes.iter().filter(starts).map(kind).collect()
}
