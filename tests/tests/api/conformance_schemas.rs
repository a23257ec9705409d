//! Specs against schemas: set-up S of the contract, and the schemas that are shipped.

use std::path::Path;

use hyperfleet_command_api::SpecSchemas;
use hyperfleet_domain::registry::Registry;
use hyperfleet_runtime::yaml;
use hyperfleet_tests::app::{Answer, TestApp};
use serde_json::{Value, json};

/// Schema file S: a cluster's spec requires a text `region`.
async fn with_schema_s() -> TestApp {
    let document = json!({"openapi": "3.0.0", "components": {"schemas": {
        "ClusterSpec": {"type": "object", "required": ["region"],
                        "properties": {"region": {"type": "string"}}},
        "NodePoolSpec": {"type": "object"},
    }}});
    with_document(&document).await
}

async fn with_document(document: &Value) -> TestApp {
    let registry = Registry::builtin();
    let (schemas, _) = SpecSchemas::compile(document, &registry).expect("usable schemas");
    TestApp::with_schemas(registry, schemas).await
}

fn cluster(spec: &Value) -> Value {
    json!({"kind": "Cluster", "name": "abc", "spec": spec})
}

/// The fields and messages of an answer about a spec.
#[track_caller]
fn violations(answer: &Answer, schema: &str) -> Vec<(String, String)> {
    assert_eq!(answer.status, 400, "{}", answer.text);
    assert_eq!(answer.body["code"], "HYPERFLEET-VAL-000");
    assert_eq!(answer.body["detail"], format!("Invalid {schema}"));
    assert_eq!(answer.header("content-type"), "application/problem+json");
    let errors = answer.body["errors"].as_array().expect("field errors");
    let pair = |error: &Value| {
        assert!(error.get("constraint").is_none() && error.get("value").is_none());
        let text = |member: &str| error[member].as_str().expect("text").to_owned();
        (text("field"), text("message"))
    };
    errors.iter().map(pair).collect()
}

fn pair(field: &str, message: &str) -> (String, String) {
    (field.to_owned(), message.to_owned())
}

#[tokio::test]
async fn case_36_and_37_a_spec_must_satisfy_its_schema() {
    let app = with_schema_s().await;
    let missing = app.post("clusters", &cluster(&json!({}))).await;
    assert_eq!(
        violations(&missing, "ClusterSpec"),
        [pair("spec.region", "property \"region\" is missing")]
    );
    let wrong = app.post("clusters", &cluster(&json!({"region": 5}))).await;
    assert_eq!(
        violations(&wrong, "ClusterSpec"),
        [pair("spec.region", "value must be a string")]
    );
    app.post("clusters", &cluster(&json!({"region": "r", "more": 1})))
        .await
        .expect(201);
}

#[tokio::test]
async fn the_schema_comes_before_every_other_rule() {
    let app = with_schema_s().await;
    for body in [
        json!({"kind": "", "name": "", "spec": {}}),
        json!({"kind": 5, "name": 5, "spec": {}, "labels": {"bad key": "v"}}),
    ] {
        violations(&app.post("clusters", &body).await, "ClusterSpec");
    }
    let missing = json!({"kind": "Cluster", "name": "abc"});
    app.post("clusters", &missing)
        .await
        .expect_problem(400, "VAL-000", "spec is required");
    let none = json!({"kind": "Cluster", "name": "abc", "spec": null});
    app.post("clusters", &none).await.expect_problem(
        400,
        "VAL-000",
        "spec field must be an object",
    );
}

#[tokio::test]
async fn case_121_a_patch_is_checked_as_it_was_sent() {
    let app = with_schema_s().await;
    let created = app
        .post("clusters", &cluster(&json!({"region": "r"})))
        .await;
    let id = created.expect(201).id();
    let path = format!("clusters/{id}");
    let other = app.patch(&path, &json!({"spec": {"other": 1}})).await;
    assert_eq!(
        violations(&other, "ClusterSpec"),
        [pair("spec.region", "property \"region\" is missing")]
    );
    let unknown_id = "clusters/01900000-0000-7000-8000-000000000000";
    let before_lookup = app.patch(unknown_id, &json!({"spec": {}})).await;
    violations(&before_lookup, "ClusterSpec");
    app.patch("clusters/x", &json!({"spec": {}}))
        .await
        .expect(404);
    app.patch(&path, &json!({"labels": {"a": "b"}}))
        .await
        .expect(200);
    let changed = app.patch(&path, &json!({"spec": {"region": "s"}})).await;
    assert_eq!(changed.expect(200).body["generation"], 3);
}

