//! Cases 164 to 171: objects that go to Maestro. `ManifestWorks` live in the simulated cluster here; the
//! consumer is their namespace, as at Maestro.

use std::sync::Arc;

use hyperfleet_adapter::cluster::{ClusterTarget, ObjectId, ObjectKind};
use hyperfleet_adapter::outcome::{Operation, Outcome, Phase};
use hyperfleet_adapter::resources::{MANIFEST_WORK, MANIFEST_WORK_API};
use serde_json::{Value, json};

use crate::objects::Simulated;
use crate::support::{FakeApi, event, load_under, pipeline};

const DEFINITION: &str = r"
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: manifestworks.work.open-cluster-management.io}
spec:
  group: work.open-cluster-management.io
  scope: Namespaced
  names: {kind: ManifestWork, listKind: ManifestWorkList, plural: manifestworks, singular: manifestwork}
  versions:
  - name: v1
    served: true
    storage: true
    subresources: {status: {}}
    schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
";

const TASK: &str = r#"
params: [{name: generation, source: event.generation, type: int}, {name: id, source: event.id}]
resources:
- name: work
  transport: {client: maestro, maestro: {target_cluster: default}}
  manifest:
    apiVersion: work.open-cluster-management.io/v1
    kind: ManifestWork
    metadata: {name: "work-{{ .id }}", annotations: {hyperfleet.io/generation: "{{ .generation }}"}}
    spec:
      workload:
        manifests:
        - apiVersion: v1
          kind: Namespace
          metadata: {name: "ns-{{ .id }}", labels: {of: "{{ .id }}"}, annotations: {hyperfleet.io/generation: "{{ .generation }}"}}
  discovery: {namespace: elsewhere, by_name: "work-{{ .id }}"}
  nested_discoveries:
  - {name: ns, discovery: {by_name: "ns-{{ .id }}"}}
  - {name: labelled, discovery: {by_selectors: {label_selector: {of: "{{ .id }}"}}}}
  - {name: nothing, discovery: {by_name: other}}
  lifecycle: {delete: {when: {expression: generation == 9}}}
post:
  payloads:
  - name: seen
    build:
      work: {expression: resources.?work.hasValue()}
      going: {expression: resources.?work.?metadata.?deletionTimestamp.hasValue()}
      ns: {expression: resources.?ns.hasValue()}
      labelled: {expression: 'resources.?labelled.?metadata.?name.orValue("")'}
      nothing: {expression: resources.?nothing.hasValue()}
      phase: {expression: 'resources.?ns.hasValue() ? statusFeedbackValue(resources.ns.?statusFeedback.orValue({}), "phase") : ""'}
      conditions: {expression: 'resources.?ns.?conditions.orValue([])'}
  post_actions: [{name: report, api_call: {method: PUT, url: /report, body: "{{ .seen }}"}}]
"#;

const MAESTRO: &str = "  maestro: {grpc_server_address: 'maestro:8090', http_server_address: 'http://maestro:8000', source_id: test, insecure: true}\n";

struct World {
    simulated: Simulated,
    api: FakeApi,
}

impl World {
    async fn new() -> Self {
        Self {
            simulated: Simulated::start_with(vec![DEFINITION.to_owned()]).await,
            api: FakeApi::start().await,
        }
    }

    async fn run(&self, task: &str, generation: i64) -> Outcome {
        let target: Arc<dyn ClusterTarget> = self.simulated.target.clone();
        let config = load_under(&self.api, MAESTRO, task, &[]);
        pipeline(config, target).execute(&event(generation)).await
    }

    fn seen(&self) -> Value {
        self.api.reports().pop().unwrap()
    }

    async fn work(&self) -> Option<Value> {
        let kind = ObjectKind {
            api_version: MANIFEST_WORK_API.to_owned(),
            kind: MANIFEST_WORK.to_owned(),
        };
        let object = ObjectId {
            kind,
            namespace: "default".to_owned(),
            name: "work-c1".to_owned(),
        };
        self.simulated.target.get(&object).await.unwrap()
    }

    /// The remote side says something about the `ManifestWork`.
    async fn remote(&self, change: Value) {
        let mut object = change;
        object["apiVersion"] = json!(MANIFEST_WORK_API);
        object["kind"] = json!(MANIFEST_WORK);
        object["metadata"]["name"] = json!("work-c1");
        object["metadata"]["namespace"] = json!("default");
        let target = &self.simulated;
        target.apply_with_status(&object).await;
    }
}

