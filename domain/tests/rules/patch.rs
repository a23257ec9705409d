//! Changing what is wanted, and the generation that counts it.

use std::collections::BTreeMap;

use hyperfleet_domain::resource::{Effect, PatchResource, RefusalClass};
use hyperfleet_domain::{Command, Event};
use serde_json::json;

use super::support::*;

fn gadget() -> World {
    let mut world = World::new();
    world.create("Gadget", "g", None);
    world
}

fn labels(value: &str) -> BTreeMap<String, String> {
    BTreeMap::from([("env".to_owned(), value.to_owned())])
}

#[test]
fn a_new_spec_is_a_new_generation() {
    let resource = gadget()
        .run("g", patch_spec(5, json!({"size": 2})))
        .unwrap()
        .resource;
    assert_eq!((resource.generation, resource.updated_time), (2, at(5)));
    assert_eq!(resource.updated_by, "changer");
    assert_eq!(
        resource
            .condition("Reconciled")
            .unwrap()
            .observed_generation,
        2
    );
}

#[test]
fn equal_values_change_nothing() {
    let mut world = gadget();
    let before = world.get("g");
    let same = PatchResource {
        spec: Some(object(json!({"size": 1.0}))),
        labels: Some(BTreeMap::new()),
        ..patch(5)
    };
    let change = world.run("g", Command::Patch(same)).unwrap();
    assert_eq!(
        (change.effect, change.resource),
        (Effect::Unchanged, before)
    );
}

#[test]
fn spec_and_labels_together_are_one_generation() {
    let mut world = gadget();
    let both = PatchResource {
        spec: Some(object(json!({}))),
        labels: Some(labels("prod")),
        ..patch(5)
    };
    let change = world.run("g", Command::Patch(both)).unwrap();
    assert_eq!(change.resource.generation, 2);
    assert!(matches!(
        change.events.as_slice(),
        [
            Event::SpecChanged(_),
            Event::LabelsChanged(_),
            Event::ConditionsChanged(_)
        ]
    ));
    let cleared = PatchResource {
        labels: Some(BTreeMap::new()),
        ..patch(6)
    };
    let change = world.run("g", Command::Patch(cleared)).unwrap();
    assert_eq!(
        (change.resource.generation, change.resource.labels.len()),
        (3, 0)
    );
}

#[test]
fn an_empty_patch_is_a_bad_request() {
    let refusal = gadget().run("g", Command::Patch(patch(5))).unwrap_err();
    assert_eq!(
        refusal.to_string(),
        "at least one field must be provided for update"
    );
    let expected = RefusalClass::Validation {
        code: "VAL-005",
        unprocessable: false,
    };
    assert_eq!(refusal.class(), expected);
}

#[test]
fn bad_labels_are_listed() {
    let bad = PatchResource {
        labels: Some(labels("<script>")),
        ..patch(5)
    };
    let refusal = gadget().run("g", Command::Patch(bad)).unwrap_err();
    assert_eq!(refusal.to_string(), "label validation failed");
    assert_eq!(refusal.field_errors()[0].field, "labels[env]");
}

#[test]
fn a_finalizing_resource_cannot_be_changed() {
    let mut world = gadget();
    world.delete("g", 5).unwrap();
    let refusal = world.run("g", patch_spec(6, json!({}))).unwrap_err();
    assert_eq!(refusal.to_string(), "Gadget 'g' is marked for deletion");
    assert_eq!(refusal.class(), RefusalClass::Conflict { code: "CNF-003" });
}
