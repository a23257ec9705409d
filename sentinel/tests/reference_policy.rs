//! Random policies over random resources decide as a second, independent reading of the rules does.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use hyperfleet_projections::reconcile_queue::Priority;
use hyperfleet_sentinel::SentinelConfig;
use hyperfleet_sentinel::policy::{
    AfterChange, DecisionConfig, Interval, Policy, RuleConfig, Schedule,
};
use proptest::prelude::*;
use serde_json::{Value, json};

const RESOURCES: usize = 200;
const POLICIES: u32 = 200;

fn now() -> DateTime<Utc> {
    "2026-06-01T12:00:00Z".parse().expect("a time")
}

/// A condition of a rule, which can be written as CEL and be judged without it.
#[derive(Debug, Clone)]
enum When {
    Status(&'static str),
    ObservedBehind,
    OlderThan(i64),
    Shard(&'static str),
    GenerationAbove(i64),
    Not(Box<When>),
    And(Box<When>, Box<When>),
    Or(Box<When>, Box<When>),
}

#[derive(Debug, Clone)]
struct Reconciled {
    status: &'static str,
    observed_generation: i64,
    age: i64,
}

/// A resource, and what the queue remembers of it.
#[derive(Debug, Clone)]
struct Given {
    generation: i64,
    reconciled: Option<Reconciled>,
    shard: Option<&'static str>,
    attempt: u32,
    /// Generation and age in seconds of the last event.
    last: Option<(i64, i64)>,
}

impl When {
    fn cel(&self) -> String {
        match self {
            Self::Status(status) => format!("condition('Reconciled').status == '{status}'"),
            Self::ObservedBehind => {
                "resource.generation > condition('Reconciled').observed_generation".to_owned()
            }
            Self::OlderThan(seconds) => format!(
                "now - timestamp(condition('Reconciled').last_updated_time) > duration('{seconds}s')"
            ),
            Self::Shard(shard) => format!("resource.labels.shard == '{shard}'"),
            Self::GenerationAbove(generation) => format!("resource.generation > {generation}"),
            Self::Not(inner) => format!("!({})", inner.cel()),
            Self::And(left, right) => format!("({}) && ({})", left.cel(), right.cel()),
            Self::Or(left, right) => format!("({}) || ({})", left.cel(), right.cel()),
        }
    }

    /// `None` is what cannot be told, because the resource lacks what is asked for.
    fn holds(&self, given: &Given) -> Option<bool> {
        let reconciled = given.reconciled.as_ref();
        match self {
            Self::Status(status) => Some(reconciled.map_or("", |found| found.status) == *status),
            Self::ObservedBehind => {
                Some(given.generation > reconciled.map_or(0, |found| found.observed_generation))
            }
            Self::OlderThan(seconds) => reconciled.map(|found| found.age > *seconds),
            Self::Shard(shard) => given.shard.map(|found| found == *shard),
            Self::GenerationAbove(generation) => Some(given.generation > *generation),
            Self::Not(inner) => inner.holds(given).map(|holds| !holds),
            Self::And(left, right) => match (left.holds(given), right.holds(given)) {
                (Some(false), _) | (_, Some(false)) => Some(false),
                (Some(true), Some(true)) => Some(true),
                _ => None,
            },
            Self::Or(left, right) => match (left.holds(given), right.holds(given)) {
                (Some(true), _) | (_, Some(true)) => Some(true),
                (Some(false), Some(false)) => Some(false),
                _ => None,
            },
        }
    }
}

/// A rule: when, first and longest interval and factor in whole numbers, whether a change is published.
#[derive(Debug, Clone)]
struct Rule {
    when: When,
    initial: i64,
    factor: i64,
    ceiling: i64,
    publishes_changes: bool,
}

impl Rule {
    fn config(&self, index: usize) -> RuleConfig {
        let seconds = |count: i64| Duration::from_secs(count.unsigned_abs());
        RuleConfig {
            name: format!("rule {index}"),
            when: self.when.cel(),
            interval: if self.factor == 1 {
                Interval::Fixed(seconds(self.initial))
            } else {
                Interval::Exponential {
                    initial: seconds(self.initial),
                    factor: if self.factor == 2 { 2.0 } else { 3.0 },
                    ceiling: seconds(self.ceiling),
                }
            },
            jitter: 0.0,
            after_change: if self.publishes_changes {
                AfterChange::Publish
            } else {
                AfterChange::Wait
            },
            priority: Priority::Retry,
        }
    }

    /// Seconds from that event to the next.
    fn interval(&self, attempt: u32) -> i64 {
        let mut interval = self.initial;
        for _ in 1..attempt {
            interval = (interval * self.factor).min(self.ceiling);
        }
        interval
    }
}

/// Whether to publish, why, and in how many seconds to look again.
fn expected(rules: &[Rule], given: &Given) -> (bool, String, i64) {
    let first = rules
        .iter()
        .enumerate()
        .find(|(_, rule)| rule.when.holds(given) == Some(true));
    let Some((index, rule)) = first else {
        return (false, "no rule applies".to_owned(), 60);
    };
    let next = rule.interval(given.attempt + 1);
    let Some((_, age)) = given
        .last
        .filter(|(generation, _)| given.generation <= *generation)
    else {
        return (true, "new generation".to_owned(), next);
    };
    if given.attempt == 0 && rule.publishes_changes {
        return (true, "progress".to_owned(), next);
    }
    let left = rule.interval(given.attempt.max(1)) - age;
    if left > 0 {
        (false, "not due yet".to_owned(), left)
    } else {
        (true, format!("rule {index}"), next)
    }
}

fn whens() -> impl Strategy<Value = When> {
    let leaf = prop_oneof![
        prop::sample::select(vec!["True", "False", "Unknown", ""]).prop_map(When::Status),
        Just(When::ObservedBehind),
        (0..4000_i64).prop_map(When::OlderThan),
        prop::sample::select(vec!["1", "2"]).prop_map(When::Shard),
        (0..4_i64).prop_map(When::GenerationAbove),
    ];
    leaf.prop_recursive(3, 8, 2, |inner| {
        let pair = (inner.clone(), inner.clone());
        prop_oneof![
            inner.prop_map(|when| When::Not(Box::new(when))),
            pair.clone()
                .prop_map(|(left, right)| When::And(Box::new(left), Box::new(right))),
            pair.prop_map(|(left, right)| When::Or(Box::new(left), Box::new(right))),
        ]
    })
}

fn rules() -> impl Strategy<Value = Rule> {
    (whens(), 1..600_i64, 1..4_i64, 0..4000_i64, any::<bool>()).prop_map(
        |(when, initial, factor, more, publishes_changes)| Rule {
            when,
            initial,
            factor,
            ceiling: initial + more,
            publishes_changes,
        },
    )
}

fn givens() -> impl Strategy<Value = Given> {
    let reconciled = (
        prop::sample::select(vec!["True", "False", "Unknown"]),
        0..4_i64,
        0..4000_i64,
    )
        .prop_map(|(status, observed_generation, age)| Reconciled {
            status,
            observed_generation,
            age,
        });
    (
        1..5_i64,
        prop::option::of(reconciled),
        prop::option::of(prop::sample::select(vec!["1", "2"])),
        0..12_u32,
        prop::option::of((1..5_i64, 0..4000_i64)),
    )
        .prop_map(|(generation, reconciled, shard, attempt, last)| Given {
            generation,
            reconciled,
            shard,
            attempt,
            last,
        })
}

fn resource(given: &Given) -> Value {
    let conditions: Vec<Value> = given
        .reconciled
        .iter()
        .map(|found| {
            let updated = now() - TimeDelta::seconds(found.age);
            json!({"type": "Reconciled", "status": found.status,
                   "observed_generation": found.observed_generation,
                   "last_updated_time": updated.to_rfc3339()})
        })
        .collect();
    let labels = given
        .shard
        .map_or_else(|| json!({}), |shard| json!({"shard": shard}));
    json!({"id": "c1", "kind": "Cluster", "generation": given.generation, "labels": labels,
           "status": {"conditions": conditions}})
}

proptest! {
    #![proptest_config(ProptestConfig { cases: POLICIES, max_shrink_iters: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn decisions_equal_the_reference(
        rules in prop::collection::vec(rules(), 1..5),
        givens in prop::collection::vec(givens(), RESOURCES),
    ) {
        let configs = rules.iter().enumerate().map(|(index, rule)| rule.config(index));
        let config = SentinelConfig {
            decision: DecisionConfig::Rules(configs.collect()),
            ..SentinelConfig::builtin("clusters", "topic", false)
        };
        let policy = Policy::compile(&config).unwrap();
        for given in &givens {
            let schedule = Schedule {
                attempt: given.attempt,
                last_published_generation: given.last.map(|(generation, _)| generation),
                last_published_time: given.last.map(|(_, age)| now() - TimeDelta::seconds(age)),
            };
            let decided = policy.decide(&resource(given), now(), &schedule);
            let (publish, reason, next) = expected(&rules, given);
            prop_assert_eq!(
                (decided.publish, decided.reason.as_ref(), decided.next_due),
                (publish, reason.as_str(), now() + TimeDelta::seconds(next)),
                "given {:?}", given
            );
        }
    }
}
