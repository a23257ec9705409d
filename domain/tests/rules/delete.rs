//! Deletion: cascade, restriction, finalizing, removal by reports and by force.

use std::collections::BTreeMap;

use hyperfleet_domain::resource::{Lifecycle, RefusalClass, StreamChange};
use hyperfleet_domain::{Command, Event, Refusal};

use super::support::*;

fn conflict(result: Result<StreamChange, Refusal>) -> String {
    let refusal = result.unwrap_err();
    assert_eq!(refusal.class(), RefusalClass::Conflict { code: "CNF-003" });
    refusal.to_string()
}

fn family() -> World {
    let mut world = World::new();
    world.create("Gadget", "g", None);
    world.create("Widget", "w", Some("g"));
    world
}

fn finalized(adapter: &str, seconds: i64) -> Report {
    report(adapter, 2, "True", seconds).finalized("True")
}

#[test]
fn a_deletion_marks_the_resource_and_frees_its_name() {
    let mut world = World::new();
    world.create("Gadget", "g", None);
    let change = world.delete("g", 10).unwrap();
    let gadget = &change.resource;
    assert_eq!(
        (gadget.lifecycle, gadget.generation),
        (Lifecycle::Finalizing, 2)
    );
    assert_eq!(
        (gadget.deleted_time, gadget.updated_time),
        (Some(at(10)), at(10))
    );
    assert_eq!(gadget.deleted_by.as_deref(), Some("deleter"));
    assert_eq!(gadget.updated_by, "creator");
    assert_eq!(change.release, Some(gadget.name_claim()));
    assert!(world.claims.is_empty());

    let again = world.delete("g", 20).unwrap();
    assert_eq!((again.resource, again.events), (change.resource, vec![]));
}

#[test]
fn a_deletion_cascades_with_one_time_and_caller() {
    let mut world = family();
    world.delete("g", 10).unwrap();
    let widget = world.get("w");
    assert_eq!(
        (widget.lifecycle, widget.generation),
        (Lifecycle::Finalizing, 2)
    );
    assert_eq!(widget.deleted_time, Some(at(10)));
    assert!(world.get("g").children["w"].deleting);
    world.assert_replays();
}

#[test]
fn active_children_restrict_a_deletion_and_nothing_happens() {
    let mut world = World::new();
    world.create("Channel", "c", None);
    world.create("Version", "v", Some("c"));
    let before = world.get("c");
    assert_eq!(
        conflict(world.delete("c", 10)),
        "Cannot delete Channel 'c': active Version(s) exist"
    );
    assert_eq!(world.get("c"), before);
    world.delete("v", 11).unwrap();
    assert_eq!(world.get("c").children, BTreeMap::new());
    let removed = world.delete("c", 12).unwrap().resource;
    assert_eq!(
        (removed.lifecycle, removed.generation),
        (Lifecycle::Removed, 2)
    );
    assert_eq!(world.delete("c", 13).unwrap_err(), Refusal::TargetNotFound);
}

#[test]
fn every_required_adapter_must_finalize_at_the_current_generation() {
    let mut world = World::new();
    world.create("Gadget", "g", None);
    world.report("g", report("beta-two", 1, "True", 1).finalized("True"));
    world.report("g", report("alpha", 1, "True", 1).finalized("True"));
    assert_eq!(world.get("g").lifecycle, Lifecycle::Active);
    world.delete("g", 10).unwrap();
    world.report("g", finalized("alpha", 11));
    world.report("g", report("beta-two", 2, "True", 12).finalized("False"));
    assert_eq!(world.get("g").lifecycle, Lifecycle::Finalizing);
    let change = world.report("g", finalized("beta-two", 13));
    assert!(matches!(
        change.events.as_slice(),
        [Event::AdapterStatusReported(_), Event::ResourceRemoved(_)]
    ));
    assert!(change.resource.statuses.contains_key("beta-two"));
    assert_eq!(
        world.run("g", finalized("alpha", 14)).unwrap_err(),
        Refusal::TargetNotFound
    );
}

