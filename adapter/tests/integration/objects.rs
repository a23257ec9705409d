//! Objects in a simulated management cluster.

use std::sync::Arc;
use std::time::Duration;

use hyperfleet_adapter::Pipeline;
use hyperfleet_adapter::cluster::kube::KubeTarget;
use hyperfleet_adapter::cluster::{ClusterTarget, ObjectId, ObjectKind, resource_version};
use hyperfleet_adapter::outcome::{Operation, Outcome, Phase};
use hyperfleet_cluster_sim::{ClusterSim, Handle, SimConfig};
use kube::config::{KubeConfigOptions, Kubeconfig};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::support::{FakeApi, event, load, pipeline};

/// A simulated cluster and a client of it.
pub struct Simulated {
    _handle: Handle,
    pub client: kube::Client,
    pub target: Arc<KubeTarget>,
}

impl Simulated {
    pub async fn start() -> Self {
        Self::start_with(Vec::new()).await
    }

    /// A cluster that also knows these definitions.
    pub async fn start_with(custom_resource_definitions: Vec<String>) -> Self {
        let config = SimConfig {
            custom_resource_definitions,
            job_delay: Duration::from_millis(300),
            deletion_delay: Duration::from_millis(100),
            ..SimConfig::default()
        };
        let handle = ClusterSim::start(config, CancellationToken::new())
            .await
            .unwrap();
        let kubeconfig = Kubeconfig::from_yaml(&handle.kubeconfig_yaml()).unwrap();
        let config =
            kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
                .await
                .unwrap();
        let client = kube::Client::try_from(config).unwrap();
        Self {
            _handle: handle,
            target: Arc::new(KubeTarget::new(client.clone())),
            client,
        }
    }

    pub async fn config_map(&self, name: &str) -> Option<Value> {
        self.target.get(&config_map_id(name)).await.unwrap()
    }

    /// Somebody applies an object; one with a status, to its status subresource only.
    pub async fn apply_with_status(&self, object: &Value) {
        let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap();
        let (group, version) = text("/apiVersion").split_once('/').unwrap();
        let gvk = kube::core::GroupVersionKind::gvk(group, version, text("/kind"));
        let resource = kube::discovery::ApiResource::from_gvk(&gvk);
        let api: kube::Api<kube::core::DynamicObject> =
            kube::Api::namespaced_with(self.client.clone(), text("/metadata/namespace"), &resource);
        let parameters = kube::api::PatchParams::apply("someone").force();
        let (name, patch) = (text("/metadata/name"), kube::api::Patch::Apply(object));
        if object.get("status").is_some() {
            api.patch_status(name, &parameters, &patch).await.unwrap();
        } else {
            api.patch(name, &parameters, &patch).await.unwrap();
        }
    }

    pub fn pipeline(&self, api: &FakeApi, task: &str) -> Pipeline {
        let target: Arc<dyn ClusterTarget> = self.target.clone();
        pipeline(load(api, task, &[]), target)
    }
}

/// A `ConfigMap` in the namespace `default`.
pub fn config_map_id(name: &str) -> ObjectId {
    ObjectId {
        kind: ObjectKind {
            api_version: "v1".to_owned(),
            kind: "ConfigMap".to_owned(),
        },
        namespace: "default".to_owned(),
        name: name.to_owned(),
    }
}

pub const CONFIG_MAP: &str = r#"
params:
- {name: generation, source: event.generation, type: int}
- {name: clusterId, source: event.id}
resources:
- name: map
  manifest:
    apiVersion: v1
    kind: ConfigMap
    metadata:
      name: "map-{{ .clusterId }}"
      namespace: default
      labels: {hyperfleet.io/cluster-id: "{{ .clusterId }}"}
      annotations: {hyperfleet.io/generation: "{{ .generation }}"}
    data: {text: "{{ .generation }}", plain: "1{{ .clusterId }}"}
  discovery: {namespace: default, by_selectors: {label_selector: {hyperfleet.io/cluster-id: "{{ .clusterId }}"}}}
