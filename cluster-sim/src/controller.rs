//! The simulated controllers.
//!
//! `due` looks at one object and says when its controller acts next; `act` takes that step. Both derive everything from stored
//! objects, so timers survive a restart without being stored. A step either changes the object or names a later time, so no
//! step can spin.

mod config_connector;
mod deployment;
mod hosted_cluster;
mod job;
mod node_pool;

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Map, Value, json};

use crate::config::SimConfig;
use crate::object::{self, Key, Stored, child, condition_is_true, set_condition};
use crate::store::Store;

/// How an object ends, by the annotation `cluster-sim.local/outcome`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Complete,
    Failed,
    Never,
}

impl Outcome {
    fn of(object: &Value) -> Self {
        match object::annotation(object, "cluster-sim.local/outcome") {
            Some("Failed") => Self::Failed,
            Some("Never") => Self::Never,
            _ => Self::Complete,
        }
    }
}

/// Delay of a step that waits for another object.
const LOOK_AGAIN: TimeDelta = TimeDelta::milliseconds(100);

/// The annotated delay, or `default`.
fn delay(object: &Value, default: Duration) -> TimeDelta {
    let annotated = object::annotation(object, "cluster-sim.local/delay").and_then(parse_duration);
    TimeDelta::from_std(annotated.unwrap_or(default)).unwrap_or(TimeDelta::MAX)
}

fn parse_duration(text: &str) -> Option<Duration> {
    let split = text.find(|character: char| !character.is_ascii_digit() && character != '.')?;
    let (number, unit) = text.split_at(split);
    let number: f64 = number.parse().ok()?;
    let seconds = match unit {
        "ms" => number / 1000.0,
        "s" => number,
        "m" => number * 60.0,
        "h" => number * 3600.0,
        _ => return None,
    };
    Duration::try_from_secs_f64(seconds).ok()
}

fn anchor_plus(stored: &Stored, delay: TimeDelta) -> DateTime<Utc> {
    stored
        .anchor
        .checked_add_signed(delay)
        .unwrap_or(DateTime::<Utc>::MAX_UTC)
}

/// When the controller of this object acts next; `None` when it has nothing to do.
pub(crate) fn due(key: &Key, stored: &Stored, config: &SimConfig) -> Option<DateTime<Utc>> {
    match (key.group.as_str(), key.plural.as_str()) {
        ("batch", "jobs") => job::due(stored, config),
        ("apps", "deployments") => deployment::due(stored, config),
        ("hypershift.openshift.io", "hostedclusters") => hosted_cluster::due(stored, config),
        ("hypershift.openshift.io", "nodepools") => node_pool::due(stored, config),
        ("dns.cnrm.cloud.google.com", _) => config_connector::due(stored, config),
        ("apiextensions.k8s.io", "customresourcedefinitions") => {
            (!condition_is_true(&stored.object, "Established")).then_some(stored.anchor)
        }
        ("", "pods") => (object::text(&stored.object, "/status/phase").is_empty()
            && !object::is_deleting(&stored.object))
        .then_some(stored.anchor),
        _ => None,
    }
}

/// Takes the step that was due. Returns when to look again, if the step has to wait.
pub(crate) fn act(store: &mut Store, key: &Key, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    match (key.group.as_str(), key.plural.as_str()) {
        ("batch", "jobs") => job::act(store, key, now),
        ("apps", "deployments") => deployment::act(store, key, now),
        ("hypershift.openshift.io", "hostedclusters") => hosted_cluster::act(store, key, now),
        ("hypershift.openshift.io", "nodepools") => node_pool::act(store, key, now),
        ("dns.cnrm.cloud.google.com", _) => config_connector::act(store, key, now),
        ("apiextensions.k8s.io", "customresourcedefinitions") => {
            establish(store, key, now);
            None
        }
        ("", "pods") => {
            run_pod(store, key, now);
            None
        }
        _ => None,
    }
}

fn establish(store: &mut Store, key: &Key, now: DateTime<Utc>) {
    store.control(key, false, |object| {
        let names = object.pointer("/spec/names").cloned().unwrap_or_default();
        let status = child(object, "status");
        status.insert("acceptedNames".into(), names);
        set_condition(
            status,
            condition("NamesAccepted", "True", "NoConflicts", "no conflicts found"),
            now,
        );
        set_condition(
            status,
            condition(
                "Established",
                "True",
                "InitialNamesAccepted",
                "the initial names have been accepted",
            ),
            now,
        );
    });
}

fn run_pod(store: &mut Store, key: &Key, now: DateTime<Utc>) {
    store.control(key, false, |object| {
        let status = child(object, "status");
        status.insert("phase".into(), "Running".into());
        status.insert("startTime".into(), object::timestamp(now).into());
        set_condition(status, json!({"type": "Ready", "status": "True"}), now);
    });
}

/// A condition without its transition time.
fn condition(kind: &str, status: &str, reason: &str, message: &str) -> Value {
    json!({"type": kind, "status": status, "reason": reason, "message": message})
}

/// Sets several `(type, status, reason)` conditions that carry the object's generation.
fn set_conditions(
    status: &mut Map<String, Value>,
    generation: i64,
    rows: &[(&str, &str, &str)],
    now: DateTime<Utc>,
) {
    for (kind, value, reason) in rows {
        let mut row = condition(kind, value, reason, "");
        row["observedGeneration"] = generation.into();
        set_condition(status, row, now);
    }
}

/// The generation that the object's controller has dealt with, by `status.observedGeneration`.
fn observed(object: &Value) -> i64 {
    object
        .pointer("/status/observedGeneration")
        .and_then(Value::as_i64)
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::parse_duration;

    #[test]
    fn durations_need_a_unit() {
        assert_eq!(parse_duration("250ms"), Some(Duration::from_millis(250)));
        assert_eq!(parse_duration("1.5s"), Some(Duration::from_millis(1500)));
        assert_eq!(parse_duration("2m"), Some(Duration::from_mins(2)));
        for text in ["", "5", "s", "-1s", "1d"] {
            assert_eq!(parse_duration(text), None, "{text}");
        }
    }
}
