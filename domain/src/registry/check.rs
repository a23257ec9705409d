//! What makes a set of kinds contradictory.

use std::collections::{BTreeMap, BTreeSet};

use super::EntityDescriptor;
use crate::mapping::RuleFault;

/// URL segments that fixed routes own, so that no kind may take them.
const RESERVED_PLURALS: [&str; 5] = ["resources", "openapi", "openapi.html", "history", "summary"];
/// URL segments below a resource that fixed routes own, so that no child kind may take them.
const RESERVED_CHILD_PLURALS: [&str; 3] = ["statuses", "force-delete", "history"];

/// Why a set of kinds cannot be a registry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RegistryError {
    /// An entry has no kind.
    #[error("the entity with plural '{plural}' has an empty kind: give it one")]
    EmptyKind {
        /// Its plural.
        plural: String,
    },
    /// Two entries have one kind.
    #[error("the kind '{kind}' is registered twice: keep one entry")]
    DuplicateKind {
        /// The kind.
        kind: String,
    },
    /// An entry has no plural.
    #[error("the kind '{kind}' has an empty plural: give it one")]
    EmptyPlural {
        /// The kind.
        kind: String,
    },
    /// Two entries have one plural.
    #[error("the plural '{plural}' of kind '{kind}' is taken by another kind: choose another")]
    DuplicatePlural {
        /// The second kind.
        kind: String,
        /// The plural.
        plural: String,
    },
    /// A plural is the name of a fixed route.
    #[error("the plural '{plural}' of kind '{kind}' is a fixed route: choose another")]
    ReservedPlural {
        /// The kind.
        kind: String,
        /// The plural.
        plural: String,
    },
    /// A plural is no segment of a URL.
    #[error(
        "the plural '{plural}' of kind '{kind}' cannot be part of a URL: use lower-case letters, digits, '-', '_' and '.'"
    )]
    InvalidPlural {
        /// The kind.
        kind: String,
        /// The plural.
        plural: String,
    },
    /// A parent is not registered.
    #[error("the kind '{kind}' has the unregistered parent '{parent}': register it or correct it")]
    UnknownParent {
        /// The kind.
        kind: String,
        /// The parent that is missing.
        parent: String,
    },
    /// A kind owns itself through its ancestors.
    #[error("the kind '{kind}' is its own ancestor: break the cycle of parents")]
    OwnershipCycle {
        /// A kind on the cycle.
        kind: String,
    },
    /// A reference points to a kind that is not registered.
    #[error(
        "the reference '{ref_type}' of kind '{kind}' targets the unregistered kind '{target}': register it or correct it"
    )]
    UnknownReferenceTarget {
        /// The kind.
        kind: String,
        /// The reference.
        ref_type: String,
        /// The target that is missing.
        target: String,
    },
    /// A kind declares a reference twice.
    #[error("the kind '{kind}' declares the reference '{ref_type}' twice: keep one rule")]
    DuplicateReference {
        /// The kind.
        kind: String,
        /// The reference.
        ref_type: String,
    },
    /// A reference needs more targets than it allows.
    #[error("the reference '{ref_type}' of kind '{kind}' has max {max} below min {min}")]
    ReferenceBounds {
        /// The kind.
        kind: String,
        /// The reference.
        ref_type: String,
        /// Least number.
        min: usize,
        /// Greatest number.
        max: usize,
    },
    /// A kind requires itself, so that the first one could never be created.
    #[error("the kind '{kind}' requires itself through its references: make one of them optional")]
    ReferenceCycle {
        /// A kind on the cycle.
        kind: String,
    },
    /// A name would have to be longer than it may be.
    #[error("the kind '{kind}' has name_max_len {max} below name_min_len {min}")]
    NameBounds {
        /// The kind.
        kind: String,
        /// Least length.
        min: usize,
        /// Greatest length.
        max: usize,
    },
    /// A condition rule cannot work.
    #[error("the condition rule {index} of kind '{kind}', type '{condition}': {fault}")]
    ConditionRule {
        /// The kind.
        kind: String,
        /// Place of the rule among those of the kind, from 0.
        index: usize,
        /// Type of the rule's condition.
        condition: String,
        /// What is wrong with it.
        fault: RuleFault,
    },
    /// A kind has two condition rules of one type.
    #[error(
        "the condition rule {index} of kind '{kind}' repeats the type '{condition}': keep one rule"
    )]
    DuplicateCondition {
        /// The kind.
        kind: String,
        /// Place of the second rule, from 0.
        index: usize,
        /// The type.
        condition: String,
    },
    /// A condition rule has the type of an aggregated condition.
    #[error(
        "the condition rule {index} of kind '{kind}' has the type '{condition}', which is reserved for {owner}: choose another"
    )]
    ReservedCondition {
        /// The kind.
        kind: String,
        /// Place of the rule, from 0.
        index: usize,
        /// The type.
        condition: String,
        /// Who gives conditions of this type.
        owner: String,
    },
}

