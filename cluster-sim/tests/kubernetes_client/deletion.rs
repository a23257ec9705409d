use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::{Api, DeleteParams, DynamicObject, Patch, PatchParams, PostParams, Preconditions};
use serde_json::json;

use crate::support::{
    config_map, eventually, fast, job, namespace, object, refusal, resource, start,
};

fn owned(name: &str, owner: &ConfigMap, blocks: bool) -> ConfigMap {
    let mut map = config_map(name);
    map.metadata.owner_references = Some(vec![OwnerReference {
        api_version: "v1".into(),
        kind: "ConfigMap".into(),
        name: owner.metadata.name.clone().unwrap(),
        uid: owner.metadata.uid.clone().unwrap(),
        block_owner_deletion: Some(blocks),
        controller: None,
    }]);
    map
}

fn finalizers(names: &[&str]) -> Patch<serde_json::Value> {
    Patch::Merge(json!({"metadata": {"finalizers": names}}))
}

#[tokio::test]
async fn a_finalizer_holds_an_object_until_it_is_removed() {
    let (_handle, client) = start(fast()).await;
    let maps: Api<ConfigMap> = Api::namespaced(client, "default");
    let mut map = config_map("m");
    map.metadata.finalizers = Some(vec!["example.com/hold".into()]);
    maps.create(&PostParams::default(), &map).await.unwrap();
    let waiting = maps
        .delete("m", &DeleteParams::default())
        .await
        .unwrap()
        .left()
        .unwrap();
    let since = waiting.metadata.deletion_timestamp.unwrap();
    let again = maps
        .delete("m", &DeleteParams::default())
        .await
        .unwrap()
        .left()
        .unwrap();
    assert_eq!(again.metadata.deletion_timestamp.unwrap(), since);
    let added = finalizers(&["example.com/hold", "example.com/new"]);
    let more = maps.patch("m", &PatchParams::default(), &added).await;
    assert_eq!(refusal(more).0, 422);
    let refused = refusal(maps.create(&PostParams::default(), &config_map("m")).await);
    assert!(
        refused.2.starts_with("object is being deleted"),
        "{}",
        refused.2
    );
    maps.patch("m", &PatchParams::default(), &finalizers(&[]))
        .await
        .unwrap();
    assert!(maps.get_opt("m").await.unwrap().is_none());
}

#[tokio::test]
async fn background_removes_dependents_and_orphan_keeps_them() {
    let (_handle, client) = start(fast()).await;
    let maps: Api<ConfigMap> = Api::namespaced(client, "default");
    for (parameters, survivors) in [(DeleteParams::background(), 0), (DeleteParams::orphan(), 1)] {
        let owner = maps
            .create(&PostParams::default(), &config_map("owner"))
            .await
            .unwrap();
        maps.create(&PostParams::default(), &owned("child", &owner, false))
            .await
            .unwrap();
        assert!(maps.delete("owner", &parameters).await.unwrap().is_right());
        let left = maps.list(&Default::default()).await.unwrap().items;
        assert_eq!(left.len(), survivors);
        assert!(
            left.iter()
                .all(|map| map.metadata.owner_references.is_none())
        );
    }
    let gone = maps
        .create(&PostParams::default(), &config_map("gone"))
        .await
        .unwrap();
    maps.delete("gone", &DeleteParams::default()).await.unwrap();
    maps.create(&PostParams::default(), &owned("late", &gone, false))
        .await
        .unwrap();
    assert!(maps.get_opt("late").await.unwrap().is_none());
}

#[tokio::test]
async fn foreground_waits_for_blocking_dependents() {
    let (_handle, client) = start(fast()).await;
    let maps: Api<ConfigMap> = Api::namespaced(client, "default");
    let owner = maps
        .create(&PostParams::default(), &config_map("owner"))
        .await
        .unwrap();
    let mut child = owned("child", &owner, true);
    child.metadata.finalizers = Some(vec!["example.com/hold".into()]);
    maps.create(&PostParams::default(), &child).await.unwrap();
    let waiting = maps
        .delete("owner", &DeleteParams::foreground())
        .await
        .unwrap()
        .left()
        .unwrap();
    assert_eq!(
        waiting.metadata.finalizers,
        Some(vec!["foregroundDeletion".into()])
    );
    assert!(
        maps.get("child")
            .await
            .unwrap()
            .metadata
            .deletion_timestamp
            .is_some()
    );
    maps.patch("child", &PatchParams::default(), &finalizers(&[]))
        .await
        .unwrap();
    assert!(
        maps.list(&Default::default())
            .await
            .unwrap()
            .items
            .is_empty()
    );
}

