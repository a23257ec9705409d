//! HyperShift hosted clusters: Progressing, then Available; a deletion takes a while and takes the node pools along.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::{LOOK_AGAIN, Outcome, anchor_plus, delay, observed, set_conditions};
use crate::config::SimConfig;
use crate::object::{
    self, Key, Stored, add_finalizer, as_map, child, has_finalizer, remove_finalizer, text,
    timestamp,
};
use crate::store::Store;

const FINALIZER: &str = "hypershift.openshift.io/finalizer";

/// What a healthy hosted cluster reports besides Available, Progressing and Degraded.
const HEALTHY: &[&str] = &[
    "InfrastructureReady",
    "KubeAPIServerAvailable",
    "EtcdAvailable",
    "IgnitionEndpointAvailable",
    "ClusterVersionSucceeding",
    "ClusterVersionAvailable",
    "ReconciliationSucceeded",
    "ValidGCPWorkloadIdentity",
    "ValidGCPCredentials",
    "GCPEndpointAvailable",
];

pub(super) fn due(stored: &Stored, config: &SimConfig) -> Option<DateTime<Utc>> {
    let object = &stored.object;
    if object::is_deleting(object) {
        return has_finalizer(object, FINALIZER)
            .then(|| anchor_plus(stored, delay(object, config.deletion_delay)));
    }
    let begun = object
        .pointer("/status/progressingGeneration")
        .and_then(Value::as_i64);
    if begun != Some(object::generation(object)) {
        return Some(stored.anchor);
    }
    let settled = observed(object) == object::generation(object);
    (!settled && Outcome::of(object) != Outcome::Never)
        .then(|| anchor_plus(stored, delay(object, config.hosted_cluster_delay)))
}

pub(super) fn act(store: &mut Store, key: &Key, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let object = store.get(key)?.object.clone();
    if object::is_deleting(&object) {
        return tear_down(store, key, now);
    }
    let generation = object::generation(&object);
    let begun = object
        .pointer("/status/progressingGeneration")
        .and_then(Value::as_i64);
    if begun == Some(generation) {
        store.control(key, false, |object| settle(object, generation, now));
    } else {
        store.control(key, false, |object| begin(object, generation, now));
    }
    None
}

fn tear_down(store: &mut Store, key: &Key, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let pools: Vec<Key> = store
        .list(&key.group, "nodepools", &key.namespace)
        .filter(|(_, pool)| text(&pool.object, "/spec/clusterName") == key.name)
        .map(|(key, _)| key.clone())
        .collect();
    if pools.is_empty() {
        store.control(key, false, |object| remove_finalizer(object, FINALIZER));
        return None;
    }
    for pool in pools {
        store.delete_in_background(&pool);
    }
    Some(now + LOOK_AGAIN)
}

fn begin(object: &mut Value, generation: i64, now: DateTime<Utc>) {
    add_finalizer(object, FINALIZER);
    let image = text(object, "/spec/release/image").to_owned();
    let known = object
        .pointer("/status/version/history/0/image")
        .and_then(Value::as_str);
    let first = known.is_none();
    let upgrades = known != Some(image.as_str());
    let status = child(object, "status");
    // Our own bookkeeping, which a real controller keeps elsewhere.
    status.insert("progressingGeneration".into(), generation.into());
    let available = if first {
        ("Available", "False", "WaitingForAvailable")
    } else {
        ("Available", "True", "AsExpected")
    };
    let rows = [
        available,
        ("Progressing", "True", "Progressing"),
        ("Degraded", "False", "AsExpected"),
    ];
    set_conditions(status, generation, &rows, now);
    if upgrades {
        let entry = json!({
            "state": "Partial", "image": image, "version": version_of(&image),
            "startedTime": timestamp(now), "verified": false, "completionTime": null,
        });
        let version = as_map(status.entry("version").or_insert_with(|| json!({})));
        let desired = json!({"image": image, "version": version_of(&image)});
        version.insert("desired".into(), desired);
        match version.get_mut("history").and_then(Value::as_array_mut) {
            Some(history) => history.insert(0, entry),
            None => {
                version.insert("history".into(), json!([entry]));
            }
        }
    }
}

fn settle(object: &mut Value, generation: i64, now: DateTime<Utc>) {
    let failed = Outcome::of(object) == Outcome::Failed;
    let name = object::name(object).to_owned();
    let domain = match text(object, "/spec/dns/baseDomain") {
        "" => "cluster-sim.local".to_owned(),
        domain => domain.to_owned(),
    };
    let status = child(object, "status");
    status.insert("observedGeneration".into(), generation.into());
    if failed {
        let rows = [
            ("Degraded", "True", "GCPError"),
            ("Progressing", "False", "Blocked"),
        ];
        set_conditions(status, generation, &rows, now);
        return;
    }
    let rows = [
        ("Available", "True", "AsExpected"),
        ("Progressing", "False", "AsExpected"),
        ("Degraded", "False", "AsExpected"),
        ("ClusterVersionProgressing", "False", "AsExpected"),
    ];
    set_conditions(status, generation, &rows, now);
    for kind in HEALTHY {
        set_conditions(status, generation, &[(kind, "True", "AsExpected")], now);
    }
    status.insert(
        "controlPlaneEndpoint".into(),
        json!({"host": format!("api-{name}.{domain}"), "port": 443}),
    );
    status.insert(
        "kubeconfig".into(),
        json!({"name": format!("{name}-admin-kubeconfig")}),
    );
    status.insert(
        "kubeadminPassword".into(),
        json!({"name": format!("{name}-kubeadmin-password")}),
    );
    let latest = status
        .get_mut("version")
        .and_then(|version| version.pointer_mut("/history/0"));
    if let Some(entry) = latest
        && text(entry, "/state") != "Completed"
    {
        let entry = as_map(entry);
        entry.insert("state".into(), "Completed".into());
        entry.insert("completionTime".into(), timestamp(now).into());
    }
}

/// `4.22.3` of `quay.io/…/ocp-release:4.22.3-multi`.
pub(super) fn version_of(image: &str) -> String {
    let tag = image.rsplit_once(':').map_or("", |(_, tag)| tag);
    tag.split('-').next().unwrap_or_default().to_owned()
}
