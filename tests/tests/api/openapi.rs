//! The OpenAPI document says what is served.

use std::collections::BTreeSet;

use hyperfleet_tests::app::TestApp;

#[tokio::test]
async fn every_operation_has_a_unique_id_and_names_its_errors() {
    let app = TestApp::start().await;
    let document = app.get("openapi").await.expect(200).body;
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
    ] {
        assert!(ids.contains(id), "{id} is missing: {ids:?}");
    }
}

#[tokio::test]
async fn every_documented_path_is_served() {
    let app = TestApp::start().await;
    let document = app.get("openapi").await.expect(200).body;
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
