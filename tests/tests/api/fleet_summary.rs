//! The fleet summary catches up with the log and counts every change once.

use std::time::Duration;

use hyperfleet_projections::run_catch_up;
use hyperfleet_test_support::eventually;
use hyperfleet_tests::app::{Report, TestApp};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

#[tokio::test]
async fn the_summary_follows_the_fleet() {
    let app = TestApp::start().await;
    let shutdown = CancellationToken::new();
    let projection = {
        let (store, shutdown) = (app.store.clone(), shutdown.clone());
        tokio::spawn(async move { run_catch_up(&store, shutdown).await })
    };
    let first = app.cluster("one").await;
    let second = app.cluster("two").await;
    app.cluster("three").await;
    let adapters = app
        .registry
        .by_kind("Cluster")
        .expect("registered")
        .required_adapters
        .clone();
    for adapter in &adapters {
        let path = format!("clusters/{first}");
        app.report(&path, &Report::new(adapter, 1, "True"))
            .await
            .expect(201);
    }
    let second = format!("clusters/{second}");
    app.delete(&second).await.expect(202);
    app.post(&format!("{second}/force-delete"), &json!({"reason": "x"}))
        .await
        .expect(204);
    let third = app.cluster("four").await;
    app.delete(&format!("clusters/{third}")).await.expect(202);
    let summary = |body: &Value| {
        let cluster = &body["kinds"]["Cluster"];
        json!([
            cluster["total"],
            cluster["active"],
            cluster["finalizing"],
            cluster["conditions"]["Reconciled"]["True"],
            cluster["conditions"]["Reconciled"]["False"],
        ])
    };
    eventually(
        Duration::from_secs(10),
        "the summary counts the fleet",
        || async {
            let body = app.get("summary").await.expect(200).body;
            let found = summary(&body);
            if found == json!([3, 2, 1, 1, 2]) {
                Ok(())
            } else {
                Err(body.to_string())
            }
        },
    )
    .await;
    shutdown.cancel();
    projection.await.expect("the projection ends");
}
