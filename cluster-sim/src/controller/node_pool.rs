//! HyperShift node pools: ready some time after their hosted cluster is available.

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::hosted_cluster::version_of;
use super::{LOOK_AGAIN, Outcome, anchor_plus, delay, observed, set_conditions};
use crate::config::SimConfig;
use crate::object::{
    self, Key, Stored, add_finalizer, child, condition_is_true, has_finalizer, remove_finalizer,
    text,
};
use crate::store::Store;

const FINALIZER: &str = "hypershift.openshift.io/finalizer";

pub(super) fn due(stored: &Stored, config: &SimConfig) -> Option<DateTime<Utc>> {
    let object = &stored.object;
    if object::is_deleting(object) {
        return has_finalizer(object, FINALIZER)
            .then(|| anchor_plus(stored, delay(object, config.deletion_delay)));
    }
    if object.pointer("/status/conditions").is_none() {
        return Some(stored.anchor);
    }
    let settled = observed(object) == object::generation(object);
    (!settled && Outcome::of(object) != Outcome::Never)
        .then(|| anchor_plus(stored, delay(object, config.node_pool_delay)))
}

pub(super) fn act(store: &mut Store, key: &Key, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let object = store.get(key)?.object.clone();
    if object::is_deleting(&object) {
        store.control(key, false, |object| remove_finalizer(object, FINALIZER));
        return None;
    }
    let generation = object::generation(&object);
    if object.pointer("/status/conditions").is_none() {
        store.control(key, false, |object| {
            add_finalizer(object, FINALIZER);
            let status = child(object, "status");
            status.insert("replicas".into(), 0.into());
            let rows = [
                ("Ready", "False", "ScalingUp"),
                ("AllMachinesReady", "False", "Provisioning"),
                ("AllNodesHealthy", "False", "Provisioning"),
                ("ReconciliationActive", "True", "ReconciliationActive"),
            ];
            set_conditions(status, generation, &rows, now);
        });
        return None;
    }
    let cluster = Key {
        plural: "hostedclusters".into(),
        name: text(&object, "/spec/clusterName").to_owned(),
        ..key.clone()
    };
    let available = store
        .get(&cluster)
        .is_some_and(|found| condition_is_true(&found.object, "Available"));
    if !available {
        return Some(now + LOOK_AGAIN);
    }
    store.control(key, false, |object| settle(object, generation, now));
    None
}

fn settle(object: &mut Value, generation: i64, now: DateTime<Utc>) {
    let failed = Outcome::of(object) == Outcome::Failed;
    let version = version_of(text(object, "/spec/release/image"));
    let replicas = object
        .pointer("/spec/replicas")
        .or_else(|| object.pointer("/spec/autoScaling/min"))
        .and_then(Value::as_i64)
        .unwrap_or_default();
    let status = child(object, "status");
    status.insert("observedGeneration".into(), generation.into());
    if failed {
        let rows = [
            ("Ready", "False", "MachinesFailed"),
            ("AllMachinesReady", "False", "GCPError"),
        ];
        set_conditions(status, generation, &rows, now);
        return;
    }
    status.insert("replicas".into(), replicas.into());
    status.insert("version".into(), version.into());
    for kind in [
        "Ready",
        "AllMachinesReady",
        "AllNodesHealthy",
        "ReachedIgnitionEndpoint",
        "ValidReleaseImage",
        "ValidArchPlatform",
    ] {
        set_conditions(status, generation, &[(kind, "True", "AsExpected")], now);
    }
    for kind in [
        "UpdatingVersion",
        "UpdatingConfig",
        "UpdatingPlatformMachineTemplate",
    ] {
        set_conditions(status, generation, &[(kind, "False", "AsExpected")], now);
    }
}
