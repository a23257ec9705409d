//! Taking an adapter's report: storing it, and either removing the resource or aggregating.

use super::delete::remove;
use crate::adapter_status::{AVAILABLE, AdapterConditionStatus, FINALIZED};
use crate::aggregation::aggregate;
use crate::condition::Condition;
use crate::registry::{EntityDescriptor, Registry};
use crate::report::{self, Stored};
use crate::resource::command::ReportAdapterStatus;
use crate::resource::draft::{Draft, TARGET};
use crate::resource::event::{AdapterStatusReported, Event};
use crate::resource::refusal::Refusal;
use crate::resource::state::Resource;
use crate::timestamp::to_microseconds;

pub(super) fn decide(
    draft: &mut Draft,
    report: &ReportAdapterStatus,
    registry: &Registry,
) -> Result<(), Refusal> {
    let target = draft.target();
    let stored = target.statuses.get(&report.adapter);
    report::admit(report, target.generation, stored)?;
    let outcome = report::store(report, stored);
    let is_event = matches!(outcome, Stored::Changed(_));
    match outcome {
        Stored::Kept => {}
        Stored::Liveness(status) => draft.live(|resource| {
            resource.statuses.insert(status.adapter.clone(), status);
        }),
        Stored::Changed(status) => {
            let reported = AdapterStatusReported { status };
            draft.record(TARGET, Event::AdapterStatusReported(reported));
        }
    }
    let descriptor = draft.descriptor(TARGET, registry);
    if may_be_removed(draft.target(), report, &descriptor) {
        remove(draft, TARGET, to_microseconds(report.now));
    } else if is_event {
        // A first report with unknown availability counts for condition rules only.
        let has_rules = !registry.mapping(&draft.target().kind).is_empty();
        if has_rules || is_available_known(draft.target(), &report.adapter) {
            draft.reaggregate(TARGET, registry);
        }
    } else if is_available_known(draft.target(), &report.adapter) {
        refresh(draft, &descriptor, registry);
    }
    Ok(())
}

/// Whether this report is the one that ends a finalizing resource: it says `Finalized` itself,
/// every required adapter said so at the current generation, and no child is left.
fn may_be_removed(
    target: &Resource,
    report: &ReportAdapterStatus,
    descriptor: &EntityDescriptor,
) -> bool {
    let has_finalized = |adapter: &String| {
        target.statuses.get(adapter).is_some_and(|status| {
            status.observed_generation == target.generation && status.is_true(FINALIZED)
        })
    };
    target.is_finalizing()
        && report.says_finalized()
        && target.children.is_empty()
        && descriptor.required_adapters.iter().all(has_finalized)
}

fn is_available_known(target: &Resource, adapter: &str) -> bool {
    let status = target.statuses.get(adapter);
    status
        .and_then(|status| status.condition(AVAILABLE))
        .is_some_and(|available| available.status != AdapterConditionStatus::Unknown)
}

/// After a report that says nothing new: times move, and more than that only when a child or the
/// rules changed since the conditions were computed. What condition rules see did not change.
fn refresh(draft: &mut Draft, descriptor: &EntityDescriptor, registry: &Registry) {
    let target = draft.target();
    let mut conditions = aggregate(target, &descriptor.required_adapters);
    conditions.extend(registry.mapping(&target.kind).kept(target));
    if conditions == target.conditions {
        return;
    }
    if timeless(&conditions) == timeless(&target.conditions) {
        draft.live(|resource| resource.conditions = conditions);
    } else {
        draft.reaggregate(TARGET, registry);
    }
}

fn timeless(conditions: &[Condition]) -> Vec<Condition> {
    conditions
        .iter()
        .cloned()
        .map(Condition::without_liveness)
        .collect()
}
