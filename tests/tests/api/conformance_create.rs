//! Creating resources.

use axum::http::Method;
use hyperfleet_tests::app::TestApp;
use hyperfleet_tests::registries::{registry_a, registry_b};
use serde_json::{Value, json};

fn cluster(name: &str) -> Value {
    json!({"kind": "Cluster", "name": name, "spec": {}})
}

fn node_pool(name: &str) -> Value {
    json!({"kind": "NodePool", "name": name, "spec": {}})
}

#[tokio::test]
async fn case_16_and_17_a_new_cluster() {
    let app = TestApp::with(registry_a()).await;
    let answer = app.post("clusters", &cluster("abc")).await.expect(201);
    let body = &answer.body;
    let id = uuid::Uuid::parse_str(answer.text_of("id")).expect("a UUID");
    assert_eq!(id.get_version_num(), 7);
    assert_eq!(body["href"], format!("/api/hyperfleet/v1/clusters/{id}"));
    assert_eq!(body["generation"], 1);
    assert_eq!(body["created_time"], body["updated_time"]);
    assert_eq!(body["created_by"], "system@hyperfleet.local");
    assert_eq!(body["updated_by"], "system@hyperfleet.local");
    assert_eq!(body["tenancy"], json!({}));
    for absent in [
        "labels",
        "deleted_time",
        "deleted_by",
        "references",
        "owner_references",
    ] {
        assert!(body.get(absent).is_none(), "{absent} is there");
    }
    assert_eq!(answer.header("vary"), "Authorization");
    assert_eq!(
        body["status"]["conditions"].as_array().map(Vec::len),
        Some(2)
    );
    let reconciled = answer.condition("Reconciled");
    assert_eq!(reconciled["status"], "False");
    assert_eq!(reconciled["reason"], "ReconciledMissingAdapters");
    assert_eq!(
        reconciled["message"],
        "Required adapters not reporting Available=True: [dns, hypershift, pullsecret, validation]. \
         Currently reporting: []"
    );
    let last_known = answer.condition("LastKnownReconciled");
    assert_eq!(last_known["status"], "False");
    assert_eq!(last_known["reason"], "AdaptersMissingReports");
    assert_eq!(last_known["observed_generation"], 1);
}

#[tokio::test]
async fn case_18_to_25_names_kinds_and_specs_that_are_refused() {
    let app = TestApp::with(registry_a()).await;
    let pattern = "name must start and end with lowercase letter or number, and contain only \
                   lowercase letters, numbers, and hyphens";
    let long = "a".repeat(54);
    for (body, detail) in [
        (cluster("ab"), "name must be at least 3 characters"),
        (cluster(&long), "name must be at most 53 characters"),
        (cluster("Abc"), pattern),
        (cluster("a_b"), pattern),
        (cluster("a.b.c"), pattern),
        (cluster("-abc"), pattern),
        (cluster("abc-"), pattern),
        (cluster(""), "name is required"),
        (
            json!({"kind": "", "name": "abc", "spec": {}}),
            "kind is required",
        ),
        (node_pool("abc"), "kind must be 'Cluster'"),
        (
            json!({"kind": "Cluster", "name": "abc"}),
            "spec is required",
        ),
        (
            json!({"kind": "Cluster", "name": "abc", "spec": null}),
            "spec field must be an object",
        ),
        (
            json!({"kind": "Cluster", "name": "abc", "spec": []}),
            "spec field must be an object",
        ),
        (
            json!({"kind": "Cluster", "name": "abc", "spec": "x"}),
            "spec field must be an object",
        ),
        (
            json!({"kind": "Cluster", "name": 5, "spec": {}}),
            "field 'name' must be a string",
        ),
    ] {
        app.post("clusters", &body)
            .await
            .expect_problem(400, "VAL-000", detail);
    }
    app.post("clusters", &cluster(&"a".repeat(53)))
        .await
        .expect(201);
    let list = app.get("clusters").await.expect(200);
    assert_eq!(
        list.body["total"], 1,
        "a refused request left something behind"
    );
}

#[tokio::test]
async fn case_26_and_27_bodies_that_cannot_be_read() {
    let app = TestApp::with(registry_b()).await;
    for body in ["", "[1]", "{\"a\"", "{} x"] {
        let answer = app
            .send(Method::POST, "/api/hyperfleet/v1/clusters", &[], body)
            .await;
        answer.expect_problem(400, "VAL-006", "Invalid JSON in request body");
    }
    app.post("gadgets", &Value::Null).await.expect_problem(
        400,
        "VAL-006",
        "Request body is required but was empty",
    );
}

#[tokio::test]
async fn case_28_members_that_are_not_the_callers_are_ignored() {
    let app = TestApp::with(registry_a()).await;
    let body = json!({"kind": "Cluster", "name": "abc", "spec": {}, "id": "mine",
        "generation": 7, "status": {"conditions": []}, "foo": 1});
    let answer = app.post("clusters", &body).await.expect(201);
    assert_ne!(answer.id(), "mine");
    assert_eq!(answer.body["generation"], 1);
    assert!(answer.body.get("foo").is_none());
}

