//! Cases 132 to 148: objects.

use hyperfleet_adapter::cluster::{ClusterTarget as _, resource_version};
use hyperfleet_adapter::outcome::{Operation, Outcome, Phase};
use serde_json::{Value, json};

use crate::objects::Simulated;
use crate::scripted::{Refusal, Scripted, run};
use crate::support::FakeApi;

/// What a resource is besides its name.
#[derive(Clone, Copy)]
pub struct Map {
    pub name: &'static str,
    pub annotations: &'static str,
    pub rest: &'static str,
}

const GENERATION: &str = "{hyperfleet.io/generation: '{{ .generation }}'}";

pub const fn map(name: &'static str, rest: &'static str) -> Map {
    Map {
        name,
        annotations: GENERATION,
        rest,
    }
}

const SEEN: &str = r#"
post:
  payloads:
  - name: seen
    build:
      uid: {expression: 'resources.?a.?metadata.?uid.orValue("")'}
      a: {expression: 'resources.?a.hasValue()'}
      b: {expression: 'resources.?b.hasValue()'}
      going: {expression: 'resources.?a.?metadata.?deletionTimestamp.hasValue()'}
      status: {expression: adapter.executionStatus}
      error: {expression: adapter.errorReason}
      message: {expression: adapter.errorMessage}
      skipped: {expression: adapter.resourcesSkipped}
      phase: {expression: 'adapter.?executionError.?phase.orValue("")'}
      step: {expression: 'adapter.?executionError.?step.orValue("")'}
      errors: {expression: adapter.resourceErrors}
  post_actions: [{name: report, api_call: {method: PUT, url: /report, body: "{{ .seen }}"}}]
"#;

/// A task of `ConfigMaps` in the namespace `default`.
pub fn task(maps: &[Map]) -> String {
    let resources: Vec<String> = maps
        .iter()
        .map(|Map { name, annotations, rest }| {
            let found = if rest.contains("discovery:") { "" } else { ", discovery: {namespace: default, by_name: NAME}" };
            let found = found.replace("NAME", name);
            format!(
                "- {{name: {name}, manifest: {{apiVersion: v1, kind: ConfigMap, metadata: {{name: {name}, namespace: default, labels: {{of: test}}, annotations: {annotations}}}, data: {{text: '{{{{ .generation }}}}'}}}}{found}{rest}}}"
            )
        })
        .collect();
    format!(
        "params: [{{name: generation, source: event.generation, type: int}}]\nresources:\n{}\n{SEEN}",
        resources.join("\n")
    )
}

/// A simulated cluster and an API, on which tasks are run.
pub struct World {
    pub simulated: Simulated,
    pub api: FakeApi,
}

impl World {
    pub async fn new() -> Self {
        Self {
            simulated: Simulated::start().await,
            api: FakeApi::start().await,
        }
    }

    pub async fn run(&self, maps: &[Map], generation: i64) -> Outcome {
        self.run_task(&task(maps), generation).await
    }

    pub async fn run_task(&self, task: &str, generation: i64) -> Outcome {
        run(
            &Scripted::new(&self.simulated, &[]),
            &self.api,
            task,
            generation,
        )
        .await
    }

    /// What the payload saw last.
    pub fn seen(&self) -> Value {
        self.api.reports().pop().unwrap()
    }

    pub async fn get(&self, name: &str) -> Option<Value> {
        self.simulated.config_map(name).await
    }

    /// Somebody else applies something to a `ConfigMap`.
    pub async fn meddle(&self, name: &str, mut change: Value) {
        change["apiVersion"] = json!("v1");
        change["kind"] = json!("ConfigMap");
        change["metadata"]["name"] = json!(name);
        change["metadata"]["namespace"] = json!("default");
        self.simulated
            .target
            .apply(&change, "someone")
            .await
            .unwrap();
    }
}

#[track_caller]
pub fn did(outcome: &Outcome, index: usize) -> (Operation, &str) {
    assert!(!outcome.is_failed(), "{}", outcome.error_summary());
    let result = &outcome.resources[index];
    (result.operation, result.reason.as_str())
}

#[tokio::test]
async fn a132_an_absent_object_is_created_and_seen() {
    let world = World::new().await;
    let outcome = world.run(&[map("a", "")], 5).await;
    assert_eq!(did(&outcome, 0), (Operation::Create, "resource not found"));
    assert_eq!(
        world.seen()["uid"],
        world.get("a").await.unwrap()["metadata"]["uid"]
    );
}

