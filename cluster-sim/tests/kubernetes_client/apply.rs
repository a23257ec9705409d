use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, DynamicObject, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use crate::support::{config_map, fast, job, object, refusal, resource, start};

fn map(data: Value) -> Patch<Value> {
    Patch::Apply(
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m"}, "data": data}),
    )
}

#[tokio::test]
async fn applying_the_same_again_keeps_the_resource_version() {
    let (_handle, client) = start(fast()).await;
    let maps: Api<ConfigMap> = Api::namespaced(client, "default");
    let alpha = PatchParams::apply("alpha");
    let first = maps
        .patch("m", &alpha, &map(json!({"a": "1"})))
        .await
        .unwrap();
    let again = maps
        .patch("m", &alpha, &map(json!({"a": "1"})))
        .await
        .unwrap();
    assert_eq!(
        first.metadata.resource_version,
        again.metadata.resource_version
    );
    let changed = maps
        .patch("m", &alpha, &map(json!({"a": "2"})))
        .await
        .unwrap();
    assert_ne!(
        first.metadata.resource_version,
        changed.metadata.resource_version
    );
    let managed = changed.metadata.managed_fields.unwrap();
    assert_eq!(managed.len(), 1);
    assert_eq!(managed[0].operation.as_deref(), Some("Apply"));
    assert_eq!(
        managed[0].fields_v1.as_ref().unwrap().0,
        json!({"f:data": {"f:a": {}}})
    );
}

#[tokio::test]
async fn a_foreign_field_is_a_conflict_unless_forced() {
    let (_handle, client) = start(fast()).await;
    let maps: Api<ConfigMap> = Api::namespaced(client, "default");
    maps.patch(
        "m",
        &PatchParams::apply("alpha"),
        &map(json!({"a": "1", "b": "1"})),
    )
    .await
    .unwrap();
    let beta = PatchParams::apply("beta");
    let (code, reason, message) = refusal(maps.patch("m", &beta, &map(json!({"a": "2"}))).await);
    assert_eq!((code, reason.as_str()), (409, "Conflict"));
    assert_eq!(
        message,
        "Apply failed with 1 conflict: conflict with \"alpha\": .data.a"
    );
    let forced = maps
        .patch("m", &beta.clone().force(), &map(json!({"a": "2"})))
        .await
        .unwrap();
    assert_eq!(forced.data.unwrap()["a"], "2");
    // Alpha no longer owns `a`: leaving it out keeps beta's value.
    let left = maps
        .patch("m", &PatchParams::apply("alpha"), &map(json!({"b": "1"})))
        .await
        .unwrap();
    assert_eq!(left.data.unwrap().len(), 2);
}

#[tokio::test]
async fn apply_needs_a_manager_and_a_known_type() {
    let (handle, _client) = start(fast()).await;
    let http = reqwest::Client::new();
    let url = format!("{}/api/v1/namespaces/default/configmaps/m", handle.url());
    let answer = http
        .patch(&url)
        .header("content-type", "application/apply-patch+yaml")
        .body("apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: m\n")
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 400);
    let yaml = http
        .patch(format!("{url}?fieldManager=me"))
        .header("content-type", "application/apply-patch+yaml")
        .body("apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: m\ndata:\n  answer: \"yes\"\n")
        .send()
        .await
        .unwrap();
    assert_eq!(yaml.status(), 201);
    assert_eq!(yaml.json::<Value>().await.unwrap()["data"]["answer"], "yes");
    let odd = http
        .patch(&url)
        .header("content-type", "text/plain")
        .body("x")
        .send()
        .await
        .unwrap();
    assert_eq!(odd.status(), 415);
}

#[tokio::test]
async fn a_jobs_template_cannot_change() {
    let (_handle, client) = start(fast()).await;
    let jobs: Api<DynamicObject> =
        Api::namespaced_with(client, "default", &resource("batch", "v1", "Job", "jobs"));
    let parameters = PatchParams::apply("alpha").force();
    let mut wanted = job("work", json!({}));
    jobs.patch("work", &parameters, &Patch::Apply(&wanted))
        .await
        .unwrap();
    jobs.patch("work", &parameters, &Patch::Apply(&wanted))
        .await
        .unwrap();
    wanted["spec"]["template"]["spec"]["containers"][0]["image"] = "worker:2".into();
    let (code, _, message) = refusal(
        jobs.patch("work", &parameters, &Patch::Apply(&wanted))
            .await,
    );
    assert_eq!(code, 422);
    assert!(
        message.contains("spec.template: Invalid value: field is immutable"),
        "{message}"
    );
}

#[tokio::test]
async fn the_other_patches_and_the_status_door() {
    let (_handle, client) = start(fast()).await;
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), "default");
    maps.create(&PostParams::default(), &config_map("m"))
        .await
        .unwrap();
    let parameters = PatchParams::default();
    let merged = maps
        .patch(
            "m",
            &parameters,
            &Patch::Merge(json!({"data": {"b": "2", "a": null}})),
        )
        .await
        .unwrap();
    assert_eq!(
        merged.data.unwrap(),
        [("b".to_owned(), "2".to_owned())].into()
    );
    let patch =
        serde_json::from_value(json!([{"op": "add", "path": "/data/c", "value": "3"}])).unwrap();
    let added = maps
        .patch("m", &parameters, &Patch::Json::<()>(patch))
        .await
        .unwrap();
    assert_eq!(added.data.unwrap().len(), 2);

    let deployments: Api<DynamicObject> = Api::namespaced_with(
        client,
        "default",
        &resource("apps", "v1", "Deployment", "deployments"),
    );
    let wanted = object(json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"},
        "spec": {"replicas": 1, "template": {"spec": {"containers": [
            {"name": "a", "image": "a:1"}, {"name": "b", "image": "b:1"}]}}},
        "status": {"replicas": 9},
    }));
    let made = deployments
        .create(&PostParams::default(), &wanted)
        .await
        .unwrap();
    assert!(made.data.get("status").is_none());
    assert_eq!(made.metadata.generation, Some(1));
    let patch =
        json!({"spec": {"template": {"spec": {"containers": [{"name": "b", "image": "b:2"}]}}}});
    let patched = deployments
        .patch("d", &parameters, &Patch::Strategic(patch))
        .await
        .unwrap();
    assert_eq!(
        patched.data["spec"]["template"]["spec"]["containers"],
        json!([
        {"name": "a", "image": "a:1"}, {"name": "b", "image": "b:2"}])
    );
    assert_eq!(patched.metadata.generation, Some(2));
    let status = json!({"spec": {"replicas": 5}, "status": {"note": "seen"}});
    let after = deployments
        .patch_status("d", &parameters, &Patch::Merge(status))
        .await
        .unwrap();
    assert_eq!(
        (
            &after.data["spec"]["replicas"],
            &after.data["status"]["note"]
        ),
        (&json!(1), &json!("seen"))
    );
    assert_eq!(after.metadata.generation, Some(2));
}
