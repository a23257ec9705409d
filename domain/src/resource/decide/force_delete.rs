//! Removing a finalizing resource, and everything that it owns, without waiting for adapters.

use std::collections::{BTreeMap, BTreeSet};

use super::references::tell_targets;
use crate::resource::command::ForceDeleteResource;
use crate::resource::draft::{Draft, TARGET};
use crate::resource::event::{ChildDetached, Event, ReferenceDropped, ResourceForceRemoved};
use crate::resource::refusal::Refusal;
use crate::resource::state::ObjectReference;
use crate::timestamp::to_microseconds;

pub(super) fn decide(draft: &mut Draft, force: &ForceDeleteResource) -> Result<(), Refusal> {
    let target = draft.target();
    let (kind, id) = (target.kind.clone(), target.id.clone());
    if !target.is_finalizing() {
        return Err(Refusal::NotFinalizing { kind, id });
    }
    let owner = draft.owner_key(TARGET);
    let mut tree = BTreeSet::new();
    collect_tree(draft, TARGET, &mut tree);
    for key in &tree {
        let removal = ResourceForceRemoved {
            removed_time: to_microseconds(force.now),
            removed_by: force.actor.clone(),
            reason: force.reason.clone(),
        };
        release_references(draft, key, &tree);
        draft.record(key, Event::ResourceForceRemoved(removal));
    }
    if let Some(owner) = owner {
        draft.record(&owner, Event::ChildDetached(ChildDetached { child_id: id }));
    }
    Ok(())
}

/// Keys of a member and of what it owns, whatever the policies say. Owners inside the tree are not
/// told of removed children, because they go too.
fn collect_tree(draft: &Draft, key: &str, tree: &mut BTreeSet<String>) {
    let Some(resource) = draft.get(key) else {
        return;
    };
    tree.insert(key.to_owned());
    for child in resource.children.keys() {
        collect_tree(draft, child, tree);
    }
}

/// Tells the targets outside of the tree that a member no longer refers to them, and takes its
/// references to the member from those who stay, even where their kind requires them.
fn release_references(draft: &mut Draft, key: &str, tree: &BTreeSet<String>) {
    let Some(resource) = draft.get(key).cloned() else {
        return;
    };
    let mut outward = resource.references;
    for links in outward.values_mut() {
        links.retain(|link| !tree.contains(draft.key_of(&link.id)));
    }
    tell_targets(draft, key, &outward, &BTreeMap::new());
    for source in draft.referrers(&resource.id).ids() {
        if !tree.contains(draft.key_of(source)) {
            drop_references(draft, source, &resource.id);
        }
    }
}

fn drop_references(draft: &mut Draft, source: &str, target_id: &str) {
    let Some(resource) = draft.get(source) else {
        return;
    };
    let is_link = |links: &Vec<ObjectReference>| links.iter().any(|link| link.id == target_id);
    let ref_types: Vec<String> = resource
        .references
        .iter()
        .filter(|(_, links)| is_link(links))
        .map(|(ref_type, _)| ref_type.clone())
        .collect();
    for ref_type in ref_types {
        let dropped = ReferenceDropped {
            ref_type,
            target_id: target_id.to_owned(),
        };
        draft.record(source, Event::ReferenceDropped(dropped));
    }
}
