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
    let descriptor = draft.descriptor(TARGET, registry);
    if !descriptor.required_adapters.is_empty() || !draft.target().conditions.is_empty() {
        draft.reaggregate(TARGET, &descriptor);
    }
}

/// After a change of what is wanted: kinds without required adapters have nothing to reconcile.
fn reaggregate_wanted(draft: &mut Draft, registry: &Registry) {
    let descriptor = draft.descriptor(TARGET, registry);
    if !descriptor.required_adapters.is_empty() {
        draft.reaggregate(TARGET, &descriptor);
    }
}
