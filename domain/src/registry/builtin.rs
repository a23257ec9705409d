//! The kinds of an installation that configures none.

use super::{EntityDescriptor, NameLength, ParentDeletePolicy};

fn adapters(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// A kind without adapters, whose schema a deployment may add.
fn plain(kind: &str, plural: &str) -> EntityDescriptor {
    EntityDescriptor {
        kind: kind.to_owned(),
        plural: plural.to_owned(),
        name_length: NameLength { min: 1, max: 100 },
        spec_schema_name: Some(format!("{kind}Spec")),
        ..EntityDescriptor::default()
    }
}

/// The default registry of API contract v1, and `placement` among a cluster's adapters.
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
        plain("Channel", "channels"),
        EntityDescriptor {
            parent_kind: Some("Channel".to_owned()),
            on_parent_delete: Some(ParentDeletePolicy::Restrict),
            ..plain("Version", "versions")
        },
        plain("WifConfig", "wifconfigs"),
    ]
}
