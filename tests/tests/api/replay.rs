//! Rebuilding the read models gives what they were; verifying finds what was tampered with.

use std::time::Duration;

use hyperfleet_projections::replay::{
    self, ReadModel, RebuildError, RebuildOptions, Rebuilt, verify,
};
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

async fn rebuild(app: &TestApp, model: ReadModel) -> Rebuilt {
    let options = RebuildOptions::default();
    let rebuilt = replay::rebuild(app.pool(), model, &options).await;
    let rebuilt = rebuilt.expect("rebuilt");
    assert!(rebuilt.is_live);
    rebuilt
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

/// Everything that the live tables have: columns, keys, indexes, triggers, settings.
async fn structure(app: &TestApp) -> Vec<Value> {
    let mut all = Vec::new();
    for sql in [
        "SELECT table_name, column_name, ordinal_position, data_type, collation_name, is_nullable,
             column_default, generation_expression
         FROM information_schema.columns WHERE table_schema = 'public' ORDER BY 1, 3",
        "SELECT tablename, indexname, indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1, 2",
        "SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint
         WHERE connamespace = 'public'::regnamespace ORDER BY 1, 2",
        "SELECT tgname, pg_get_triggerdef(pg_trigger.oid) FROM pg_trigger
         JOIN pg_class ON pg_class.oid = tgrelid
         WHERE relnamespace = 'public'::regnamespace ORDER BY 1",
        "SELECT relname, reloptions FROM pg_class
         WHERE relnamespace = 'public'::regnamespace AND reloptions IS NOT NULL ORDER BY 1",
        "SELECT table_name, grantee, privilege_type FROM information_schema.role_table_grants
         WHERE table_schema = 'public' ORDER BY 1, 2, 3",
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
    let structure = structure(&app).await;
    let rebuilt = rebuild(&app, ReadModel::ResourceView).await;
    assert_eq!((rebuilt.resources, rebuilt.events), (5, report.events));
    assert!(rebuilt.differences.is_equal(), "{rebuilt:#?}");
    assert_eq!(read_models(&app).await, before, "liveness included");
    assert_eq!(self::structure(&app).await, structure);
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
        rebuild(&app, ReadModel::ResourceView).await;
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
async fn lifetimes_are_part_of_the_proof() {
    let (app, _) = app_with_past().await;
    for damage in [
        "DELETE FROM resource_lifetimes WHERE name = 'kept'",
        "UPDATE resource_lifetimes SET removed_position = NULL WHERE name = 'removed'",
        "UPDATE resource_lifetimes SET tenancy = '{\"org\": \"thieves\"}' WHERE name = 'finalizing'",
    ] {
        let before = verify(app.pool()).await.expect("verified").difference_count;
        let damaged = sqlx::query(damage).execute(app.pool()).await;
        assert_eq!(damaged.expect("damaged").rows_affected(), 1, "{damage}");
        let report = verify(app.pool()).await.expect("verified");
        assert_eq!(report.difference_count, before + 1, "{damage}: {report:#?}");
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
    let rebuilt = rebuild(&app, ReadModel::FleetSummary).await;
    assert!(!rebuilt.differences.is_equal());
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

#[tokio::test]
async fn a_rebuild_follows_writers_and_can_be_rolled_back() {
    let (app, path) = app_with_past().await;
    let writer = app.beside().await;
    let structure_before = structure(&app).await;
    let done = CancellationToken::new();
    let writing = async {
        let mut number = 0;
        while !done.is_cancelled() {
            number += 1;
            writer.cluster(&format!("while-{number}")).await;
            let change = json!({"spec": {"number": number}});
            writer.patch(&path, &change).await.expect(200);
            // Liveness: the same report again, later.
            let report = Report::new("dns", 2, "True").at(writer.seconds_ago(0));
            writer.report(&path, &report).await;
        }
        number
    };
    let rebuilding = async {
        for _ in 0..3 {
            rebuild(&app, ReadModel::ResourceView).await;
            rebuild(&app, ReadModel::FleetSummary).await;
            for model in ReadModel::ALL {
                let options = RebuildOptions::default();
                let back = replay::roll_back(app.pool(), model, &options).await;
                assert!(back.expect("rolled back").is_live);
            }
        }
        done.cancel();
    };
    let (written, ()) = tokio::join!(writing, rebuilding);
    let report = verify(app.pool()).await.expect("verified");
    assert!(report.is_equal(), "{report:#?}");
    let total = &app.get("clusters").await.expect(200).body["total"];
    assert_eq!(*total, written + 2);
    assert_eq!(structure(&app).await, structure_before);
    for model in ReadModel::ALL {
        assert!(
            replay::drop_previous(app.pool(), model)
                .await
                .expect("dropped")
        );
        assert!(
            !replay::drop_previous(app.pool(), model)
                .await
                .expect("dropped")
        );
        let options = RebuildOptions::default();
        let none = replay::roll_back(app.pool(), model, &options).await;
        assert!(matches!(none, Err(RebuildError::NoPrevious(_))), "{none:?}");
    }
}

#[tokio::test]
async fn a_rebuild_that_only_looks_changes_nothing() {
    let (app, _) = app_with_past().await;
    let damage = "UPDATE resources SET generation = 7 WHERE name = 'kept'";
    sqlx::query(damage).execute(app.pool()).await.expect("done");
    let before = read_models(&app).await;
    let options = RebuildOptions {
        is_dry_run: true,
        ..RebuildOptions::default()
    };
    let rebuilt = replay::rebuild(app.pool(), ReadModel::ResourceView, &options).await;
    let rebuilt = rebuilt.expect("built");
    assert!(!rebuilt.is_live);
    assert_eq!(rebuilt.differences.difference_count, 1, "{rebuilt:#?}");
    assert_eq!(read_models(&app).await, before);
    assert!(
        !replay::abandon(app.pool(), ReadModel::ResourceView)
            .await
            .expect("asked")
    );
}

#[tokio::test]
async fn views_of_the_tables_are_named_and_other_migrations_refused() {
    let (app, _) = app_with_past().await;
    let (pool, options) = (app.pool(), RebuildOptions::default());
    sqlx::raw_sql("CREATE VIEW names AS SELECT name FROM resources")
        .execute(pool)
        .await
        .expect("made");
    let refused = replay::rebuild(pool, ReadModel::ResourceView, &options).await;
    let Err(RebuildError::Views(views)) = refused else {
        panic!("{refused:?}");
    };
    assert_eq!(views, "names");
    sqlx::raw_sql("DROP VIEW names")
        .execute(pool)
        .await
        .expect("dropped");
    rebuild(&app, ReadModel::ResourceView).await;
    let newer = "INSERT INTO _sqlx_migrations
         SELECT version + 1, description, installed_on, success, checksum, execution_time
         FROM _sqlx_migrations ORDER BY version DESC LIMIT 1";
    sqlx::query(newer).execute(pool).await.expect("done");
    let refused = replay::roll_back(pool, ReadModel::ResourceView, &options).await;
    assert!(
        matches!(refused, Err(RebuildError::Migrated(_))),
        "{refused:?}"
    );
}