post:
  payloads:
  - name: seen
    build:
      uid: {expression: 'resources.?map.?metadata.?uid.orValue("")'}
      status: {expression: adapter.executionStatus}
      error: {expression: adapter.errorReason}
      phase: {expression: 'adapter.?executionError.?phase.orValue("")'}
      step: {expression: 'adapter.?executionError.?step.orValue("")'}
      message: {expression: adapter.errorMessage}
      skipped: {expression: adapter.resourcesSkipped}
      errors: {expression: adapter.resourceErrors}
  post_actions: [{name: report, api_call: {method: PUT, url: /report, body: "{{ .seen }}"}}]
"#;

fn operation(outcome: &Outcome, index: usize) -> (Operation, &str) {
    assert!(!outcome.is_failed(), "{}", outcome.error_summary());
    let result = &outcome.resources[index];
    (result.operation, result.reason.as_str())
}

#[tokio::test]
async fn the_generation_decides_what_is_written() {
    let simulated = Simulated::start().await;
    let api = FakeApi::start().await;
    let pipeline = simulated.pipeline(&api, CONFIG_MAP);

    let outcome = pipeline.execute(&event(5)).await;
    assert_eq!(
        operation(&outcome, 0),
        (Operation::Create, "resource not found")
    );
    let created = simulated.config_map("map-c1").await.unwrap();
    assert_eq!(created["data"], json!({"text": "5", "plain": "1c1"}));
    assert_eq!(api.reports()[0]["uid"], created["metadata"]["uid"]);
    let managers = created["metadata"]["managedFields"].to_string();
    assert!(managers.contains("hyperfleet-adapter-widget"), "{managers}");

    let outcome = pipeline.execute(&event(5)).await;
    assert_eq!(
        operation(&outcome, 0),
        (Operation::Skip, "generation 5 unchanged")
    );

    let outcome = pipeline.execute(&event(6)).await;
    assert_eq!(
        operation(&outcome, 0),
        (Operation::Update, "generation changed 5->6")
    );
    let updated = simulated.config_map("map-c1").await.unwrap();
    assert_eq!(updated["data"]["text"], "6");

    // A stale event writes nothing.
    let outcome = pipeline.execute(&event(4)).await;
    assert_eq!(
        operation(&outcome, 0),
        (
            Operation::Skip,
            "generation 6 is newer than 4 of this event"
        )
    );
    let kept = simulated.config_map("map-c1").await.unwrap();
    assert_eq!(resource_version(&kept), resource_version(&updated));
}

