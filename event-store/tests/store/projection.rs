//! The inline projection: snapshots, and what its failures do.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use hyperfleet_event_store::{
    Append, AppendError, EventStore, EventStoreOptions, InlineProjection, Snapshot, StreamChange,
    StreamId,
};
use hyperfleet_test_support::{TestDatabase, database};
use serde_json::{Value, json};
use sqlx::{PgConnection, Row as _};

use crate::fixture::{all, count, one, payloads, stream};

/// Keeps each stream's last snapshot, and fails as told by the snapshot.
#[derive(Default)]
struct States {
    /// Pretends that the last append was not applied.
    asleep: AtomicBool,
}

#[async_trait]
impl InlineProjection for States {
    async fn apply(
        &self,
        connection: &mut PgConnection,
        changes: &[StreamChange],
    ) -> Result<(), sqlx::Error> {
        for change in changes {
            match change.snapshot.as_ref().and_then(Value::as_str) {
                Some("refuse") => return Err(sqlx::Error::Encode("refused".into())),
                Some("swallow") => {
                    let failed = sqlx::query("SELECT 1 / 0").execute(&mut *connection).await;
                    assert!(failed.is_err());
                    continue;
                }
                Some("panic") => panic!("the projection panics, as this test wants it to"),
                Some("kill") => {
                    sqlx::query("SELECT pg_terminate_backend(pg_backend_pid())")
                        .execute(&mut *connection)
                        .await?;
                }
                Some("unique") => {
                    sqlx::query("INSERT INTO states VALUES ('unique', 0, '1'), ('unique', 0, '1')")
                        .execute(&mut *connection)
                        .await?;
                }
                _ => {}
            }
            if self.asleep.load(Ordering::SeqCst) {
                continue;
            }
            sqlx::query(
                "INSERT INTO states VALUES ($1, $2, $3)
                 ON CONFLICT (id) DO UPDATE SET version = excluded.version, state = excluded.state",
            )
            .bind(&change.stream.aggregate_id)
            .bind(change.version.cast_signed())
            .bind(&change.snapshot)
            .execute(&mut *connection)
            .await?;
        }
        Ok(())
    }

    async fn snapshots(
        &self,
        connection: &mut PgConnection,
        streams: &[StreamId],
    ) -> Result<Vec<Snapshot>, sqlx::Error> {
        let mut found = Vec::new();
        for stream in streams {
            let row = sqlx::query("SELECT version, state FROM states WHERE id = $1")
                .bind(&stream.aggregate_id)
                .fetch_optional(&mut *connection)
                .await?;
            if let Some(row) = row {
                found.push(Snapshot {
                    stream: stream.clone(),
                    version: row.get::<i64, _>(0).unsigned_abs(),
                    state: row.get(1),
                });
            }
        }
        Ok(found)
    }
}

async fn open(database: &TestDatabase) -> (EventStore, Arc<States>) {
    sqlx::query(
        "CREATE TABLE states (id text PRIMARY KEY, version bigint NOT NULL, state jsonb NOT NULL)",
    )
    .execute(&database.pool)
    .await
    .unwrap();
    let states = Arc::new(States::default());
    let options = EventStoreOptions::new(&database.url).projection(Arc::clone(&states) as _);
    (EventStore::open(options).await.unwrap(), states)
}

fn with_state(id: &str, expected: u64, state: &str) -> Append {
    Append {
        snapshot: Some(json!(state)),
        ..one(id, expected, json!(expected + 1))
    }
}

#[tokio::test]
async fn a_load_gives_the_snapshot_of_the_last_append() {
    let database = database().await;
    let (store, _) = open(&database).await;
    store.append(vec![with_state("a", 0, "one")]).await.unwrap();
    store.append(vec![with_state("a", 1, "two")]).await.unwrap();

    let loaded = store.load(&stream("a")).await.unwrap();
    assert_eq!((loaded.version, loaded.snapshot), (2, Some(json!("two"))));
    assert_eq!(loaded.events, []);
}

#[tokio::test]
async fn an_error_that_a_projection_keeps_to_itself_is_not_acknowledged() {
    let database = database().await;
    let (store, _) = open(&database).await;
    store.append(vec![with_state("a", 0, "one")]).await.unwrap();
    let liveness = Append {
        snapshot: Some(json!("swallow")),
        ..Append::events(stream("a"), 1, Vec::new())
    };
    assert!(store.append(vec![liveness]).await.is_err());
    assert!(
        store
            .append(vec![with_state("a", 1, "swallow")])
            .await
            .is_err()
    );
    let loaded = store.load(&stream("a")).await.unwrap();
    assert_eq!((loaded.version, loaded.snapshot), (1, Some(json!("one"))));
}

