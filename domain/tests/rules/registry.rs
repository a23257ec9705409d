//! The built-in kinds, configured ones, and contradictory ones.

use hyperfleet_domain::registry::{
    EntityDescriptor, ParentDeletePolicy, ReferenceRule, Registry, RegistryError,
};
use serde_json::json;

use super::support::descriptors;

#[test]
fn the_builtin_kinds_are_consistent() {
    let builtin = Registry::builtin();
    let again = Registry::new(builtin.iter().cloned().collect()).unwrap();
    assert_eq!(again, builtin);
    let pool = builtin.by_plural("nodepools").unwrap();
    assert_eq!(pool.on_parent_delete, Some(ParentDeletePolicy::Cascade));
    assert_eq!(builtin.children_of("Cluster").collect::<Vec<_>>(), [pool]);
    let version = builtin.by_kind("Version").unwrap();
    assert_eq!(version.on_parent_delete, Some(ParentDeletePolicy::Restrict));
    let kinds: Vec<&str> = builtin.iter().map(|entry| entry.kind.as_str()).collect();
    assert_eq!(
        kinds,
        ["Cluster", "NodePool", "Channel", "Version", "WifConfig"]
    );
}

#[test]
fn an_entry_of_configuration_is_read_strictly() {
    let entry = json!({
        "kind": "Version", "plural": "versions", "parent_kind": "Channel",
        "on_parent_delete": "restrict", "name_min_len": 1, "name_max_len": 9,
    });
    let version: EntityDescriptor = serde_json::from_value(entry).unwrap();
    assert_eq!((version.name_length.min, version.name_length.max), (1, 9));
    assert_eq!(version.on_parent_delete, Some(ParentDeletePolicy::Restrict));
    let unknown_policy = json!({"kind": "A", "plural": "as", "on_parent_delete": "orphan"});
    let orphan: EntityDescriptor = serde_json::from_value(unknown_policy).unwrap();
    assert_eq!(orphan.on_parent_delete, None);
    let rules = json!({"kind": "A", "plural": "as", "conditions": [{
        "type": "Up", "when": {"expression": "true"},
        "output": {"status": {"expression": "true"}, "reason": {"expression": "'R'"},
                   "message": {"expression": "'m'"}},
    }]});
    let ruled: EntityDescriptor = serde_json::from_value(rules).unwrap();
    assert_eq!(ruled.condition_rules[0].reason, "'R'");
    assert_ne!(ruled.rules_text(), orphan.rules_text());
    let typo = json!({"kind": "Version", "plural": "versions", "parent": "Channel"});
    let error = serde_json::from_value::<EntityDescriptor>(typo).unwrap_err();
    assert!(error.to_string().contains("parent"), "{error}");
}

type Change = fn(&mut Vec<EntityDescriptor>);

fn rule(target: &str, min: usize, max: usize) -> ReferenceRule {
    ReferenceRule {
        ref_type: "r".to_owned(),
        target_kind: target.to_owned(),
        min,
        max,
    }
}

#[test]
fn contradictions_are_refused() {
    let cases: [(Change, &str); 13] = [
        (|all| all[0].kind.clear(), "has an empty kind"),
        (
            |all| all[3].kind = "Gadget".to_owned(),
            "kind 'Gadget' is registered twice",
        ),
        (|all| all[0].plural.clear(), "'Gadget' has an empty plural"),
        (
            |all| all[3].plural = "gadgets".to_owned(),
            "'gadgets' of kind 'Channel' is taken",
        ),
        (
            |all| all[0].plural = "resources".to_owned(),
            "'resources' of kind 'Gadget' is a fixed",
        ),
        (
            |all| all[0].plural = "Ga/dgets".to_owned(),
            "cannot be part of a URL",
        ),
        (
            |all| all[1].plural = "statuses".to_owned(),
            "'statuses' of kind 'Widget' is a fixed",
        ),
        (
            |all| all[1].parent_kind = Some("X".to_owned()),
            "unregistered parent 'X'",
        ),
        (
            |all| all[0].parent_kind = Some("Widget".to_owned()),
            "is its own ancestor",
        ),
        (
            |all| all[0].references = vec![rule("X", 0, 0)],
            "targets the unregistered kind 'X'",
        ),
        (
            |all| all[0].references = vec![rule("Plan", 0, 0); 2],
            "reference 'r' twice",
        ),
        (
            |all| all[0].references = vec![rule("Plan", 2, 1)],
            "max 1 below min 2",
        ),
        (
            |all| all[0].references = vec![rule("Gadget", 1, 0)],
            "'Gadget' requires itself",
        ),
    ];
    for (change, expected) in cases {
        let mut all = descriptors();
        change(&mut all);
        let error = Registry::new(all).unwrap_err().to_string();
        assert!(
            error.contains(expected),
            "{error} does not contain {expected}"
        );
    }
    let mut all = descriptors();
    all[0].name_length.min = 30;
    assert!(matches!(
        Registry::new(all),
        Err(RegistryError::NameBounds { .. })
    ));
}
