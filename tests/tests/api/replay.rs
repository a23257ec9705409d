//! Rebuilding the read models gives what they were; verifying finds what was tampered with.

use std::time::Duration;

use hyperfleet_projections::replay::{rebuild, verify};
use hyperfleet_projections::run_catch_up;
use hyperfleet_test_support::eventually;
use hyperfleet_tests::app::{Report, TestApp};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

/// A fleet with every kind of past: patched, reported on, alive, being deleted, removed.
async fn app_with_past() -> (TestApp, String) {
    let app = TestApp::start().await;
    let kept = app.cluster("kept").await;
    let path = format!("clusters/{kept}");
    app.node_pool(&kept, "workers").await;
    app.patch(&path, &json!({"spec": {"a": 1}, "labels": {"l": "m"}}))
        .await
        .expect(200);
    for seconds in [40, 20] {
        for adapter in ["validation", "dns", "other"] {
            let report = Report::new(adapter, 2, "True").at(app.seconds_ago(seconds));
            app.report(&path, &report).await.expect(201);
        }
    }
    let finalizing = app.cluster("finalizing").await;
    app.node_pool(&finalizing, "workers").await;
    app.delete(&format!("clusters/{finalizing}"))
        .await
        .expect(202);
    let removed = format!("clusters/{}", app.cluster("removed").await);
    app.delete(&removed).await.expect(202);
    app.post(&format!("{removed}/force-delete"), &json!({"reason": "x"}))
        .await
        .expect(204);
    (app, path)
}

async fn rows(app: &TestApp, sql: &str) -> Vec<Value> {
    let sql = format!("SELECT to_jsonb(rows) FROM ({sql}) AS rows");
    sqlx::query_scalar(&sql)
        .fetch_all(app.pool())
        .await
        .expect("the database answers")
}

async fn read_models(app: &TestApp) -> Vec<Value> {
    let mut all = Vec::new();
    for sql in [
        "SELECT * FROM resources ORDER BY id",
        "SELECT * FROM adapter_statuses ORDER BY resource_id, adapter",
        "SELECT * FROM resource_conditions ORDER BY resource_id, type",
        "SELECT resource_id, kind, labels FROM reconcile_queue ORDER BY resource_id",
    ] {
        all.extend(rows(app, sql).await);
    }
    all
}

#[tokio::test]
async fn the_read_models_equal_the_log_and_a_rebuild_changes_nothing() {
    let (app, _) = app_with_past().await;
    let report = verify(app.pool()).await.expect("verified");
    assert!(report.is_equal(), "{report:#?}");
    assert_eq!(report.resources, 5);
    let before = read_models(&app).await;
    let rebuilt = rebuild(app.pool()).await.expect("rebuilt");
    assert_eq!((rebuilt.resources, rebuilt.strangers), (5, 0));
    assert_eq!(rebuilt.events, report.events);
    assert_eq!(read_models(&app).await, before, "liveness included");
}

#[tokio::test]
async fn a_migration_fills_in_what_searches_look_up() {
    let (app, _) = app_with_past().await;
    let before = read_models(&app).await;
    for sql in [
        "UPDATE resources SET search_keys = '{}'; DELETE FROM resource_conditions",
        include_str!("../../../migrations/20261125100100_fill_search_keys.sql"),
    ] {
        sqlx::raw_sql(sql).execute(app.pool()).await.expect("done");
    }
    assert_eq!(read_models(&app).await, before);
}

#[tokio::test]
async fn lost_and_foreign_rows_are_found_and_repaired() {
    for damage in [
        "DELETE FROM resources WHERE name = 'kept'",
        "DELETE FROM adapter_statuses",
        "DELETE FROM reconcile_queue",
        "DELETE FROM resource_conditions",
        "UPDATE resource_conditions SET last_updated_time = now()",
        "UPDATE resources SET search_keys = '{label:l=x}' WHERE name = 'kept'",
        "INSERT INTO resource_conditions SELECT id, 'Extra', 1, now(), now() FROM resources",
        "INSERT INTO resource_conditions SELECT 'nobody', 'Reconciled', 1, now(), now()",
        "UPDATE resources SET generation = 7 WHERE name = 'kept'",
        "UPDATE resources SET version = 99 WHERE name = 'kept'",
        "UPDATE resources SET state = jsonb_set(state, '{spec}', '{\"evil\": 1}')",
        "UPDATE resources SET state = '{}'",
        "UPDATE resources SET removed_time = NULL WHERE name = 'removed'",
        "DELETE FROM resource_counts",
        "INSERT INTO resource_counts VALUES ('Cluster', 99, 1)",
        "INSERT INTO adapter_statuses SELECT 'nobody', 'a', 1, now(), now(), '{}'",
        "INSERT INTO reconcile_queue (resource_id, kind, labels, due_time)
             SELECT id, kind, labels, now() FROM resources WHERE name = 'removed'",
    ] {
        let (app, path) = app_with_past().await;
        sqlx::query(damage)
            .execute(app.pool())
            .await
            .expect("damaged");
        let report = verify(app.pool()).await.expect("verified");
        assert!(!report.is_equal(), "{damage} was not found");
        rebuild(app.pool()).await.expect("rebuilt");
        let report = verify(app.pool()).await.expect("verified");
        assert!(report.is_equal(), "{damage}: {report:#?}");
        app.get(&path).await.expect(200);
        assert_eq!(
            app.get("clusters").await.expect(200).body["total"],
            2,
            "{damage}"
        );
    }
}

#[tokio::test]
async fn the_fleet_summary_is_part_of_the_proof() {
    let (app, _) = app_with_past().await;
    let shutdown = CancellationToken::new();
    let projection = {
        let (store, shutdown) = (app.store.clone(), shutdown.clone());
        tokio::spawn(async move { run_catch_up(&store, shutdown).await })
    };
    let counted = async || {
        let body = app.get("summary").await.expect(200).body;
        let found = &body["kinds"]["Cluster"]["total"];
        if *found == 2 {
            Ok(())
        } else {
            Err(body.to_string())
        }
    };
    eventually(
        Duration::from_secs(10),
        "the summary has caught up",
        &counted,
    )
    .await;
    assert!(verify(app.pool()).await.expect("verified").is_equal());
    let damage = "UPDATE fleet_summary SET count = count + 1";
    sqlx::query(damage)
        .execute(app.pool())
        .await
        .expect("damaged");
    let report = verify(app.pool()).await.expect("verified");
    assert_eq!(report.difference_count, 1, "{report:#?}");
    rebuild(app.pool()).await.expect("rebuilt");
    eventually(
        Duration::from_secs(10),
        "the summary has caught up again",
        &counted,
    )
    .await;
    assert!(verify(app.pool()).await.expect("verified").is_equal());
    shutdown.cancel();
    projection.await.expect("the projection ends");
}
