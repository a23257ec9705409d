use std::io::Write;
use std::time::Duration;

use hyperfleet_cluster_sim::{ClusterSim, SimConfig, StartError};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, DynamicObject, PostParams};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::support::{condition, config_map, eventually, fast, job, object, resource, start};

#[tokio::test]
async fn a_restarted_cluster_is_the_same_and_its_timers_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let slow = SimConfig {
        data_dir: Some(folder.path().into()),
        job_delay: Duration::from_hours(1),
        ..fast()
    };
    let (first, client) = start(slow.clone()).await;
    let jobs = resource("batch", "v1", "Job", "jobs");
    let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), "default", &jobs);
    api.create(&PostParams::default(), &object(job("work", json!({}))))
        .await
        .unwrap();
    eventually("started", || async {
        api.get("work")
            .await
            .ok()?
            .data
            .pointer("/status/startTime")
            .cloned()
    })
    .await;
    let maps: Api<ConfigMap> = Api::namespaced(client, "default");
    let before = maps
        .create(&PostParams::default(), &config_map("kept"))
        .await
        .unwrap();
    maps.create(&PostParams::default(), &config_map("dropped"))
        .await
        .unwrap();
    maps.delete("dropped", &Default::default()).await.unwrap();
    first.stop().await;
    // A crash in the middle of a write.
    let mut file = std::fs::OpenOptions::new()
        .append(true)
        .open(folder.path().join("journal.jsonl"))
        .unwrap();
    file.write_all(b"{\"version\": 99999, \"chan").unwrap();

    let quick = SimConfig {
        job_delay: Duration::from_millis(1),
        ..slow
    };
    let (_second, client) = start(quick).await;
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), "default");
    assert_eq!(maps.get("kept").await.unwrap(), before);
    assert!(maps.get_opt("dropped").await.unwrap().is_none());
    let api: Api<DynamicObject> = Api::namespaced_with(client, "default", &jobs);
    eventually("completed", || async {
        (condition(&api.get("work").await.ok()?, "Complete")?.0 == "True").then_some(())
    })
    .await;
    let after = maps
        .create(&PostParams::default(), &config_map("later"))
        .await
        .unwrap();
    let number = |map: &ConfigMap| {
        map.metadata
            .resource_version
            .as_ref()
            .unwrap()
            .parse::<u64>()
            .unwrap()
    };
    assert!(number(&after) > number(&before));
}

#[tokio::test]
async fn a_folder_in_use_or_a_damaged_journal_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let config = SimConfig {
        data_dir: Some(folder.path().into()),
        ..fast()
    };
    let (first, _client) = start(config.clone()).await;
    let second = ClusterSim::start(config.clone(), CancellationToken::new()).await;
    assert!(matches!(second, Err(StartError::InUse { .. })));
    first.stop().await;
    let path = folder.path().join("journal.jsonl");
    let content = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, format!("nonsense\n{content}")).unwrap();
    let damaged = ClusterSim::start(config, CancellationToken::new()).await;
    assert!(matches!(damaged, Err(StartError::Corrupt { line: 1, .. })));
}
