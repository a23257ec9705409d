use k8s_openapi::api::core::v1::Pod;
use kube::Client;
use kube::api::{Api, DynamicObject, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use crate::support::{condition, eventually, fast, job, object, refusal, resource, start};

fn hypershift(client: &Client, kind: &str, plural: &str) -> Api<DynamicObject> {
    let resource = resource("hypershift.openshift.io", "v1beta1", kind, plural);
    Api::namespaced_with(client.clone(), "default", &resource)
}

async fn until(
    api: &Api<DynamicObject>,
    name: &str,
    kind: &str,
    status: &str,
) -> (DynamicObject, String) {
    eventually(&format!("{name} {kind}={status}"), || async {
        let found = api.get(name).await.ok()?;
        let (value, reason) = condition(&found, kind)?;
        (value == status).then_some((found, reason))
    })
    .await
}

#[tokio::test]
async fn jobs_complete_fail_or_wait_as_annotated() {
    let (_handle, client) = start(fast()).await;
    let jobs: Api<DynamicObject> = Api::namespaced_with(
        client.clone(),
        "default",
        &resource("batch", "v1", "Job", "jobs"),
    );
    let reported = json!([{"type": "Available", "status": "False", "reason": "QuotaExceeded", "message": "no room"}]);
    let outcome = "cluster-sim.local/outcome";
    for (name, annotations) in [
        ("good", json!({})),
        (
            "bad",
            json!({outcome: "Failed", "cluster-sim.local/conditions": reported.to_string()}),
        ),
        ("stuck", json!({outcome: "Never"})),
    ] {
        jobs.create(&PostParams::default(), &object(job(name, annotations)))
            .await
            .unwrap();
    }
    let (good, _) = until(&jobs, "good", "Complete", "True").await;
    assert_eq!(good.data["status"]["succeeded"], 1);
    assert_eq!(good.data["status"]["active"], 0);
    assert!(good.data["status"]["completionTime"].is_string());
    let (bad, reason) = until(&jobs, "bad", "Failed", "True").await;
    assert_eq!(reason, "BackoffLimitExceeded");
    assert_eq!(
        condition(&bad, "Available"),
        Some(("False".into(), "QuotaExceeded".into()))
    );
    let stuck = jobs.get("stuck").await.unwrap();
    assert_eq!(stuck.data["status"]["active"], 1);
    let pods: Api<Pod> = Api::namespaced(client, "default");
    let pods = pods.list(&Default::default()).await.unwrap();
    let mut phases: Vec<String> = pods
        .items
        .iter()
        .map(|pod| pod.status.clone().unwrap().phase.unwrap())
        .collect();
    phases.sort();
    assert_eq!(phases, ["Failed", "Running", "Succeeded"]);
}

#[tokio::test]
async fn jobs_honour_their_deadline_and_time_to_live() {
    let (_handle, client) = start(fast()).await;
    let jobs: Api<DynamicObject> =
        Api::namespaced_with(client, "default", &resource("batch", "v1", "Job", "jobs"));
    let mut late = job("late", json!({"cluster-sim.local/outcome": "Never"}));
    late["spec"]["activeDeadlineSeconds"] = 0.into();
    let mut brief = job("brief", json!({}));
    brief["spec"]["ttlSecondsAfterFinished"] = 0.into();
    jobs.create(&PostParams::default(), &object(late))
        .await
        .unwrap();
    jobs.create(&PostParams::default(), &object(brief))
        .await
        .unwrap();
    assert_eq!(
        until(&jobs, "late", "Failed", "True").await.1,
        "DeadlineExceeded"
    );
    eventually("the finished job is forgotten", || async {
        jobs.get_opt("brief").await.ok()?.is_none().then_some(())
    })
    .await;
}

fn hosted_cluster(name: &str) -> DynamicObject {
    object(json!({
        "apiVersion": "hypershift.openshift.io/v1beta1", "kind": "HostedCluster",
        "metadata": {"name": name},
        "spec": {"release": {"image": "quay.io/ocp-release:4.22.3-multi"}, "pullSecret": {"name": "p"},
            "dns": {"baseDomain": "example.com"}, "services": [], "platform": {"type": "None"}},
    }))
}

#[tokio::test]
async fn a_hosted_cluster_and_its_node_pool_become_available_and_go() {
    let (_handle, client) = start(fast()).await;
    let clusters = hypershift(&client, "HostedCluster", "hostedclusters");
    let pools = hypershift(&client, "NodePool", "nodepools");
    let pool = object(json!({
        "apiVersion": "hypershift.openshift.io/v1beta1", "kind": "NodePool",
        "metadata": {"name": "workers"},
        "spec": {"clusterName": "one", "replicas": 3, "management": {"upgradeType": "Replace"},
            "release": {"image": "quay.io/ocp-release:4.22.3-multi"}, "platform": {"type": "None"}},
    }));
    pools.create(&PostParams::default(), &pool).await.unwrap();
    until(&pools, "workers", "Ready", "False").await;
    clusters
        .create(&PostParams::default(), &hosted_cluster("one"))
        .await
        .unwrap();
    until(&clusters, "one", "Progressing", "True").await;
    let (ready, _) = until(&clusters, "one", "Available", "True").await;
    assert_eq!(
        ready.data["status"]["controlPlaneEndpoint"],
        json!({"host": "api-one.example.com", "port": 443})
    );
    assert_eq!(
        ready.data["status"]["version"]["history"][0]["state"],
        "Completed"
    );
    assert_eq!(
        ready.data["status"]["version"]["history"][0]["version"],
        "4.22.3"
    );
    let (workers, _) = until(&pools, "workers", "Ready", "True").await;
    assert_eq!(workers.data["status"]["replicas"], 3);

    let patch = json!({"spec": {"release": {"image": "quay.io/ocp-release:4.22.4-multi"}}});
    clusters
        .patch("one", &PatchParams::default(), &Patch::Merge(patch))
        .await
        .unwrap();
    eventually("upgraded", || async {
        let found = clusters.get("one").await.ok()?;
        let history = found
            .data
            .pointer("/status/version/history")?
            .as_array()?
            .clone();
        (history.len() == 2 && history[0]["state"] == "Completed").then_some(())
    })
    .await;

    let answer = clusters.delete("one", &Default::default()).await.unwrap();
    assert!(answer.left().unwrap().metadata.deletion_timestamp.is_some());
    eventually("both gone", || async {
        let left = clusters.list(&Default::default()).await.ok()?.items.len()
            + pools.list(&Default::default()).await.ok()?.items.len();
        (left == 0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_hosted_cluster_that_the_definition_forbids_is_refused() {
    let (_handle, client) = start(fast()).await;
    let clusters = hypershift(&client, "HostedCluster", "hostedclusters");
    let mut wrong = hosted_cluster("one");
    wrong.data["spec"]["platform"] = json!({"type": "GCP", "gcp": {"project": "acme-prod-1", "region": "europe-west1",
        "networkConfig": {"network": {"name": "n"}, "privateServiceConnectSubnet": {"name": "s"}},
        "workloadIdentity": {"projectNumber": "1", "poolID": "pool", "providerID": "provider",
            "serviceAccountsEmails": {"controlPlane": "control-plane@acme-prod-1.iam.gserviceaccount.com"}}}});
    let (code, _, message) = refusal(clusters.create(&PostParams::default(), &wrong).await);
    assert_eq!(code, 422);
    assert!(
        message.contains("serviceAccountsEmails.storage: Required value"),
        "{message}"
    );
}

#[tokio::test]
async fn dns_zones_get_name_servers_and_deployments_become_available() {
    let (_handle, client) = start(fast()).await;
    let zones: Api<DynamicObject> = Api::namespaced_with(
        client.clone(),
        "default",
        &resource(
            "dns.cnrm.cloud.google.com",
            "v1beta1",
            "DNSManagedZone",
            "dnsmanagedzones",
        ),
    );
    let zone = object(
        json!({"apiVersion": "dns.cnrm.cloud.google.com/v1beta1", "kind": "DNSManagedZone",
        "metadata": {"name": "public"}, "spec": {"dnsName": "one.example.com."}}),
    );
    zones.create(&PostParams::default(), &zone).await.unwrap();
    let (ready, reason) = until(&zones, "public", "Ready", "True").await;
    assert_eq!(reason, "UpToDate");
    assert_eq!(
        ready.data["status"]["nameServers"].as_array().map(Vec::len),
        Some(4)
    );
    let deployments: Api<DynamicObject> = Api::namespaced_with(
        client,
        "default",
        &resource("apps", "v1", "Deployment", "deployments"),
    );
    let wanted: Value = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"}, "spec": {"replicas": 2}});
    deployments
        .create(&PostParams::default(), &object(wanted))
        .await
        .unwrap();
    let (found, _) = until(&deployments, "d", "Available", "True").await;
    assert_eq!(found.data["status"]["availableReplicas"], 2);
}
