//! The decisions, one file per command.

use crate::registry::Registry;
use crate::resource::command::Command;
use crate::resource::draft::Draft;
use crate::resource::refusal::Refusal;

/// Decides a command that was validated, on a draft.
pub(super) fn decide(
    _draft: &mut Draft,
    _command: &Command,
    _registry: &Registry,
) -> Result<(), Refusal> {
    Err(Refusal::TargetNotFound)
}
