use kube::api::{Api, ApiResource, DynamicObject, ListParams};
use serde_json::{Value, json};

use crate::fleet::{CLUSTER_ADAPTERS, Fleet, NODE_POOL_ADAPTERS, is_true};

const CLUSTER_ID: &str = "019a0000-0000-7000-8000-000000000001";
const CLUSTER: &str = "clusters/019a0000-0000-7000-8000-000000000001";
const POOL: &str =
    "clusters/019a0000-0000-7000-8000-000000000001/nodepools/019a0000-0000-7000-8000-000000000002";

fn cluster() -> Value {
    json!({
        "id": CLUSTER_ID, "kind": "Cluster", "name": "demo-eu-1", "generation": 1,
        "href": format!("/api/hyperfleet/v1/{CLUSTER}"),
        "labels": {"environment": "production", "region": "europe-west1"},
        "spec": {
            "platform": {"type": "gcp", "gcp": {"projectID": "acme-prod-1", "region": "europe-west1"}},
            "release": {"image": "quay.io/openshift-release-dev/ocp-release:4.22.3-multi"},
            "networking": {"clusterNetwork": [{"cidr": "10.132.0.0/14"}], "serviceNetwork": [{"cidr": "172.31.0.0/16"}]},
            "dns": {"baseDomain": "acme.example.com"}},
    })
}

fn pool() -> Value {
    json!({
        "id": "019a0000-0000-7000-8000-000000000002", "kind": "NodePool", "name": "workers",
        "generation": 1, "href": format!("/api/hyperfleet/v1/{POOL}"),
        "owner_references": {"id": CLUSTER_ID, "kind": "Cluster", "href": format!("/api/hyperfleet/v1/{CLUSTER}")},
        "spec": {"replicas": 3, "platform": {"type": "gcp", "gcp": {"machineType": "n2-standard-8", "zone": "europe-west1-b"}}},
    })
}

fn kind(group: &str, version: &str, kind: &str, plural: &str) -> ApiResource {
    let api_version = if group.is_empty() {
        version.into()
    } else {
        format!("{group}/{version}")
    };
    ApiResource {
        group: group.into(),
        version: version.into(),
        api_version,
        kind: kind.into(),
        plural: plural.into(),
    }
}

/// Objects of the kinds that the adapters create, with the kind in front of the name.
async fn objects(fleet: &Fleet) -> Vec<String> {
    let mut found = Vec::new();
    for resource in [
        kind("", "v1", "Secret", "secrets"),
        kind("", "v1", "ConfigMap", "configmaps"),
        kind("", "v1", "ServiceAccount", "serviceaccounts"),
        kind("", "v1", "Pod", "pods"),
        kind("batch", "v1", "Job", "jobs"),
        kind("rbac.authorization.k8s.io", "v1", "Role", "roles"),
        kind(
            "rbac.authorization.k8s.io",
            "v1",
            "RoleBinding",
            "rolebindings",
        ),
        kind(
            "dns.cnrm.cloud.google.com",
            "v1beta1",
            "DNSManagedZone",
            "dnsmanagedzones",
        ),
        kind(
            "hypershift.openshift.io",
            "v1beta1",
            "HostedCluster",
            "hostedclusters",
        ),
        kind(
            "hypershift.openshift.io",
            "v1beta1",
            "NodePool",
            "nodepools",
        ),
    ] {
        let api: Api<DynamicObject> = Api::all_with(fleet.kube.clone(), &resource);
        for object in api.list(&ListParams::default()).await.unwrap().items {
            found.push(format!(
                "{}/{}",
                resource.kind,
                object.metadata.name.unwrap()
            ));
        }
    }
    let namespaces: Api<DynamicObject> = Api::all_with(
        fleet.kube.clone(),
        &kind("", "v1", "Namespace", "namespaces"),
    );
    let of_clusters = ListParams::default().labels("hyperfleet.io/cluster-id");
    for object in namespaces.list(&of_clusters).await.unwrap().items {
        found.push(format!("Namespace/{}", object.metadata.name.unwrap()));
    }
    found
}

/// Position of the first report of an adapter in which a condition is True.
fn first(fleet: &Fleet, path: &str, adapter: &str, kind: &str) -> usize {
    fleet
        .api
        .first(|at, report| at == path && report["adapter"] == adapter && is_true(report, kind))
        .unwrap()
}

fn assert_available_in_order(fleet: &Fleet) {
    let available = |path, adapter| first(fleet, path, adapter, "Available");
    for (earlier, later) in [
        ("validation", "dns"),
        ("validation", "placement"),
        ("dns", "pullsecret"),
        ("placement", "pullsecret"),
        ("pullsecret", "hypershift"),
    ] {
        assert!(
            available(CLUSTER, earlier) < available(CLUSTER, later),
            "{earlier} {later}"
        );
    }
    assert!(available(CLUSTER, "hypershift") < available(POOL, "hypershift"));
}

