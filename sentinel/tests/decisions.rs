//! Decision tables: given a resource and what the queue remembers, when deciding at a time, then this.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use hyperfleet_projections::reconcile_queue::Priority;
use hyperfleet_sentinel::policy::{
    AfterChange, Decision, DecisionConfig, Interval, MessageDecisionConfig, ParamConfig, Policy,
    RuleConfig, Schedule,
};
use hyperfleet_sentinel::{ConfigError, SentinelConfig};
use proptest::prelude::*;
use serde_json::{Value, json};

fn now() -> DateTime<Utc> {
    "2026-06-01T12:00:00Z".parse().expect("a time")
}

fn ago(duration: TimeDelta) -> DateTime<Utc> {
    now() - duration
}

/// A cluster of this generation; its condition `Reconciled` as (status, observed generation, age).
fn cluster(generation: i64, reconciled: Option<(&str, i64, TimeDelta)>) -> Value {
    let conditions: Vec<Value> = reconciled
        .into_iter()
        .map(|(status, observed_generation, age)| {
            json!({"type": "Reconciled", "status": status, "observed_generation": observed_generation,
                   "last_updated_time": ago(age).to_rfc3339()})
        })
        .collect();
    json!({"id": "c1", "kind": "Cluster", "generation": generation, "labels": {"shard": "1"},
           "status": {"conditions": conditions}})
}

fn published(attempt: u32, generation: i64, age: TimeDelta) -> Schedule {
    Schedule {
        attempt,
        last_published_generation: Some(generation),
        last_published_time: Some(ago(age)),
    }
}

fn config(decision: DecisionConfig) -> SentinelConfig {
    SentinelConfig {
        decision,
        ..SentinelConfig::builtin("clusters", "topic", false)
    }
}

fn without_jitter() -> Policy {
    let rules = RuleConfig::defaults().into_iter().map(|rule| RuleConfig {
        jitter: 0.0,
        ..rule
    });
    Policy::compile(&config(DecisionConfig::Rules(rules.collect()))).expect("a policy")
}

fn publish(reason: &'static str, next_due: TimeDelta) -> Decision {
    Decision {
        publish: true,
        reason: reason.into(),
        next_due: now() + next_due,
        next_priority: Priority::Retry,
        warning: None,
    }
}

fn wait(next_due: TimeDelta) -> Decision {
    let reason = "not due yet".into();
    Decision {
        publish: false,
        reason,
        next_due: now() + next_due,
        next_priority: Priority::Retry,
        warning: None,
    }
}

const fn seconds(count: i64) -> TimeDelta {
    TimeDelta::seconds(count)
}

const fn minutes(count: i64) -> TimeDelta {
    TimeDelta::minutes(count)
}

/// Reconciled at a generation, five minutes ago.
fn done(generation: i64, observed: i64) -> Value {
    cluster(generation, Some(("True", observed, minutes(5))))
}

/// Not reconciled, with a report from three seconds ago.
fn waiting(generation: i64, observed: i64) -> Value {
    cluster(generation, Some(("False", observed, seconds(3))))
}

/// Given a resource and what the queue remembers, when the default policy decides, then this.
fn check(cases: Vec<(&str, Value, Schedule, Decision)>) {
    let policy = without_jitter();
    for (given, resource, schedule, expected) in cases {
        let decided = policy.decide(&resource, now(), &schedule);
        // What it yields to is the business of a test of its own
        let next_priority = expected.next_priority;
        let decided = Decision {
            next_priority,
            ..decided
        };
        assert_eq!(decided, expected, "given {given}");
    }
}

#[test]
fn a_new_generation_is_published_at_once() {
    let new = Schedule::default();
    let just_now = |attempt| published(attempt, 1, seconds(1));
    let publish = |next_due| publish("new generation", next_due);
    check(vec![
        (
            "a new resource",
            cluster(1, None),
            new,
            publish(seconds(10)),
        ),
        (
            "never published, yet reconciled",
            done(4, 4),
            new,
            publish(minutes(30)),
        ),
        (
            "an event a second ago",
            waiting(2, 1),
            just_now(3),
            publish(seconds(80)),
        ),
        (
            "an older one reconciled",
            done(2, 1),
            just_now(0),
            publish(seconds(10)),
        ),
    ]);
}