#[tokio::test]
async fn a164_generations_are_needed_inside_too() {
    let world = World::new().await;
    let task = TASK.replace("labels: {of: \"{{ .id }}\"}, annotations: {hyperfleet.io/generation: \"{{ .generation }}\"}", "labels: {}");
    let error = &world.run(&task, 5).await.errors[&Phase::Resources];
    assert!(
        error.contains("annotation hyperfleet.io/generation of Namespace \"ns-c1\""),
        "{error}"
    );
    assert!(world.work().await.is_none());
}

#[tokio::test]
async fn a137_a_generation_that_is_no_number_is_an_error_at_maestro() {
    let world = World::new().await;
    let task = TASK.replacen(
        "{hyperfleet.io/generation: \"{{ .generation }}\"}",
        "{hyperfleet.io/generation: abc}",
        1,
    );
    let error = &world.run(&task, 5).await.errors[&Phase::Resources];
    assert!(error.contains("of ManifestWork"), "{error}");
}

#[tokio::test]
async fn a165_the_generation_decides_and_the_consumer_is_the_namespace() {
    let world = World::new().await;
    for (generation, operation) in [
        (5, Operation::Create),
        (5, Operation::Skip),
        (6, Operation::Update),
    ] {
        let task = TASK.replace(
            "- name: work\n",
            "- name: work\n  recreate_on_change: true\n",
        );
        let outcome = world.run(&task, generation).await;
        assert!(!outcome.is_failed(), "{}", outcome.error_summary());
        assert_eq!(outcome.resources[0].operation, operation);
    }
    let work = world.work().await.unwrap();
    assert_eq!(
        work["metadata"]["annotations"]["hyperfleet.io/generation"],
        "6"
    );
    let inner = &work["spec"]["workload"]["manifests"][0];
    assert_eq!(
        inner["metadata"]["annotations"]["hyperfleet.io/generation"],
        "6"
    );
}

#[tokio::test]
async fn a167_nested_objects_have_their_feedback_and_conditions() {
    let world = World::new().await;
    world.run(TASK, 5).await;
    let status = json!({"resourceStatus": {"manifests": [{
        "resourceMeta": {"kind": "Namespace", "name": "ns-c1", "namespace": ""},
        "statusFeedback": {"values": [{"name": "phase", "fieldValue": {"type": "String", "string": "Active"}}]},
        "conditions": [{"type": "Available", "status": "True"}]
    }]}});
    world.remote(json!({"status": status})).await;
    world.run(TASK, 5).await;
    let seen = world.seen();
    assert_eq!(
        (&seen["ns"], &seen["phase"]),
        (&json!(true), &json!("Active"))
    );
    assert_eq!(
        seen["conditions"],
        json!([{"type": "Available", "status": "True"}])
    );
    assert_eq!(seen["labelled"], "ns-c1");
}

#[tokio::test]
async fn a168_a_nested_object_that_is_not_there_is_absent() {
    let world = World::new().await;
    let outcome = world.run(TASK, 5).await;
    assert!(!outcome.is_failed(), "{}", outcome.error_summary());
    assert_eq!(world.seen()["nothing"], false);
}

#[tokio::test]
async fn a169_the_name_of_a_nested_object_is_taken() {
    let world = World::new().await;
    let second = TASK
        .split("post:")
        .next()
        .unwrap()
        .split("resources:")
        .nth(1)
        .unwrap();
    let second = second
        .replace("name: work\n", "name: other\n")
        .replace("work-{{ .id }}", "other-{{ .id }}");
    let task = TASK.replace("post:", &format!("{}post:", second.trim_start()));
    let outcome = world.run(&task, 5).await;
    let error = &outcome.errors[&Phase::Resources];
    assert!(error.contains("nested discovery key collision"), "{error}");
    assert_eq!(outcome.metadata.execution_error.unwrap().step, "other");
}

#[tokio::test]
async fn a170_every_resource_needs_a_consumer() {
    let world = World::new().await;
    let task = TASK.replace(
        "  transport: {client: maestro, maestro: {target_cluster: default}}\n",
        "",
    );
    let error = &world.run(&task, 5).await.errors[&Phase::Resources];
    assert!(
        error.contains("maestro TransportContext is required"),
        "{error}"
    );
}

#[tokio::test]
async fn a171_a_deletion_takes_more_than_one_event() {
    let world = World::new().await;
    world.run(TASK, 5).await;
    // The agent's finalizer, which the remote side removes when everything is gone there.
    world
        .remote(json!({"metadata": {"finalizers": ["test/agent"]}}))
        .await;
    let outcome = world.run(TASK, 9).await;
    assert_eq!(outcome.resources[0].operation, Operation::Delete);
    let seen = world.seen();
    assert_eq!(
        (&seen["work"], &seen["going"]),
        (&json!(true), &json!(true))
    );
    world.remote(json!({"metadata": {}})).await;
    world.run(TASK, 9).await;
    assert_eq!(world.seen()["work"], false);
}