#[tokio::test]
async fn case_29_a_name_is_taken_once() {
    let app = TestApp::with(registry_a()).await;
    app.post("clusters", &cluster("dup")).await.expect(201);
    let again = app.post("clusters", &cluster("dup")).await;
    again.expect_problem(409, "CNF-001", "This Cluster already exists");
}

#[tokio::test]
async fn case_31_labels_are_kept() {
    let app = TestApp::with(registry_a()).await;
    let labels = json!({"env": "prod", "app.kubernetes.io/name": "x", "e": ""});
    let body = json!({"kind": "Cluster", "name": "abc", "spec": {}, "labels": labels});
    let answer = app.post("clusters", &body).await.expect(201);
    assert_eq!(answer.body["labels"], labels);
}

#[tokio::test]
async fn case_32_to_35_labels_that_are_refused_are_all_listed() {
    let app = TestApp::with(registry_a()).await;
    let long = "x".repeat(64);
    for (labels, faults) in [
        (json!({"bad key": "v"}), vec![("labels", "bad key")]),
        (json!({"k": "<script>"}), vec![("labels[k]", "<script>")]),
        (json!({"k": long}), vec![("labels[k]", long.as_str())]),
        (
            json!({"bad key": "v", "k": "?"}),
            vec![("labels", "bad key"), ("labels[k]", "?")],
        ),
    ] {
        let body = json!({"kind": "Cluster", "name": "abc", "spec": {}, "labels": labels});
        let answer = app.post("clusters", &body).await.expect_problem(
            400,
            "VAL-000",
            "label validation failed",
        );
        let errors = answer.body["errors"].as_array().expect("field errors");
        assert_eq!(errors.len(), faults.len(), "{errors:?}");
        for (field, value) in faults {
            let found = errors
                .iter()
                .find(|error| error["field"] == field)
                .expect(field);
            assert_eq!(found["value"], value);
            assert_eq!(found["constraint"], "pattern");
        }
    }
}

#[tokio::test]
async fn case_38_to_40_a_node_pool_belongs_to_its_cluster() {
    let app = TestApp::with(registry_a()).await;
    let id = app.cluster("abc").await;
    let path = format!("clusters/{id}/nodepools");
    let answer = app.post(&path, &node_pool("workers")).await.expect(201);
    let pool = answer.id();
    let href = format!("/api/hyperfleet/v1/clusters/{id}");
    assert_eq!(answer.body["href"], format!("{href}/nodepools/{pool}"));
    assert_eq!(
        answer.body["owner_references"],
        json!({"id": id, "kind": "Cluster", "href": href})
    );
    let long = app.post(&path, &node_pool(&"a".repeat(16))).await;
    long.expect_problem(400, "VAL-000", "name must be at most 15 characters");
    let nowhere = app
        .post("clusters/x/nodepools", &node_pool("workers"))
        .await;
    nowhere.expect_problem(404, "NTF-001", "Cluster with id='x' not found");
    let wrong_kind = app
        .post(&format!("clusters/{pool}/nodepools"), &node_pool("workers"))
        .await;
    wrong_kind.expect_problem(
        404,
        "NTF-001",
        &format!("Cluster with id='{pool}' not found"),
    );
}

#[tokio::test]
async fn case_41_a_child_kind_is_created_below_its_parent_only() {
    let app = TestApp::with(registry_a()).await;
    let answer = app
        .post("nodepools", &node_pool("workers"))
        .await
        .expect_problem(
            422,
            "VAL-000",
            "kind \"NodePool\" is a child kind; create it via /clusters/{id}/nodepools",
        );
    assert_eq!(answer.body["title"], "Validation Failed");
    let faulty = app.post("nodepools", &node_pool("?")).await;
    assert_eq!(faulty.status, 400, "the fields are checked first");
}

#[tokio::test]
async fn case_42_child_names_are_unique_per_parent() {
    let app = TestApp::with(registry_a()).await;
    let one = app.cluster("one").await;
    let two = app.cluster("two").await;
    app.node_pool(&one, "workers").await;
    app.node_pool(&two, "workers").await;
    let again = app
        .post(&format!("clusters/{one}/nodepools"), &node_pool("workers"))
        .await;
    again.expect_problem(409, "CNF-001", "This NodePool already exists");
}

#[tokio::test]
async fn case_47_and_48_kinds_without_adapters() {
    let app = TestApp::with(registry_b()).await;
    let one = app.create("channels", "Channel", "x").await;
    let two = app.create("channels", "Channel", "y").await;
    app.create(&format!("channels/{one}/versions"), "Version", "v")
        .await;
    app.create(&format!("channels/{two}/versions"), "Version", "v")
        .await;
    let channel = app.get(&format!("channels/{one}")).await.expect(200);
    assert_eq!(channel.body["status"]["conditions"], json!([]));
}

#[tokio::test]
async fn case_49_a_spec_is_kept_as_it_was_sent() {
    let app = TestApp::with(registry_a()).await;
    let spec = json!({"a": [[1, 2.5], {"b": null}], "ü": "snow ☃", "z": {"deep": [true, false]}});
    let body = json!({"kind": "Cluster", "name": "abc", "spec": spec});
    let id = app.post("clusters", &body).await.expect(201).id();
    let answer = app.get(&format!("clusters/{id}")).await.expect(200);
    assert_eq!(answer.body["spec"], spec);
}
