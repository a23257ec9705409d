//! How often resources are pulsed over a day, in simulated time.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use hyperfleet_sentinel::policy::{Policy, Schedule};
use hyperfleet_sentinel::{Decision, SentinelConfig};
use serde_json::{Value, json};

fn start() -> DateTime<Utc> {
    "2026-06-01T12:00:00Z".parse().expect("a time")
}

fn default_policy() -> Policy {
    Policy::compile(&SentinelConfig::builtin("clusters", "topic", false)).expect("a policy")
}

fn cluster(id: &str, status: &str) -> Value {
    let reconciled = json!({"type": "Reconciled", "status": status, "observed_generation": 1,
                            "last_updated_time": start().to_rfc3339()});
    json!({"id": id, "kind": "Cluster", "generation": 1, "status": {"conditions": [reconciled]}})
}

/// Looks at a resource whenever it is due, from a time on, and returns the times of its pulses.
fn pulses(resource: &Value, begin: DateTime<Utc>, end: DateTime<Utc>) -> Vec<DateTime<Utc>> {
    let policy = default_policy();
    let mut schedule = Schedule::default();
    let (mut time, mut pulses) = (begin, Vec::new());
    while time < end {
        let Decision {
            publish, next_due, ..
        } = policy.decide(resource, time, &schedule);
        assert!(next_due > time, "the next look at {time} is in the past");
        if publish {
            pulses.push(time);
            schedule = Schedule {
                attempt: schedule.attempt + 1,
                last_published_generation: Some(1),
                last_published_time: Some(time),
            };
        }
        time = next_due;
    }
    pulses
}

#[test]
fn a_cluster_whose_adapter_never_answers_is_pulsed_on_the_curve_for_a_day() {
    // Given a cluster that makes no progress
    let silent = cluster("silent", "False");
    // When a day passes
    let pulses = pulses(&silent, start(), start() + TimeDelta::days(1));
    // Then each pause is twice the one before, up to two minutes, and at most a tenth shorter
    let curve = [10.0, 20.0, 40.0, 80.0]
        .into_iter()
        .chain(std::iter::repeat(120.0));
    for (pair, longest) in pulses.windows(2).zip(curve) {
        let pause = (pair[1] - pair[0]).as_seconds_f64();
        assert!(
            pause <= longest && pause >= longest * 0.9,
            "{pause} s after {}",
            pair[0]
        );
    }
    // And in all that is one pulse in about two minutes, not one in every poll
    assert!((720..=804).contains(&pulses.len()), "{}", pulses.len());
}

#[test]
fn a_fleet_that_was_pulsed_together_does_not_stay_together() {
    // Given 100,000 reconciled clusters that were all pulsed in one second, after an outage
    let policy = default_policy();
    let schedule = Schedule {
        attempt: 1,
        last_published_generation: Some(1),
        last_published_time: Some(start()),
    };
    // When they become due again
    let mut per_second: BTreeMap<i64, u32> = BTreeMap::new();
    for number in 0..100_000 {
        let resource = cluster(&format!("c{number}"), "True");
        let decision = policy.decide(&resource, start(), &schedule);
        *per_second.entry(decision.next_due.timestamp()).or_default() += 1;
    }
    // Then they are spread evenly over the tenth of the interval that jitter may take: 180 s
    assert!(
        (180..=181).contains(&per_second.len()),
        "{}",
        per_second.len()
    );
    let most = per_second.values().max().copied().unwrap_or_default();
    assert!(most < 700, "{most} in one second, instead of some 556");
}