#[tokio::test]
async fn drift_is_left_while_the_generation_is_unchanged() {
    let simulated = Simulated::start().await;
    let api = FakeApi::start().await;
    let pipeline = simulated.pipeline(&api, CONFIG_MAP);
    pipeline.execute(&event(5)).await;
    let drifted = json!({"apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "map-c1", "namespace": "default"}, "data": {"text": "drift"}});
    simulated.target.apply(&drifted, "someone").await.unwrap();

    pipeline.execute(&event(5)).await;
    let live = simulated.config_map("map-c1").await.unwrap();
    assert_eq!(live["data"]["text"], "drift");
    pipeline.execute(&event(6)).await;
    let live = simulated.config_map("map-c1").await.unwrap();
    assert_eq!(live["data"]["text"], "6");
}

#[tokio::test]
async fn a_changed_generation_recreates_when_asked_to() {
    let simulated = Simulated::start().await;
    let api = FakeApi::start().await;
    let task = CONFIG_MAP.replace("- name: map\n", "- name: map\n  recreate_on_change: true\n");
    let pipeline = simulated.pipeline(&api, &task);
    pipeline.execute(&event(5)).await;
    let first = simulated.config_map("map-c1").await.unwrap();
    let outcome = pipeline.execute(&event(6)).await;
    assert_eq!(
        operation(&outcome, 0),
        (
            Operation::Recreate,
            "generation changed 5->6, recreateOnChange=true"
        )
    );
    let second = simulated.config_map("map-c1").await.unwrap();
    assert_ne!(first["metadata"]["uid"], second["metadata"]["uid"]);
}

#[tokio::test]
async fn a_manifest_that_cannot_be_rendered_is_reported() {
    let simulated = Simulated::start().await;
    let api = FakeApi::start().await;
    let broken = [
        (
            "text: \"{{ .generation }}\"",
            "text: \"{{ .event.nope }}\"",
            "map has no entry for key \"nope\"",
        ),
        (
            "text: \"{{ .generation }}\"",
            "text: \"x{{ .trouble }}\"",
            "not valid YAML",
        ),
        (
            "text: \"{{ .generation }}\"",
            "text: \"{{ toJson .event }}\"",
            "toJson",
        ),
    ];
    for (from, to, expected) in broken {
        let task = CONFIG_MAP.replace(from, to).replace(
            "resources:",
            "- {name: trouble, source: {expression: '\": a: b: [\"'}}\nresources:",
        );
        let outcome = simulated.pipeline(&api, &task).execute(&event(5)).await;
        assert!(outcome.errors.contains_key(&Phase::Resources), "{to}");
        assert!(!outcome.transient);
        let seen = api.reports().pop().unwrap();
        assert_eq!(seen["status"], "failed");
        assert_eq!(seen["error"], "ResourceFailed");
        assert_eq!(seen["phase"], "ResourceFailed");
        let message = seen["message"].as_str().unwrap();
        assert!(message.contains(expected), "{message}");
        assert!(
            message.starts_with("resource execution failed: [resources] map: "),
            "{message}"
        );
    }
    assert!(simulated.config_map("map-c1").await.is_none());
}

#[tokio::test]
async fn what_the_discovery_does_not_find_fails_with_its_step() {
    let simulated = Simulated::start().await;
    let api = FakeApi::start().await;
    let cases = [
        (
            CONFIG_MAP.replace(
                "{label_selector: {hyperfleet.io/cluster-id: \"{{ .clusterId }}\"}}",
                "{label_selector: {other: label}}",
            ),
            "failed to discover resource after apply",
        ),
        (
            CONFIG_MAP.replace("      namespace: default\n", ""),
            "is namespaced",
        ),
    ];
    for (task, expected) in cases {
        let outcome = simulated.pipeline(&api, &task).execute(&event(5)).await;
        assert!(outcome.is_failed());
        let seen = api.reports().pop().unwrap();
        assert_eq!(
            (&seen["phase"], &seen["step"]),
            (&json!("resources"), &json!("map"))
        );
        assert_eq!(seen["errors"], json!({}));
        let message = seen["message"].as_str().unwrap();
        assert!(message.contains(expected), "{message}");
    }
}

#[tokio::test]
async fn of_several_matches_the_newest_generation_is_observed() {
    let simulated = Simulated::start().await;
    let api = FakeApi::start().await;
    for (name, generation) in [("old", "1"), ("new", "9")] {
        let manifest = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {
            "name": name, "namespace": "default", "labels": {"hyperfleet.io/cluster-id": "c1"},
            "annotations": {"hyperfleet.io/generation": generation}}});
        simulated.target.apply(&manifest, "test").await.unwrap();
    }
    simulated
        .pipeline(&api, CONFIG_MAP)
        .execute(&event(5))
        .await;
    let newest = simulated.config_map("new").await.unwrap();
    assert_eq!(api.reports()[0]["uid"], newest["metadata"]["uid"]);
}

pub const LIFECYCLE: &str = r#"
params:
- {name: clusterId, source: event.id}
- {name: data, required: true, source: {api_call: {method: GET, url: "/clusters/{{ .clusterId }}"}}}
- {name: deleting, source: {expression: "has(data.deleted_time)"}}
resources:
- name: first
  manifest:
    apiVersion: v1
    kind: ConfigMap
    metadata: {name: first, namespace: default, annotations: {hyperfleet.io/generation: "1"}}
  discovery: {namespace: default, by_name: first}
  lifecycle: {create: {when: {expression: "!deleting"}}, delete: {propagationPolicy: Foreground, when: {expression: deleting}}}
