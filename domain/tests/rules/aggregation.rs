//! The life of one gadget with two required adapters (conformance of aggregation).

use hyperfleet_domain::condition::{Condition, ConditionStatus};
use serde_json::json;

use super::support::*;

const AVAILABLE_MESSAGE: &str = "Required adapters not reporting Available=True";

struct Gadget(World);

impl Gadget {
    fn new() -> Self {
        let mut world = World::new();
        world.create("Gadget", "g", None);
        Self(world)
    }

    fn reconciled_at_one() -> Self {
        let mut gadget = Self::new();
        gadget.report("alpha", 1, "True", 1);
        gadget.report("beta-two", 1, "True", 2);
        gadget.report("alpha", 1, "True", 3);
        gadget
    }

    fn report(&mut self, adapter: &str, generation: i32, available: &str, seconds: i64) {
        self.0
            .report("g", report(adapter, generation, available, seconds));
        self.0.assert_replays();
    }

    fn patch(&mut self, seconds: i64) {
        self.0
            .run("g", patch_spec(seconds, json!({"size": seconds})))
            .unwrap();
    }

    fn condition(&self, r#type: &str) -> Condition {
        self.0.get("g").condition(r#type).cloned().unwrap()
    }

    fn types(&self) -> Vec<String> {
        self.0
            .get("g")
            .conditions
            .into_iter()
            .map(|condition| condition.r#type)
            .collect()
    }

    /// Status, observed generation, last update and transition, in seconds of the story.
    fn brief(&self, r#type: &str) -> (bool, i32, i64, i64) {
        let condition = self.condition(r#type);
        let seconds = |time: chrono::DateTime<chrono::Utc>| (time - at(0)).num_seconds();
        (
            condition.status == ConditionStatus::True,
            condition.observed_generation,
            seconds(condition.last_updated_time),
            seconds(condition.last_transition_time),
        )
    }

    fn message(&self, r#type: &str) -> String {
        self.condition(r#type).message.unwrap()
    }

    fn reason(&self, r#type: &str) -> String {
        self.condition(r#type).reason.unwrap()
    }
}

#[test]
fn a_new_resource_has_both_conditions_false_since_its_creation() {
    let gadget = Gadget::new();
    assert_eq!(gadget.types(), ["Reconciled", "LastKnownReconciled"]);
    assert_eq!(gadget.brief("Reconciled"), (false, 1, 0, 0));
    assert_eq!(gadget.reason("Reconciled"), "ReconciledMissingAdapters");
    let expected = format!("{AVAILABLE_MESSAGE}: [alpha, beta-two]. Currently reporting: []");
    assert_eq!(gadget.message("Reconciled"), expected);
    assert_eq!(gadget.brief("LastKnownReconciled"), (false, 1, 0, 0));
    assert_eq!(
        gadget.reason("LastKnownReconciled"),
        "AdaptersMissingReports"
    );
}

#[test]
fn reports_bring_the_resource_to_reconciled() {
    let mut gadget = Gadget::new();
    gadget.report("alpha", 1, "True", 1);
    assert_eq!(gadget.brief("Reconciled"), (false, 1, 1, 0));
    let expected = format!("{AVAILABLE_MESSAGE}: [beta-two]. Currently reporting: [alpha]");
    assert_eq!(gadget.message("Reconciled"), expected);
    assert_eq!(gadget.brief("AlphaSuccessful"), (true, 1, 1, 1));
    assert_eq!(gadget.condition("AlphaSuccessful").created_time, at(0));

    gadget.report("beta-two", 1, "True", 2);
    assert_eq!(gadget.brief("Reconciled"), (true, 1, 1, 1));
    assert_eq!(gadget.reason("Reconciled"), "ReconciledAll");
    assert_eq!(gadget.brief("LastKnownReconciled"), (true, 1, 1, 1));
    assert_eq!(
        gadget.reason("LastKnownReconciled"),
        "AllAdaptersReconciled"
    );
    let types = [
        "Reconciled",
        "LastKnownReconciled",
        "AlphaSuccessful",
        "BetaTwoSuccessful",
    ];
    assert_eq!(gadget.types(), types);
    assert!(
        gadget
            .0
            .get("g")
            .conditions
            .iter()
            .all(|condition| condition.created_time == at(0))
    );

    gadget.report("alpha", 1, "True", 3);
    assert_eq!(gadget.brief("Reconciled"), (true, 1, 2, 1));
}

#[test]
fn a_new_generation_is_unreconciled_but_the_last_known_state_holds() {
    let mut gadget = Gadget::reconciled_at_one();
    gadget.patch(10);
    assert_eq!(gadget.brief("Reconciled"), (false, 2, 10, 10));
    assert_eq!(gadget.brief("LastKnownReconciled"), (true, 1, 2, 1));
    assert_eq!(gadget.brief("AlphaSuccessful"), (true, 1, 3, 1));

    gadget.report("alpha", 2, "True", 14);
    let expected =
        format!("{AVAILABLE_MESSAGE}: [beta-two]. Currently reporting: [alpha, beta-two]");
    assert_eq!(gadget.message("Reconciled"), expected);
    assert_eq!(gadget.brief("LastKnownReconciled"), (true, 1, 2, 1));

    gadget.report("alpha", 2, "False", 15);
    assert_eq!(gadget.brief("LastKnownReconciled"), (true, 1, 2, 1));
    assert_eq!(gadget.brief("AlphaSuccessful"), (false, 2, 15, 15));

    gadget.report("beta-two", 1, "False", 16);
    assert_eq!(gadget.brief("LastKnownReconciled"), (false, 2, 15, 15));
    assert_eq!(
        gadget.reason("LastKnownReconciled"),
        "AdapterReportedNotAvailable"
    );

    gadget.report("alpha", 2, "True", 17);
    gadget.report("beta-two", 2, "True", 18);
    assert_eq!(gadget.brief("Reconciled"), (true, 2, 17, 17));
    assert_eq!(gadget.brief("LastKnownReconciled"), (true, 2, 17, 17));

    gadget.report("alpha", 2, "False", 19);
    assert_eq!(gadget.brief("Reconciled"), (false, 2, 18, 18));
    assert!(!gadget.brief("LastKnownReconciled").0);
}

#[test]
fn adapters_available_at_different_generations_do_not_agree() {
    let mut gadget = Gadget::new();
    gadget.report("alpha", 1, "True", 1);
    gadget.patch(5);
    gadget.report("beta-two", 2, "True", 6);
    let (holds, generation, ..) = gadget.brief("LastKnownReconciled");
    assert_eq!((holds, generation), (false, 2));
    assert_eq!(
        gadget.reason("LastKnownReconciled"),
        "AdaptersNotAtSameGeneration"
    );
}

#[test]
fn reason_and_message_of_available_are_copied() {
    let mut gadget = Gadget::new();
    let report = report("alpha", 1, "False", 1).with(|report| {
        report.conditions[0].reason = Some("Broken".to_owned());
        report.conditions[0].message = Some("it is broken".to_owned());
    });
    gadget.0.report("g", report);
    assert_eq!(gadget.reason("AlphaSuccessful"), "Broken");
    assert_eq!(gadget.message("AlphaSuccessful"), "it is broken");
}

#[test]
fn other_adapters_are_stored_but_not_aggregated() {
    let mut gadget = Gadget::new();
    gadget.report("gamma", 1, "False", 1);
    assert_eq!(gadget.types(), ["Reconciled", "LastKnownReconciled"]);
    assert_eq!(gadget.brief("Reconciled"), (false, 1, 0, 0));
    assert!(gadget.0.get("g").statuses.contains_key("gamma"));
}

#[test]
fn a_kind_without_adapters_has_no_conditions_until_somebody_reports() {
    let mut world = World::new();
    assert_eq!(world.create("Channel", "c", None).conditions, []);
    let reported = world.report("c", report("any", 1, "True", 1)).resource;
    let reconciled = reported.condition("Reconciled").unwrap();
    assert_eq!(reconciled.status, ConditionStatus::False);
    let expected = format!("{AVAILABLE_MESSAGE}: []. Currently reporting: []");
    assert_eq!(reconciled.message.as_deref(), Some(expected.as_str()));
    let last_known = reported.condition("LastKnownReconciled").unwrap();
    assert_eq!(
        (last_known.status, last_known.observed_generation),
        (ConditionStatus::False, 1)
    );
}

#[test]
fn a_deletion_makes_reconciled_false_since_the_request() {
    let mut gadget = Gadget::reconciled_at_one();
    gadget.0.delete("g", 20).unwrap();
    assert_eq!(gadget.brief("Reconciled"), (false, 2, 20, 20));
    assert_eq!(
        gadget.message("Reconciled"),
        "Required adapters not reporting Finalized=True: [alpha, beta-two]. Currently reporting: [alpha, beta-two]"
    );
}

#[test]
fn reevaluation_records_what_new_rules_change() {
    use hyperfleet_domain::resource::{Command, ReevaluateConditions};
    let mut gadget = Gadget::reconciled_at_one();
    let mut descriptors = descriptors();
    descriptors[0].required_adapters.push("gamma".to_owned());
    gadget.0.registry = hyperfleet_domain::Registry::new(descriptors).unwrap();
    let change = gadget
        .0
        .run("g", Command::Reevaluate(ReevaluateConditions))
        .unwrap();
    assert_eq!(change.events.len(), 1);
    assert!(!gadget.brief("Reconciled").0);
    let again = gadget
        .0
        .run("g", Command::Reevaluate(ReevaluateConditions))
        .unwrap();
    assert_eq!(again.events, []);
}
