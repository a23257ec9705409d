//! A cluster's life through user commands: create, watch, describe, patch, wait, delete, history.

use std::path::Path;

use serde_json::Value;

use crate::dev::{Dev, cluster_file, node_pool_file};

#[tokio::test]
async fn a_cluster_lives_and_dies_through_user_commands() {
    let folder = tempfile::tempdir().unwrap();
    let data_dir = folder.path().join("data");
    let dev = Dev::start(&data_dir).await;
    create(&dev, folder.path()).await;
    look(&dev).await;
    change(&dev).await;
    delete(&dev).await;
    assert_eq!(left_in_cluster(&data_dir).await, Vec::<String>::new());
    dev.stop().await;
}

async fn create(dev: &Dev, folder: &Path) {
    let cluster = cluster_file(folder, "blue-1");
    let created = dev.ok(&["create", "-f", cluster.to_str().unwrap()]).await;
    assert_eq!(created, "cluster/blue-1 created\n");
    let pool = node_pool_file(folder, "workers");
    let arguments = [
        "create",
        "-f",
        pool.to_str().unwrap(),
        "--cluster",
        "blue-1",
    ];
    assert_eq!(dev.ok(&arguments).await, "nodepool/workers created\n");
    let reconciled = "--for=condition=Reconciled";
    dev.ok(&["wait", "cluster", "blue-1", reconciled, "--timeout", "60"])
        .await;
    dev.ok(&["wait", "nodepool", "workers", "--timeout", "60"])
        .await;
}

async fn cluster(dev: &Dev) -> Value {
    serde_json::from_str(&dev.ok(&["get", "cluster", "blue-1", "-o", "json"]).await).unwrap()
}

async fn look(dev: &Dev) {
    let table = dev.ok(&["get", "clusters"]).await;
    let shown = ["NAME", "blue-1", "Ready"];
    assert!(
        shown.iter().all(|expected| table.contains(expected)),
        "{table}"
    );
    let id = cluster(dev).await["id"].as_str().unwrap().to_owned();
    let by_id = dev.ok(&["get", "cluster", &id, "-o", "name"]).await;
    assert_eq!(by_id, "cluster/blue-1\n");
    for selecting in [
        [
            "--search",
            "name='blue-1' and status.conditions.Reconciled='True'",
        ],
        ["-l", "!no-such-label"],
    ] {
        let arguments = [["get", "clusters"], selecting, ["-o", "name"]].concat();
        assert_eq!(dev.ok(&arguments).await, "cluster/blue-1\n");
    }
    let described = dev.ok(&["describe", "cluster", "blue-1"]).await;
    let shown = [
        "Conditions:",
        "ReconciledAll",
        "hypershift",
        "workers",
        "resource.conditions_changed",
    ];
    for expected in shown {
        assert!(described.contains(expected), "{expected}: {described}");
    }
}

async fn change(dev: &Dev) {
    let patch = [
        "patch",
        "cluster",
        "blue-1",
        "-p",
        r#"{"labels":{"tier":"gold"}}"#,
    ];
    assert_eq!(dev.ok(&patch).await, "cluster/blue-1 patched\n");
    assert_eq!(dev.ok(&patch).await, "cluster/blue-1 unchanged\n");
    let patched = cluster(dev).await;
    assert_eq!(
        patched["labels"],
        serde_json::json!({"environment": "test", "tier": "gold"})
    );
    assert_eq!(patched["generation"], 2);
    dev.ok(&["wait", "cluster", "blue-1", "--timeout", "60"])
        .await;
}

async fn delete(dev: &Dev) {
    dev.ok(&["delete", "cluster", "blue-1", "--wait", "--timeout", "90"])
        .await;
    let missing = dev.fails(&["get", "cluster", "blue-1"]).await;
    assert!(missing.contains("not found"), "{missing}");
    let born = dev
        .ok(&["get", "cluster", "blue-1", "--version", "1", "-o", "json"])
        .await;
    assert!(born.contains("\"generation\": 1"), "{born}");
    let diff = ["diff", "cluster", "blue-1", "--from", "1", "--to", "v2"];
    let changed = dev.ok(&diff).await;
    assert!(changed.contains("+ status.conditions"), "{changed}");
    let patch = dev.ok(&[&diff[..], &["-o", "json"]].concat()).await;
    assert!(
        patch.contains("\"op\":") && patch.contains("\"path\":"),
        "{patch}"
    );
    let before = dev
        .fails(&["get", "cluster", "blue-1", "--at", "1d ago"])
        .await;
    assert!(before.contains("was named"), "{before}");
    let latest = dev.ok(&["events", "-n", "3"]).await;
    assert_eq!(latest.lines().count(), 4, "{latest}");
    let lines = dev
        .ok(&["history", "cluster", "--type", "created", "-o", "ndjson"])
        .await;
    let first: Value = serde_json::from_str(lines.lines().next().unwrap()).unwrap();
    assert_eq!(first["source_address"], "127.0.0.1");
    for subject in [
        ["history", "cluster", "blue-1"],
        ["history", "nodepool", "workers"],
    ] {
        let history = dev.ok(&subject).await;
        let whole = history.contains("resource.created") && history.contains("resource.removed");
        assert!(whole, "{history}");
    }
}

/// Names of the objects that adapters created and that are still in the simulated cluster.
async fn left_in_cluster(data_dir: &Path) -> Vec<String> {
    let kubeconfig =
        kube::config::Kubeconfig::read_from(data_dir.join("cluster-sim.kubeconfig")).unwrap();
    let config = kube::Config::from_custom_kubeconfig(
        kubeconfig,
        &kube::config::KubeConfigOptions::default(),
    )
    .await
    .unwrap();
    let client = kube::Client::try_from(config).unwrap();
    let mut left = Vec::new();
    let discovery = kube::Discovery::new(client.clone()).run().await.unwrap();
    for group in discovery.groups() {
        for (resource, capabilities) in group.recommended_resources() {
            if !capabilities.supports_operation(kube::discovery::verbs::LIST) {
                continue;
            }
            let api: kube::Api<kube::api::DynamicObject> =
                kube::Api::all_with(client.clone(), &resource);
            for object in api.list(&kube::api::ListParams::default()).await.unwrap() {
                let managed = object
                    .metadata
                    .labels
                    .iter()
                    .flatten()
                    .any(|(key, _)| key.starts_with("hyperfleet.io/"));
                if managed {
                    left.push(format!(
                        "{}/{}",
                        resource.kind,
                        object.metadata.name.unwrap_or_default()
                    ));
                }
            }
        }
    }
    left
}
