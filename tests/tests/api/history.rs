//! Histories: complete, explained, and there after the resource is gone.

use hyperfleet_tests::app::{Answer, Report, TestApp};
use serde_json::{Value, json};

fn entries(answer: &Answer) -> &Vec<Value> {
    answer.body["items"].as_array().expect("items")
}

fn change<'a>(entry: &'a Value, path: &str) -> &'a Value {
    let changes = entry["changes"].as_array().expect("changes");
    changes
        .iter()
        .find(|change| change["path"] == path)
        .unwrap_or(&Value::Null)
}

#[tokio::test]
async fn every_event_says_who_why_and_what_changed() {
    let app = TestApp::start().await;
    let created = app
        .post(
            "clusters",
            &json!({"kind": "Cluster", "name": "abc", "spec": {"a": 1}}),
        )
        .await
        .expect(201);
    let path = format!("clusters/{}", created.id());
    let patched = app
        .patch(&path, &json!({"spec": {"a": 2}}))
        .await
        .expect(200);
    app.report(&path, &Report::new("validation", 2, "True"))
        .await
        .expect(201);
    let history = app.get(&format!("{path}/history")).await.expect(200);
    let entries = entries(&history);
    assert_eq!(history.body["total"], entries.len());
    for (index, entry) in entries.iter().enumerate() {
        assert_eq!(entry["sequence"], index + 1);
        assert_eq!(entry["actor"], "system@hyperfleet.local");
        assert_eq!(entry["name"], "abc");
        assert!(entry["time"].is_string() && entry["position"].is_u64());
    }
    assert_eq!(entries[0]["type"], "hyperfleet.resource.created");
    assert_eq!(entries[0]["cause"], "CreateResource");
    assert_eq!(entries[0]["request_id"], created.header("x-request-id"));
    assert_eq!(change(&entries[0], "/name")["to"], "abc");
    let changed = entries
        .iter()
        .find(|entry| entry["type"] == "hyperfleet.resource.spec_changed")
        .expect("the patch is recorded");
    assert_eq!(changed["request_id"], patched.header("x-request-id"));
    assert_eq!(changed["generation"], 2);
    assert_eq!(
        change(changed, "/spec/a"),
        &json!({"path": "/spec/a", "from": 1, "to": 2})
    );
    let reported = entries
        .iter()
        .find(|entry| entry["type"] == "hyperfleet.resource.adapter_status_reported")
        .expect("the report is recorded");
    assert_eq!(
        change(reported, "/adapter_statuses/validation")["to"]["adapter"],
        "validation"
    );
    let page = app
        .get(&format!("{path}/history?size=1&page=2"))
        .await
        .expect(200);
    assert_eq!(page.body["items"], json!([entries[1]]));
}

#[tokio::test]
async fn a_removed_resource_is_found_by_id_and_by_name() {
    let app = TestApp::start().await;
    let id = app.cluster("abc").await;
    let path = format!("clusters/{id}");
    let pool = app.node_pool(&id, "workers").await;
    app.delete(&path).await.expect(202);
    app.post(&format!("{path}/force-delete"), &json!({"reason": "test"}))
        .await
        .expect(204);
    app.get(&path).await.expect(404);
    let by_id = app.get(&format!("{path}/history")).await.expect(200);
    let last = entries(&by_id).last().expect("entries").clone();
    assert_eq!(last["type"], "hyperfleet.resource.force_removed");
    app.get(&format!("nodepools/{pool}/history"))
        .await
        .expect(200);
    app.get(&format!("{path}/nodepools/{pool}/history"))
        .await
        .expect(200);
    app.get(&format!("nodepools/{id}/history"))
        .await
        .expect(404);
    let again = app.cluster("abc").await;
    let by_name = app
        .get("history?kind=Cluster&name=abc&size=100")
        .await
        .expect(200);
    let entries = entries(&by_name);
    assert!(
        entries
            .iter()
            .any(|entry| entry["resource_id"] == json!(id))
    );
    assert!(
        entries
            .iter()
            .any(|entry| entry["resource_id"] == json!(again))
    );
    let positions: Vec<_> = entries
        .iter()
        .map(|entry| entry["position"].as_u64())
        .collect();
    assert!(positions.is_sorted(), "{positions:?}");
}

#[tokio::test]
async fn a_history_by_name_needs_a_known_kind_and_a_name() {
    let app = TestApp::start().await;
    let none = app.get("history?kind=Cluster").await;
    let none = none.expect_problem(400, "VAL-000", "Invalid query parameters");
    assert_eq!(none.body["errors"][0]["field"], "name");
    let unknown = app.get("history?kind=Nope&name=x").await;
    unknown.expect_problem(400, "VAL-000", "Unknown entity kind: Nope");
    let nobody = app
        .get("history?kind=Cluster&name=nobody")
        .await
        .expect(200);
    assert_eq!(nobody.body["total"], 0);
}
