//! What the statements read, on a fleet that is too large to be read as a whole.

use std::collections::BTreeMap;

use hyperfleet_test_support::database;
use serde_json::Value;
use sqlx::types::Json;
use sqlx::{PgPool, Row as _};
use uuid::Uuid;

use super::DEPTH;
use super::claim::{CLAIM, CLAIM_IN_TURNS, NEXT_TENANTS};
use super::sentinels::BRING_BACK;
use super::settle::{COMPLETE, RELEASE};

/// Resources in the queue, a few of which are due.
const FLEET: i32 = 20_000;

/// More rows than any node of a plan may touch: those that are due, claimed or named, several times over.
const FEW: f64 = 500.0;

async fn fleet() -> hyperfleet_test_support::TestDatabase {
    let database = database().await;
    sqlx::query(
        "INSERT INTO reconcile_queue (resource_id, kind, labels, due_time, priority)
         SELECT 'c' || number, 'Cluster', '{}',
                now() + CASE WHEN number <= 40 THEN interval '-1 minute' ELSE interval '1 hour' END,
                (number % 4)::smallint
         FROM generate_series(1, $1) AS number",
    )
    .bind(FLEET)
    .execute(&database.pool)
    .await
    .unwrap();
    sqlx::query("ANALYZE reconcile_queue")
        .execute(&database.pool)
        .await
        .unwrap();
    database
}

/// The nodes of the plan that a statement was executed by.
fn nodes(plan: &Value) -> Vec<&Value> {
    let children = plan["Plans"].as_array().into_iter().flatten();
    std::iter::once(plan)
        .chain(children.flat_map(nodes))
        .collect()
}

fn number(node: &Value, field: &str) -> f64 {
    node[field].as_f64().unwrap_or_default()
}

/// Executes a statement and checks that no part of it read more than a [`FEW`] rows of the queue.
async fn reads_few_rows<'q>(
    pool: &PgPool,
    name: &str,
    sql: &'q str,
    bind: impl FnOnce(
        sqlx::query::Query<'q, sqlx::Postgres, sqlx::postgres::PgArguments>,
    ) -> sqlx::query::Query<'q, sqlx::Postgres, sqlx::postgres::PgArguments>,
) {
    let row = bind(sqlx::query(sql)).fetch_one(pool).await.unwrap();
    let Json(explained): Json<Value> = row.try_get(0).unwrap();
    let plan = &explained[0]["Plan"];
    for node in nodes(plan) {
        let read = number(node, "Actual Rows") + number(node, "Rows Removed by Filter");
        let read = read * number(node, "Actual Loops");
        assert!(
            read < FEW && node["Node Type"] != "Seq Scan",
            "{name} read {read} rows in {node:#}\nof {plan:#}"
        );
    }
}

fn explained(sql: &str) -> String {
    format!("EXPLAIN (ANALYZE, FORMAT JSON) {sql}")
}

#[tokio::test]
async fn no_statement_reads_the_fleet() {
    let database = fleet().await;
    let pool = &database.pool;
    let labels = BTreeMap::<String, String>::new();
    let sql = explained(CLAIM);
    reads_few_rows(pool, "claiming", &sql, |query| {
        query
            .bind("Cluster")
            .bind(Json(&labels))
            .bind(10_i64)
            .bind(60.0)
            .bind(0)
            .bind(1)
    })
    .await;
    // A claim takes the most urgent rows, and no lock on others
    let claimed: Vec<i16> =
        sqlx::query_scalar("SELECT priority FROM reconcile_queue WHERE claimed_until > now()")
            .fetch_all(pool)
            .await
            .unwrap();
    assert_eq!(claimed, [0; 10]);
    let sql = explained(CLAIM_IN_TURNS);
    reads_few_rows(pool, "claiming in turns", &sql, |query| {
        query
            .bind("Cluster")
            .bind(Json(&labels))
            .bind(10_i64)
            .bind(60.0)
            .bind(0)
            .bind(1)
            .bind(1_i16)
            .bind(vec!["", "another"])
    })
    .await;
    let sql = explained(NEXT_TENANTS);
    reads_few_rows(pool, "looking for tenants", &sql, |query| {
        query.bind("Cluster").bind(1_i16).bind("").bind(32)
    })
    .await;
    let sql = explained(DEPTH);
    reads_few_rows(pool, "measuring", &sql, |query| {
        query.bind("Cluster").bind(10_000_i64)
    })
    .await;
    let ids: Vec<String> = (1..=20).map(|number| format!("c{number}")).collect();
    let tokens = vec![Uuid::nil(); ids.len()];
    let sql = explained(RELEASE);
    reads_few_rows(pool, "releasing", &sql, |query| {
        query.bind(&ids).bind(&tokens).bind(1.0)
    })
    .await;
    let sql = explained(COMPLETE);
    reads_few_rows(pool, "completing", &sql, |query| {
        query
            .bind(&ids)
            .bind(&tokens)
            .bind(vec![1; ids.len()])
            .bind(vec![1; ids.len()])
            .bind(vec![10.0; ids.len()])
            .bind(vec![3_i16; ids.len()])
            .bind(vec![chrono::DateTime::UNIX_EPOCH; ids.len()])
    })
    .await;
}

/// A sentinel reports every few seconds, so its statement is planned once, for any parameters.
#[tokio::test]
async fn a_sentinel_that_reports_does_not_read_the_fleet() {
    let database = fleet().await;
    let mut connection = database.pool.acquire().await.unwrap();
    sqlx::raw_sql("SET plan_cache_mode = force_generic_plan")
        .execute(&mut *connection)
        .await
        .unwrap();
    let row = sqlx::query(&explained(BRING_BACK))
        .bind("Cluster")
        .bind(Json(&BTreeMap::<String, String>::new()))
        .bind(0)
        .bind(1_i16)
        .bind(1)
        .fetch_one(&mut *connection)
        .await
        .unwrap();
    let Json(explained): Json<Value> = row.try_get(0).unwrap();
    let plan = &explained[0]["Plan"];
    for node in nodes(plan) {
        assert_ne!(node["Node Type"], "Seq Scan", "{plan:#}");
        assert!(number(node, "Rows Removed by Filter") < FEW, "{plan:#}");
    }
}
