//! Deleting resources: marks, cascades, removal through reports, and by force.

use axum::http::Method;
use futures::future::join_all;
use hyperfleet_tests::app::{Report, TestApp};
use hyperfleet_tests::registries::{registry_a, registry_b};
use serde_json::{Value, json};

fn adapters(app: &TestApp, kind: &str) -> Vec<String> {
    app.registry
        .by_kind(kind)
        .expect("registered")
        .required_adapters
        .clone()
}

/// Every required adapter reports Finalized=True at that generation, each a second later.
async fn finalize(app: &TestApp, kind: &str, path: &str, generation: i32) {
    for (second, adapter) in adapters(app, kind).iter().enumerate() {
        let time = app.seconds_ago(60 - i64::try_from(second).expect("few adapters"));
        let report = Report::new(adapter, generation, "True")
            .finalized("True")
            .at(time);
        app.report(path, &report).await.expect(201);
    }
}

#[tokio::test]
async fn case_128_to_130_a_deletion_is_marked_once() {
    let app = TestApp::with(registry_a()).await;
    let path = format!("clusters/{}", app.cluster("abc").await);
    let marked = app.delete(&path).await.expect(202);
    assert!(marked.body["deleted_time"].is_string());
    assert_eq!(marked.body["deleted_by"], "system@hyperfleet.local");
    assert_eq!(marked.body["generation"], 2);
    assert_eq!(marked.body["updated_by"], "system@hyperfleet.local");
    let reconciled = marked.condition("Reconciled");
    assert_eq!(reconciled["status"], "False");
    let message = reconciled["message"].as_str().expect("a message");
    assert!(
        message.starts_with("Required adapters not reporting Finalized=True"),
        "{message}"
    );
    let read = app.get(&path).await.expect(200);
    assert_eq!(read.body["deleted_time"], marked.body["deleted_time"]);
    let list = app.get("clusters").await.expect(200);
    assert_eq!(list.items()[0]["deleted_time"], marked.body["deleted_time"]);
    let again = app.delete(&path).await.expect(202);
    for member in ["deleted_time", "deleted_by", "generation"] {
        assert_eq!(again.body[member], marked.body[member], "{member}");
    }
}

#[tokio::test]
async fn case_131_concurrent_deletions_agree() {
    let app = TestApp::with(registry_a()).await;
    let path = format!("clusters/{}", app.cluster("abc").await);
    let answers = join_all((0..5).map(|_| app.delete(&path))).await;
    for answer in &answers {
        assert_eq!(answer.status, 202, "{}", answer.text);
        assert_eq!(answer.body["deleted_time"], answers[0].body["deleted_time"]);
        assert_eq!(answer.body["generation"], 2);
    }
}

#[tokio::test]
async fn case_132_and_133_node_pools_go_with_their_cluster() {
    let app = TestApp::with(registry_a()).await;
    let id = app.cluster("abc").await;
    let pools = [
        app.node_pool(&id, "one").await,
        app.node_pool(&id, "two").await,
    ];
    let marked = app.delete(&format!("clusters/{id}")).await.expect(202);
    for pool in pools {
        let pool = app.get(&format!("nodepools/{pool}")).await.expect(200);
        assert_eq!(pool.body["deleted_time"], marked.body["deleted_time"]);
        assert_eq!(pool.body["generation"], 2);
        assert_eq!(pool.condition("Reconciled")["status"], "False");
    }
    let body = json!({"kind": "NodePool", "name": "three", "spec": {}});
    let refused = app.post(&format!("clusters/{id}/nodepools"), &body).await;
    refused.expect_problem(
        409,
        "CNF-003",
        &format!("Cluster '{id}' is marked for deletion"),
    );
}

#[tokio::test]
async fn case_134_a_finalizing_cluster_frees_its_name() {
    let app = TestApp::with(registry_a()).await;
    let first = app.cluster("abc").await;
    app.delete(&format!("clusters/{first}")).await.expect(202);
    let second = app.cluster("abc").await;
    assert_ne!(first, second);
}

