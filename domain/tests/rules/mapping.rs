//! Condition rules. The number in a test's name is the number of the conformance case.

use hyperfleet_domain::condition::{Condition, ConditionStatus, RECONCILED};
use hyperfleet_domain::mapping::{ConditionRule, FAILED, Part};
use hyperfleet_domain::registry::Registry;
use hyperfleet_domain::resource::{Command, Effect, ReevaluateConditions};
use serde_json::{Value, json};

use super::support::*;

const NET_REPORTED: &str = "statuses.exists(s, s.adapter == 'net')";
const NET_READY: &str =
    "statuses.filter(s, s.adapter == 'net')[0].conditions.filter(c, c.type == 'Ready')[0].status";

pub(crate) fn rule(
    r#type: &str,
    when: &str,
    status: &str,
    reason: &str,
    message: &str,
) -> ConditionRule {
    ConditionRule {
        r#type: r#type.to_owned(),
        when: when.to_owned(),
        status: status.to_owned(),
        reason: reason.to_owned(),
        message: message.to_owned(),
    }
}

pub(crate) fn net_ready() -> ConditionRule {
    rule(
        "NetReady",
        NET_REPORTED,
        NET_READY,
        "'FromNet'",
        "'as reported'",
    )
}

/// A world whose gadgets have these rules, with one gadget `g`.
pub(crate) fn world(rules: Vec<ConditionRule>) -> World {
    let mut all = descriptors();
    all[0].condition_rules = rules;
    let mut world = World::new();
    world.registry = Registry::new(all).unwrap();
    world.create("Gadget", "g", None);
    world
}

