//! What the demo declares when the user brings no file.

use serde_json::{Value, json};

/// A production cluster on Google Cloud.
pub(super) fn cluster() -> Value {
    json!({
        "kind": "Cluster",
        "name": "demo-eu-1",
        "labels": {"environment": "production", "region": "europe-west1"},
        "spec": {
            "platform": {"type": "gcp", "gcp": {"projectID": "acme-prod-1", "region": "europe-west1"}},
            "release": {"image": "quay.io/openshift-release-dev/ocp-release:4.22.3-multi"},
            "networking": {
                "clusterNetwork": [{"cidr": "10.132.0.0/14"}],
                "serviceNetwork": [{"cidr": "172.31.0.0/16"}]
            },
            "dns": {"baseDomain": "acme.example.com"}
        }
    })
}

/// A node pool that fits the cluster: its release is the cluster's, if that names one.
pub(super) fn node_pool(cluster_spec: &Value) -> Value {
    let mut spec = json!({
        "replicas": 3,
        "platform": {"type": "gcp", "gcp": {"machineType": "n2-standard-4", "diskSizeGb": 128}}
    });
    if let Some(release) = cluster_spec.get("release") {
        spec["release"] = release.clone();
    }
    json!({"kind": "NodePool", "name": "workers", "labels": {"role": "worker"}, "spec": spec})
}
