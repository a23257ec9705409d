//! `hyperfleet replay rebuild` killed in the middle and started again, while the API goes on.

use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hyperfleet_projections::replay;
use hyperfleet_test_support::{TestDatabase, database, eventually};
use serde_json::{Value, json};

use crate::dev::{Dev, hyperfleet};

const DEADLINE: Duration = Duration::from_mins(2);

/// Copies of the first resource. With its events this is long enough to be killed in the middle.
const COPIES: i32 = 1500;

/// Copies the stream of the only resource under other ids and names. The chains of the copies are broken,
/// which a rebuild does not look at.
const COPY: &str = "
WITH copied AS (
    SELECT number, aggregate_type, replace(aggregate_id, '-', 'c') || number AS id, sequence, event_type,
        event_version, replace(replace(payload::text, aggregate_id,
            replace(aggregate_id, '-', 'c') || number), '\"original\"', '\"copy-' || number || '\"')::jsonb
            AS payload, metadata, recorded_at, hash
    FROM events CROSS JOIN generate_series(1, $1) AS number
    WHERE aggregate_type = 'resource'
), heads AS (
    INSERT INTO streams SELECT aggregate_type, id, max(sequence), '' FROM copied GROUP BY 1, 2
)
INSERT INTO live_events (aggregate_type, aggregate_id, sequence, event_type, event_version, payload,
    metadata, recorded_at, hash, position)
SELECT placed.*, nextval('event_position') FROM (
    SELECT aggregate_type, id, sequence, event_type, event_version, payload, metadata, recorded_at, hash
    FROM copied ORDER BY sequence, number
) AS placed";

fn client() -> reqwest::Client {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    reqwest::Client::new()
}

async fn seed(dev: &Dev, database: &TestDatabase) -> i64 {
    let clusters = format!("{}/api/hyperfleet/v1/clusters", dev.url);
    let client = client();
    let document = json!({"kind": "Cluster", "name": "original", "spec": {}});
    let created = client.post(&clusters).json(&document).send().await.unwrap();
    let created: Value = created.json().await.unwrap();
    let url = format!("{clusters}/{}", created["id"].as_str().unwrap());
    for number in 0..5 {
        let change = json!({"spec": {"number": number, "text": "x".repeat(200)}});
        let patched = client.patch(&url).json(&change).send().await.unwrap();
        assert!(patched.status().is_success(), "{patched:?}");
    }
    sqlx::query(COPY)
        .bind(COPIES)
        .execute(&database.pool)
        .await
        .unwrap();
    sqlx::query_scalar("SELECT count(*) FROM events")
        .fetch_one(&database.pool)
        .await
        .unwrap()
}

fn rebuild(database: &TestDatabase, arguments: &[&str]) -> tokio::process::Command {
    let mut command = hyperfleet();
    command
        .args(["replay", "rebuild", "--database-url", &database.url])
        .args(arguments);
    command
}

async fn run(database: &TestDatabase, arguments: &[&str]) -> Value {
    let output = rebuild(database, arguments)
        .args(["-o", "json"])
        .output()
        .await
        .unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{complaint}");
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    document["read_models"][0].clone()
}

/// How many events the rebuild in the making has folded; none when there is no such rebuild.
async fn folded(database: &TestDatabase) -> Option<i64> {
    sqlx::query_scalar("SELECT events FROM rebuild_resource_view.progress")
        .fetch_one(&database.pool)
        .await
        .ok()
}

/// Writes and reads until told to stop; every answer must be a success.
async fn use_api(dev: &Dev, done: &AtomicBool) -> u32 {
    let clusters = format!("{}/api/hyperfleet/v1/clusters", dev.url);
    let client = client();
    let mut number = 0;
    while !done.load(Ordering::SeqCst) {
        number += 1;
        let document = json!({"kind": "Cluster", "name": format!("live-{number}"), "spec": {}});
        let created = client.post(&clusters).json(&document).send().await.unwrap();
        assert_eq!(created.status(), 201, "{:?}", created.text().await);
        let created: Value = created.json().await.unwrap();
        let url = format!("{clusters}/{}", created["id"].as_str().unwrap());
        let change = json!({"labels": {"number": number.to_string()}});
        let patched = client.patch(&url).json(&change).send().await.unwrap();
        assert_eq!(patched.status(), 200, "{:?}", patched.text().await);
        let read = client.get(&url).send().await.unwrap();
        let read: Value = read.json().await.unwrap();
        assert_eq!(read["labels"]["number"], number.to_string());
        let list = client.get(&clusters).send().await.unwrap();
        assert_eq!(list.status(), 200, "{:?}", list.text().await);
    }
    number
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_rebuild_goes_on_and_equals_the_log_while_writers_write() {
    let database = database().await;
    let dev = Dev::start_api_on(&database.url).await;
    let total = seed(&dev, &database).await;
    // The copies are not in the read models yet.
    let first = run(&database, &["resource_view"]).await;
    assert_eq!(first["is_live"], true);
    let done = AtomicBool::new(false);
    let rebuilding = async {
        for percent in [10, 50, 90] {
            let mut process = rebuild(&database, &["resource_view"])
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            let reached = eventually(DEADLINE, "it is in the middle", async || {
                folded(&database)
                    .await
                    .filter(|events| *events >= total * percent / 100)
            })
            .await;
            process.kill().await.unwrap();
            println!("killed at {reached} of {total} events, {percent} % asked");
            assert!(folded(&database).await.is_some(), "it had ended already");
        }
        let last = run(&database, &["resource_view"]).await;
        assert_eq!(last["changed_rows"], 0, "{last}");
        assert_eq!(last["is_live"], true);
        assert!(last["events"].as_i64().unwrap() >= total, "{last}");
        let back = run(&database, &["resource_view", "--roll-back"]).await;
        assert_eq!(back["changed_rows"], 0, "{back}");
        done.store(true, Ordering::SeqCst);
    };
    let (written, ()) = tokio::join!(use_api(&dev, &done), rebuilding);
    assert!(written > 0);
    let report = replay::verify(&database.pool).await.unwrap();
    assert!(report.is_equal(), "{report:#?}");
    let live: i64 = sqlx::query_scalar("SELECT sum(live)::bigint FROM resource_counts")
        .fetch_one(&database.pool)
        .await
        .unwrap();
    assert_eq!(live, i64::from(COPIES) + 1 + i64::from(written));
    let dropped = run(&database, &["resource_view", "--drop-previous"]).await;
    assert_eq!(dropped["dropped_previous"], true);
    dev.stop().await;
}

#[tokio::test]
async fn an_unknown_read_model_is_answered_with_the_known_ones() {
    let database = database().await;
    let output = rebuild(&database, &["nothing"]).output().await.unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{complaint}");
    assert!(
        complaint.contains("resource_view, fleet_summary"),
        "{complaint}"
    );
}