fn assert_outputs(fleet: &Fleet) {
    let statuses = fleet.api.statuses(CLUSTER);
    let pools = fleet.api.statuses(POOL);
    for (adapter, pointer, expected) in [
        (
            "hypershift",
            "/control_plane_endpoint",
            json!("api-demo-eu-1.acme.example.com:443"),
        ),
        ("hypershift", "/version", json!("4.22.3")),
        ("dns", "/baseDomain", json!("acme.example.com")),
        (
            "placement",
            "/placement/managementCluster",
            json!("cluster1"),
        ),
        ("pullsecret", "/gcpProject", json!("acme-prod-1")),
        ("validation", "/namespace/status", json!("Active")),
    ] {
        assert_eq!(
            statuses[adapter]["data"].pointer(pointer),
            Some(&expected),
            "{adapter}"
        );
    }
    let servers = &statuses["dns"]["data"]["publicZone"]["nameServers"];
    assert_eq!(servers.as_array().map(Vec::len), Some(4));
    assert_eq!(pools["hypershift"]["data"]["replicas"], 3);
    for status in statuses.values().chain(pools.values()) {
        assert!(
            is_true(status, "Applied") && is_true(status, "Health"),
            "{status}"
        );
        assert!(!is_true(status, "Finalized"), "{status}");
    }
}

fn assert_finalized_in_order(fleet: &Fleet) {
    let finalized = |path, adapter| first(fleet, path, adapter, "Finalized");
    for adapter in NODE_POOL_ADAPTERS {
        assert!(
            finalized(POOL, adapter) < finalized(CLUSTER, "hypershift"),
            "{adapter}"
        );
    }
    assert!(finalized(POOL, "hypershift") < finalized(POOL, "validation"));
    for adapter in ["dns", "placement", "pullsecret"] {
        assert!(
            finalized(CLUSTER, "hypershift") < finalized(CLUSTER, adapter),
            "{adapter}"
        );
        assert!(
            finalized(CLUSTER, adapter) < finalized(CLUSTER, "validation"),
            "{adapter}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_and_its_node_pool_come_and_go_in_order() {
    // Given a running fleet and a cluster with a node pool
    let fleet = Fleet::start().await;
    fleet.api.put(CLUSTER, cluster());
    fleet.api.put(POOL, pool());

    // When the adapters work, then all become available in the order of their dependencies
    fleet
        .until("reconciled", |api| {
            api.is_reconciled(CLUSTER) && api.is_reconciled(POOL)
        })
        .await;
    assert_available_in_order(&fleet);
    assert_outputs(&fleet);

    // When the release changes, then the new generation is reconciled too
    fleet.api.patch(CLUSTER, |document| {
        document["spec"]["release"]["image"] =
            "quay.io/openshift-release-dev/ocp-release:4.22.4-multi".into();
    });
    fleet
        .until("upgraded", |api| {
            api.is_reconciled(CLUSTER)
                && api.statuses(CLUSTER)["hypershift"]["data"]["version"] == "4.22.4"
        })
        .await;

    // When the cluster is deleted, then everything goes, dependents first
    fleet.api.delete(CLUSTER);
    fleet.until("removed", |api| !api.exists(CLUSTER)).await;
    assert_finalized_in_order(&fleet);
    assert_eq!(objects(&fleet).await, Vec::<String>::new());
    fleet.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_validation_holds_everything_and_can_still_be_deleted() {
    // Given a cluster whose validation fails
    let fleet = Fleet::start().await;
    let mut document = cluster();
    document["labels"]["simulate-validation"] = "Failed".into();
    fleet.api.put(CLUSTER, document);

    // Then the failure is reported with its reason, and nobody else goes on
    fleet
        .until("failed", |api| {
            let statuses = api.statuses(CLUSTER);
            statuses.len() == CLUSTER_ADAPTERS.len()
                && statuses["validation"]["conditions"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .any(|one| {
                        one["type"] == "Available"
                            && one["status"] == "False"
                            && one["reason"] == "ValidationFailed"
                    })
        })
        .await;
    for (adapter, status) in fleet.api.statuses(CLUSTER) {
        assert!(!is_true(&status, "Available"), "{adapter}");
        assert!(is_true(&status, "Health"), "{adapter}");
        assert_eq!(
            is_true(&status, "Applied"),
            adapter == "validation",
            "{adapter}"
        );
    }

    // When it is deleted, then nothing is left
    fleet.api.delete(CLUSTER);
    fleet.until("removed", |api| !api.exists(CLUSTER)).await;
    assert_eq!(objects(&fleet).await, Vec::<String>::new());
    fleet.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_deleted_in_the_middle_leaves_nothing() {
    // Given a cluster whose control plane never becomes available
    let fleet = Fleet::start().await;
    let mut document = cluster();
    document["labels"]["simulate-hypershift"] = "Never".into();
    fleet.api.put(CLUSTER, document);
    fleet.api.put(POOL, pool());
    fleet
        .until("pull secret stored", |api| {
            api.statuses(CLUSTER)
                .get("pullsecret")
                .is_some_and(|status| is_true(status, "Available"))
        })
        .await;

    // When it is deleted, then nothing is left
    fleet.api.delete(CLUSTER);
    fleet.until("removed", |api| !api.exists(CLUSTER)).await;
    assert_eq!(objects(&fleet).await, Vec::<String>::new());
    fleet.stop().await;
}