#[tokio::test]
async fn case_135_to_137_a_deletion_that_finds_nothing() {
    let app = TestApp::with(registry_a()).await;
    let one = app.cluster("one").await;
    let two = app.cluster("two").await;
    let pool = app.node_pool(&one, "workers").await;
    for (path, detail) in [
        ("clusters/x".to_owned(), "Cluster not found".to_owned()),
        (
            format!("clusters/{one}/nodepools/x"),
            "NodePool with id='x' not found".to_owned(),
        ),
        (
            format!("clusters/{two}/nodepools/{pool}"),
            format!("NodePool with id='{pool}' not found"),
        ),
        (
            "clusters/x/nodepools/y".to_owned(),
            "Cluster with id='x' not found".to_owned(),
        ),
        (
            "resources/x".to_owned(),
            "Resource with id='x' not found".to_owned(),
        ),
    ] {
        app.delete(&path)
            .await
            .expect_problem(404, "NTF-001", &detail);
    }
    let pool = app.get(&format!("nodepools/{pool}")).await.expect(200);
    assert!(pool.body.get("deleted_time").is_none());
}

#[tokio::test]
async fn case_138_to_140_kinds_without_adapters_go_at_once_unless_restricted() {
    let app = TestApp::with(registry_b()).await;
    let channel = app.create("channels", "Channel", "x").await;
    let path = format!("channels/{channel}");
    let version = app
        .create(&format!("{path}/versions"), "Version", "v")
        .await;
    let detail = format!("Cannot delete Channel '{channel}': active Version(s) exist");
    app.delete(&path)
        .await
        .expect_problem(409, "CNF-003", &detail);
    assert_eq!(app.get(&path).await.expect(200).body["generation"], 1);
    app.delete(&format!("versions/{version}")).await.expect(202);
    app.get(&format!("versions/{version}")).await.expect(404);
    let gone = app.delete(&path).await.expect(202);
    assert!(gone.body["deleted_time"].is_string());
    assert_eq!(gone.body["generation"], 2);
    app.get(&path).await.expect(404);
    app.delete(&path)
        .await
        .expect_problem(404, "NTF-001", "Channel not found");
    app.create("channels", "Channel", "x").await;
}

#[tokio::test]
async fn case_141_a_cluster_is_removed_when_every_adapter_is_done() {
    let app = TestApp::with(registry_a()).await;
    let path = format!("clusters/{}", app.cluster("abc").await);
    app.delete(&path).await.expect(202);
    finalize(&app, "Cluster", &path, 2).await;
    app.get(&path).await.expect(404);
    app.get(&format!("{path}/statuses")).await.expect(404);
    assert_eq!(app.get("clusters").await.expect(200).body["total"], 0);
    let late = app
        .report(&path, &Report::new("validation", 2, "True"))
        .await;
    assert_eq!(late.status, 404);
}

#[tokio::test]
async fn case_142_and_143_one_adapter_that_is_not_done_keeps_the_cluster() {
    for (generation, finalized) in [(2, Some("False")), (2, None), (1, Some("True"))] {
        let app = TestApp::with(registry_a()).await;
        let path = format!("clusters/{}", app.cluster("abc").await);
        app.delete(&path).await.expect(202);
        let adapters = adapters(&app, "Cluster");
        let (last, done) = adapters.split_last().expect("adapters");
        for adapter in done {
            let report = Report::new(adapter, 2, "True").finalized("True");
            app.report(&path, &report).await.expect(201);
        }
        let mut report = Report::new(last, generation, "True");
        report.finalized = finalized;
        app.report(&path, &report).await.expect(201);
        app.get(&path).await.expect(200);
    }
}

