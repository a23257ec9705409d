//! How recorded events change the state. Total: any event applies to any state, and nothing is
//! recomputed, because rules change and the past must not.

use chrono::{DateTime, Utc};

use crate::resource::event::{Event, ResourceCreated};
use crate::resource::state::{Child, Lifecycle, Resource};

impl Resource {
    /// The state after an event.
    pub fn evolve(mut self, event: &Event) -> Self {
        self.apply_event(event);
        self
    }

    /// The state after a history.
    pub fn fold<'a>(events: impl IntoIterator<Item = &'a Event>) -> Self {
        events.into_iter().fold(Self::default(), Self::evolve)
    }

    pub(crate) fn apply_event(&mut self, event: &Event) {
        match event {
            Event::ResourceCreated(created) => *self = Self::created(created),
            Event::SpecChanged(change) => {
                self.spec.clone_from(&change.spec);
                self.generation = change.generation;
                self.updated_time = change.updated_time;
                self.updated_by.clone_from(&change.updated_by);
            }
            Event::LabelsChanged(change) => {
                self.labels.clone_from(&change.labels);
                self.generation = change.generation;
                self.updated_time = change.updated_time;
                self.updated_by.clone_from(&change.updated_by);
            }
            Event::ReferencesChanged(change) => {
                self.references.clone_from(&change.references);
                self.generation = change.generation;
                self.updated_time = change.updated_time;
                self.updated_by.clone_from(&change.updated_by);
            }
            Event::DeletionRequested(request) => {
                self.lifecycle = Lifecycle::Finalizing;
                self.generation = request.generation;
                self.updated_time = request.deleted_time;
                self.deleted_time = Some(request.deleted_time);
                self.deleted_by = Some(request.deleted_by.clone());
                self.references.clear();
            }
            Event::AdapterStatusReported(report) => {
                self.statuses
                    .insert(report.status.adapter.clone(), report.status.clone());
            }
            Event::ConditionsChanged(change) => self.conditions.clone_from(&change.conditions),
            Event::ChildAttached(child) => {
                let kind = child.child_kind.clone();
                self.children.insert(
                    child.child_id.clone(),
                    Child {
                        kind,
                        deleting: false,
                    },
                );
            }
            Event::ChildDeletionRequested(request) => {
                if let Some(child) = self.children.get_mut(&request.child_id) {
                    child.deleting = true;
                }
            }
            Event::ChildDetached(child) => {
                self.children.remove(&child.child_id);
            }
            Event::ReferenceAttached(_) => {
                self.inbound_references = self.inbound_references.saturating_add(1);
            }
            Event::ReferenceDetached(_) => {
                self.inbound_references = self.inbound_references.saturating_sub(1);
            }
            Event::ReferenceDropped(dropped) => {
                self.drop_reference(&dropped.ref_type, &dropped.target_id);
            }
            Event::ResourceRemoved(removal) => self.removed(removal.removed_time),
            Event::ResourceForceRemoved(removal) => self.removed(removal.removed_time),
        }
    }

    /// Nothing refers to a resource that is gone.
    fn removed(&mut self, removed_time: DateTime<Utc>) {
        self.lifecycle = Lifecycle::Removed;
        self.removed_time = Some(removed_time);
        self.inbound_references = 0;
    }

    fn drop_reference(&mut self, ref_type: &str, target_id: &str) {
        if let Some(links) = self.references.get_mut(ref_type) {
            links.retain(|link| link.id != target_id);
            if links.is_empty() {
                self.references.remove(ref_type);
            }
        }
    }

    fn created(event: &ResourceCreated) -> Self {
        Self {
            lifecycle: Lifecycle::Active,
            id: event.id.clone(),
            kind: event.kind.clone(),
            name: event.name.clone(),
            href: event.href.clone(),
            spec: event.spec.clone(),
            labels: event.labels.clone(),
            tenancy: event.tenancy.clone(),
            generation: 1,
            owner: event.owner.clone(),
            references: event.references.clone(),
            created_time: event.created_time,
            updated_time: event.created_time,
            created_by: event.created_by.clone(),
            updated_by: event.created_by.clone(),
            ..Self::default()
        }
    }
}