#[test]
fn what_is_not_reconciled_is_published_on_progress_and_less_and_less_often() {
    let resource = waiting(1, 1);
    let unknown = cluster(1, Some(("Unknown", 1, minutes(1))));
    let event = |attempt, age| published(attempt, 1, seconds(age));
    let publish = |next_due| publish("not_reconciled", seconds(next_due));
    let progress = Decision {
        reason: "progress".into(),
        ..publish(10)
    };
    check(vec![
        ("progress", resource.clone(), event(0, 1), progress),
        (
            "first wait, early",
            resource.clone(),
            event(1, 9),
            wait(seconds(1)),
        ),
        (
            "first wait, over",
            resource.clone(),
            event(1, 10),
            publish(20),
        ),
        (
            "third wait, early",
            resource.clone(),
            event(3, 39),
            wait(seconds(1)),
        ),
        (
            "third wait, over",
            resource.clone(),
            event(3, 40),
            publish(80),
        ),
        (
            "many events",
            resource.clone(),
            event(4_000_000_000, 120),
            publish(120),
        ),
        (
            "an event in the future",
            resource,
            event(1, -60),
            wait(seconds(70)),
        ),
        (
            "an older one reconciled",
            done(2, 1),
            published(1, 2, seconds(10)),
            publish(20),
        ),
        ("an unknown status", unknown, event(1, 10), publish(20)),
    ]);
}

#[test]
fn what_is_reconciled_is_published_every_half_hour() {
    let event = |attempt, age| published(attempt, 1, age);
    let half_hour = minutes(30);
    let second = seconds(1);
    check(vec![
        (
            "just reconciled",
            done(1, 1),
            event(0, second),
            wait(half_hour - second),
        ),
        (
            "early",
            done(1, 1),
            event(1, half_hour - second),
            wait(second),
        ),
        (
            "over",
            done(1, 1),
            event(1, half_hour),
            publish("reconciled", half_hour),
        ),
    ]);
}

#[test]
fn rules_of_ones_own() {
    // Given rules for one shard, one of which fails on resources without a region
    let rule = |name: &str, when: &str, seconds, after_change| RuleConfig {
        name: name.to_owned(),
        when: when.to_owned(),
        interval: Interval::Fixed(Duration::from_secs(seconds)),
        jitter: 0.0,
        after_change,
        priority: Priority::Retry,
    };
    let policy = Policy::compile(&config(DecisionConfig::Rules(vec![
        rule(
            "eu",
            "resource.labels.region == 'eu'",
            5,
            AfterChange::Publish,
        ),
        rule("wrong", "resource.generation", 6, AfterChange::Publish),
        rule(
            "shard",
            "resource.labels.shard == '1'",
            7,
            AfterChange::Wait,
        ),
    ])))
    .expect("a policy");
    // When a rule fails, the next that holds applies, and the failure is told
    let decision = policy.decide(
        &cluster(1, None),
        now(),
        &published(1, 1, TimeDelta::seconds(7)),
    );
    assert_eq!(
        (decision.publish, decision.reason.as_ref()),
        (true, "shard")
    );
    assert_eq!(decision.next_due, now() + TimeDelta::seconds(7));
    assert!(
        decision
            .warning
            .is_some_and(|warning| warning.contains("rule wrong: gives int"))
    );
    // When none holds, even a new resource is left alone, and looked at again later
    let other = json!({"id": "c2", "generation": 1, "labels": {"shard": "2", "region": "us"}});
    let decision = policy.decide(&other, now(), &Schedule::default());
    assert_eq!(
        (decision.publish, decision.reason.as_ref()),
        (false, "no rule applies")
    );
    assert_eq!(decision.next_due, now() + TimeDelta::minutes(1));
}

#[test]
fn a_look_is_as_urgent_as_its_rule() {
    // Given the default policy: what is reconciled is refreshed, the rest is retried
    let policy = without_jitter();
    let event = published(1, 1, seconds(1));
    for (resource, expected) in [
        (done(1, 1), Priority::Refresh),
        (waiting(1, 1), Priority::Retry),
    ] {
        // Then both when an event is published and when it is too early for one
        for schedule in [Schedule::default(), event] {
            let decision = policy.decide(&resource, now(), &schedule);
            assert_eq!(decision.next_priority, expected, "{decision:?}");
        }
    }
    // And what a message decision looks at again may be in need of a retry
    let message = config(DecisionConfig::Message(shipped_decision()));
    let policy = Policy::compile(&message).expect("a policy");
    let decision = policy.decide(&done(1, 1), now(), &event);
    assert_eq!(decision.next_priority, Priority::Retry);
}

