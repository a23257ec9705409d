//! Bodies as JSON again.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use hyperfleet_command_api::decode::{CreateBody, PatchBody, Reference, ReportBody};
use hyperfleet_domain::timestamp;
use serde_json::{Map, Value, json};

pub(super) fn create(body: &CreateBody) -> Vec<u8> {
    let mut document = json!({
        "kind": body.kind,
        "name": body.name,
        "labels": body.labels,
        "references": references(&body.references),
    });
    // Null is another thing than none for a kind with a schema.
    if let Some(spec) = &body.spec {
        document["spec"] = Value::Object(spec.clone());
    }
    document.to_string().into_bytes()
}

pub(super) fn patch(body: &PatchBody) -> Vec<u8> {
    let mut document = Map::new();
    if let Some(spec) = &body.spec {
        document.insert("spec".to_owned(), Value::Object(spec.clone()));
    }
    if let Some(labels) = &body.labels {
        document.insert("labels".to_owned(), json!(labels));
    }
    if let Some(by_type) = &body.references {
        document.insert("references".to_owned(), references(by_type));
    }
    Value::Object(document).to_string().into_bytes()
}

pub(super) fn report(body: &ReportBody) -> Vec<u8> {
    let conditions = body.conditions.iter().map(|condition| {
        json!({
            "type": condition.condition_type,
            "status": condition.status,
            "reason": condition.reason,
            "message": condition.message,
        })
    });
    let metadata = body.metadata.as_ref().map(|metadata| {
        json!({
            "job_name": metadata.job_name,
            "job_namespace": metadata.job_namespace,
            "attempt": metadata.attempt,
            "started_time": time(metadata.started_time),
            "completed_time": time(metadata.completed_time),
            "duration": metadata.duration,
        })
    });
    let document = json!({
        "adapter": body.adapter,
        "observed_generation": body.observed_generation,
        "observed_time": time(body.observed_time),
        "conditions": conditions.collect::<Vec<Value>>(),
        "data": body.data,
        "metadata": metadata,
    });
    document.to_string().into_bytes()
}

fn references(by_type: &BTreeMap<String, Vec<Reference>>) -> Value {
    let target = |target: &Reference| json!({ "id": target.id, "kind": target.kind });
    by_type
        .iter()
        .map(|(name, targets)| (name.clone(), targets.iter().map(target).collect::<Value>()))
        .collect()
}

fn time(time: Option<DateTime<Utc>>) -> Option<String> {
    time.as_ref().map(timestamp::format)
}
