//! Creating a resource.

use std::collections::BTreeMap;

use super::{reaggregate_wanted, references};
use crate::registry::{EntityDescriptor, Registry};
use crate::resource::command::CreateResource;
use crate::resource::draft::{Draft, TARGET};
use crate::resource::event::{ChildAttached, Event, ResourceCreated};
use crate::resource::refusal::Refusal;
use crate::resource::state::{Lifecycle, ObjectReference};
use crate::timestamp::to_microseconds;

pub(super) fn decide(
    draft: &mut Draft,
    create: &CreateResource,
    registry: &Registry,
) -> Result<(), Refusal> {
    let descriptor = create.validate(registry)?;
    let owner = owner(draft, create, descriptor)?;
    let references = references::resolve(&create.references, draft, descriptor, registry)?;
    if draft.target().lifecycle != Lifecycle::Absent {
        return Err(Refusal::AlreadyExists {
            kind: create.kind.clone(),
        });
    }
    let owner_id = owner.as_ref().map(|owner| owner.id.clone());
    let tenancy = tenancy(draft, create);
    let href = descriptor.href(owner.as_ref().map(|owner| owner.href.as_str()), &create.id);
    let created = ResourceCreated {
        id: create.id.clone(),
        kind: create.kind.clone(),
        name: create.name.clone(),
        href,
        spec: create.spec.clone().unwrap_or_default(),
        labels: create.labels.clone(),
        tenancy,
        owner,
        references: references.clone(),
        created_time: to_microseconds(create.now),
        created_by: create.actor.clone(),
    };
    draft.record(TARGET, Event::ResourceCreated(created));
    if let Some(owner_id) = owner_id {
        let (child_id, child_kind) = (create.id.clone(), create.kind.clone());
        draft.record(
            &owner_id,
            Event::ChildAttached(ChildAttached {
                child_id,
                child_kind,
            }),
        );
    }
    references::tell_targets(draft, TARGET, &BTreeMap::new(), &references);
    reaggregate_wanted(draft, registry);
    Ok(())
}

/// The tenant of the new resource: the caller's. What a caller with fewer dimensions creates below
/// an owner takes the owner's other dimensions too, so that whoever sees the owner sees all of it.
fn tenancy(draft: &Draft, create: &CreateResource) -> BTreeMap<String, String> {
    let owner = draft.parent().filter(|_| create.parent.is_some());
    match owner.map(|owner| &owner.tenancy) {
        Some(tenancy)
            if create
                .tenancy
                .iter()
                .all(|(key, value)| tenancy.get(key) == Some(value)) =>
        {
            tenancy.clone()
        }
        _ => create.tenancy.clone(),
    }
}

/// The owner to be: none for a top-level kind; for a child kind it must exist and be wanted.
fn owner(
    draft: &Draft,
    create: &CreateResource,
    descriptor: &EntityDescriptor,
) -> Result<Option<ObjectReference>, Refusal> {
    let (Some(kind), Some(id)) = (&descriptor.parent_kind, &create.parent) else {
        return Ok(None);
    };
    let parent = draft
        .parent()
        .filter(|parent| parent.id == *id && parent.kind == *kind)
        .ok_or_else(|| Refusal::NotFound {
            kind: kind.clone(),
            id: id.clone(),
        })?;
    if parent.is_finalizing() {
        return Err(Refusal::MarkedForDeletion {
            kind: kind.clone(),
            id: id.clone(),
        });
    }
    let (id, kind, href) = (parent.id.clone(), parent.kind.clone(), parent.href.clone());
    Ok(Some(ObjectReference { id, kind, href }))
}
