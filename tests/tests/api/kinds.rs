//! A registry with every shape of kind: top-level and child, with and without adapters, with each
//! delete policy.

use hyperfleet_domain::registry::{EntityDescriptor, ParentDeletePolicy, Registry};

/// The built-in kinds and: `Gadget` with adapters, cascading `Widget`s and independent `Orphan`s. None
/// of the added kinds has a spec schema.
pub(crate) fn registry() -> Registry {
    let kind = |kind: &str, plural: &str| EntityDescriptor {
        kind: kind.to_owned(),
        plural: plural.to_owned(),
        ..EntityDescriptor::default()
    };
    let child = |name: &str, plural: &str, parent: &str, policy| EntityDescriptor {
        parent_kind: Some(parent.to_owned()),
        on_parent_delete: policy,
        ..kind(name, plural)
    };
    let mut kinds: Vec<_> = Registry::builtin().iter().cloned().collect();
    kinds.push(EntityDescriptor {
        required_adapters: vec!["alpha".to_owned(), "beta-two".to_owned()],
        ..kind("Gadget", "gadgets")
    });
    kinds.push(EntityDescriptor {
        required_adapters: vec!["alpha".to_owned()],
        ..child(
            "Widget",
            "widgets",
            "Gadget",
            Some(ParentDeletePolicy::Cascade),
        )
    });
    kinds.push(child("Orphan", "orphans", "Gadget", None));
    Registry::new(kinds).expect("the kinds agree with each other")
}