#[tokio::test]
async fn liveness_replaces_the_snapshot_under_the_same_version() {
    let database = database().await;
    let (store, _) = open(&database).await;
    store.append(vec![with_state("a", 0, "one")]).await.unwrap();
    let mut alive = with_state("a", 1, "alive");
    alive.events.clear();
    let committed = store.append(vec![alive]).await.unwrap();
    assert_eq!((committed.position, committed.versions), (0, vec![1]));

    let loaded = store.load(&stream("a")).await.unwrap();
    assert_eq!((loaded.version, loaded.snapshot), (1, Some(json!("alive"))));
    assert_eq!(count(&database, "SELECT count(*) FROM events").await, 1);
}

#[tokio::test]
async fn a_snapshot_that_lags_is_completed_by_events() {
    let database = database().await;
    let (store, states) = open(&database).await;
    store.append(vec![with_state("a", 0, "one")]).await.unwrap();
    states.asleep.store(true, Ordering::SeqCst);
    store.append(vec![with_state("a", 1, "two")]).await.unwrap();

    let loaded = store.load(&stream("a")).await.unwrap();
    assert_eq!((loaded.version, loaded.snapshot), (2, Some(json!("one"))));
    let sequences: Vec<u64> = loaded.events.iter().map(|event| event.sequence).collect();
    assert_eq!(sequences, [2]);
}

/// What the projection does not take fails alone, however it fails.
async fn fails_alone(state: &str) {
    let database = database().await;
    let (store, _) = open(&database).await;
    let answers = all(
        &store,
        (0..60).map(|number| {
            let state = if number == 37 { state } else { "fine" };
            with_state(&format!("s{number}"), 0, state)
        }),
    )
    .await;
    for (number, answer) in answers.into_iter().enumerate() {
        if number == 37 {
            assert!(
                matches!(answer, Err(AppendError::Invalid { .. })),
                "{answer:?}"
            );
        } else {
            answer.unwrap();
        }
    }
    assert_eq!(payloads(&store, "s37").await, Vec::<Value>::new());
    assert_eq!(count(&database, "SELECT count(*) FROM events").await, 59);
    assert_eq!(count(&database, "SELECT count(*) FROM states").await, 59);
}

#[tokio::test]
async fn a_refused_transaction_does_not_refuse_its_neighbours() {
    fails_alone("refuse").await;
}

#[tokio::test]
async fn a_violated_key_of_the_read_model_does_not_refuse_its_neighbours() {
    fails_alone("unique").await;
}

#[tokio::test]
async fn a_crash_before_the_commit_leaves_nothing() {
    let database = database().await;
    let (store, _) = open(&database).await;
    let killed = store.append(vec![with_state("a", 0, "kill")]).await;
    assert!(
        matches!(killed, Err(AppendError::Unavailable { .. })),
        "{killed:?}"
    );
    assert_eq!(count(&database, "SELECT count(*) FROM events").await, 0);
    assert_eq!(count(&database, "SELECT count(*) FROM states").await, 0);
    store
        .append(vec![with_state("a", 0, "fine")])
        .await
        .unwrap();
}

#[tokio::test]
async fn a_crash_after_the_commit_loses_nothing() {
    let database = database().await;
    let (store, states) = open(&database).await;
    store.append(vec![with_state("a", 0, "one")]).await.unwrap();
    let kill = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
         WHERE datname = current_database() AND pid <> pg_backend_pid()";
    assert!(count(&database, kill).await > 0);

    let options = EventStoreOptions::new(&database.url).projection(states);
    let reopened = EventStore::open(options).await.unwrap();
    let loaded = reopened.load(&stream("a")).await.unwrap();
    assert_eq!((loaded.version, loaded.snapshot), (1, Some(json!("one"))));
    assert_eq!(payloads(&reopened, "a").await, [json!(1)]);
}

#[tokio::test]
async fn a_panic_does_not_end_the_writer() {
    let database = database().await;
    let (store, _) = open(&database).await;
    let panicked = store.append(vec![with_state("a", 0, "panic")]).await;
    assert!(
        matches!(panicked, Err(AppendError::OutcomeUnknown { .. })),
        "{panicked:?}"
    );
    store
        .append(vec![with_state("a", 0, "fine")])
        .await
        .unwrap();
    assert_eq!(count(&database, "SELECT count(*) FROM events").await, 1);
}