#[tokio::test]
async fn a133_the_same_generation_writes_nothing() {
    let world = World::new().await;
    world.run(&[map("a", "")], 5).await;
    let before = world.get("a").await.unwrap();
    let target = Scripted::new(&world.simulated, &[]);
    let outcome = run(&target, &world.api, &task(&[map("a", "")]), 5).await;
    assert_eq!(
        did(&outcome, 0),
        (Operation::Skip, "generation 5 unchanged")
    );
    assert_eq!(target.count("apply"), 0);
    assert_eq!(
        resource_version(&world.get("a").await.unwrap()),
        resource_version(&before)
    );
}

#[tokio::test]
async fn a134_a_new_generation_updates_and_drops_own_leftovers() {
    let world = World::new().await;
    let labelled = task(&[map("a", "")]).replace("{of: test}", "{of: test, old: label}");
    world.run_task(&labelled, 5).await;
    let created = world.get("a").await.unwrap();
    assert_eq!(created["metadata"]["labels"]["old"], "label");
    let outcome = world.run(&[map("a", "")], 6).await;
    assert_eq!(
        did(&outcome, 0),
        (Operation::Update, "generation changed 5->6")
    );
    let updated = world.get("a").await.unwrap();
    assert_eq!(updated["metadata"]["labels"], json!({"of": "test"}));
    assert_eq!(updated["metadata"]["uid"], created["metadata"]["uid"]);
}

#[tokio::test]
async fn a135_a_lower_generation_is_a_stale_event() {
    // There it overwrites; listed as a correction.
    let world = World::new().await;
    world.run(&[map("a", "")], 5).await;
    let outcome = world.run(&[map("a", "")], 4).await;
    assert_eq!(
        did(&outcome, 0),
        (
            Operation::Skip,
            "generation 5 is newer than 4 of this event"
        )
    );
    assert_eq!(world.get("a").await.unwrap()["data"]["text"], "5");
}

#[tokio::test]
async fn a136_without_generations_an_object_is_written_once() {
    let world = World::new().await;
    let bare = [Map {
        annotations: "{}",
        ..map("a", "")
    }];
    world.run(&bare, 5).await;
    for generation in [6, 7] {
        let outcome = world.run(&bare, generation).await;
        assert_eq!(
            did(&outcome, 0),
            (Operation::Skip, "generation 0 unchanged")
        );
    }
}

#[tokio::test]
async fn a137_a_generation_that_is_no_number_is_zero() {
    let world = World::new().await;
    let words = [Map {
        annotations: "{hyperfleet.io/generation: abc}",
        ..map("a", "")
    }];
    world.run(&words, 5).await;
    assert_eq!(
        did(&world.run(&words, 6).await, 0),
        (Operation::Skip, "generation 0 unchanged")
    );
    assert_eq!(
        did(&world.run(&[map("a", "")], 6).await, 0).1,
        "generation changed 0->6"
    );
}

#[tokio::test]
async fn a138_drift_stays_while_the_generation_does() {
    let world = World::new().await;
    world.run(&[map("a", "")], 5).await;
    world.meddle("a", json!({"data": {"text": "drift"}})).await;
    world.run(&[map("a", "")], 5).await;
    assert_eq!(world.get("a").await.unwrap()["data"]["text"], "drift");
}

#[tokio::test]
async fn a139_recreation_on_a_new_generation() {
    let world = World::new().await;
    let maps = [map("a", ", recreate_on_change: true")];
    world.run(&maps, 5).await;
    let first = world.get("a").await.unwrap();
    let target = Scripted::new(&world.simulated, &[]);
    let outcome = run(&target, &world.api, &task(&maps), 6).await;
    assert_eq!(
        did(&outcome, 0),
        (
            Operation::Recreate,
            "generation changed 5->6, recreateOnChange=true"
        )
    );
    assert_ne!(
        world.get("a").await.unwrap()["metadata"]["uid"],
        first["metadata"]["uid"]
    );
    assert!(target.calls().contains(&("delete", "a None".to_owned())));
}

