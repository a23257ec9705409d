//! The kinds of resources and their rules, as data.
//!
//! Invariants, checked by [`Registry::new`]: kinds and plurals are unique; plurals do not clash
//! with fixed routes; every parent and every reference target is registered; ownership and
//! required references have no cycle; condition rules compile, and no two of a kind, nor a rule and
//! an aggregated condition of any kind, have one type.

mod builtin;
mod check;
mod conditions;
mod descriptor;
mod served;

use std::collections::BTreeMap;

use crate::mapping::Mapping;

pub use check::RegistryError;
pub use descriptor::{EntityDescriptor, NameLength, ParentDeletePolicy, ReferenceRule};
pub use served::ServedKind;

/// Path under which every kind is served; `href`s begin with it.
pub const API_BASE: &str = "/api/hyperfleet/v1";

/// All registered kinds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registry {
    descriptors: Vec<EntityDescriptor>,
    mappings: BTreeMap<String, Mapping>,
    by_kind: BTreeMap<String, usize>,
    by_plural: BTreeMap<String, usize>,
}

impl Registry {
    /// The kinds of an installation that configures none: `Cluster`, `NodePool`, `Channel`,
    /// `Version` and `WifConfig` (API contract v1, default registry).
    pub fn builtin() -> Self {
        Self::index(builtin::descriptors(), BTreeMap::new())
    }

    /// A registry of these kinds, in this order.
    ///
    /// # Errors
    /// When the kinds contradict each other; see [`RegistryError`].
    pub fn new(descriptors: Vec<EntityDescriptor>) -> Result<Self, RegistryError> {
        check::check(&descriptors)?;
        let mappings = conditions::compile(&descriptors)?;
        Ok(Self::index(descriptors, mappings))
    }

    fn index(descriptors: Vec<EntityDescriptor>, mappings: BTreeMap<String, Mapping>) -> Self {
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
            mappings,
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

    /// The compiled condition rules of a kind; none for one that is not registered.
    pub fn mapping(&self, kind: &str) -> Mapping {
        self.mappings.get(kind).cloned().unwrap_or_default()
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
