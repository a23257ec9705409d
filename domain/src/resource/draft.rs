//! The family while a command is being decided: each event is applied as soon as it is recorded,
//! so that later rules see what earlier ones did.

use std::collections::BTreeMap;

use crate::aggregation::aggregate;
use crate::registry::{EntityDescriptor, Registry};
use crate::resource::event::{ConditionsChanged, Event};
use crate::resource::plan::{Effect, Family, StreamChange};
use crate::resource::referrers::Referrers;
use crate::resource::state::Resource;

/// Key of the target. It is its own constant, because an absent target has no id yet.
pub(super) const TARGET: &str = "";

/// The working copies of a family.
pub(super) struct Draft {
    members: BTreeMap<String, StreamChange>,
    parent: Option<String>,
    referrers: BTreeMap<String, Referrers>,
}

impl Draft {
    pub(super) fn of(family: &Family) -> Self {
        let others = family
            .parent
            .iter()
            .chain(&family.descendants)
            .chain(&family.linked);
        let mut members: BTreeMap<String, StreamChange> = others
            .filter(|resource| resource.exists() && resource.id != family.target.id)
            .map(|resource| (resource.id.clone(), unchanged(resource)))
            .collect();
        members.insert(TARGET.to_owned(), unchanged(&family.target));
        let parent = family.parent.as_ref().map(|parent| parent.id.clone());
        Self {
            members,
            parent,
            referrers: family.referrers.clone(),
        }
    }

    /// The target.
    pub(super) fn target(&self) -> &Resource {
        &self.members[TARGET].resource
    }

    /// The owner (to be) of the target, when it exists.
    pub(super) fn parent(&self) -> Option<&Resource> {
        self.parent.as_ref().and_then(|id| self.get(id))
    }

    /// A member by key: [`TARGET`] or the id of a relative.
    pub(super) fn get(&self, key: &str) -> Option<&Resource> {
        self.members.get(key).map(|member| &member.resource)
    }

    /// The key of a resource by its id.
    pub(super) fn key_of<'a>(&self, id: &'a str) -> &'a str {
        if id == self.target().id { TARGET } else { id }
    }

    /// Key of the member that owns this one, when it is part of the family.
    pub(super) fn owner_key(&self, key: &str) -> Option<String> {
        let owner = self.get(key)?.owner.as_ref()?;
        let owner_key = self.key_of(&owner.id);
        self.members
            .contains_key(owner_key)
            .then(|| owner_key.to_owned())
    }

    /// Who referred to a resource when the family was loaded.
    pub(super) fn referrers(&self, id: &str) -> Referrers {
        self.referrers.get(id).cloned().unwrap_or_default()
    }

    /// Records an event of a member. Nothing happens when the member is not part of the family.
    pub(super) fn record(&mut self, key: &str, event: Event) {
        let Some(member) = self.members.get_mut(key) else {
            return;
        };
        match &event {
            Event::ResourceCreated(_) => {
                member.resource.apply_event(&event);
                member.claim = Some(member.resource.name_claim());
            }
            Event::DeletionRequested(_) | Event::ResourceForceRemoved(_) => {
                if member.resource.deleted_time.is_none() {
                    member.release = Some(member.resource.name_claim());
                }
                member.resource.apply_event(&event);
            }
            _ => member.resource.apply_event(&event),
        }
        member.effect = Effect::Recorded;
        member.events.push(event);
    }

    /// Changes the live state of the target without recording anything.
    pub(super) fn live(&mut self, change: impl FnOnce(&mut Resource)) {
        let Some(member) = self.members.get_mut(TARGET) else {
            return;
        };
        change(&mut member.resource);
        if member.effect == Effect::Unchanged {
            member.effect = Effect::Liveness;
        }
    }

    /// Computes the conditions of a member and records them when they differ.
    pub(super) fn reaggregate(&mut self, key: &str, registry: &Registry) {
        let Some(resource) = self.get(key) else {
            return;
        };
        let descriptor = self.descriptor(key, registry);
        let mut conditions = aggregate(resource, &descriptor.required_adapters);
        let mapped = registry.mapping(&resource.kind).evaluate(resource);
        conditions.extend(mapped.conditions);
        let is_changed = conditions != resource.conditions;
        if let Some(member) = self.members.get_mut(key) {
            member.mapping_failures = mapped.failures;
        }
        if is_changed {
            self.record(
                key,
                Event::ConditionsChanged(ConditionsChanged { conditions }),
            );
        }
    }

    /// The rules of a member's kind; those of a kind that is no longer registered are empty.
    pub(super) fn descriptor(&self, key: &str, registry: &Registry) -> EntityDescriptor {
        let kind = self
            .get(key)
            .map(|resource| resource.kind.as_str())
            .unwrap_or_default();
        registry.by_kind(kind).cloned().unwrap_or_default()
    }

    /// The target's change, then those of the touched relatives.
    pub(super) fn into_changes(mut self) -> Vec<StreamChange> {
        let target = self.members.remove(TARGET);
        let touched = self
            .members
            .into_values()
            .filter(|member| member.effect != Effect::Unchanged);
        target.into_iter().chain(touched).collect()
    }
}

fn unchanged(resource: &Resource) -> StreamChange {
    StreamChange {
        resource: resource.clone(),
        events: Vec::new(),
        effect: Effect::Unchanged,
        claim: None,
        release: None,
        mapping_failures: Vec::new(),
    }
}
