//! Configurations in the manner of those that run with the Go framework: lint finds nothing in them, and a
//! rehearsal of each succeeds.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hyperfleet_adapter::config::load;
use hyperfleet_adapter::dry_run::{self, Inputs};
use hyperfleet_adapter::lint::lint;
use hyperfleet_adapter::{schema, yaml};
use hyperfleet_runtime::clock::SystemClock;
use serde_json::{Value, json};

/// Where the configurations are.
const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/integration/compatible");

/// Answers of an API that has one cluster and one node pool.
fn answers() -> String {
    let since = "2026-01-01T00:00:00Z";
    let condition =
        |kind: &str| json!({"type": kind, "status": "True", "last_transition_time": since});
    let cluster = json!({"id": "c1", "name": "demo", "generation": 3, "kind": "Cluster", "spec": {"region": "r1"},
        "status": {"conditions": [condition("Reconciled"), condition("Available")]}});
    let statuses = json!({"items": [{"adapter": "cl-namespace", "observed_generation": 3, "conditions": [condition("Available")]}], "total": 1});
    let entry = |pattern: &str, body: &Value| json!({"match": {"method": "GET", "urlPattern": pattern}, "responses": [{"statusCode": 200, "body": body}]});
    json!({"responses": [entry("/statuses$", &statuses), entry("/clusters/", &cluster)]})
        .to_string()
}

const EVENT: &str = r#"{"specversion": "1.0", "id": "e1", "source": "test", "type": "reconcile",
  "data": {"id": "c1", "kind": "Cluster", "href": "/clusters/c1", "generation": 3, "owner_references": {"id": "p1", "kind": "Cluster"}}}"#;

/// Runs a configuration and gives the last report.
async fn report(name: &str) -> Value {
    let folder = Path::new(FOLDER).join(name);
    let (adapter, task) = (
        folder.join("adapter-config.yaml"),
        folder.join("task-config.yaml"),
    );
    let environment = BTreeMap::new();
    let linted = lint(&adapter, &task, &environment, None);
    assert!(linted.is_clean(), "{name}: {:#?}", linted.findings);
    let config = load(&adapter, &task, &environment).unwrap_or_else(|error| panic!("{error}"));
    let answers = answers();
    let inputs = Inputs {
        event: EVENT,
        answers: Some(&answers),
        discovery: None,
    };
    let trace = dry_run::run(config, inputs, Arc::new(SystemClock))
        .await
        .unwrap();
    assert!(trace.is_success(), "{}", trace.to_text(true));
    let requests = trace.to_json(true)["apiRequests"].clone();
    let requests = requests.as_array().unwrap();
    let report = requests
        .iter()
        .rfind(|request| request["method"] != "GET")
        .unwrap();
    serde_json::from_str(report["requestBody"].as_str().unwrap()).unwrap()
}

fn statuses(report: &Value) -> Vec<(String, String)> {
    let conditions = report["conditions"].as_array().unwrap().iter();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    conditions
        .map(|condition| (text(&condition["type"]), text(&condition["status"])))
        .collect()
}

fn expected(pairs: [(&str, &str); 4]) -> Vec<(String, String)> {
    pairs
        .map(|(kind, status)| (kind.to_owned(), status.to_owned()))
        .to_vec()
}

#[tokio::test]
async fn a_namespace_and_a_job_that_waits_for_another_adapter() {
    let report = report("job").await;
    assert_eq!(report["observed_generation"], 3);
    assert_eq!(
        statuses(&report),
        expected([
            ("Applied", "True"),
            ("Available", "False"),
            ("Health", "True"),
            ("Finalized", "False")
        ])
    );
}

#[tokio::test]
async fn a_call_in_a_precondition_with_captures() {
    let report = report("legacy").await;
    assert_eq!(report["data"]["region"], "r1");
    assert_eq!(
        statuses(&report),
        expected([
            ("Applied", "True"),
            ("Available", "True"),
            ("Health", "True"),
            ("Finalized", "False")
        ])
    );
}

#[tokio::test]
async fn a_manifest_work_with_nested_discoveries() {
    let report = report("maestro").await;
    assert_eq!(report["data"]["namespace"], "demo-c1");
    assert_eq!(
        statuses(&report),
        expected([
            ("Applied", "True"),
            ("Available", "Unknown"),
            ("Health", "True"),
            ("Finalized", "False")
        ])
    );
}

#[tokio::test]
async fn a_node_pool_with_a_config_map_in_a_file() {
    let report = report("node-pool").await;
    assert_eq!(report["data"], json!({"cluster": "p1", "pool": "c1"}));
}

/// Every file of a name below the two folders with configurations.
fn files(names: &[&str]) -> Vec<PathBuf> {
    let shipped = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/adapters");
    let folders = [FOLDER, shipped]
        .into_iter()
        .flat_map(|folder| fs::read_dir(folder).unwrap());
    folders
        .map(|entry| entry.unwrap().path())
        .flat_map(|folder| names.iter().map(move |name| folder.join(name)))
        .filter(|path| path.is_file())
        .collect()
}

#[test]
fn schemas_accept_what_loads_and_refuse_what_does_not() {
    let tasks = ["task-config.yaml", "adapter-task-config.yaml"];
    for (schema, names) in [
        (schema::adapter(), &["adapter-config.yaml"][..]),
        (schema::task(), &tasks[..]),
    ] {
        let validator = jsonschema::validator_for(&schema).unwrap();
        let found = files(names);
        assert_eq!(found.len(), 11, "{found:?}");
        for path in found {
            let text = fs::read_to_string(&path).unwrap();
            let instance = yaml::parse(&text).unwrap().unwrap().to_value();
            let wrong: Vec<String> = validator
                .iter_errors(&instance)
                .map(|error| error.to_string())
                .collect();
            assert!(wrong.is_empty(), "{}: {wrong:?}", path.display());
            let mut unknown = instance;
            unknown["unknown"] = json!(1);
            assert!(!validator.is_valid(&unknown));
        }
    }
    let task = jsonschema::validator_for(&schema::task()).unwrap();
    for text in [
        "params: [{name: a}]",
        "params: [{name: a, source: {expression: '1', file: {path: /x}}}]",
        "preconditions: [{name: p, capture: []}]",
        "preconditions: [{name: p, conditions: [{field: a, operator: notExists}]}]",
        "resources: [{name: My-Res, manifest: {a: b}, discovery: {by_name: x}}]",
        "resources: [{name: r, manifest: {a: b}, discovery: {namespace: x}}]",
        "resources: [{name: r, manifest: {a: b}, discovery: {by_name: x}, lifecycle: {recreate: {}}}]",
        "post: {payloads: [{name: p, build: {}, build_ref: x}]}",
        "post: {post_actions: [{name: a, api_call: {method: get, url: /x}}]}",
    ] {
        let instance = yaml::parse(text).unwrap().unwrap().to_value();
        assert!(!task.is_valid(&instance), "{text}");
    }
}
