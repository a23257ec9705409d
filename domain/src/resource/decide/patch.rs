//! Changing what is wanted: every real change of a patch shares one new generation.

use super::{reaggregate_wanted, references};
use crate::json::same_object;
use crate::registry::Registry;
use crate::resource::command::PatchResource;
use crate::resource::draft::{Draft, TARGET};
use crate::resource::event::{Event, LabelsChanged, ReferencesChanged, SpecChanged};
use crate::resource::refusal::Refusal;
use crate::resource::state::Resource;
use crate::timestamp::to_microseconds;

pub(super) fn decide(
    draft: &mut Draft,
    patch: &PatchResource,
    registry: &Registry,
) -> Result<(), Refusal> {
    let target = draft.target();
    if target.is_finalizing() {
        let (kind, id) = (target.kind.clone(), target.id.clone());
        return Err(Refusal::MarkedForDeletion { kind, id });
    }
    let events = changes(draft, target, patch, registry)?;
    if events.is_empty() {
        return Ok(());
    }
    let before = target.references.clone();
    for event in events {
        draft.record(TARGET, event);
    }
    let after = draft.target().references.clone();
    references::tell_targets(draft, TARGET, &before, &after);
    reaggregate_wanted(draft, registry);
    Ok(())
}

/// The changes. References count as changed whenever they are sent, also identical ones.
fn changes(
    draft: &Draft,
    target: &Resource,
    patch: &PatchResource,
    registry: &Registry,
) -> Result<Vec<Event>, Refusal> {
    let generation = target.generation.saturating_add(1);
    let updated_time = to_microseconds(patch.now);
    let updated_by = || patch.actor.clone();
    let mut events = Vec::new();
    if let Some(spec) = patch
        .spec
        .as_ref()
        .filter(|spec| !same_object(spec, &target.spec))
    {
        let (spec, updated_by) = (spec.clone(), updated_by());
        events.push(Event::SpecChanged(SpecChanged {
            spec,
            generation,
            updated_time,
            updated_by,
        }));
    }
    if let Some(labels) = patch
        .labels
        .as_ref()
        .filter(|labels| **labels != target.labels)
    {
        let (labels, updated_by) = (labels.clone(), updated_by());
        let change = LabelsChanged {
            labels,
            generation,
            updated_time,
            updated_by,
        };
        events.push(Event::LabelsChanged(change));
    }
    if let Some(sent) = &patch.references {
        let descriptor = draft.descriptor(TARGET, registry);
        let references = references::resolve(sent, draft, &descriptor, registry)?;
        let updated_by = updated_by();
        let change = ReferencesChanged {
            references,
            generation,
            updated_time,
            updated_by,
        };
        events.push(Event::ReferencesChanged(change));
    }
    Ok(events)
}
