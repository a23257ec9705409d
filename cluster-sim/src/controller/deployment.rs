//! Deployments become available after a delay; no replica sets or Pods are made.

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::{anchor_plus, delay, observed, set_conditions};
use crate::config::SimConfig;
use crate::object::{self, Key, Stored, child};
use crate::store::Store;

pub(super) fn due(stored: &Stored, config: &SimConfig) -> Option<DateTime<Utc>> {
    let object = &stored.object;
    let settled = observed(object) == object::generation(object);
    (!settled && !object::is_deleting(object))
        .then(|| anchor_plus(stored, delay(object, config.deployment_delay)))
}

pub(super) fn act(store: &mut Store, key: &Key, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    store.control(key, false, |object| {
        let generation = object::generation(object);
        let replicas = object
            .pointer("/spec/replicas")
            .and_then(Value::as_i64)
            .unwrap_or(1);
        let status = child(object, "status");
        for field in [
            "replicas",
            "readyReplicas",
            "availableReplicas",
            "updatedReplicas",
        ] {
            status.insert(field.into(), replicas.into());
        }
        status.insert("observedGeneration".into(), generation.into());
        let rows = [
            ("Available", "True", "MinimumReplicasAvailable"),
            ("Progressing", "True", "NewReplicaSetAvailable"),
        ];
        set_conditions(status, generation, &rows, now);
    });
    None
}
