use std::collections::BTreeMap;
use std::path::Path;

use hyperfleet_runtime::clock::SystemClock;
use serde_json::json;

use super::*;
use crate::config::load_text;

const EVENT: &str = r#"{"specversion": "1.0", "id": "e1", "source": "test", "type": "reconcile", "data": {"id": "c1", "kind": "Cluster", "generation": 5}}"#;

const TASK: &str = r#"
params:
- {name: data, required: true, source: {api_call: {method: GET, url: "/clusters/{{ .event.id }}"}}}
- {name: phase, source: data.phase}
preconditions: [{name: ready, expression: "phase == 'Ready'"}]
resources:
- name: map
  manifest: {apiVersion: v1, kind: ConfigMap, metadata: {name: "map-{{ .event.id }}", namespace: default}}
  discovery: {namespace: "*", by_selectors: {label_selector: {of: test}}}
post:
  payloads: [{name: p, build: {said: {expression: 'resources.?map.?status.?said.orValue("nothing")'}}}]
  post_actions: [{name: report, api_call: {method: PUT, url: /report, body: "{{ .p }}"}}]
"#;

fn config(task: &str) -> Config {
    let path = Path::new("/nowhere/x.yaml");
    let adapter = "adapter: {name: a}\nclients: {hyperfleet_api: {base_url: 'http://api:8000'}}\n";
    load_text((adapter, path), (task, path), &BTreeMap::new())
        .unwrap_or_else(|error| panic!("{error}"))
}

async fn trace(task: &str, answers: Option<&str>, discovery: Option<&str>) -> Trace {
    let inputs = Inputs {
        event: EVENT,
        answers,
        discovery,
    };
    run(config(task), inputs, Arc::new(SystemClock))
        .await
        .unwrap()
}

const READY: &str = r#"{"responses": [{"match": {"method": "GET", "urlPattern": "/clusters/.*"}, "responses": [{"body": {"phase": "Ready"}}]}]}"#;

#[tokio::test]
async fn everything_is_in_the_text() {
    let task = TASK.replace("metadata: {", "metadata: {labels: {of: test}, ");
    let text = trace(&task, Some(READY), None).await.to_text(true);
    for line in [
        "Dry-Run Execution Trace\n=======================\nEvent: id=e1 type=reconcile\n",
        "Phase 1: Parameter Extraction ............... SUCCESS\n  data = map[phase:Ready]\n  phase = Ready\n  API Call: GET /api/hyperfleet/v1/clusters/c1 -> 200\n",
        "Phase 2: Preconditions ...................... SUCCESS (MET)\n  [1/1] ready PASS\n",
        "Phase 3: Resources .......................... SUCCESS\n  [1/1] map CREATE\n      Kind: ConfigMap   Namespace: default   Name: map-c1\n",
        "[verbose] Rendered manifest",
        "Phase 3.5: Discovery Results",
        "Phase 4: Post Actions ....................... SUCCESS\n  [1/1] report EXECUTED\n      API Call: PUT /api/hyperfleet/v1/report -> 200\n      [verbose] Request body\n        {\n          \"said\": \"nothing\"\n        }\n",
        "\nResult: SUCCESS\n",
    ] {
        assert!(text.contains(line), "{line}\n---\n{text}");
    }
}

#[tokio::test]
async fn a_gate_that_is_not_met_skips_resources() {
    let trace = trace(TASK, None, None).await;
    let text = trace.to_text(false);
    assert!(
        text.contains("SUCCESS (NOT MET)\n  [1/1] ready NOT MET\n"),
        "{text}"
    );
    assert!(text.contains("Phase 3: Resources .......................... SKIPPED\n  Reason: precondition 'ready' not met: "), "{text}");
    let json = trace.to_json(false);
    assert_eq!(
        json["preconditions"],
        json!([{"name": "ready", "status": "success", "matched": false}])
    );
    assert_eq!(
        json["apiRequests"][0],
        json!({"method": "GET", "url": "/api/hyperfleet/v1/clusters/c1", "statusCode": 200})
    );
}

#[tokio::test]
async fn given_objects_are_found_instead_of_applied_ones() {
    let given = r#"{"map-c1": {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"namespace": "default", "labels": {"of": "test"}}, "status": {"said": "hello"}}}"#;
    let trace = trace(TASK, Some(READY), Some(given)).await;
    assert!(trace.is_success(), "{}", trace.to_text(false));
    let json = trace.to_json(true);
    assert_eq!(json["resources"][0]["operation"], "update");
    assert_eq!(json["resources"][0]["reason"], "dry-run update");
    assert_eq!(
        json["discoveredResources"]["map"]["status"]["said"],
        "hello"
    );
    assert_eq!(json["apiRequests"][1]["requestBody"], r#"{"said":"hello"}"#);
    assert_eq!(
        json["params"]["adapter"],
        json!({"name": "a", "version": ""})
    );
    let operations: Vec<&str> = json["transportOperations"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|operation| operation["operation"].as_str())
        .collect();
    assert_eq!(operations, ["get", "apply", "discover"]);
}

#[tokio::test]
async fn a_deleted_object_shows_what_it_was() {
    let task = TASK.replace(
        "  discovery: {namespace: \"*\", by_selectors: {label_selector: {of: test}}}",
        "  discovery: {namespace: default, by_name: map-c1}\n  lifecycle: {delete: {when: {expression: 'true'}}}",
    );
    let given =
        r#"{"map-c1": {"apiVersion": "v1", "kind": "ConfigMap", "status": {"said": "hello"}}}"#;
    let trace = trace(&task, Some(READY), Some(given)).await;
    let text = trace.to_text(false);
    assert!(text.contains("[1/1] map DELETE"), "{text}");
    assert!(text.contains("Pre-delete state:"), "{text}");
    assert_eq!(trace.outcome().discovered.len(), 0);
}

#[tokio::test]
async fn inputs_that_cannot_be_used_are_refused() {
    let event = EVENT;
    for (inputs, expected) in [
        (
            Inputs {
                event: "{}",
                ..Inputs::default()
            },
            "the event cannot be used",
        ),
        (
            Inputs {
                event: r#"{"specversion": "1.0", "id": "e", "source": "s"}"#,
                ..Inputs::default()
            },
            "the event cannot be used",
        ),
        (
            Inputs {
                event,
                answers: Some("{}"),
                discovery: None,
            },
            "the API responses cannot be used",
        ),
        (
            Inputs {
                event,
                answers: None,
                discovery: Some("{\"a\": {\"kind\": \"X\"}}"),
            },
            "\"a\" needs apiVersion",
        ),
    ] {
        let error = run(config(TASK), inputs, Arc::new(SystemClock))
            .await
            .err()
            .unwrap();
        assert!(error.to_string().contains(expected), "{error}");
    }
}