#[tokio::test]
async fn a140_a_conflict_that_stays_fails_with_its_step() {
    let world = World::new().await;
    world.run(&[map("a", "")], 5).await;
    let target = Scripted::new(&world.simulated, &[("apply", "a", Refusal::Conflict)]);
    let outcome = run(&target, &world.api, &task(&[map("a", "")]), 6).await;
    assert!(outcome.errors[&Phase::Resources].contains("K8s update operation failed: ConfigMap/a"));
    let seen = world.seen();
    assert_eq!(
        (
            &seen["status"],
            &seen["error"],
            &seen["phase"],
            &seen["step"]
        ),
        (
            &json!("failed"),
            &json!("ResourceFailed"),
            &json!("resources"),
            &json!("a")
        )
    );
}

#[tokio::test]
async fn a141_two_creations_at_once_succeed() {
    let world = World::new().await;
    let maps = [map("a", "")];
    let (one, two) = tokio::join!(world.run(&maps, 5), world.run(&maps, 5));
    for outcome in [one, two] {
        assert!(!outcome.is_failed(), "{}", outcome.error_summary());
    }
    assert_eq!(world.get("a").await.unwrap()["data"]["text"], "5");
}

#[tokio::test]
async fn a142_an_object_that_its_own_selector_misses() {
    let world = World::new().await;
    let rest = ", discovery: {namespace: default, by_selectors: {label_selector: {other: label}}}";
    let outcome = world.run(&[map("a", rest)], 5).await;
    let error = &outcome.errors[&Phase::Resources];
    assert!(
        error.contains("failed to discover resource after apply"),
        "{error}"
    );
    assert!(
        world.get("a").await.is_some(),
        "it was created all the same"
    );
}

#[tokio::test]
async fn a143_of_several_matches_the_highest_generation() {
    let world = World::new().await;
    for (name, generation) in [("x", "1"), ("y", "3")] {
        let metadata = json!({"labels": {"of": "test"}, "annotations": {"hyperfleet.io/generation": generation}});
        world.meddle(name, json!({"metadata": metadata})).await;
    }
    let rest = ", discovery: {namespace: default, by_selectors: {label_selector: {of: test}}}";
    world.run(&[map("a", rest)], 2).await;
    assert_eq!(
        world.seen()["uid"],
        world.get("y").await.unwrap()["metadata"]["uid"]
    );
}

#[tokio::test]
async fn a144_any_namespace_for_a_kind_without_namespaces() {
    let world = World::new().await;
    let task = format!(
        "resources: [{{name: a, manifest: {{apiVersion: v1, kind: Namespace, metadata: {{name: ns-c1, labels: {{of: test}}}}}}, discovery: {{namespace: '*', by_selectors: {{label_selector: {{of: test}}}}}}}}]\n{SEEN}"
    );
    let outcome = world.run_task(&task, 5).await;
    assert_eq!(did(&outcome, 0).0, Operation::Create);
    assert_eq!(world.seen()["a"], true);
}

#[tokio::test]
async fn a145_a_templated_kind_cannot_be_discovered() {
    let world = World::new().await;
    let task = task(&[map("a", "")]).replace("kind: ConfigMap", "kind: '{{ .event.kind }}'");
    let outcome = world.run_task(&task, 5).await;
    assert!(outcome.errors.contains_key(&Phase::Resources));
}

#[tokio::test]
async fn a146_nothing_is_applied_after_a_failure() {
    let world = World::new().await;
    let target = Scripted::new(&world.simulated, &[("apply", "a", Refusal::Forbidden)]);
    let outcome = run(&target, &world.api, &task(&[map("a", ""), map("b", "")]), 5).await;
    assert!(outcome.is_failed());
    assert!(world.get("b").await.is_none());
}

#[tokio::test]
async fn a147_there_is_no_default_namespace() {
    let world = World::new().await;
    let task = task(&[map("a", "")]).replace("namespace: default, labels", "labels");
    let error = &world.run_task(&task, 5).await.errors[&Phase::Resources];
    assert!(error.contains("is namespaced"), "{error}");
}

#[tokio::test]
async fn a148_names_are_in_lower_case() {
    let world = World::new().await;
    let name = |name: &str| {
        task(&[map("a", "")])
            .replace(
                "metadata: {name: a,",
                &format!("metadata: {{name: '{name}',"),
            )
            .replace("by_name: a", &format!("by_name: '{name}'"))
    };
    let refused = world.run_task(&name("A-{{ .event.kind }}"), 5).await;
    assert!(refused.errors.contains_key(&Phase::Resources));
    let outcome = world
        .run_task(&name("a-{{ .event.kind | lower }}"), 5)
        .await;
    assert!(!outcome.is_failed(), "{}", outcome.error_summary());
    assert!(world.get("a-cluster").await.is_some());
}