impl RegistryError {
    /// The kind whose entry is to be mended; empty when the entry has none.
    pub fn kind(&self) -> &str {
        match self {
            Self::EmptyKind { .. } => "",
            Self::DuplicateKind { kind }
            | Self::EmptyPlural { kind }
            | Self::DuplicatePlural { kind, .. }
            | Self::ReservedPlural { kind, .. }
            | Self::InvalidPlural { kind, .. }
            | Self::UnknownParent { kind, .. }
            | Self::OwnershipCycle { kind }
            | Self::UnknownReferenceTarget { kind, .. }
            | Self::DuplicateReference { kind, .. }
            | Self::ReferenceBounds { kind, .. }
            | Self::ReferenceCycle { kind }
            | Self::NameBounds { kind, .. }
            | Self::ConditionRule { kind, .. }
            | Self::DuplicateCondition { kind, .. }
            | Self::ReservedCondition { kind, .. } => kind,
        }
    }
}

/// Checks all entries together; the first contradiction found is returned.
pub(super) fn check(descriptors: &[EntityDescriptor]) -> Result<(), RegistryError> {
    let mut kinds = BTreeSet::new();
    let mut plurals = BTreeSet::new();
    for entry in descriptors {
        check_names(entry)?;
        if !kinds.insert(entry.kind.as_str()) {
            return Err(RegistryError::DuplicateKind {
                kind: entry.kind.clone(),
            });
        }
        if !plurals.insert(entry.plural.as_str()) {
            let (kind, plural) = (entry.kind.clone(), entry.plural.clone());
            return Err(RegistryError::DuplicatePlural { kind, plural });
        }
    }
    for entry in descriptors {
        check_parent(entry, &kinds)?;
        check_references(entry, &kinds)?;
    }
    check_cycles(descriptors)
}

fn check_names(entry: &EntityDescriptor) -> Result<(), RegistryError> {
    let (kind, plural) = (entry.kind.clone(), entry.plural.clone());
    if kind.is_empty() {
        return Err(RegistryError::EmptyKind { plural });
    }
    if plural.is_empty() {
        return Err(RegistryError::EmptyPlural { kind });
    }
    let in_url = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.');
    if !plural.bytes().all(in_url) || plural.starts_with('.') {
        return Err(RegistryError::InvalidPlural { kind, plural });
    }
    let reserved = RESERVED_PLURALS.contains(&plural.as_str())
        || (entry.is_child() && RESERVED_CHILD_PLURALS.contains(&plural.as_str()));
    if reserved {
        return Err(RegistryError::ReservedPlural { kind, plural });
    }
    let (min, max) = (entry.name_length.min, entry.name_length.max);
    if max > 0 && max < min {
        return Err(RegistryError::NameBounds { kind, min, max });
    }
    Ok(())
}

fn check_parent(entry: &EntityDescriptor, kinds: &BTreeSet<&str>) -> Result<(), RegistryError> {
    match &entry.parent_kind {
        Some(parent) if !kinds.contains(parent.as_str()) => Err(RegistryError::UnknownParent {
            kind: entry.kind.clone(),
            parent: parent.clone(),
        }),
        _ => Ok(()),
    }
}

fn check_references(entry: &EntityDescriptor, kinds: &BTreeSet<&str>) -> Result<(), RegistryError> {
    let mut seen = BTreeSet::new();
    for rule in &entry.references {
        let (kind, ref_type) = (entry.kind.clone(), rule.ref_type.clone());
        if !seen.insert(rule.ref_type.as_str()) {
            return Err(RegistryError::DuplicateReference { kind, ref_type });
        }
        if !kinds.contains(rule.target_kind.as_str()) {
            let target = rule.target_kind.clone();
            return Err(RegistryError::UnknownReferenceTarget {
                kind,
                ref_type,
                target,
            });
        }
        if rule.max > 0 && rule.max < rule.min {
            let (min, max) = (rule.min, rule.max);
            return Err(RegistryError::ReferenceBounds {
                kind,
                ref_type,
                min,
                max,
            });
        }
    }
    Ok(())
}

fn check_cycles(descriptors: &[EntityDescriptor]) -> Result<(), RegistryError> {
    let parents = edges(descriptors, |entry| {
        entry.parent_kind.as_deref().into_iter().collect()
    });
    if let Some(kind) = on_cycle(&parents) {
        return Err(RegistryError::OwnershipCycle { kind });
    }
    let required = edges(descriptors, |entry| {
        let rules = entry.references.iter().filter(|rule| rule.min > 0);
        rules.map(|rule| rule.target_kind.as_str()).collect()
    });
    match on_cycle(&required) {
        Some(kind) => Err(RegistryError::ReferenceCycle { kind }),
        None => Ok(()),
    }
}

type Edges<'a> = BTreeMap<&'a str, Vec<&'a str>>;

fn edges<'a>(
    descriptors: &'a [EntityDescriptor],
    targets: impl Fn(&'a EntityDescriptor) -> Vec<&'a str>,
) -> Edges<'a> {
    descriptors
        .iter()
        .map(|entry| (entry.kind.as_str(), targets(entry)))
        .collect()
}

/// A kind that can reach itself, if there is one.
fn on_cycle(edges: &Edges<'_>) -> Option<String> {
    edges
        .keys()
        .find(|start| reaches_itself(edges, start))
        .map(|kind| (*kind).to_owned())
}

fn reaches_itself(edges: &Edges<'_>, start: &str) -> bool {
    let mut seen = BTreeSet::new();
    let mut next: Vec<&str> = edges.get(start).cloned().unwrap_or_default();
    while let Some(kind) = next.pop() {
        if kind == start {
            return true;
        }
        if seen.insert(kind) {
            next.extend(edges.get(kind).into_iter().flatten());
        }
    }
    false
}
