//! Requesting a deletion, with everything that goes with it, or that forbids it.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use super::references::tell_targets;
use crate::registry::{ParentDeletePolicy, Registry};
use crate::resource::command::DeleteResource;
use crate::resource::draft::{Draft, TARGET};
use crate::resource::event::{
    ChildDeletionRequested, ChildDetached, DeletionRequested, Event, ResourceRemoved,
};
use crate::resource::refusal::Refusal;
use crate::resource::state::Resource;
use crate::timestamp::to_microseconds;

pub(super) fn decide(
    draft: &mut Draft,
    delete: &DeleteResource,
    registry: &Registry,
) -> Result<(), Refusal> {
    let deletion = Deletion {
        delete,
        registry,
        now: to_microseconds(delete.now),
    };
    deletion.run(draft)
}

/// Removes a finalizing member and tells its owner.
pub(super) fn remove(draft: &mut Draft, key: &str, removed_time: DateTime<Utc>) {
    let child_id = draft
        .get(key)
        .map(|resource| resource.id.clone())
        .unwrap_or_default();
    let owner = draft.owner_key(key);
    draft.record(
        key,
        Event::ResourceRemoved(ResourceRemoved { removed_time }),
    );
    if let Some(owner) = owner {
        draft.record(&owner, Event::ChildDetached(ChildDetached { child_id }));
    }
}

struct Deletion<'a> {
    delete: &'a DeleteResource,
    registry: &'a Registry,
    now: DateTime<Utc>,
}

impl Deletion<'_> {
    /// Marks the tree, refusing for active children; then, children before owners, refuses for
    /// references from outside and removes at once what has nothing to clean up. All is marked
    /// before references are looked at, so that those within the tree do not count.
    fn run(&self, draft: &mut Draft) -> Result<(), Refusal> {
        let mut tree = Vec::new();
        self.mark_tree(draft, TARGET, &mut tree)?;
        for key in tree.iter().rev() {
            refuse_for_inbound_references(draft, key)?;
        }
        for key in tree.iter().rev() {
            self.settle(draft, key);
        }
        Ok(())
    }

    /// Marks a member and what goes with it; `tree` gets their keys, owners first.
    fn mark_tree(
        &self,
        draft: &mut Draft,
        key: &str,
        tree: &mut Vec<String>,
    ) -> Result<(), Refusal> {
        self.mark(draft, key);
        let Some(resource) = draft.get(key).cloned() else {
            return Ok(());
        };
        tree.push(key.to_owned());
        self.refuse_for_active_children(&resource)?;
        for child in self.to_cascade(draft, &resource) {
            self.mark_tree(draft, &child, tree)?;
        }
        Ok(())
    }

    fn mark(&self, draft: &mut Draft, key: &str) {
        let Some(resource) = draft.get(key).filter(|resource| !resource.is_finalizing()) else {
            return;
        };
        let child_id = resource.id.clone();
        let references = resource.references.clone();
        let request = DeletionRequested {
            generation: resource.generation.saturating_add(1),
            deleted_time: self.now,
            deleted_by: self.delete.actor.clone(),
        };
        draft.record(key, Event::DeletionRequested(request));
        tell_targets(draft, key, &references, &BTreeMap::new());
        if let Some(owner) = draft.owner_key(key) {
            let request = ChildDeletionRequested { child_id };
            draft.record(&owner, Event::ChildDeletionRequested(request));
        }
    }

    fn policy(&self, child_kind: &str) -> Option<ParentDeletePolicy> {
        self.registry
            .by_kind(child_kind)
            .and_then(|descriptor| descriptor.on_parent_delete)
    }

    fn refuse_for_active_children(&self, resource: &Resource) -> Result<(), Refusal> {
        let restricting = resource.children.values().find(|child| {
            !child.deleting && self.policy(&child.kind) == Some(ParentDeletePolicy::Restrict)
        });
        restricting.map_or(Ok(()), |child| {
            Err(Refusal::ActiveChildren {
                kind: resource.kind.clone(),
                id: resource.id.clone(),
                child_kind: child.kind.clone(),
            })
        })
    }

    fn to_cascade(&self, draft: &Draft, resource: &Resource) -> Vec<String> {
        let cascades = resource.children.iter().filter(|(id, child)| {
            self.policy(&child.kind) == Some(ParentDeletePolicy::Cascade)
                && draft
                    .get(id)
                    .is_some_and(|child| child.exists() && !child.is_finalizing())
        });
        cascades.map(|(id, _)| id.clone()).collect()
    }

    /// Waits for adapters and finalizing children, or removes the member when there are none.
    fn settle(&self, draft: &mut Draft, key: &str) {
        let descriptor = draft.descriptor(key, self.registry);
        let waits = !descriptor.required_adapters.is_empty()
            || draft.get(key).is_some_and(Resource::has_finalizing_child);
        if waits {
            draft.reaggregate(key, self.registry);
        } else {
            remove(draft, key, self.now);
        }
    }
}

/// Sources that are being deleted themselves have given up their references.
fn refuse_for_inbound_references(draft: &Draft, key: &str) -> Result<(), Refusal> {
    let Some(resource) = draft
        .get(key)
        .filter(|resource| resource.inbound_references > 0)
    else {
        return Ok(());
    };
    let remains = |source: &str| {
        draft
            .get(draft.key_of(source))
            .is_none_or(|source| source.deleted_time.is_none())
    };
    Err(Refusal::Referenced {
        kind: resource.kind.clone(),
        name: resource.name.clone(),
        sources: draft.referrers(&resource.id).text(remains),
    })
}
