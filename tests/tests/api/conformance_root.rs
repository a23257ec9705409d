//! `/resources`: every kind under one path.

use axum::http::Method;
use hyperfleet_tests::app::{Report, TestApp};
use hyperfleet_tests::registries::{registry_a, registry_b};
use serde_json::{Value, json};

#[tokio::test]
async fn case_43_to_45_creating_by_the_kind_of_the_body() {
    let app = TestApp::with(registry_a()).await;
    let channel = json!({"kind": "Channel", "name": "x", "spec": {}});
    let created = app.post("resources", &channel).await.expect(201);
    let id = created.id();
    assert_eq!(
        created.body["href"],
        format!("/api/hyperfleet/v1/channels/{id}")
    );
    assert_eq!(created.body["status"]["conditions"], json!([]));
    let read = app.get(&format!("channels/{id}")).await.expect(200);
    assert_eq!(read.body, created.body);
    let child = json!({"kind": "NodePool", "name": "workers", "spec": {}});
    app.post("resources", &child).await.expect_problem(
        422,
        "VAL-000",
        "kind \"NodePool\" is a child kind; create it via /clusters/{id}/nodepools",
    );
    let unknown = json!({"kind": "Nope", "name": "x", "spec": {}});
    let refused = app.post("resources", &unknown).await;
    refused.expect_problem(400, "VAL-000", "Unknown entity kind: Nope");
    let again = app.post("resources", &channel).await;
    again.expect_problem(409, "CNF-001", "This Channel already exists");
}

#[tokio::test]
async fn what_does_not_depend_on_the_kind_is_checked_first() {
    let app = TestApp::with(registry_b()).await;
    let labels = json!({"bad key": "v"});
    for (body, status, detail) in [
        // From the body's shape to the name, in the order of the contract.
        (
            json!({"kind": "Nope", "labels": labels}),
            400,
            "spec is required",
        ),
        (
            json!({"kind": "Cluster", "spec": null}),
            400,
            "spec field must be an object",
        ),
        (
            json!({"kind": "Gadget", "spec": null}),
            400,
            "spec is required",
        ),
        (
            json!({"kind": "Gadget", "spec": []}),
            400,
            "field 'spec' must be an object",
        ),
        (
            json!({"kind": "Nope", "spec": {}, "labels": labels}),
            400,
            "label validation failed",
        ),
        (
            json!({"kind": "Nope", "spec": {}}),
            400,
            "Unknown entity kind: Nope",
        ),
        (json!({"spec": {}}), 400, "Unknown entity kind: "),
        (
            json!({"kind": 5, "spec": {}}),
            400,
            "field 'kind' must be a string",
        ),
        (
            json!({"kind": "Widget", "name": "?", "spec": {}}),
            422,
            "kind \"Widget\" is a child kind; create it via /gadgets/{id}/widgets",
        ),
        (
            json!({"kind": "Cluster", "spec": {}}),
            400,
            "name is required",
        ),
        (
            json!({"kind": "Cluster", "name": "ab", "spec": {}}),
            400,
            "name must be at least 3 characters",
        ),
        (
            json!({"kind": "Plain", "name": "a", "spec": {}}),
            400,
            "required reference type \"wif_config\" missing for Plain (min 1)",
        ),
    ] {
        let answer = app.post("resources", &body).await;
        answer.expect_problem(status, "VAL-000", detail);
    }
    for body in ["", "[1]", "{\"a\"", "{} x"] {
        let path = "/api/hyperfleet/v1/resources";
        let answer = app.send(Method::POST, path, &[], body).await;
        answer.expect_problem(400, "VAL-006", "Invalid JSON in request body");
    }
    assert_eq!(app.get("resources").await.expect(200).body["total"], 0);
}

#[tokio::test]
async fn case_55_a_missing_resource_of_any_kind() {
    let app = TestApp::with(registry_a()).await;
    let detail = "Resource with id='x' not found";
    let (one, force) = ("resources/x", "resources/x/force-delete");
    let (patch, reason) = (json!({"spec": {"a": 1}}), json!({"reason": "r"}));
    for answer in [
        app.get(one).await,
        app.get("resources/x/statuses").await,
        app.get("resources/x/history").await,
        app.patch(one, &patch).await,
        app.delete(one).await,
        app.post(force, &reason).await,
        app.report(one, &Report::new("a", 1, "True")).await,
    ] {
        answer.expect_problem(404, "NTF-001", detail);
    }
    // What is wrong with a body comes first.
    app.post(force, &json!({})).await.expect(400);
    app.patch(one, &json!({})).await.expect(400);
    app.get("resources/x/statuses?size=0").await.expect(400);
}

#[tokio::test]
async fn case_66_and_67_lists_of_every_kind_and_of_one() {
    let app = TestApp::with(registry_a()).await;
    let cluster = app.cluster("abc").await;
    app.node_pool(&cluster, "workers").await;
    app.create("channels", "Channel", "x").await;
    let all = app.get("resources?order=name").await.expect(200);
    assert_eq!(all.names(), ["abc", "workers", "x"]);
    assert_eq!(all.body["total"], 3);
    let channels = app.get("resources?kind=Channel").await.expect(200);
    assert_eq!(channels.names(), ["x"]);
    assert_eq!(channels.body["total"], 1);
    let blank = app.get("resources?kind=").await.expect(200);
    assert_eq!(blank.body["total"], 3);
    let unknown = app.get("resources?kind=Nope").await;
    unknown.expect_problem(400, "VAL-000", "Unknown entity kind: Nope");
    // Elsewhere it is one of the parameters that are ignored.
    let clusters = app.get("clusters?kind=Nope").await.expect(200);
    assert_eq!(clusters.names(), ["abc"]);
}

#[tokio::test]
async fn a_whole_life_under_resources() {
    let app = TestApp::with(registry_a()).await;
    let cluster = app.cluster("abc").await;
    let pool = app.node_pool(&cluster, "workers").await;
    let path = format!("resources/{cluster}");
    let patched = app.patch(&path, &json!({"spec": {"a": 1}})).await;
    assert_eq!(patched.expect(200).body["generation"], 2);
    let no_spec = json!({"spec": null, "labels": {"a": "b"}});
    app.patch(&path, &no_spec)
        .await
        .expect_problem(400, "VAL-000", "spec field must be an object");
    app.report(&path, &Report::new("dns", 2, "True"))
        .await
        .expect(201);
    let force = format!("{path}/force-delete");
    let reason = json!({"reason": "stuck"});
    let detail = format!("Cluster '{cluster}' is not in Finalizing state");
    app.post(&force, &reason)
        .await
        .expect_problem(409, "CNF-003", &detail);
    let marked = app.delete(&path).await.expect(202);
    assert!(marked.body["deleted_time"].is_string());
    let patch = app.patch(&path, &json!({"spec": {}})).await;
    let detail = format!("Cluster '{cluster}' is marked for deletion");
    patch.expect_problem(409, "CNF-003", &detail);
    let history = app.get(&format!("{path}/history")).await.expect(200);
    let typed = app.get(&format!("clusters/{cluster}/history")).await;
    assert_eq!(history.body, typed.expect(200).body);
    app.request(Method::POST, &force, &reason).await.expect(204);
    for gone in [path, format!("resources/{pool}")] {
        app.get(&gone).await.expect(404);
    }
    assert_eq!(
        app.get("resources").await.expect(200).body["items"],
        Value::Array(Vec::new())
    );
}
