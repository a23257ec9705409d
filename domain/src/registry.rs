//! The kinds of resources and their rules, as data.
//!
//! Invariants, checked by [`Registry::new`]: kinds and plurals are unique; plurals do not clash
//! with fixed routes; every parent and every reference target is registered; ownership and
//! required references have no cycle.

mod builtin;
mod check;
mod descriptor;

use std::collections::BTreeMap;

pub use check::RegistryError;
pub use descriptor::{
    ConditionOutput, ConditionRule, EntityDescriptor, NameLength, ParentDeletePolicy,
    ReferenceRule, RuleExpression,
};

/// Path under which every kind is served; `href`s begin with it.
pub const API_BASE: &str = "/api/hyperfleet/v1";

/// All registered kinds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registry {
    descriptors: Vec<EntityDescriptor>,
    by_kind: BTreeMap<String, usize>,
    by_plural: BTreeMap<String, usize>,
}

impl Registry {
    /// The kinds of an installation that configures none: `Cluster`, `NodePool`, `Channel`,
    /// `Version` and `WifConfig` (API contract v1, default registry).
    pub fn builtin() -> Self {
        Self::index(builtin::descriptors())
    }

    /// A registry of these kinds, in this order.
    ///
    /// # Errors
    /// When the kinds contradict each other; see [`RegistryError`].
    pub fn new(descriptors: Vec<EntityDescriptor>) -> Result<Self, RegistryError> {
        check::check(&descriptors)?;
        Ok(Self::index(descriptors))
    }

    fn index(descriptors: Vec<EntityDescriptor>) -> Self {
        let positions = |key: fn(&EntityDescriptor) -> &String| {
            descriptors
                .iter()
                .enumerate()
                .map(|(at, entry)| (key(entry).clone(), at))
                .collect()
        };
        Self {
            by_kind: positions(|entry| &entry.kind),
            by_plural: positions(|entry| &entry.plural),
            descriptors,
        }
    }

    /// The descriptor of a kind, for example `NodePool`.
    pub fn by_kind(&self, kind: &str) -> Option<&EntityDescriptor> {
        self.by_kind
            .get(kind)
            .and_then(|at| self.descriptors.get(*at))
    }

    /// The descriptor whose URL segment this is, for example `nodepools`.
    pub fn by_plural(&self, plural: &str) -> Option<&EntityDescriptor> {
        self.by_plural
            .get(plural)
            .and_then(|at| self.descriptors.get(*at))
    }

    /// All kinds, in the order of registration.
    pub fn iter(&self) -> impl Iterator<Item = &EntityDescriptor> {
        self.descriptors.iter()
    }

    /// The kinds that a resource of this kind owns, in the order of registration.
    pub fn children_of(&self, kind: &str) -> impl Iterator<Item = &EntityDescriptor> {
        self.descriptors
            .iter()
            .filter(move |entry| entry.parent_kind.as_deref() == Some(kind))
    }
}
