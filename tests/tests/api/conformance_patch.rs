//! Patching resources.

use hyperfleet_tests::app::TestApp;
use serde_json::{Value, json};

async fn cluster(app: &TestApp, spec: &Value, labels: &Value) -> String {
    let body = json!({"kind": "Cluster", "name": "abc", "spec": spec, "labels": labels});
    let id = app.post("clusters", &body).await.expect(201).id();
    format!("clusters/{id}")
}

#[tokio::test]
async fn case_113_a_changed_spec_replaces_the_old_one() {
    let app = TestApp::start().await;
    let path = cluster(&app, &json!({"a": 1, "b": 2}), &json!({})).await;
    let before = app.get(&path).await.expect(200);
    let after = app
        .patch(&path, &json!({"spec": {"a": 2}}))
        .await
        .expect(200);
    assert_eq!(after.body["generation"], 2);
    assert_eq!(after.body["spec"], json!({"a": 2}));
    assert!(after.text_of("updated_time") > before.text_of("updated_time"));
    assert_eq!(after.condition("Reconciled")["observed_generation"], 2);
    assert_eq!(app.get(&path).await.expect(200).body, after.body);
}

#[tokio::test]
async fn case_114_and_116_what_changes_nothing_changes_nothing() {
    let app = TestApp::start().await;
    let path = cluster(&app, &json!({"a": 1, "b": {"c": 2, "d": 3}}), &json!({})).await;
    let before = app.get(&path).await.expect(200);
    for patch in [
        json!({"spec": {"b": {"d": 3, "c": 2.0}, "a": 1}}),
        json!({"labels": {}}),
    ] {
        let after = app.patch(&path, &patch).await.expect(200);
        assert_eq!(after.body, before.body, "{patch}");
    }
    let history = app.get(&format!("{path}/history")).await.expect(200);
    let types: Vec<_> = history.body["items"]
        .as_array()
        .expect("items")
        .iter()
        .collect();
    assert!(
        types.iter().all(|entry| entry["generation"] == 1),
        "{types:?}"
    );
}

#[tokio::test]
async fn case_115_to_117_labels_count_and_one_patch_counts_once() {
    let app = TestApp::start().await;
    let path = cluster(&app, &json!({}), &json!({"a": "1", "b": "2"})).await;
    let after = app
        .patch(&path, &json!({"labels": {"a": "2"}}))
        .await
        .expect(200);
    assert_eq!(after.body["generation"], 2);
    assert_eq!(after.body["labels"], json!({"a": "2"}));
    let cleared = app.patch(&path, &json!({"labels": {}})).await.expect(200);
    assert_eq!(cleared.body["generation"], 3);
    assert!(cleared.body.get("labels").is_none());
    let both = app
        .patch(&path, &json!({"spec": {"x": 1}, "labels": {"l": "m"}}))
        .await;
    assert_eq!(both.expect(200).body["generation"], 4);
}

#[tokio::test]
async fn case_118_to_120_and_125_patches_that_are_refused() {
    let app = TestApp::start().await;
    let path = cluster(&app, &json!({}), &json!({})).await;
    let nothing = "at least one field must be provided for update";
    for (patch, code, detail) in [
        (json!({}), "VAL-005", nothing),
        (json!({"labels": null}), "VAL-005", nothing),
        (
            json!({"name": "x"}),
            "VAL-006",
            "Invalid request format: json: unknown field \"name\"",
        ),
        (
            json!({"kind": "x"}),
            "VAL-006",
            "Invalid request format: json: unknown field \"kind\"",
        ),
        (
            json!({"labels": {}, "foo": 1}),
            "VAL-006",
            "Invalid request format: json: unknown field \"foo\"",
        ),
        (
            json!({"spec": null, "labels": {"a": "b"}}),
            "VAL-000",
            "spec field must be an object",
        ),
        (
            json!({"labels": {"bad key": "v"}}),
            "VAL-000",
            "label validation failed",
        ),
    ] {
        app.patch(&path, &patch)
            .await
            .expect_problem(400, code, detail);
    }
    let root = path.replace("clusters/", "resources/");
    for patch in [json!({}), json!({"spec": null})] {
        app.patch(&root, &patch)
            .await
            .expect_problem(400, "VAL-005", nothing);
    }
    assert_eq!(app.get(&path).await.expect(200).body["generation"], 1);
}

#[tokio::test]
async fn case_122_to_124_a_patch_finds_only_what_belongs_there() {
    let app = TestApp::start().await;
    let one = app.cluster("one").await;
    let two = app.cluster("two").await;
    let pool = app.node_pool(&one, "workers").await;
    let patch = json!({"spec": {"x": 1}});
    for (path, detail) in [
        (
            "clusters/x".to_owned(),
            "Cluster with id='x' not found".to_owned(),
        ),
        (
            format!("clusters/{two}/nodepools/{pool}"),
            format!("NodePool with id='{pool}' not found"),
        ),
        (
            format!("clusters/x/nodepools/{pool}"),
            "Cluster with id='x' not found".to_owned(),
        ),
    ] {
        app.patch(&path, &patch)
            .await
            .expect_problem(404, "NTF-001", &detail);
    }
    app.patch(&format!("nodepools/{pool}"), &patch)
        .await
        .expect(200);
    let nested = format!("clusters/{one}/nodepools/{pool}");
    let answer = app
        .patch(&nested, &json!({"spec": {"x": 2}}))
        .await
        .expect(200);
    assert_eq!(answer.body["generation"], 3);
}

#[tokio::test]
async fn case_127_a_finalizing_resource_cannot_be_patched() {
    let app = TestApp::start().await;
    let id = app.cluster("abc").await;
    app.delete(&format!("clusters/{id}")).await.expect(202);
    let answer = app
        .patch(&format!("clusters/{id}"), &json!({"spec": {"x": 1}}))
        .await;
    answer.expect_problem(
        409,
        "CNF-003",
        &format!("Cluster '{id}' is marked for deletion"),
    );
}