/// The rules that existing sentinels ship with.
fn shipped_decision() -> MessageDecisionConfig {
    let param = |name: &str, expression: &str| ParamConfig {
        name: name.to_owned(),
        expression: expression.to_owned(),
    };
    MessageDecisionConfig {
        params: vec![
            param("ref_time", r#"condition("Reconciled").last_updated_time"#),
            param(
                "is_reconciled",
                r#"condition("Reconciled").status == "True""#,
            ),
            param("has_ref_time", r#"ref_time != """#),
            param(
                "is_new_resource",
                "resource.generation == 1 && !has_ref_time",
            ),
            param(
                "generation_mismatch",
                r#"resource.generation > condition("Reconciled").observed_generation"#,
            ),
            param(
                "reconciled_and_stale",
                r#"is_reconciled && has_ref_time && now - timestamp(ref_time) > duration("30m")"#,
            ),
            param(
                "not_reconciled_and_debounced",
                r#"!is_reconciled && has_ref_time && now - timestamp(ref_time) > duration("10s")"#,
            ),
        ],
        result: "is_new_resource || generation_mismatch || reconciled_and_stale || \
                 not_reconciled_and_debounced"
            .to_owned(),
    }
}

#[test]
fn the_shipped_message_decision() {
    let policy =
        Policy::compile(&config(DecisionConfig::Message(shipped_decision()))).expect("a policy");
    let nanosecond = TimeDelta::nanoseconds(1);
    let reconciled = |age| cluster(1, Some(("True", 1, age)));
    let pending = |age| cluster(1, Some(("False", 1, age)));
    for (given, resource, publish) in [
        ("generation 1, no conditions", cluster(1, None), true),
        ("generation 2, no conditions", cluster(2, None), true),
        ("generation 0, no conditions", cluster(0, None), false),
        (
            "a new generation",
            cluster(2, Some(("True", 1, seconds(1)))),
            true,
        ),
        (
            "observed ahead of generation",
            cluster(1, Some(("True", 2, seconds(1)))),
            false,
        ),
        (
            "reconciled 29:59 ago",
            reconciled(minutes(30) - seconds(1)),
            false,
        ),
        ("reconciled 30:00 ago", reconciled(minutes(30)), false),
        (
            "reconciled just over 30:00 ago",
            reconciled(minutes(30) + nanosecond),
            true,
        ),
        ("not reconciled 9 s ago", pending(seconds(9)), false),
        ("not reconciled 10 s ago", pending(seconds(10)), false),
        (
            "not reconciled just over 10 s ago",
            pending(seconds(10) + nanosecond),
            true,
        ),
        (
            "unknown for a minute",
            cluster(1, Some(("Unknown", 1, minutes(1)))),
            true,
        ),
        ("a time in the future", reconciled(seconds(-60)), false),
    ] {
        let decision = policy.decide(&resource, now(), &Schedule::default());
        assert_eq!(decision.publish, publish, "given {given}: {decision:?}");
        let outcome = if publish {
            "matched"
        } else {
            "result is false"
        };
        assert_eq!(
            decision.reason,
            format!("message decision {outcome}"),
            "given {given}"
        );
        assert_eq!(
            decision.next_due,
            now() + seconds(5),
            "looked at again after the poll interval"
        );
    }
}

#[test]
fn a_time_that_was_never_set_does_not_poison_a_resource() {
    let policy =
        Policy::compile(&config(DecisionConfig::Message(shipped_decision()))).expect("a policy");
    for generation in [1, 2] {
        let mut resource = cluster(generation, Some(("True", 1, TimeDelta::zero())));
        resource["status"]["conditions"][0]["last_updated_time"] = json!("0001-01-01T00:00:00Z");
        let decision = policy.decide(&resource, now(), &Schedule::default());
        assert_eq!((decision.publish, decision.warning), (true, None));
    }
}

#[test]
fn a_decision_that_fails_is_not_a_publish() {
    for (result, warning) in [
        ("1", "result expression did not return bool, got int"),
        ("'x'", "result expression did not return bool, got string"),
        ("null", "result expression did not return bool, got null"),
        ("timestamp('') < now", "result evaluation failed: "),
    ] {
        let decision = MessageDecisionConfig {
            params: Vec::new(),
            result: result.to_owned(),
        };
        let policy = Policy::compile(&config(DecisionConfig::Message(decision))).expect("a policy");
        let decision = policy.decide(&cluster(1, None), now(), &Schedule::default());
        assert_eq!(
            (decision.publish, decision.reason.as_ref()),
            (false, "message decision failed")
        );
        let found = decision.warning.expect("a warning");
        assert!(found.starts_with(warning), "{found}");
    }
}

fn refused(decision: DecisionConfig) -> String {
    let error = Policy::compile(&config(decision)).expect_err("a refusal");
    match &error {
        ConfigError::Expression { source, .. } => format!("{error}: {source}"),
        _ => error.to_string(),
    }
}

#[test]
fn message_decisions_that_cannot_work_are_refused() {
    let message = |params: &[(&str, &str)], result: &str| {
        let params = params.iter().map(|(name, expression)| ParamConfig {
            name: (*name).to_owned(),
            expression: (*expression).to_owned(),
        });
        let (params, result) = (params.collect(), result.to_owned());
        refused(DecisionConfig::Message(MessageDecisionConfig {
            params,
            result,
        }))
    };
    for (params, result, expected) in [
        (
            &[][..],
            "",
            "message_decision.result: the expression is refused: the expression is empty",
        ),
        (
            &[("", "1")],
            "true",
            "message_decision.params[0]: param has empty name",
        ),
        (
            &[("a", "")],
            "true",
            "message_decision.params[0].expr: the expression is refused",
        ),
        (
            &[("a", "1"), ("a", "2")],
            "true",
            "param \"a\" is defined more than once",
        ),
        (
            &[("now", "1")],
            "true",
            "param \"now\" is defined more than once",
        ),
        (
            &[("a", "b"), ("b", "1")],
            "true",
            "undeclared reference to \"b\"",
        ),
        (&[("a", "a")], "true", "undeclared reference to \"a\""),
        (&[], "unknown", "undeclared reference to \"unknown\""),
        (
            &[],
            "1 +",
            "message_decision.result: the expression is refused",
        ),
    ] {
        let found = message(params, result);
        assert!(
            found.contains(expected),
            "{found:?} does not contain {expected:?}"
        );
    }
}

#[test]
fn rules_that_cannot_work_are_refused() {
    let rule = RuleConfig::defaults().remove(0);
    let exponential = |initial, factor, ceiling| Interval::Exponential {
        initial: Duration::from_secs(initial),
        factor,
        ceiling: Duration::from_secs(ceiling),
    };
    for (rules, expected) in [
        (vec![], "policy: has no rules"),
        (
            vec![RuleConfig {
                name: String::new(),
                ..rule.clone()
            }],
            "policy[0].name: is empty",
        ),
        (
            vec![rule.clone(), rule.clone()],
            "policy[1].name: \"reconciled\" is the name of an earlier",
        ),
        (
            vec![RuleConfig {
                jitter: 1.5,
                ..rule.clone()
            }],
            "policy[0].jitter: must be between 0 and 1",
        ),
        (
            vec![RuleConfig {
                interval: Interval::Fixed(Duration::ZERO),
                ..rule.clone()
            }],
            "policy[0].interval: 0ns is too short",
        ),
        (
            vec![RuleConfig {
                interval: exponential(10, 0.5, 20),
                ..rule.clone()
            }],
            "policy[0].interval.factor: must be between 1 and 100",
        ),
        (
            vec![RuleConfig {
                interval: exponential(10, 2.0, 5),
                ..rule.clone()
            }],
            "policy[0].interval.ceiling: 5s is below the initial 10s",
        ),
        (
            vec![RuleConfig {
                when: "resourse.id == ''".to_owned(),
                ..rule
            }],
            "policy[0].when: the expression is refused: undeclared reference to \"resourse\"",
        ),
    ] {
        let found = refused(DecisionConfig::Rules(rules));
        assert!(
            found.contains(expected),
            "{found:?} does not contain {expected:?}"
        );
    }
}

proptest! {
    /// Whatever the queue remembers: the next due time is not in the past, and an unchanged resource never
    /// waits longer than the rule says, nor much shorter.
    #[test]
    fn the_next_event_comes_in_time(
        id in "[a-z0-9]{1,12}", generation in 1..5_i64, status in prop::sample::select(vec!["True", "False"]),
        attempt in 0..40_u32, age in 0..7200_i64,
    ) {
        let policy = Policy::compile(&config(DecisionConfig::Rules(RuleConfig::defaults()))).unwrap();
        let mut resource = cluster(generation, Some((status, generation, TimeDelta::zero())));
        resource["id"] = json!(id);
        let schedule = published(attempt, generation, TimeDelta::seconds(age));
        let decision = policy.decide(&resource, now(), &schedule);
        prop_assert!(decision.next_due > now());
        let longest = if status == "True" { TimeDelta::minutes(30) } else { TimeDelta::minutes(2) };
        prop_assert!(decision.next_due <= now() + longest);
        if decision.publish {
            prop_assert!(decision.next_due >= now() + TimeDelta::seconds(9));
        }
        // And deciding again gives the same answer
        prop_assert_eq!(policy.decide(&resource, now(), &schedule), decision);
    }
}
