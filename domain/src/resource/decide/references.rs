//! Links other than ownership: what a kind allows, whether the targets can be linked to, and telling
//! the targets.

use std::collections::{BTreeMap, BTreeSet};

use crate::registry::{EntityDescriptor, ReferenceRule, Registry};
use crate::resource::command::{ReferenceInput, References};
use crate::resource::draft::Draft;
use crate::resource::event::{Event, ReferenceAttached, ReferenceDetached};
use crate::resource::refusal::Refusal;
use crate::resource::state::{Lifecycle, ObjectReference};

/// References as stored, by type.
type Links = BTreeMap<String, Vec<ObjectReference>>;

/// Checks references as sent and gives them as stored; types without a target are left out.
pub(super) fn resolve(
    sent: &References,
    draft: &Draft,
    descriptor: &EntityDescriptor,
    registry: &Registry,
) -> Result<Links, Refusal> {
    for rule in &descriptor.references {
        if sent.get(&rule.ref_type).map_or(0, Vec::len) < rule.min {
            return Err(Refusal::ReferenceMissing {
                ref_type: rule.ref_type.clone(),
                kind: descriptor.kind.clone(),
                min: rule.min,
            });
        }
    }
    let mut resolved = BTreeMap::new();
    for (ref_type, inputs) in sent {
        let rule = descriptor
            .reference(ref_type)
            .ok_or_else(|| Refusal::ReferenceUndeclared {
                ref_type: ref_type.clone(),
                kind: descriptor.kind.clone(),
            })?;
        let links = resolve_type(rule, inputs, draft, descriptor, registry)?;
        if !links.is_empty() {
            resolved.insert(ref_type.clone(), links);
        }
    }
    Ok(resolved)
}

fn resolve_type(
    rule: &ReferenceRule,
    inputs: &[ReferenceInput],
    draft: &Draft,
    descriptor: &EntityDescriptor,
    registry: &Registry,
) -> Result<Vec<ObjectReference>, Refusal> {
    let ref_type = || rule.ref_type.clone();
    if rule.max > 0 && inputs.len() > rule.max {
        return Err(Refusal::ReferenceTooMany {
            ref_type: ref_type(),
            kind: descriptor.kind.clone(),
            max: rule.max,
            count: inputs.len(),
        });
    }
    let mut seen = BTreeSet::new();
    let mut links = Vec::with_capacity(inputs.len());
    for input in inputs {
        let Some(id) = input.id.as_ref().filter(|id| !id.is_empty()) else {
            return Err(Refusal::ReferenceIdRequired {
                ref_type: ref_type(),
            });
        };
        if !seen.insert(id) {
            return Err(Refusal::ReferenceDuplicate {
                ref_type: ref_type(),
                id: id.clone(),
            });
        }
        if input.kind != rule.target_kind {
            return Err(Refusal::ReferenceKind {
                ref_type: ref_type(),
                kind: input.kind.clone(),
                expected: rule.target_kind.clone(),
            });
        }
        check_target(rule, id, draft)?;
        let href = registry
            .by_kind(&rule.target_kind)
            .map(|target| target.href(None, id));
        let (id, kind, href) = (id.clone(), input.kind.clone(), href.unwrap_or_default());
        links.push(ObjectReference { id, kind, href });
    }
    Ok(links)
}

fn check_target(rule: &ReferenceRule, id: &str, draft: &Draft) -> Result<(), Refusal> {
    let (ref_type, kind) = (rule.ref_type.clone(), rule.target_kind.clone());
    let id_text = id.to_owned();
    match draft
        .get(draft.key_of(id))
        .filter(|target| target.kind == kind)
        .map(|target| target.lifecycle)
    {
        Some(Lifecycle::Active) => Ok(()),
        Some(Lifecycle::Finalizing) => Err(Refusal::ReferenceTargetFinalizing {
            ref_type,
            kind,
            id: id_text,
        }),
        Some(Lifecycle::Absent | Lifecycle::Removed) | None => {
            Err(Refusal::ReferenceTargetNotFound {
                ref_type,
                kind,
                id: id_text,
            })
        }
    }
}

/// Tells the targets which references a member gained and gave up. What it keeps is not told again.
pub(super) fn tell_targets(draft: &mut Draft, source: &str, before: &Links, after: &Links) {
    let Some(resource) = draft.get(source) else {
        return;
    };
    let (source_id, kind, name) = (
        resource.id.clone(),
        resource.kind.clone(),
        resource.name.clone(),
    );
    let (before, after) = (pairs(before), pairs(after));
    for (ref_type, target) in before.difference(&after) {
        let detached = ReferenceDetached {
            ref_type: (*ref_type).to_owned(),
            source_id: source_id.clone(),
        };
        let key = draft.key_of(target).to_owned();
        draft.record(&key, Event::ReferenceDetached(detached));
    }
    for (ref_type, target) in after.difference(&before) {
        let attached = ReferenceAttached {
            ref_type: (*ref_type).to_owned(),
            source_id: source_id.clone(),
            source_kind: kind.clone(),
            source_name: name.clone(),
        };
        let key = draft.key_of(target).to_owned();
        draft.record(&key, Event::ReferenceAttached(attached));
    }
}

fn pairs(links: &Links) -> BTreeSet<(&str, &str)> {
    let pairs = links.iter().flat_map(|(ref_type, links)| {
        links
            .iter()
            .map(move |link| (ref_type.as_str(), link.id.as_str()))
    });
    pairs.collect()
}
