//! The registries that the API contract's conformance cases are written for.

use hyperfleet_domain::registry::{
    EntityDescriptor, NameLength, ParentDeletePolicy, ReferenceRule, Registry,
};

/// Registry A: the contract's default kinds, with open spec schemas.
pub fn registry_a() -> Registry {
    new(kinds_a())
}

/// Registry B: A and kinds that have every shape a kind can have. None of them has a spec schema.
pub fn registry_b() -> Registry {
    let mut kinds = kinds_a();
    kinds.push(EntityDescriptor {
        required_adapters: names(&["alpha", "beta-two"]),
        ..kind("Gadget", "gadgets")
    });
    kinds.push(EntityDescriptor {
        required_adapters: names(&["alpha"]),
        on_parent_delete: Some(ParentDeletePolicy::Cascade),
        ..child(kind("Widget", "widgets"), "Gadget")
    });
    kinds.push(child(kind("Orphan", "orphans"), "Gadget"));
    kinds.push(EntityDescriptor {
        references: vec![
            reference("wif_config", "WifConfig", 1, 1),
            reference("chans", "Channel", 0, 2),
        ],
        ..kind("Plain", "plains")
    });
    new(kinds)
}

fn kinds_a() -> Vec<EntityDescriptor> {
    vec![
        EntityDescriptor {
            required_adapters: names(&["validation", "dns", "pullsecret", "hypershift"]),
            name_length: NameLength { min: 3, max: 53 },
            spec_schema_name: Some("ClusterSpec".to_owned()),
            require_spec_schema: true,
            ..kind("Cluster", "clusters")
        },
        EntityDescriptor {
            required_adapters: names(&["validation", "hypershift"]),
            name_length: NameLength { min: 3, max: 15 },
            on_parent_delete: Some(ParentDeletePolicy::Cascade),
            spec_schema_name: Some("NodePoolSpec".to_owned()),
            require_spec_schema: true,
            ..child(kind("NodePool", "nodepools"), "Cluster")
        },
        kind("Channel", "channels"),
        EntityDescriptor {
            on_parent_delete: Some(ParentDeletePolicy::Restrict),
            ..child(kind("Version", "versions"), "Channel")
        },
        kind("WifConfig", "wifconfigs"),
    ]
}

fn new(kinds: Vec<EntityDescriptor>) -> Registry {
    Registry::new(kinds).expect("the kinds agree with each other")
}

fn kind(kind: &str, plural: &str) -> EntityDescriptor {
    EntityDescriptor {
        kind: kind.to_owned(),
        plural: plural.to_owned(),
        name_length: NameLength { min: 1, max: 100 },
        ..EntityDescriptor::default()
    }
}

fn child(entry: EntityDescriptor, parent: &str) -> EntityDescriptor {
    EntityDescriptor {
        parent_kind: Some(parent.to_owned()),
        ..entry
    }
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn reference(ref_type: &str, target_kind: &str, min: usize, max: usize) -> ReferenceRule {
    ReferenceRule {
        ref_type: ref_type.to_owned(),
        target_kind: target_kind.to_owned(),
        min,
        max,
    }
}
