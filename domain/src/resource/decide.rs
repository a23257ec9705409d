//! The decisions, one file per command.

mod create;
mod delete;
mod force_delete;
mod patch;
mod references;
mod report;

use crate::registry::Registry;
use crate::resource::command::Command;
use crate::resource::draft::{Draft, TARGET};
use crate::resource::refusal::Refusal;

/// Decides a command that was validated, on a draft.
pub(super) fn decide(
    draft: &mut Draft,
    command: &Command,
    registry: &Registry,
) -> Result<(), Refusal> {
    if let Command::Create(create) = command {
        return create::decide(draft, create, registry);
    }
    if !draft.target().exists() {
        return Err(Refusal::TargetNotFound);
    }
    match command {
        Command::Create(_) => Ok(()),
        Command::Patch(patch) => patch::decide(draft, patch, registry),
        Command::Delete(delete) => delete::decide(draft, delete, registry),
        Command::ForceDelete(force) => force_delete::decide(draft, force),
        Command::Report(report) => report::decide(draft, report, registry),
        Command::Reevaluate(_) => {
            reevaluate(draft, registry);
            Ok(())
        }
    }
}

/// Computes the conditions by the rules of today; kinds that never had any keep none.
fn reevaluate(draft: &mut Draft, registry: &Registry) {
    let target = draft.target();
    let has_mapped = !registry.mapping(&target.kind).is_empty() && !target.statuses.is_empty();
    let has_conditions = !target.conditions.is_empty();
    if has_conditions || has_mapped || requires_adapters(draft, registry) {
        draft.reaggregate(TARGET, registry);
    }
}

/// After a change of what is wanted: kinds without required adapters have nothing to reconcile.
fn reaggregate_wanted(draft: &mut Draft, registry: &Registry) {
    if requires_adapters(draft, registry) {
        draft.reaggregate(TARGET, registry);
    }
}

fn requires_adapters(draft: &Draft, registry: &Registry) -> bool {
    let descriptor = draft.descriptor(TARGET, registry);
    !descriptor.required_adapters.is_empty()
}
