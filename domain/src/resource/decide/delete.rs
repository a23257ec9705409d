//! Requesting a deletion, with everything that goes with it, or that forbids it.

use chrono::{DateTime, Utc};

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
    deletion.run(draft, TARGET)
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
    /// Deletes a member: marks it, refuses for active children or inbound references, goes on to
    /// its children, and removes it at once when nothing has to be cleaned up.
    fn run(&self, draft: &mut Draft, key: &str) -> Result<(), Refusal> {
        self.mark(draft, key);
        let Some(resource) = draft.get(key).cloned() else {
            return Ok(());
        };
        self.refuse_for_active_children(&resource)?;
        for child in self.to_cascade(draft, &resource) {
            self.run(draft, &child)?;
        }
        self.refuse_for_inbound_references(draft, &resource)?;
        self.settle(draft, key);
        Ok(())
    }

    fn mark(&self, draft: &mut Draft, key: &str) {
        let Some(resource) = draft.get(key).filter(|resource| !resource.is_finalizing()) else {
            return;
        };
        let child_id = resource.id.clone();
        let request = DeletionRequested {
            generation: resource.generation.saturating_add(1),
            deleted_time: self.now,
            deleted_by: self.delete.actor.clone(),
        };
        draft.record(key, Event::DeletionRequested(request));
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

    /// Sources that are being deleted themselves have given up their references.
    fn refuse_for_inbound_references(
        &self,
        draft: &Draft,
        resource: &Resource,
    ) -> Result<(), Refusal> {
        let inbound = self.delete.inbound.get(&resource.id).into_iter().flatten();
        let goes_too = |id: &str| {
            id == draft.target().id
                || draft
                    .get(id)
                    .is_some_and(|source| source.deleted_time.is_some())
        };
        let sources: Vec<String> = inbound
            .filter(|source| !goes_too(&source.source_id))
            .map(|source| format!("{} \"{}\"", source.kind, source.name))
            .collect();
        if sources.is_empty() {
            return Ok(());
        }
        Err(Refusal::Referenced {
            kind: resource.kind.clone(),
            name: resource.name.clone(),
            sources: sources.join(", "),
        })
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
