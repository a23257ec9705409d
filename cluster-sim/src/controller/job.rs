//! Jobs: start, run one Pod, end, and be forgotten after `ttlSecondsAfterFinished`.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};

use super::{Outcome, anchor_plus, condition, delay};
use crate::config::SimConfig;
use crate::object::{
    self, Key, Stored, annotation, as_map, child, condition_is_true, name, namespace,
    set_condition, text, timestamp, uid,
};
use crate::store::{Store, Target, WriteOptions};

fn is_finished(job: &Value) -> bool {
    condition_is_true(job, "Complete") || condition_is_true(job, "Failed")
}

fn seconds(job: &Value, pointer: &str) -> Option<TimeDelta> {
    job.pointer(pointer)
        .and_then(Value::as_i64)
        .and_then(TimeDelta::try_seconds)
}

pub(super) fn due(stored: &Stored, config: &SimConfig) -> Option<DateTime<Utc>> {
    let job = &stored.object;
    if object::is_deleting(job) {
        return None;
    }
    if is_finished(job) {
        let keep = seconds(job, "/spec/ttlSecondsAfterFinished")?;
        return Some(anchor_plus(stored, keep));
    }
    if text(job, "/status/startTime").is_empty() {
        let suspended = job.pointer("/spec/suspend").and_then(Value::as_bool) == Some(true);
        return (!suspended).then_some(stored.anchor);
    }
    let deadline =
        seconds(job, "/spec/activeDeadlineSeconds").map(|limit| anchor_plus(stored, limit));
    let end = match Outcome::of(job) {
        Outcome::Never => None,
        _ => Some(anchor_plus(stored, delay(job, config.job_delay))),
    };
    [end, deadline].into_iter().flatten().min()
}

pub(super) fn act(store: &mut Store, key: &Key, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let stored = store.get(key)?.clone();
    let job = stored.object.clone();
    if is_finished(&job) {
        store.delete_in_background(key);
    } else if text(&job, "/status/startTime").is_empty() {
        start(store, key, &job, now);
    } else {
        let planned = anchor_plus(&stored, delay(&job, store.config.job_delay));
        let late = seconds(&job, "/spec/activeDeadlineSeconds")
            .is_some_and(|limit| now >= anchor_plus(&stored, limit) && now < planned);
        match Outcome::of(&job) {
            Outcome::Complete if !late => complete(store, key, &job, now),
            Outcome::Failed if !late => fail(
                store,
                key,
                &job,
                (
                    "BackoffLimitExceeded",
                    "Job has reached the specified backoff limit",
                ),
                now,
            ),
            _ => fail(
                store,
                key,
                &job,
                (
                    "DeadlineExceeded",
                    "Job was active longer than specified deadline",
                ),
                now,
            ),
        }
    }
    None
}

fn start(store: &mut Store, key: &Key, job: &Value, now: DateTime<Utc>) {
    create_pod(store, job, now);
    store.control(key, true, |object| {
        let status = child(object, "status");
        status.insert("startTime".into(), timestamp(now).into());
        status.insert("active".into(), 1.into());
        status.insert("ready".into(), 1.into());
        status.insert("terminating".into(), 0.into());
    });
}

fn create_pod(store: &mut Store, job: &Value, now: DateTime<Utc>) {
    let Some(kind) = store.kinds.get("", "pods").cloned() else {
        return;
    };
    let mut labels = job
        .pointer("/spec/template/metadata/labels")
        .cloned()
        .unwrap_or_default();
    let map = as_map(&mut labels);
    for (label, value) in [
        ("batch.kubernetes.io/controller-uid", uid(job)),
        ("batch.kubernetes.io/job-name", name(job)),
        ("controller-uid", uid(job)),
        ("job-name", name(job)),
    ] {
        // A Job's name may be longer than a label value.
        map.insert(
            label.into(),
            value.chars().take(63).collect::<String>().into(),
        );
    }
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "generateName": format!("{}-", name(job).chars().take(57).collect::<String>()),
            "labels": labels,
            "annotations": job.pointer("/spec/template/metadata/annotations").cloned().unwrap_or(json!({})),
            "ownerReferences": [{
                "apiVersion": "batch/v1", "kind": "Job", "name": name(job), "uid": uid(job),
                "controller": true, "blockOwnerDeletion": true,
            }],
        },
        "spec": job.pointer("/spec/template/spec").cloned().unwrap_or_default(),
    });
    let target = Target {
        version: "v1".into(),
        namespace: namespace(job).to_owned(),
        name: String::new(),
        status: false,
        kind,
    };
    let options = WriteOptions {
        manager: "cluster-sim-controller".into(),
        force: true,
        dry_run: false,
    };
    match store.create(&target, pod, &options) {
        Ok(pod) => {
            let mut key = target.key();
            name(&pod).clone_into(&mut key.name);
            super::run_pod(store, &key, now);
        }
        Err(refusal) => {
            tracing::warn!(
                job = name(job),
                problem = refusal.message,
                "a Job got no Pod"
            );
        }
    }
}

fn end_pods(store: &mut Store, job: &Value, phase: &str) {
    for key in store.dependents_of(uid(job)) {
        if key.plural == "pods" && key.group.is_empty() {
            store.control(&key, false, |object| {
                child(object, "status").insert("phase".into(), phase.into());
            });
        }
    }
}

/// Conditions that a sidecar would have written from the worker's result.
fn reported_conditions(job: &Value) -> Vec<Value> {
    let Some(text) = annotation(job, "cluster-sim.local/conditions") else {
        return Vec::new();
    };
    match serde_json::from_str(text) {
        Ok(Value::Array(conditions)) => conditions,
        Ok(one @ Value::Object(_)) => vec![one],
        _ => {
            tracing::warn!(
                job = name(job),
                "cluster-sim.local/conditions is not a JSON list of conditions"
            );
            Vec::new()
        }
    }
}

fn complete(store: &mut Store, key: &Key, job: &Value, now: DateTime<Utc>) {
    end_pods(store, job, "Succeeded");
    store.control(key, true, |object| {
        let status = child(object, "status");
        for (field, value) in [("active", 0), ("ready", 0), ("succeeded", 1)] {
            status.insert(field.into(), value.into());
        }
        status.insert("completionTime".into(), timestamp(now).into());
        for mut reported in reported_conditions(job) {
            as_map(&mut reported).insert("lastProbeTime".into(), timestamp(now).into());
            set_condition(status, reported, now);
        }
        for kind in ["SuccessCriteriaMet", "Complete"] {
            let reached = "Reached expected number of succeeded pods";
            let mut row = condition(kind, "True", "CompletionsReached", reached);
            row["lastProbeTime"] = timestamp(now).into();
            set_condition(status, row, now);
        }
    });
}

fn fail(
    store: &mut Store,
    key: &Key,
    job: &Value,
    (reason, message): (&str, &str),
    now: DateTime<Utc>,
) {
    end_pods(store, job, "Failed");
    store.control(key, true, |object| {
        let status = child(object, "status");
        for (field, value) in [("active", 0), ("ready", 0), ("failed", 1)] {
            status.insert(field.into(), value.into());
        }
        for mut reported in reported_conditions(job) {
            as_map(&mut reported).insert("lastProbeTime".into(), timestamp(now).into());
            set_condition(status, reported, now);
        }
        for kind in ["FailureTarget", "Failed"] {
            let mut row = condition(kind, "True", reason, message);
            row["lastProbeTime"] = timestamp(now).into();
            set_condition(status, row, now);
        }
    });
}
