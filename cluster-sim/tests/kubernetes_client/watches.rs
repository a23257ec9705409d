use std::pin::pin;

use futures::{StreamExt, TryStreamExt};
use hyperfleet_cluster_sim::SimConfig;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, Patch, PatchParams, PostParams, WatchEvent, WatchParams};
use kube::runtime::watcher::{self, Event, watcher};
use serde_json::json;

use crate::support::{config_map, fast, start};

async fn next(
    events: &mut (impl futures::Stream<Item = kube::Result<WatchEvent<ConfigMap>>> + Unpin),
) -> (String, String) {
    match events.next().await.unwrap().unwrap() {
        WatchEvent::Added(map) => ("added".into(), map.metadata.name.unwrap()),
        WatchEvent::Modified(map) => ("modified".into(), map.metadata.name.unwrap()),
        WatchEvent::Deleted(map) => ("deleted".into(), map.metadata.name.unwrap()),
        WatchEvent::Bookmark(mark) => ("bookmark".into(), mark.metadata.resource_version),
        WatchEvent::Error(status) => ("error".into(), status.code.to_string()),
    }
}

fn pair(kind: &str, name: &str) -> (String, String) {
    (kind.into(), name.into())
}

#[tokio::test]
async fn a_watch_resumes_where_a_list_ended() {
    let (_handle, client) = start(fast()).await;
    let maps: Api<ConfigMap> = Api::namespaced(client, "default");
    maps.create(&PostParams::default(), &config_map("before"))
        .await
        .unwrap();
    let version = maps
        .list(&Default::default())
        .await
        .unwrap()
        .metadata
        .resource_version
        .unwrap();
    maps.create(&PostParams::default(), &config_map("between"))
        .await
        .unwrap();
    let mut events = pin!(
        maps.watch(&WatchParams::default(), &version)
            .await
            .unwrap()
            .boxed()
    );
    assert_eq!(next(&mut events).await, pair("added", "between"));
    maps.patch(
        "before",
        &PatchParams::default(),
        &Patch::Merge(json!({"data": {"z": "1"}})),
    )
    .await
    .unwrap();
    assert_eq!(next(&mut events).await, pair("modified", "before"));
    maps.delete("between", &Default::default()).await.unwrap();
    assert_eq!(next(&mut events).await, pair("deleted", "between"));
}

#[tokio::test]
async fn an_object_appears_and_disappears_with_its_labels() {
    let (_handle, client) = start(fast()).await;
    let maps: Api<ConfigMap> = Api::namespaced(client, "default");
    maps.create(&PostParams::default(), &config_map("m"))
        .await
        .unwrap();
    let chosen = WatchParams::default().labels("on=yes");
    let mut events = pin!(maps.watch(&chosen, "0").await.unwrap().boxed());
    for (value, expected) in [("yes", "added"), ("no", "deleted")] {
        let patch = Patch::Merge(json!({"metadata": {"labels": {"on": value}}}));
        maps.patch("m", &PatchParams::default(), &patch)
            .await
            .unwrap();
        assert_eq!(next(&mut events).await, pair(expected, "m"));
    }
}

#[tokio::test]
async fn a_watch_from_too_long_ago_is_told_so() {
    let (_handle, client) = start(SimConfig {
        watch_history: 3,
        ..fast()
    })
    .await;
    let maps: Api<ConfigMap> = Api::namespaced(client, "default");
    for number in 0..5 {
        maps.create(&PostParams::default(), &config_map(&format!("m{number}")))
            .await
            .unwrap();
    }
    let mut events = pin!(
        maps.watch(&WatchParams::default(), "1")
            .await
            .unwrap()
            .boxed()
    );
    assert_eq!(next(&mut events).await, pair("error", "410"));
    assert!(events.next().await.is_none());
}

#[tokio::test]
async fn bookmarks_and_the_end_of_a_watch() {
    let config = SimConfig {
        bookmark_interval: std::time::Duration::from_millis(20),
        ..fast()
    };
    let (_handle, client) = start(config).await;
    let maps: Api<ConfigMap> = Api::namespaced(client, "default");
    let version = maps
        .list(&Default::default())
        .await
        .unwrap()
        .metadata
        .resource_version
        .unwrap();
    let mut events = pin!(
        maps.watch(&WatchParams::default().timeout(1), &version)
            .await
            .unwrap()
            .boxed()
    );
    assert_eq!(next(&mut events).await.0, "bookmark");
    let rest: Vec<_> = events.try_collect().await.unwrap();
    assert!(
        rest.iter()
            .all(|event| matches!(event, WatchEvent::Bookmark(_)))
    );
}

#[tokio::test]
async fn the_runtime_watcher_works_in_both_list_modes() {
    let (_handle, client) = start(fast()).await;
    let maps: Api<ConfigMap> = Api::namespaced(client, "default");
    maps.create(&PostParams::default(), &config_map("first"))
        .await
        .unwrap();
    for config in [
        watcher::Config::default(),
        watcher::Config::default().streaming_lists(),
    ] {
        let mut events = pin!(watcher(maps.clone(), config));
        let mut seen = Vec::new();
        loop {
            match events.next().await.unwrap().unwrap() {
                Event::Init => {}
                Event::InitApply(map) => seen.push(map.metadata.name.unwrap()),
                Event::InitDone => break,
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(seen, ["first"]);
        maps.create(&PostParams::default(), &config_map("second"))
            .await
            .unwrap();
        let event = events.next().await.unwrap().unwrap();
        assert!(
            matches!(&event, Event::Apply(map) if map.metadata.name.as_deref() == Some("second"))
        );
        maps.delete("second", &Default::default()).await.unwrap();
        assert!(matches!(
            events.next().await.unwrap().unwrap(),
            Event::Delete(_)
        ));
    }
}
