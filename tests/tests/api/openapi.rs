//! The OpenAPI document says what is served.

use std::collections::BTreeSet;

use hyperfleet_tests::app::TestApp;
use serde_json::{Value, json};

#[tokio::test]
async fn every_operation_has_a_unique_id_and_names_its_errors() {
    let app = TestApp::start().await;
    let document = app.get("openapi/v3.1").await.expect(200).body;
    assert!(
        document["openapi"]
            .as_str()
            .is_some_and(|version| version.starts_with("3.1"))
    );
    let mut ids = BTreeSet::new();
    for (path, item) in document["paths"].as_object().expect("paths") {
        for (method, operation) in item.as_object().expect("operations") {
            let id = operation["operationId"].as_str().expect("an operation id");
            assert!(ids.insert(id.to_owned()), "{id} occurs twice");
            let responses = operation["responses"].as_object().expect("responses");
            for status in ["500", "503"] {
                assert!(
                    responses.contains_key(status),
                    "{method} {path} has no {status}"
                );
            }
            let is_read = ["get", "delete"].contains(&method.as_str());
            let has_body = operation.get("requestBody").is_some();
            assert!(is_read || has_body, "{method} {path} has no body");
            assert!(
                !has_body || responses.contains_key("413"),
                "{method} {path} has no 413"
            );
            let one = path.contains("{id}") || path.contains("{parent_id}");
            assert_eq!(one, responses.contains_key("404"), "{method} {path}");
        }
    }
    for id in [
        "create_cluster",
        "get_cluster",
        "list_cluster",
        "patch_cluster",
        "delete_cluster",
        "force_delete_cluster",
        "put_cluster_status",
        "list_cluster_statuses",
        "list_cluster_history",
        "create_cluster_node_pool",
        "get_node_pool",
        "list_resource",
        "create_resource",
        "force_delete_resource",
    ] {
        assert!(ids.contains(id), "{id} is missing: {ids:?}");
    }
}

#[tokio::test]
async fn every_documented_path_is_served() {
    let app = TestApp::start().await;
    let document = app.get("openapi/v3.1").await.expect(200).body;
    for (path, item) in document["paths"].as_object().expect("paths") {
        let path = path.replace("{id}", "x").replace("{parent_id}", "y");
        for method in item.as_object().expect("operations").keys() {
            let method = method.to_uppercase().parse().expect("a method");
            let answer = app.send(method, &path, &[], "").await;
            assert_ne!(answer.status, 405, "{path}");
            assert_ne!(answer.body["code"], "HYPERFLEET-NTF-000", "{path}");
        }
    }
}

/// Every member of `left`, at any depth, is in `right`; what is false or empty may be left out.
fn assert_kept(path: &str, left: &Value, right: &Value) {
    match (left, right) {
        (Value::Object(left), Value::Object(right)) => {
            for (name, value) in left {
                let is_default = value == &json!(false) || value == &json!([]);
                if let Some(kept) = right.get(name) {
                    assert_kept(&format!("{path}/{name}"), value, kept);
                } else {
                    assert!(is_default, "{path}/{name} is not OpenAPI 3.0");
                }
            }
        }
        (Value::Array(left), Value::Array(right)) => {
            assert_eq!(left.len(), right.len(), "{path}");
            for (at, (left, right)) in left.iter().zip(right).enumerate() {
                assert_kept(&format!("{path}/{at}"), left, right);
            }
        }
        (Value::Number(left), Value::Number(right)) => {
            assert_eq!(left.as_f64(), right.as_f64(), "{path}");
        }
        (left, right) => assert_eq!(left, right, "{path}"),
    }
}

#[tokio::test]
async fn the_older_document_is_openapi_3_0_and_nothing_else() {
    let app = TestApp::start().await;
    let document = app.get("openapi").await.expect(200).body;
    assert_eq!(document["openapi"], "3.0.0");
    let parsed: openapiv3::OpenAPI =
        serde_json::from_value(document.clone()).expect("an OpenAPI 3.0 document");
    let written = serde_json::to_value(&parsed).expect("JSON");
    assert_kept("", &document, &written);
    let newer = app.get("openapi/v3.1").await.expect(200).body;
    let operations = |document: &Value| -> BTreeSet<String> {
        let paths = document["paths"].as_object().expect("paths").iter();
        let of_path = |(path, item): (&String, &Value)| {
            let methods = item.as_object().expect("operations").keys();
            methods
                .map(|method| format!("{method} {path}"))
                .collect::<Vec<_>>()
        };
        paths.flat_map(of_path).collect()
    };
    assert_eq!(operations(&document), operations(&newer));
}

#[tokio::test]
async fn every_reference_in_the_documents_leads_somewhere() {
    let app = TestApp::start().await;
    for version in ["openapi", "openapi/v3.1"] {
        let document = app.get(version).await.expect(200).body;
        let mut waiting = vec![&document];
        let mut count = 0;
        while let Some(value) = waiting.pop() {
            if let Some(reference) = value.get("$ref").and_then(Value::as_str) {
                let pointer = reference.trim_start_matches('#');
                assert!(document.pointer(pointer).is_some(), "{reference}");
                count += 1;
            }
            match value {
                Value::Object(members) => waiting.extend(members.values()),
                Value::Array(items) => waiting.extend(items),
                _ => {}
            }
        }
        assert!(count > 100, "{version} has {count} references");
    }
}
