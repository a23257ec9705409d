//! A fleet at rest: adapters report what is known already, and the log stays as it is.

use std::time::Instant;

use chrono::{DateTime, TimeDelta, Utc};
use futures::{StreamExt as _, stream};
use hyperfleet_domain::Registry;
use hyperfleet_runtime::Clock as _;
use hyperfleet_tests::app::{Report, TestApp};
use sqlx::Row as _;

/// Clusters, unless `HYPERFLEET_TEST_STEADY_CLUSTERS` says how many.
const CLUSTERS: usize = 60;

/// Between two reports of an adapter about a cluster.
const INTERVAL: TimeDelta = TimeDelta::minutes(10);

/// Requests at a time.
const PARALLEL: usize = 16;

#[expect(
    clippy::disallowed_methods,
    reason = "how thorough a test is is said from outside"
)]
fn clusters() -> usize {
    let asked = std::env::var("HYPERFLEET_TEST_STEADY_CLUSTERS").ok();
    asked
        .and_then(|number| number.parse().ok())
        .unwrap_or(CLUSTERS)
}

fn adapters() -> Vec<String> {
    let registry = Registry::builtin();
    let cluster = registry.iter().find(|kind| kind.kind == "Cluster");
    cluster.expect("a built-in kind").required_adapters.clone()
}

/// Every adapter reports success about every cluster, observed at a time.
async fn report_all(app: &TestApp, clusters: &[String], adapters: &[String], time: DateTime<Utc>) {
    let pairs = clusters
        .iter()
        .flat_map(|id| adapters.iter().map(move |adapter| (id, adapter)));
    stream::iter(pairs)
        .for_each_concurrent(PARALLEL, |(id, adapter)| async move {
            let report = Report::new(adapter, 1, "True").at(time);
            let answer = app.report(&format!("clusters/{id}"), &report).await;
            assert!(answer.status < 300, "{}", answer.text);
        })
        .await;
}

/// What grows: events, the log's bytes and those of the adapters' reports.
async fn sizes(app: &TestApp) -> (i64, i64, i64) {
    let row = sqlx::query(
        "SELECT (SELECT count(*) FROM events) AS events,
             (SELECT sum(pg_total_relation_size(inhrelid))::bigint FROM pg_inherits
              WHERE inhparent = 'live_events'::regclass) AS log,
             pg_total_relation_size('adapter_statuses') AS statuses",
    )
    .fetch_one(app.pool())
    .await
    .expect("the sizes");
    (row.get("events"), row.get("log"), row.get("statuses"))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_hour_of_reports_without_news_adds_no_event() {
    // Given a fleet that every adapter has reported about
    let app = TestApp::start().await;
    let adapters = adapters();
    let ids: Vec<String> = stream::iter(0..clusters())
        .map(|number| {
            let app = &app;
            async move { app.cluster(&format!("c{number:06}")).await }
        })
        .buffer_unordered(PARALLEL)
        .collect()
        .await;
    let end = app.clock.now() + TimeDelta::hours(1);
    report_all(&app, &ids, &adapters, app.clock.now()).await;
    let before = sizes(&app).await;
    // When an hour passes in which nothing changes
    let begun = Instant::now();
    let mut rounds = 0;
    while app.clock.now() < end {
        app.clock.advance(INTERVAL);
        report_all(&app, &ids, &adapters, app.clock.now()).await;
        rounds += 1;
    }
    let reports = rounds * ids.len() * adapters.len();
    let milliseconds = begun.elapsed().as_millis();
    // Then all of it is known, and none of it is an event.
    let after = sizes(&app).await;
    println!(
        "{} clusters, {reports} reports in {milliseconds} ms; before and after: events {} {}, bytes of the log {} {}, \
         bytes of the reports {} {}",
        ids.len(),
        before.0,
        after.0,
        before.1,
        after.1,
        before.2,
        after.2
    );
    assert_eq!((after.0, after.1), (before.0, before.1));
    let late: i64 =
        sqlx::query_scalar("SELECT count(*) FROM adapter_statuses WHERE last_report_time < $1")
            .bind(end)
            .fetch_one(app.pool())
            .await
            .expect("a count");
    assert_eq!(late, 0, "reports that did not arrive");
    let read = app.get(&format!("clusters/{}", ids[0])).await.expect(200);
    assert_eq!(
        read.condition("Reconciled")["status"],
        "True",
        "{}",
        read.text
    );
}