- name: second
  manifest:
    apiVersion: v1
    kind: ConfigMap
    metadata: {name: second, namespace: default, annotations: {hyperfleet.io/generation: "1"}}
  discovery: {namespace: default, by_name: second}
  lifecycle: {create: {when: {expression: "!deleting"}}, delete: {when: {expression: "deleting && !resources.?first.hasValue()"}}}
post:
  payloads:
  - name: seen
    build:
      first: {expression: "resources.?first.hasValue()"}
      going: {expression: "has(resources.first.metadata.deletionTimestamp)", default: false}
      second: {expression: "resources.?second.hasValue()"}
      skipped: {expression: adapter.resourcesSkipped}
  post_actions: [{name: report, api_call: {method: PUT, url: /report, body: "{{ .seen }}"}}]
"#;

#[tokio::test]
async fn deletion_follows_the_order_of_the_gates() {
    let simulated = Simulated::start().await;
    let api = FakeApi::start().await;
    let pipeline = simulated.pipeline(&api, LIFECYCLE);
    api.answer("GET", "/clusters/c1", 200, json!({"id": "c1"}));
    let outcome = pipeline.execute(&event(1)).await;
    assert_eq!(operation(&outcome, 1).0, Operation::Create);

    // Given a finalizer on the first object
    let guard = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {
        "name": "first", "namespace": "default", "finalizers": ["test/guard"]}});
    simulated.target.apply(&guard, "guard").await.unwrap();

    // When the cluster is being deleted
    api.forget("GET", "/clusters/c1");
    api.answer(
        "GET",
        "/clusters/c1",
        200,
        json!({"id": "c1", "deleted_time": "2026-01-01T00:00:00Z"}),
    );
    let outcome = pipeline.execute(&event(1)).await;

    // Then the first is on its way out and the second waits
    assert_eq!(
        operation(&outcome, 0),
        (Operation::Delete, "lifecycle.delete.when evaluated to true")
    );
    assert_eq!(operation(&outcome, 1).0, Operation::Skip);
    let seen = api.reports().pop().unwrap();
    assert_eq!(
        seen,
        json!({"first": true, "going": true, "second": true, "skipped": false})
    );

    // When the finalizer is gone, both are deleted in one execution
    let released = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {
        "name": "first", "namespace": "default"}});
    simulated.target.apply(&released, "guard").await.unwrap();
    let outcome = pipeline.execute(&event(1)).await;
    let seen = api.reports().pop().unwrap();
    assert_eq!(
        (&seen["first"], &seen["second"]),
        (&json!(false), &json!(false)),
        "{outcome:?}"
    );

    // And once all is gone, absence is what is reported
    let outcome = pipeline.execute(&event(1)).await;
    assert!(!outcome.is_failed());
    assert_eq!(api.reports().pop().unwrap()["skipped"], true);
}

#[tokio::test]
async fn a_deleted_object_without_a_create_gate_counts_as_gone() {
    let simulated = Simulated::start().await;
    let api = FakeApi::start().await;
    api.answer(
        "GET",
        "/clusters/c1",
        200,
        json!({"id": "c1", "deleted_time": "x"}),
    );
    let task = LIFECYCLE.replace("create: {when: {expression: \"!deleting\"}}, ", "");
    let outcome = simulated.pipeline(&api, &task).execute(&event(1)).await;
    assert_eq!(
        operation(&outcome, 0),
        (
            Operation::Delete,
            "resource already deleted or never existed"
        )
    );
    assert_eq!(
        operation(&outcome, 1),
        (
            Operation::Delete,
            "resource already deleted or never existed"
        )
    );
}

#[tokio::test]
async fn an_unknown_kind_fails_before_anything_is_written() {
    let simulated = Simulated::start().await;
    let api = FakeApi::start().await;
    api.answer("GET", "/clusters/c1", 200, json!({"id": "c1"}));
    let task = LIFECYCLE.replacen("kind: ConfigMap", "kind: Unheard", 1);
    let outcome = simulated.pipeline(&api, &task).execute(&event(1)).await;
    let message = &outcome.errors[&Phase::Resources];
    assert!(
        message.contains("pre-discovery failed for resource first"),
        "{message}"
    );
    assert!(simulated.config_map("second").await.is_none());
}
