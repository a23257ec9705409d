//! Removing a finalizing resource, and everything that it owns, without waiting for adapters.

use crate::resource::command::ForceDeleteResource;
use crate::resource::draft::{Draft, TARGET};
use crate::resource::event::{ChildDetached, Event, ResourceForceRemoved};
use crate::resource::refusal::Refusal;
use crate::timestamp::to_microseconds;

pub(super) fn decide(draft: &mut Draft, force: &ForceDeleteResource) -> Result<(), Refusal> {
    let target = draft.target();
    let (kind, id) = (target.kind.clone(), target.id.clone());
    if !target.is_finalizing() {
        return Err(Refusal::NotFinalizing { kind, id });
    }
    let owner = draft.owner_key(TARGET);
    remove_tree(draft, TARGET, force);
    if let Some(owner) = owner {
        draft.record(&owner, Event::ChildDetached(ChildDetached { child_id: id }));
    }
    Ok(())
}

/// Removes a member and what it owns, whatever the policies say. Owners inside the tree are not
/// told, because they go too.
fn remove_tree(draft: &mut Draft, key: &str, force: &ForceDeleteResource) {
    let children: Vec<String> = draft
        .get(key)
        .map(|resource| resource.children.keys().cloned().collect())
        .unwrap_or_default();
    let removal = ResourceForceRemoved {
        removed_time: to_microseconds(force.now),
        removed_by: force.actor.clone(),
        reason: force.reason.clone(),
    };
    draft.record(key, Event::ResourceForceRemoved(removal));
    for child in children {
        remove_tree(draft, &child, force);
    }
}
