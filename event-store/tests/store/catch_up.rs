//! Catch-up projections: exactly once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures::FutureExt as _;
use futures::future::BoxFuture;
use hyperfleet_event_store::catch_up::{self, ApplyError};
use hyperfleet_event_store::{EventStore, RecordedEvent};
use hyperfleet_test_support::{TestDatabase, database, eventually};
use serde_json::json;
use sqlx::PgConnection;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::fixture::{DEADLINE, all, count, one, open};

/// Writes down every position that it is given.
async fn note(connection: &mut PgConnection, events: &[RecordedEvent]) -> Result<(), ApplyError> {
    for event in events {
        sqlx::query("INSERT INTO applied (position) VALUES ($1)")
            .bind(event.position.cast_signed())
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

fn noting<'a>(
    connection: &'a mut PgConnection,
    events: &'a [RecordedEvent],
) -> BoxFuture<'a, Result<(), ApplyError>> {
    note(connection, events).boxed()
}

async fn prepared() -> TestDatabase {
    let database = database().await;
    sqlx::query("CREATE TABLE applied (place bigserial, position bigint NOT NULL)")
        .execute(&database.pool)
        .await
        .unwrap();
    database
}

async fn append(store: &EventStore, round: usize, events: usize) {
    let appends = (0..events).map(|number| one(&format!("{round}-{number}"), 0, json!(1)));
    for answer in all(store, appends).await {
        answer.unwrap();
    }
}

async fn applied(database: &TestDatabase) -> Vec<i64> {
    sqlx::query_scalar("SELECT position FROM applied ORDER BY place")
        .fetch_all(&database.pool)
        .await
        .unwrap()
}

/// Waits until as many positions are applied as are stored, and compares them.
async fn assert_applied_once(database: &TestDatabase) {
    let stored: Vec<i64> = sqlx::query_scalar("SELECT position FROM events ORDER BY position")
        .fetch_all(&database.pool)
        .await
        .unwrap();
    eventually(DEADLINE, "every event is applied", async || {
        applied(database).await.len() >= stored.len()
    })
    .await;
    assert_eq!(applied(database).await, stored);
    let mut connection = database.pool.acquire().await.unwrap();
    let checkpoint = catch_up::checkpoint(&mut connection, "test").await.unwrap();
    assert_eq!(checkpoint.cast_signed(), *stored.last().unwrap());
}

#[tokio::test]
async fn every_event_is_applied_once_through_failures() {
    let database = prepared().await;
    let store = open(&database).await;
    let shutdown = CancellationToken::new();
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    let running = catch_up::run(
        &store,
        "test",
        move |connection, events| {
            let failing = counted.fetch_add(1, Ordering::SeqCst) % 3 == 2;
            async move {
                note(connection, events).await?;
                if failing {
                    Err("every third batch fails".into())
                } else {
                    Ok(())
                }
            }
            .boxed()
        },
        shutdown.clone(),
    );
    let watching = async {
        for round in 0..8 {
            append(&store, round, 20).await;
            assert_applied_once(&database).await;
        }
        shutdown.cancel();
    };
    tokio::join!(running, watching);
    assert!(calls.load(Ordering::SeqCst) > 8, "nothing failed");
}

fn runner(store: &EventStore, shutdown: &CancellationToken) -> JoinHandle<()> {
    let (store, shutdown) = (store.clone(), shutdown.clone());
    tokio::spawn(async move { catch_up::run(&store, "test", noting, shutdown).await })
}

#[tokio::test(flavor = "multi_thread")]
async fn two_runners_of_one_name_apply_every_event_once() {
    let database = prepared().await;
    let (store, another) = (open(&database).await, open(&database).await);
    let shutdown = CancellationToken::new();
    let steady = runner(&store, &shutdown);
    for round in 0..20 {
        let killed = runner(&another, &shutdown);
        append(&store, round, 10).await;
        killed.abort();
    }
    assert_applied_once(&database).await;
    shutdown.cancel();
    steady.await.unwrap();
}

#[tokio::test]
async fn a_reset_projection_starts_over() {
    let database = prepared().await;
    let store = open(&database).await;
    append(&store, 0, 10).await;
    let shutdown = CancellationToken::new();
    let running = catch_up::run(&store, "test", noting, shutdown.clone());
    let resetting = async {
        assert_applied_once(&database).await;
        let mut transaction = database.pool.begin().await.unwrap();
        sqlx::query("DELETE FROM applied")
            .execute(&mut *transaction)
            .await
            .unwrap();
        catch_up::reset(&mut transaction, "test").await.unwrap();
        transaction.commit().await.unwrap();
        assert_applied_once(&database).await;
        shutdown.cancel();
    };
    tokio::join!(running, resetting);
}

#[tokio::test]
async fn a_projection_that_has_caught_up_writes_nothing() {
    let database = prepared().await;
    let store = open(&database).await;
    append(&store, 0, 1).await;
    let shutdown = CancellationToken::new();
    let running = catch_up::run(&store, "test", noting, shutdown.clone());
    let watching = async {
        assert_applied_once(&database).await;
        // The round that finds nothing more locks the checkpoint for the last time.
        let locker = "SELECT xmax::text::bigint AS locker FROM checkpoints";
        let mut last = count(&database, locker).await;
        eventually(DEADLINE, "the checkpoint is locked no more", async || {
            tokio::time::sleep(Duration::from_millis(150)).await;
            let before = std::mem::replace(&mut last, count(&database, locker).await);
            before == last
        })
        .await;
        shutdown.cancel();
    };
    tokio::join!(running, watching);
}

#[tokio::test]
async fn another_process_is_heard_in_time() {
    let database = database().await;
    let (writer, reader) = (open(&database).await, open(&database).await);
    let mut subscription = reader.subscribe(0);
    for version in 0..10 {
        let waiting = async {
            let events = subscription.next(10).await.unwrap();
            (events.len(), Instant::now())
        };
        let appending = async {
            let event = one("a", version, json!(1));
            writer.append(vec![event]).await.unwrap();
            Instant::now()
        };
        let ((seen, heard), written) = tokio::join!(waiting, appending);
        assert_eq!(seen, 1);
        // The polling interval, and room for a busy machine.
        let delay = heard.saturating_duration_since(written);
        assert!(delay < Duration::from_millis(500), "{delay:?}");
    }
}