#[tokio::test]
async fn a_namespace_goes_after_its_contents() {
    let (_handle, client) = start(fast()).await;
    namespace(&client, "doomed").await;
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), "doomed");
    maps.create(&PostParams::default(), &config_map("plain"))
        .await
        .unwrap();
    let mut held = config_map("held");
    held.metadata.finalizers = Some(vec!["example.com/hold".into()]);
    maps.create(&PostParams::default(), &held).await.unwrap();
    let namespaces: Api<Namespace> = Api::all(client);
    let waiting = namespaces
        .delete("doomed", &DeleteParams::default())
        .await
        .unwrap()
        .left()
        .unwrap();
    assert_eq!(
        waiting.status.unwrap().phase.as_deref(),
        Some("Terminating")
    );
    assert!(maps.get_opt("plain").await.unwrap().is_none());
    let (code, reason, _) = refusal(
        maps.create(&PostParams::default(), &config_map("new"))
            .await,
    );
    assert_eq!((code, reason.as_str()), (403, "Forbidden"));
    maps.patch("held", &PatchParams::default(), &finalizers(&[]))
        .await
        .unwrap();
    assert!(namespaces.get_opt("doomed").await.unwrap().is_none());
}

#[tokio::test]
async fn deleting_a_job_leaves_its_pods_unless_told_otherwise() {
    let (_handle, client) = start(fast()).await;
    let jobs: Api<DynamicObject> = Api::namespaced_with(
        client.clone(),
        "default",
        &resource("batch", "v1", "Job", "jobs"),
    );
    let pods: Api<Pod> = Api::namespaced(client, "default");
    for (parameters, survivors) in [
        (DeleteParams::background(), 0),
        (DeleteParams::default(), 1),
    ] {
        jobs.create(&PostParams::default(), &object(job("work", json!({}))))
            .await
            .unwrap();
        eventually("a pod", || async {
            (!pods.list(&Default::default()).await.ok()?.items.is_empty()).then_some(())
        })
        .await;
        jobs.delete("work", &parameters).await.unwrap();
        assert_eq!(
            pods.list(&Default::default()).await.unwrap().items.len(),
            survivors
        );
    }
}

#[tokio::test]
async fn preconditions_protect_a_namesake() {
    let (_handle, client) = start(fast()).await;
    let maps: Api<ConfigMap> = Api::namespaced(client, "default");
    maps.create(&PostParams::default(), &config_map("m"))
        .await
        .unwrap();
    let other = DeleteParams::default().preconditions(Preconditions {
        uid: Some("another".into()),
        resource_version: None,
    });
    let (code, reason, _) = refusal(maps.delete("m", &other).await);
    assert_eq!((code, reason.as_str()), (409, "Conflict"));
    assert!(maps.get_opt("m").await.unwrap().is_some());
}

#[tokio::test]
async fn owners_in_a_circle_go_together() {
    let (_handle, client) = start(fast()).await;
    let maps: Api<ConfigMap> = Api::namespaced(client, "default");
    let first = maps
        .create(&PostParams::default(), &config_map("first"))
        .await
        .unwrap();
    let second = maps
        .create(&PostParams::default(), &owned("second", &first, true))
        .await
        .unwrap();
    let owners = owned("first", &second, true).metadata.owner_references;
    let circle = Patch::Merge(json!({"metadata": {"ownerReferences": owners}}));
    maps.patch("first", &PatchParams::default(), &circle)
        .await
        .unwrap();
    maps.delete("first", &DeleteParams::background())
        .await
        .unwrap();
    assert!(
        maps.list(&Default::default())
            .await
            .unwrap()
            .items
            .is_empty()
    );
}

#[tokio::test]
async fn a_circle_of_owners_deleted_in_the_foreground_ends() {
    let (_handle, client) = start(fast()).await;
    let maps: Api<ConfigMap> = Api::namespaced(client, "default");
    let first = maps
        .create(&PostParams::default(), &config_map("first"))
        .await
        .unwrap();
    let second = maps
        .create(&PostParams::default(), &owned("second", &first, true))
        .await
        .unwrap();
    let owners = owned("first", &second, true).metadata.owner_references;
    let circle = Patch::Merge(json!({"metadata": {"ownerReferences": owners}}));
    maps.patch("first", &PatchParams::default(), &circle)
        .await
        .unwrap();
    // Each waits for the other, as in Kubernetes; taking one finalizer away releases both.
    maps.delete("first", &DeleteParams::foreground())
        .await
        .unwrap();
    maps.patch("first", &PatchParams::default(), &finalizers(&[]))
        .await
        .unwrap();
    assert!(
        maps.list(&Default::default())
            .await
            .unwrap()
            .items
            .is_empty()
    );
}
