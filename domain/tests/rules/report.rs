//! Which reports are refused, dropped and stored, and how.

use chrono::TimeDelta;
use hyperfleet_domain::adapter_status::AdapterMetadata;
use hyperfleet_domain::resource::{Discard, Effect, RefusalClass, ReportAdapterStatus};
use hyperfleet_domain::{Command, Event, Refusal};
use serde_json::json;

use super::support::*;

fn gadget() -> World {
    let mut world = World::new();
    world.create("Gadget", "g", None);
    world
}

fn refusal(world: &mut World, report: Report) -> Refusal {
    world.run("g", report).unwrap_err()
}

#[test]
fn a_wrong_report_is_refused_in_the_words_of_the_contract() {
    type Change = fn(&mut ReportAdapterStatus);
    let cases: [(Change, &str); 8] = [
        (|report| report.adapter.clear(), "adapter is required"),
        (
            |report| report.adapter = "a".repeat(256),
            "adapter must be at most 255 characters",
        ),
        (
            |report| report.observed_generation = 0,
            "observed_generation must be >= 1",
        ),
        (
            |report| report.conditions[1].r#type.clear(),
            "condition type cannot be empty at index 1",
        ),
        (
            |report| report.conditions[1].r#type = "Available".to_owned(),
            "duplicate condition type 'Available' at index 1",
        ),
        (
            |report| report.conditions[2].status = "Ready".to_owned(),
            "invalid status value 'Ready' for condition at index 2 (type: Health): must be 'True', 'False', or 'Unknown'",
        ),
        (
            |report| report.observed_time = Some(report.now + TimeDelta::minutes(6)),
            "observed_time must not be more than 5m0s in the future",
        ),
        (
            |report| report.observed_time = Some(report.now - TimeDelta::minutes(31)),
            "observed_time must not be more than 30m0s in the past",
        ),
    ];
    for (change, detail) in cases {
        let refusal = refusal(&mut gadget(), report("alpha", 1, "True", 1).with(change));
        assert_eq!(refusal.to_string(), detail);
        let expected = RefusalClass::Validation {
            code: "VAL-000",
            unprocessable: false,
        };
        assert_eq!(refusal.class(), expected);
    }
}

#[test]
fn times_just_within_the_limits_are_accepted() {
    for minutes in [4, -29] {
        let report = report("alpha", 1, "True", 1).with(|report| {
            report.observed_time = Some(report.now + TimeDelta::minutes(minutes));
        });
        assert_eq!(gadget().report("g", report).effect, Effect::Recorded);
    }
}

#[test]
fn a_report_without_a_time_is_observed_now() {
    let report = report("alpha", 1, "True", 7).with(|report| report.observed_time = None);
    let resource = gadget().report("g", report).resource;
    assert_eq!(resource.statuses["alpha"].last_report_time, at(7));
}

#[test]
fn the_mandatory_conditions_are_missed_in_order() {
    let missing = |report: Report| refusal(&mut gadget(), report).to_string();
    let suffix = "all adapters must report Available, Applied, and Health";
    assert_eq!(
        missing(report("alpha", 1, "True", 1).without("Health")),
        format!("missing mandatory condition 'Health': {suffix}")
    );
    assert_eq!(
        missing(report("alpha", 1, "True", 1).with(|report| report.conditions.clear())),
        format!("missing mandatory condition 'Available': {suffix}")
    );
}

#[test]
fn outdated_reports_are_dropped_even_when_incomplete() {
    let mut world = gadget();
    world.run("g", patch_spec(1, json!({"size": 2}))).unwrap();
    world.report("g", report("alpha", 2, "True", 10));
    let before = world.get("g");
    let cases = [
        (report("alpha", 3, "True", 11), Discard::FutureGeneration),
        (report("alpha", 1, "True", 11), Discard::StaleGeneration),
        (report("alpha", 2, "False", 9), Discard::StaleObservation),
        (
            report("alpha", 2, "False", 9).without("Health"),
            Discard::StaleObservation,
        ),
        (
            report("alpha", 2, "Unknown", 11),
            Discard::UnknownAvailability,
        ),
    ];
    for (report, discard) in cases {
        let refusal = refusal(&mut world, report);
        assert_eq!(refusal, Refusal::Discarded(discard));
        assert_eq!(refusal.class(), RefusalClass::Discarded);
    }
    assert_eq!(world.get("g"), before);
}

#[test]
fn a_report_about_an_older_generation_counts_when_nothing_newer_is_stored() {
    let mut world = gadget();
    world.run("g", patch_spec(1, json!({"size": 2}))).unwrap();
    let change = world.report("g", report("alpha", 1, "True", 2));
    assert_eq!(change.resource.statuses["alpha"].observed_generation, 1);
}

#[test]
fn an_unknown_first_report_is_stored_without_aggregation() {
    let mut world = gadget();
    let change = world.report("g", report("alpha", 1, "Unknown", 1));
    assert!(matches!(
        change.events.as_slice(),
        [Event::AdapterStatusReported(_)]
    ));
    let change = world.report("g", report("alpha", 1, "True", 2));
    assert!(change.resource.condition("AlphaSuccessful").is_some());
}

#[test]
fn transition_times_move_with_their_status_only() {
    let mut world = gadget();
    let first = report("alpha", 1, "True", 1).with(|report| {
        report.data = object(json!({"a": 1}));
        report.metadata = Some(AdapterMetadata::default());
    });
    world.report("g", first);
    let second = world
        .report("g", report("alpha", 1, "True", 2))
        .resource
        .statuses["alpha"]
        .clone();
    assert_eq!(
        (second.created_time, second.last_report_time),
        (at(1), at(2))
    );
    assert!(
        second
            .conditions
            .iter()
            .all(|condition| condition.last_transition_time == at(1))
    );
    assert_eq!((second.data.len(), second.metadata), (0, None));
    let third = world
        .report("g", report("alpha", 1, "False", 3))
        .resource
        .statuses["alpha"]
        .clone();
    assert_eq!(
        third.condition("Available").unwrap().last_transition_time,
        at(3)
    );
    assert_eq!(
        third.condition("Health").unwrap().last_transition_time,
        at(1)
    );
}

#[test]
fn the_same_time_and_generation_keep_the_old_content() {
    let mut world = gadget();
    world.report("g", report("alpha", 1, "True", 1));
    let before = world.get("g");
    let again =
        report("alpha", 1, "True", 1).with(|report| report.data = object(json!({"new": true})));
    let change = world.report("g", again);
    assert_eq!(
        (change.effect, change.resource),
        (Effect::Unchanged, before)
    );
}

#[test]
fn a_report_that_says_nothing_new_is_liveness_and_not_history() {
    let mut world = gadget();
    world.report("g", report("alpha", 1, "True", 1));
    let reordered = report("alpha", 1, "True", 5).with(|report| report.conditions.reverse());
    let change = world.report("g", reordered);
    assert_eq!((change.effect, change.events.len()), (Effect::Liveness, 0));
    let live = world.get("g");
    assert_eq!(live.statuses["alpha"].last_report_time, at(5));
    assert_eq!(
        live.condition("AlphaSuccessful").unwrap().last_updated_time,
        at(5)
    );
    world.assert_replays();
}

#[test]
fn a_report_to_nothing_is_not_found() {
    let refusal = World::new()
        .run("nothing", Command::from(report("alpha", 1, "True", 1)))
        .unwrap_err();
    assert_eq!(refusal, Refusal::TargetNotFound);
    assert_eq!(refusal.class(), RefusalClass::NotFound);
}