#[test]
fn a_parent_waits_for_its_finalizing_children_and_for_one_more_report() {
    let mut world = family();
    world.delete("g", 10).unwrap();
    world.report("g", finalized("alpha", 11));
    let gadget = world.report("g", finalized("beta-two", 12)).resource;
    assert_eq!(gadget.lifecycle, Lifecycle::Finalizing);
    assert!(gadget.condition("Reconciled").unwrap().status.is_true());
    world.report("w", finalized("alpha", 13));
    assert_eq!(world.get("w").lifecycle, Lifecycle::Removed);
    assert_eq!(world.get("g").lifecycle, Lifecycle::Finalizing);
    assert!(world.get("g").children.is_empty());
    world.report("g", finalized("alpha", 14));
    assert_eq!(world.get("g").lifecycle, Lifecycle::Removed);
    world.assert_replays();
}

#[test]
fn an_active_orphan_holds_reconciled_and_removal() {
    let mut world = World::new();
    world.create("Gadget", "g", None);
    world.create("Orphan", "o", Some("g"));
    world.delete("g", 10).unwrap();
    assert_eq!(world.get("o").lifecycle, Lifecycle::Active);
    world.report("g", finalized("alpha", 11));
    let gadget = world.report("g", finalized("beta-two", 12)).resource;
    let reconciled = gadget.condition("Reconciled").unwrap();
    assert_eq!(
        reconciled.reason.as_deref(),
        Some("ReconciledWaitingForChildren")
    );
    assert!(!reconciled.status.is_true());

    // The child's deletion alone changes nothing; the next report, though only liveness, does.
    world.delete("o", 13).unwrap();
    let change = world.report("g", finalized("alpha", 14));
    assert!(matches!(
        change.events.as_slice(),
        [Event::ConditionsChanged(_)]
    ));
    assert!(
        change
            .resource
            .condition("Reconciled")
            .unwrap()
            .status
            .is_true()
    );
    world.assert_replays();
}

#[test]
fn a_finalizing_kind_without_adapters_goes_with_the_next_delete_or_finalized_report() {
    use hyperfleet_domain::registry::{ParentDeletePolicy, Registry};
    for by_report in [false, true] {
        let mut descriptors = descriptors();
        descriptors[0].required_adapters.clear();
        descriptors[1].on_parent_delete = Some(ParentDeletePolicy::Cascade);
        let mut world = World::with(Registry::new(descriptors).unwrap());
        world.create("Gadget", "g", None);
        world.create("Widget", "w", Some("g"));
        world.delete("g", 10).unwrap();
        world.report("w", finalized("alpha", 11));
        assert_eq!(world.get("g").lifecycle, Lifecycle::Finalizing);
        if by_report {
            world.report("g", finalized("any", 12));
        } else {
            world.delete("g", 12).unwrap();
        }
        assert_eq!(world.get("g").lifecycle, Lifecycle::Removed);
    }
}

#[test]
fn force_removes_a_finalizing_resource_with_everything_below() {
    let mut world = family();
    world.create("Orphan", "o", Some("g"));
    assert_eq!(
        conflict(world.run("g", force_delete(5))),
        "Gadget 'g' is not in Finalizing state"
    );
    world.delete("g", 10).unwrap();
    world.run("g", force_delete(11)).unwrap();
    for id in ["g", "w", "o"] {
        assert_eq!(world.get(id).lifecycle, Lifecycle::Removed, "{id}");
    }
    assert!(world.claims.is_empty());
    assert_eq!(
        world.run("g", force_delete(12)).unwrap_err(),
        Refusal::TargetNotFound
    );
    world.assert_replays();
}

#[test]
fn a_forced_child_leaves_its_owner() {
    let mut world = family();
    world.delete("w", 10).unwrap();
    world.run("w", force_delete(11)).unwrap();
    assert!(world.get("g").children.is_empty());
}

#[test]
fn a_forced_deletion_needs_a_reason_of_bounded_length_in_characters() {
    let mut world = World::new();
    world.create("Gadget", "g", None);
    world.delete("g", 1).unwrap();
    let mut with = |reason: String| {
        let Command::ForceDelete(mut force) = force_delete(2) else {
            panic!("not forced")
        };
        force.reason = reason;
        world
            .run("g", Command::ForceDelete(force))
            .map_err(|refusal| refusal.to_string())
    };
    assert_eq!(with(String::new()).unwrap_err(), "reason is required");
    assert_eq!(
        with("ä".repeat(1025)).unwrap_err(),
        "reason must be at most 1024 characters"
    );
    assert!(with("ä".repeat(1024)).is_ok());
}