#[tokio::test]
async fn case_46_and_121_a_spec_of_any_kind_must_satisfy_the_schema_of_its_kind() {
    let app = with_schema_s().await;
    let refused = app.post("resources", &cluster(&json!({}))).await;
    let missing = [pair("spec.region", "property \"region\" is missing")];
    assert_eq!(violations(&refused, "ClusterSpec"), missing);
    let created = app
        .post("resources", &cluster(&json!({"region": "r"})))
        .await;
    let path = format!("resources/{}", created.expect(201).id());
    let other = app.patch(&path, &json!({"spec": {"other": 1}})).await;
    assert_eq!(violations(&other, "ClusterSpec"), missing);
    // Here only the resource tells its kind, so it is looked up first.
    let unknown_id = "resources/01900000-0000-7000-8000-000000000000";
    app.patch(unknown_id, &json!({"spec": {}}))
        .await
        .expect(404);
    let changed = app.patch(&path, &json!({"spec": {"region": "s"}})).await;
    assert_eq!(changed.expect(200).body["generation"], 2);
}

fn shipped() -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/schemas/gcp.yaml");
    let text = std::fs::read_to_string(path).expect("the shipped schemas");
    let node = yaml::parse(&text).expect("YAML").expect("a document");
    node.to_value()
}

#[tokio::test]
async fn the_shipped_schemas_accept_the_shipped_examples() {
    let app = with_document(&shipped()).await;
    let readme = include_str!("../../../README.md");
    let (_, rest) = readme
        .split_once("```json\n")
        .expect("the example of the README");
    let (example, _) = rest.split_once("```").expect("its end");
    let readme: Value = serde_json::from_str(example).expect("JSON");
    app.post("clusters", &readme).await.expect(201);
    // The demo's.
    let gcp = json!({"projectID": "acme-prod-1", "region": "europe-west1"});
    let release = json!({"image": "quay.io/openshift-release-dev/ocp-release:4.22.3-multi"});
    let spec = json!({
        "platform": {"type": "gcp", "gcp": gcp}, "release": release,
        "networking": {"clusterNetwork": [{"cidr": "10.132.0.0/14"}],
                       "serviceNetwork": [{"cidr": "172.31.0.0/16"}]},
        "dns": {"baseDomain": "acme.example.com"},
    });
    let id = app.post("clusters", &cluster(&spec)).await.expect(201).id();
    let workers = json!({"kind": "NodePool", "name": "workers", "spec": {
        "replicas": 3, "release": release,
        "platform": {"type": "gcp", "gcp": {"machineType": "n2-standard-4", "diskSizeGb": 128}}}});
    app.post(&format!("clusters/{id}/nodepools"), &workers)
        .await
        .expect(201);
}

#[tokio::test]
async fn the_shipped_schemas_name_every_mistake() {
    let app = with_document(&shipped()).await;
    let spec = json!({
        "platform": {"type": "aws", "gcp": {"projectId": "acme-prod-1", "region": "europe-west-1"}},
        "release": {"image": "quay.io/ocp-release"},
        "networking": {"clusterNetwork": [{"cidr": "10.132.0.0"}], "serviceNetwork": []},
        "dns": {"baseDomain": "Acme", "zone": "z"},
    });
    let answer = app.post("clusters", &cluster(&spec)).await;
    let found = violations(&answer, "ClusterSpec");
    let fields: Vec<&str> = found.iter().map(|(field, _)| field.as_str()).collect();
    assert_eq!(
        fields,
        [
            "spec.dns.baseDomain",
            "spec.dns.zone",
            "spec.networking.clusterNetwork.0.cidr",
            "spec.networking.serviceNetwork",
            "spec.platform.gcp.projectID",
            "spec.platform.gcp.region",
            "spec.platform.type",
            "spec.release.image",
        ]
    );
    assert!(
        !answer.text.contains("europe-west-1"),
        "a value is repeated: {}",
        answer.text
    );
}
