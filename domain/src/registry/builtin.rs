//! The kinds that are always there.

use super::{EntityDescriptor, NameLength, ParentDeletePolicy};

fn adapters(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// `Cluster` and its `NodePool`s.
pub(super) fn descriptors() -> Vec<EntityDescriptor> {
    vec![
        EntityDescriptor {
            kind: "Cluster".to_owned(),
            plural: "clusters".to_owned(),
            required_adapters: adapters(&[
                "validation",
                "dns",
                "placement",
                "pullsecret",
                "hypershift",
            ]),
            name_length: NameLength { min: 3, max: 53 },
            spec_schema_name: Some("ClusterSpec".to_owned()),
            require_spec_schema: true,
            ..EntityDescriptor::default()
        },
        EntityDescriptor {
            kind: "NodePool".to_owned(),
            plural: "nodepools".to_owned(),
            parent_kind: Some("Cluster".to_owned()),
            on_parent_delete: Some(ParentDeletePolicy::Cascade),
            required_adapters: adapters(&["validation", "hypershift"]),
            name_length: NameLength { min: 3, max: 15 },
            spec_schema_name: Some("NodePoolSpec".to_owned()),
            require_spec_schema: true,
            ..EntityDescriptor::default()
        },
    ]
}
