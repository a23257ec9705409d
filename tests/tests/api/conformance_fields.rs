//! `fields`: answers with only what was asked for.

use hyperfleet_tests::app::TestApp;
use hyperfleet_tests::registries::registry_a;
use serde_json::{Value, json};

async fn app_with_cluster() -> (TestApp, String) {
    let app = TestApp::with(registry_a()).await;
    let body = json!({"kind": "Cluster", "name": "abc", "spec": {"x": 1}, "labels": {"x": "y"}});
    let id = app.post("clusters", &body).await.expect(201).id();
    (app, id)
}

#[tokio::test]
async fn case_72_and_74_of_one_resource() {
    let (app, id) = app_with_cluster().await;
    let whole = app.get(&format!("clusters/{id}")).await.expect(200).body;
    let types = json!([{"type": "Reconciled"}, {"type": "LastKnownReconciled"}]);
    let created = &whole["created_time"];
    for (fields, expected) in [
        ("fields=name", json!({"id": id, "name": "abc"})),
        (
            "fields=status.conditions.type",
            json!({"id": id, "status": {"conditions": types}}),
        ),
        (
            "fields=status.*",
            json!({"id": id, "status": whole["status"]}),
        ),
        (
            "fields=name,%20labels&fields=spec",
            json!({"id": id, "name": "abc", "labels": {"x": "y"}, "spec": {"x": 1}}),
        ),
        // Times stay exact, and what is not there is not invented.
        (
            "fields=created_time,deleted_time",
            json!({"id": id, "created_time": created}),
        ),
        ("fields=", whole.clone()),
        (
            "fields=name&page=0&size=x",
            json!({"id": id, "name": "abc"}),
        ),
    ] {
        for path in [format!("clusters/{id}"), format!("resources/{id}")] {
            let answer = app.get(&format!("{path}?{fields}")).await.expect(200);
            assert_eq!(answer.body, expected, "{path}?{fields}");
        }
    }
}

#[tokio::test]
async fn case_73_and_75_fields_that_do_not_exist() {
    let (app, id) = app_with_cluster().await;
    let pool = app.node_pool(&id, "workers").await;
    for field in [
        "nosuch",
        "labels.x",
        "spec.x",
        "status",
        "owner_references",
        "owner_references.id",
    ] {
        let detail = format!("The following field(s) doesn't exist in `Resource`: {field}");
        for path in [
            format!("clusters/{id}"),
            format!("clusters/{id}/nodepools/{pool}"),
            format!("resources/{id}"),
            "clusters".to_owned(),
            "resources".to_owned(),
            // An empty list as well.
            "channels".to_owned(),
        ] {
            app.get(&format!("{path}?fields=name,{field}"))
                .await
                .expect_problem(400, "VAL-000", &detail);
        }
    }
    app.get("clusters/x?fields=nosuch").await.expect(404);
}

#[tokio::test]
async fn case_76_of_a_list() {
    let (app, id) = app_with_cluster().await;
    let list = app.get("clusters?fields=name,kind").await.expect(200);
    let item = json!({"id": id, "kind": "Cluster", "name": "abc"});
    assert_eq!(
        list.body,
        json!({"items": [item], "page": 1, "size": 1, "total": 1})
    );
    let empty = app.get("channels?fields=name").await.expect(200);
    assert_eq!(empty.body["items"], Value::Array(Vec::new()));
    // Lists of statuses have no such parameter.
    app.get(&format!("clusters/{id}/statuses?fields=nosuch"))
        .await
        .expect(200);
}