#[tokio::test]
async fn case_144_finalized_reports_do_not_remove_an_active_cluster() {
    let app = TestApp::with(registry_a()).await;
    let path = format!("clusters/{}", app.cluster("abc").await);
    finalize(&app, "Cluster", &path, 1).await;
    let read = app.get(&path).await.expect(200);
    assert!(read.body.get("deleted_time").is_none());
}

#[tokio::test]
async fn case_145_to_147_a_parent_waits_for_its_children() {
    let app = TestApp::with(registry_b()).await;
    let gadget = app.create("gadgets", "Gadget", "g").await;
    let path = format!("gadgets/{gadget}");
    let widget = app.create(&format!("{path}/widgets"), "Widget", "w").await;
    app.delete(&path).await.expect(202);
    finalize(&app, "Gadget", &path, 2).await;
    let waiting = app.get(&path).await.expect(200);
    assert_eq!(waiting.condition("Reconciled")["status"], "True");
    assert_eq!(waiting.condition("Reconciled")["reason"], "ReconciledAll");
    finalize(&app, "Widget", &format!("widgets/{widget}"), 2).await;
    app.get(&format!("widgets/{widget}")).await.expect(404);
    app.get(&path).await.expect(200);
    let report = Report::new("alpha", 2, "True")
        .finalized("True")
        .at(app.seconds_ago(1));
    app.report(&path, &report).await.expect(201);
    app.get(&path).await.expect(404);
}

#[tokio::test]
async fn case_148_an_independent_child_keeps_its_parent_unreconciled() {
    let app = TestApp::with(registry_b()).await;
    let gadget = app.create("gadgets", "Gadget", "g").await;
    let path = format!("gadgets/{gadget}");
    app.create(&format!("{path}/orphans"), "Orphan", "o").await;
    app.delete(&path).await.expect(202);
    finalize(&app, "Gadget", &path, 2).await;
    let waiting = app.get(&path).await.expect(200);
    assert_eq!(waiting.condition("Reconciled")["status"], "False");
    assert_eq!(
        waiting.condition("Reconciled")["reason"],
        "ReconciledWaitingForChildren"
    );
}

#[tokio::test]
async fn case_149_to_151_force_removes_a_finalizing_family() {
    let app = TestApp::with(registry_a()).await;
    let id = app.cluster("abc").await;
    let path = format!("clusters/{id}");
    let pool = app.node_pool(&id, "workers").await;
    let force = format!("{path}/force-delete");
    let reason = json!({"reason": "stuck"});
    let detail = format!("Cluster '{id}' is not in Finalizing state");
    app.post(&force, &reason)
        .await
        .expect_problem(409, "CNF-003", &detail);
    app.report(&path, &Report::new("validation", 1, "True"))
        .await
        .expect(201);
    app.delete(&path).await.expect(202);
    let gone = app.post(&force, &reason).await.expect(204);
    assert_eq!(gone.text, "");
    for path in [
        path.clone(),
        format!("nodepools/{pool}"),
        format!("{path}/statuses"),
    ] {
        app.get(&path).await.expect(404);
    }
    app.post(&force, &reason).await.expect(404);
}

#[tokio::test]
async fn case_152_and_153_the_reason_of_a_forced_deletion() {
    let app = TestApp::with(registry_a()).await;
    let path = format!("clusters/{}", app.cluster("abc").await);
    app.delete(&path).await.expect(202);
    let force = format!("{path}/force-delete");
    for (body, code, detail) in [
        (json!({}), "VAL-000", "reason is required"),
        (json!({"reason": ""}), "VAL-000", "reason is required"),
        (
            json!({"reason": "x".repeat(1025)}),
            "VAL-000",
            "reason must be at most 1024 characters",
        ),
        (
            Value::Null,
            "VAL-006",
            "Request body is required but was empty",
        ),
    ] {
        app.request(Method::POST, &force, &body)
            .await
            .expect_problem(400, code, detail);
    }
    app.post(&force, &json!({"reason": "☃".repeat(1024)}))
        .await
        .expect(204);
}