fn net(status: &str, seconds: i64) -> Report {
    report("net", 1, "True", seconds).with(|report| {
        let mut ready = report.conditions[0].clone();
        "Ready".clone_into(&mut ready.r#type);
        status.clone_into(&mut ready.status);
        report.conditions.push(ready);
    })
}

fn with_data(report: Report, data: Value) -> Report {
    report.with(|report| report.data = object(data))
}

fn condition(world: &World, r#type: &str) -> Option<Condition> {
    world.get("g").condition(r#type).cloned()
}

/// What the message of a rule shows once `net` reported this data.
fn shown(data: Value, message: &str) -> Option<String> {
    let mut world = world(vec![rule("Shown", "true", "true", "'R'", message)]);
    world.report("g", with_data(net("True", 5), data));
    condition(&world, "Shown").unwrap().message
}

#[test]
fn case_210_a_rule_gives_a_condition_once_its_adapter_reported() {
    let mut world = world(vec![net_ready()]);
    assert_eq!(condition(&world, "NetReady"), None);
    world.report("g", report("alpha", 1, "True", 3));
    assert_eq!(condition(&world, "NetReady"), None);
    world.report("g", net("True", 5));
    let gadget = world.get("g");
    let types: Vec<_> = gadget
        .conditions
        .iter()
        .map(|condition| condition.r#type.as_str())
        .collect();
    assert_eq!(
        types,
        [
            "Reconciled",
            "LastKnownReconciled",
            "AlphaSuccessful",
            "NetReady"
        ]
    );
    let expected = Condition {
        r#type: "NetReady".to_owned(),
        status: ConditionStatus::True,
        reason: Some("FromNet".to_owned()),
        message: Some("as reported".to_owned()),
        observed_generation: 1,
        created_time: at(0),
        last_updated_time: at(0),
        last_transition_time: at(0),
    };
    assert_eq!(condition(&world, "NetReady"), Some(expected));
    world.assert_replays();
}

#[test]
fn times_of_a_mapped_condition_follow_the_resource() {
    let mut world = world(vec![net_ready()]);
    world.report("g", net("True", 5));
    world.run("g", patch_spec(9, json!({"size": 2}))).unwrap();
    let kept = condition(&world, "NetReady").unwrap();
    assert_eq!(kept.observed_generation, 2);
    assert_eq!(
        (
            kept.created_time,
            kept.last_updated_time,
            kept.last_transition_time
        ),
        (at(0), at(9), at(0))
    );
    world.report("g", net("False", 12));
    let changed = condition(&world, "NetReady").unwrap();
    assert_eq!(changed.status, ConditionStatus::False);
    assert_eq!(
        (
            changed.created_time,
            changed.last_updated_time,
            changed.last_transition_time
        ),
        (at(0), at(9), at(9))
    );
}

#[test]
fn case_211_a_failing_rule_marks_its_own_condition_and_loses_no_report() {
    let healthy = rule("Healthy", "true", "true", "'Fine'", "''");
    let mut world = world(vec![net_ready(), healthy]);
    let without_ready = || report("net", 1, "True", 5);
    let change = world.report("g", without_ready());
    assert!(change.resource.statuses.contains_key("net"));
    let failed = condition(&world, "NetReady").unwrap();
    assert_eq!(failed.status, ConditionStatus::False);
    assert_eq!(failed.reason.as_deref(), Some(FAILED));
    assert_eq!(
        failed.message.as_deref(),
        Some("status: index out of bounds: 0")
    );
    assert!(condition(&world, "Healthy").unwrap().status.is_true());
    let [failure] = change.mapping_failures.as_slice() else {
        panic!("{:?}", change.mapping_failures)
    };
    assert_eq!(
        (failure.kind.as_str(), failure.condition.as_str()),
        ("Gadget", "NetReady")
    );
    assert_eq!((failure.part, failure.is_new), (Part::Status, true));

    // It goes on to fail in the same way: told again, but not as something new.
    let again = world.report("g", with_data(report("net", 1, "True", 8), json!({"n": 1})));
    assert_eq!(again.mapping_failures.len(), 1);
    assert!(!again.mapping_failures[0].is_new);
    // A report that says nothing new evaluates nothing.
    let same = world.report("g", with_data(report("net", 1, "True", 9), json!({"n": 1})));
    assert_eq!(
        (same.effect, same.mapping_failures.len()),
        (Effect::Liveness, 0)
    );
    assert!(condition(&world, "NetReady").is_some());
    // And it recovers.
    let recovered = world.report("g", net("True", 12));
    assert!(recovered.mapping_failures.is_empty());
    assert!(condition(&world, "NetReady").unwrap().status.is_true());
    world.assert_replays();
}

#[test]
fn every_part_of_a_rule_can_fail() {
    let fails = "statuses[7].adapter";
    let cases = [
        (
            rule("Net", "statuses[7].adapter == ''", "true", "''", "''"),
            "when: index out of bounds: 7",
        ),
        (
            rule("Net", "statuses[0].adapter", "true", "''", "''"),
            "when: gave a value of type string, not a bool",
        ),
        (
            rule("Net", "true", "statuses[0].adapter", "''", "''"),
            "status: gave 'net', not 'True' or 'False'",
        ),
        (
            rule("Net", "true", "true", fails, "''"),
            "reason: index out of bounds: 7",
        ),
        (
            rule("Net", "true", "true", "resource.spec", "''"),
            "reason: gave a value of type map, not a string",
        ),
        (
            rule("Net", "true", "true", "''", "resource.generation + 1"),
            "message: the operator 'add' is not supported between double and int",
        ),
    ];
    for (rule, expected) in cases {
        let mut world = world(vec![rule]);
        world.report("g", net("True", 5));
        let failed = condition(&world, "Net").unwrap();
        assert_eq!(failed.reason.as_deref(), Some(FAILED));
        assert_eq!(failed.message.as_deref(), Some(expected));
    }
}

#[test]
fn a_costly_rule_fails_instead_of_running() {
    let costly = "statuses.all(a, resource.spec.n.all(b, resource.spec.n.all(c, resource.spec.n.all(d, d >= 0.0))))";
    let mut world = world(vec![rule("Costly", "true", costly, "''", "''")]);
    world.report("g", net("True", 5));
    world
        .run("g", patch_spec(6, json!({"n": vec![1; 200]})))
        .unwrap();
    let failed = condition(&world, "Costly").unwrap();
    assert_eq!(
        failed.message.as_deref(),
        Some("status: the expression costs more than 10000 units")
    );
}

#[test]
fn case_212_an_adapter_with_any_unknown_condition_is_left_out() {
    let mut world = world(vec![net_ready()]);
    world.report("g", net("Unknown", 5));
    assert_eq!(condition(&world, "NetReady"), None);
    world.report("g", net("True", 6));
    assert!(condition(&world, "NetReady").is_some());
    world.report("g", net("Unknown", 7));
    assert_eq!(condition(&world, "NetReady"), None);
}

#[test]
fn case_213_secrets_are_masked() {
    let data = || json!({"adminPassword": "hunter2", "deep": [{"x": {"api_KEY": {"a": 1}}}], "port": 8080});
    let dug = |path: &str| shown(data(), &format!("string(dig(statuses[0].data, '{path}'))"));
    assert_eq!(dug("adminPassword").as_deref(), Some("***REDACTED***"));
    assert_eq!(dug("deep.0.x.api_KEY").as_deref(), Some("***REDACTED***"));
    assert_eq!(dug("port").as_deref(), Some("8080"));
    let all = shown(data(), "toJson(statuses) + toJson(resource)").unwrap();
    assert!(!all.contains("hunter2"), "{all}");
    // What is nested too deep to be looked through is masked as a whole.
    let mut nested = json!({"password": "hunter2"});
    for _ in 0..25 {
        nested = json!([{"a": nested}]);
    }
    let all = shown(json!({"n": nested}), "toJson(statuses)").unwrap();
    assert!(
        !all.contains("hunter2") && all.contains("REDACTED"),
        "{all}"
    );
    // The spec is masked as well.
    let mut world = world(vec![rule(
        "Shown",
        "true",
        "true",
        "'R'",
        "toJson(resource.spec)",
    )]);
    world
        .run(
            "g",
            patch_spec(4, json!({"pullSecret": "hunter2", "size": 1.5})),
        )
        .unwrap();
    let message = condition(&world, "Shown").unwrap().message.unwrap();
    assert_eq!(message, r#"{"pullSecret":"***REDACTED***","size":1.5}"#);
}

#[test]
fn rules_see_the_resource_and_its_reports_by_the_names_of_the_contract() {
    let sees = |expression: &str| {
        let mut all = descriptors();
        all[1].condition_rules = vec![rule("Seen", "true", expression, "'R'", "''")];
        let mut world = World::new();
        world.registry = Registry::new(all).unwrap();
        world.create("Gadget", "g", None);
        world.create("Widget", "w", Some("g"));
        let report = report("net", 1, "True", 5).with(|report| {
            report.conditions[0].reason = Some("Why".to_owned());
            report.data = object(json!({"count": 3}));
        });
        world.report("w", report);
        world.delete("w", 9).unwrap();
        let seen = world.get("w").condition("Seen").unwrap().clone();
        assert!(seen.status.is_true(), "{expression}: {seen:?}");
    };
    for expression in [
        "resource.ID == 'w' && resource.kind == 'Widget' && resource.name == 'name-w'",
        "resource.CreatedTime == '2026-01-01T00:00:00Z' && resource.UpdatedTime == '2026-01-01T00:00:09Z'",
        "resource.href == '/api/hyperfleet/v1/gadgets/g/widgets/w'",
        "resource.created_by == 'creator' && resource.updated_by == 'creator' && resource.deleted_by == 'deleter'",
        "resource.deleted_time == '2026-01-01T00:00:09Z'",
        "resource.owner_id == 'g' && resource.owner_kind == 'Gadget' && resource.owner_href == '/api/hyperfleet/v1/gadgets/g'",
        "type(resource.generation) == double && resource.generation == 2 && resource.spec.size == 1",
        "resource.tenancy.size() == 0",
        "!has(resource.id) && !has(resource.labels) && !has(resource.metadata) && !has(resource.status)",
        "statuses.size() == 1 && statuses[0].adapter == 'net' && type(statuses[0].observed_generation) == double",
        "statuses[0].conditions.size() == 3 && statuses[0].conditions[0] == {'type': 'Available', 'status': 'True', 'reason': 'Why', 'message': ''}",
        "statuses[0].data.count / 2.0 == 1.5 && statuses[0].?data.?missing.orValue('none') == 'none'",
    ] {
        sees(expression);
    }
}

#[test]
fn optional_members_of_the_resource_are_absent_when_not_set() {
    let rules = vec![rule(
        "Plain",
        "true",
        "!has(resource.owner_id) && !has(resource.owner_kind) && !has(resource.owner_href) && !has(resource.deleted_by) && !has(resource.deleted_time)",
        "''",
        "''",
    )];
    assert!(condition(&world(rules), "Plain").unwrap().status.is_true());
}

#[test]
fn a_condition_goes_when_its_rule_no_longer_applies() {
    let mut world = world(vec![rule(
        "Small",
        "resource.spec.size < 5",
        "'TRUE'",
        "'Small'",
        "''",
    )]);
    assert!(condition(&world, "Small").is_some());
    world.run("g", patch_spec(5, json!({"size": 9}))).unwrap();
    assert_eq!(condition(&world, "Small"), None);
    world.run("g", patch_spec(8, json!({"size": 2}))).unwrap();
    assert_eq!(condition(&world, "Small").unwrap().created_time, at(8));
    world.assert_replays();
}

#[test]
fn long_reasons_and_messages_are_bounded() {
    let rules = vec![
        rule("Long", "true", "true", "resource.spec.reason", "'x'"),
        rule("Wordy", "true", "true", "'R'", "resource.spec.message"),
    ];
    let mut world = world(rules);
    let spec = |reason: usize| json!({"reason": "r".repeat(reason), "message": format!("a{}", "é".repeat(1500))});
    world.run("g", patch_spec(5, spec(256))).unwrap();
    assert!(condition(&world, "Long").unwrap().reason.unwrap().len() == 256);
    assert_eq!(
        condition(&world, "Wordy").unwrap().message.unwrap().len(),
        2047
    );
    let change = world.run("g", patch_spec(8, spec(257))).unwrap();
    assert_eq!(condition(&world, "Long"), None);
    let [failure] = change.mapping_failures.as_slice() else {
        panic!("{:?}", change.mapping_failures)
    };
    assert!(failure.error.contains("257 bytes"), "{failure:?}");
}

#[test]
fn mapped_conditions_are_sorted_by_type_after_the_aggregated_ones() {
    let always = |name: &str| rule(name, "true", "true", "''", "''");
    let mut world = world(vec![always("Zeta"), always("Alpha"), always("Mid")]);
    world.report("g", report("beta-two", 1, "True", 3));
    let gadget = world.get("g");
    let types: Vec<_> = gadget
        .conditions
        .iter()
        .map(|condition| condition.r#type.as_str())
        .collect();
    assert_eq!(
        types,
        [
            "Reconciled",
            "LastKnownReconciled",
            "BetaTwoSuccessful",
            "Alpha",
            "Mid",
            "Zeta"
        ]
    );
}

#[test]
fn a_first_unknown_report_counts_for_rules_only() {
    let reported = rule("Reported", "statuses.size() == 0", "true", "''", "''");
    let mut world = world(vec![
        reported.clone(),
        rule("Data", "true", "true", "''", "string(statuses.size())"),
    ]);
    let before = condition(&world, RECONCILED);
    world.report("g", report("alpha", 1, "Unknown", 5));
    // Unknown adapters are not seen, but rules ran, and the aggregated conditions did not move.
    assert_eq!(condition(&world, RECONCILED), before);
    assert!(condition(&world, "Reported").is_some());
    // Without required adapters nothing is computed until a report comes; then an unknown one is enough.
    let mut all = descriptors();
    all[3].condition_rules = vec![reported];
    world.registry = Registry::new(all).unwrap();
    world.create("Channel", "c", None);
    assert_eq!(world.get("c").conditions, []);
    world.report("c", report("alpha", 1, "Unknown", 5));
    assert!(world.get("c").condition("Reported").is_some());
    world.assert_replays();
}

#[test]
fn changed_rules_come_into_force_when_conditions_are_evaluated_again() {
    let mut world = world(vec![rule("Old", "true", "true", "''", "''")]);
    let mut all = descriptors();
    all[0].condition_rules = vec![rule("New", "true", "true", "''", "''")];
    world.registry = Registry::new(all).unwrap();
    assert!(condition(&world, "Old").is_some());
    world
        .run("g", Command::Reevaluate(ReevaluateConditions))
        .unwrap();
    assert!(condition(&world, "Old").is_none() && condition(&world, "New").is_some());
    let again = world
        .run("g", Command::Reevaluate(ReevaluateConditions))
        .unwrap();
    assert_eq!(again.effect, Effect::Unchanged);
    world.assert_replays();
}

#[test]
fn what_a_failing_rule_says_is_bounded() {
    let mut world = world(vec![rule(
        "Wordy",
        "true",
        "resource.spec.text",
        "''",
        "''",
    )]);
    let spec = json!({"text": "x".repeat(100_000)});
    let change = world.run("g", patch_spec(5, spec)).unwrap();
    let message = condition(&world, "Wordy").unwrap().message.unwrap();
    assert_eq!(message.len(), 2048);
    assert!(message.starts_with("status: gave 'xxx"), "{message}");
    assert_eq!(change.mapping_failures[0].error.len(), 2048);
}
