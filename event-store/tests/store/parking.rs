//! Projections that cannot apply an event, or that nobody runs: parking, order, pausing, taking over.

use std::time::Instant;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use hyperfleet_event_store::catch_up::{
    self, ApplyError, ParkedError, ProjectionGauges, ProjectionStatus, Retried,
};
use hyperfleet_event_store::{EventStore, EventStoreOptions, RecordedEvent};
use hyperfleet_test_support::relay::{Cut, Relay};
use hyperfleet_test_support::{TestDatabase, database, eventually};
use serde_json::{Value, json};
use sqlx::PgConnection;
use tokio_util::sync::CancellationToken;

use crate::fixture::{DEADLINE, count, one, open};

const POISON: &str = "poison";

/// Writes down what it applies; cannot apply poison unless it is cured.
async fn note(
    connection: &mut PgConnection,
    events: &[RecordedEvent],
    cured: bool,
) -> Result<(), ApplyError> {
    for event in events {
        sqlx::query("INSERT INTO applied (stream, sequence) VALUES ($1, $2)")
            .bind(&event.stream.aggregate_id)
            .bind(event.sequence.cast_signed())
            .execute(&mut *connection)
            .await?;
        if event.payload == json!(POISON) && !cured {
            return Err("poison".into());
        }
        if event.payload == json!("too long") && !cured {
            sqlx::query("SELECT 'x'::numeric")
                .execute(&mut *connection)
                .await?;
        }
        assert!(event.payload != json!("panic") || cured, "told to panic");
    }
    Ok(())
}

fn noting<'a>(
    connection: &'a mut PgConnection,
    events: &'a [RecordedEvent],
) -> BoxFuture<'a, Result<(), ApplyError>> {
    note(connection, events, false).boxed()
}

fn cured<'a>(
    connection: &'a mut PgConnection,
    events: &'a [RecordedEvent],
) -> BoxFuture<'a, Result<(), ApplyError>> {
    note(connection, events, true).boxed()
}

async fn prepared() -> (TestDatabase, EventStore) {
    let database = database().await;
    let table = "CREATE TABLE applied (place bigserial, stream text, sequence bigint)";
    sqlx::query(table).execute(&database.pool).await.unwrap();
    let store = open(&database).await;
    (database, store)
}

async fn append(store: &EventStore, id: &str, expected: u64, payload: Value) {
    store
        .append(vec![one(id, expected, payload)])
        .await
        .unwrap();
}

/// The sequences of a stream in the order in which they were applied.
async fn applied(database: &TestDatabase, id: &str) -> Vec<i64> {
    sqlx::query_scalar("SELECT sequence FROM applied WHERE stream = $1 ORDER BY place")
        .bind(id)
        .fetch_all(&database.pool)
        .await
        .unwrap()
}

async fn status(database: &TestDatabase) -> Option<ProjectionStatus> {
    let statuses = catch_up::statuses(&database.pool).await.unwrap();
    statuses.into_iter().find(|status| status.name == "test")
}

async fn caught_up(database: &TestDatabase) -> ProjectionStatus {
    let last = count(database, "SELECT max(position) FROM events").await;
    eventually(DEADLINE, "the projection has caught up", async || {
        status(database)
            .await
            .filter(|status| status.position.cast_signed() == last)
    })
    .await
}

async fn until_stopped<T>(store: &EventStore, watching: impl Future<Output = T>) -> T {
    let shutdown = CancellationToken::new();
    let running = catch_up::run(store, "test", noting, shutdown.clone());
    let watching = async {
        let found = watching.await;
        shutdown.cancel();
        found
    };
    tokio::join!(running, watching).1
}

#[tokio::test]
async fn poison_is_parked_and_its_stream_waits_in_order_while_others_go_on() {
    let (database, store) = prepared().await;
    for number in 0..40 {
        append(&store, &format!("s{number}"), 0, json!(1)).await;
    }
    for (id, payload) in [("s3", POISON), ("s20", "too long"), ("s39", "panic")] {
        append(&store, id, 1, json!(payload)).await;
    }
    for number in 0..40 {
        let expected = 1 + u64::from([3, 20, 39].contains(&number));
        append(&store, &format!("s{number}"), expected, json!(2)).await;
    }
    let later = until_stopped(&store, async {
        let first = caught_up(&database).await;
        assert_eq!((first.failed, first.waiting), (3, 3));
        // In a later batch too.
        append(&store, "s3", 3, json!(3)).await;
        append(&store, "s4", 2, json!(3)).await;
        caught_up(&database).await
    })
    .await;
    assert_eq!((later.failed, later.waiting, later.lag_events), (3, 4, 0));
    assert_eq!(applied(&database, "s3").await, [1]);
    assert_eq!(applied(&database, "s4").await, [1, 2, 3]);
    let parked = catch_up::parked(&database.pool, Some("test"), 0, 10)
        .await
        .unwrap();
    let failed = &parked[0];
    assert_eq!(
        (failed.stream.aggregate_id.as_str(), failed.sequence),
        ("s3", 2)
    );
    assert_eq!(failed.error.as_deref(), Some(POISON));
    assert!(failed.attempts > catch_up::ATTEMPTS);
    // A retry that fails changes nothing but the count.
    let pool = &database.pool;
    let again = catch_up::retry(pool, "test", Some(failed.position), &mut noting).await;
    assert_eq!(
        again.unwrap(),
        Retried {
            applied: 0,
            failed: 1
        }
    );
    assert_eq!(applied(&database, "s3").await, [1]);
    // Once it can be applied, everything behind it follows in order.
    let all = catch_up::retry(pool, "test", None, &mut cured)
        .await
        .unwrap();
    assert_eq!(
        all,
        Retried {
            applied: 7,
            failed: 0
        }
    );
    assert_eq!(applied(&database, "s3").await, [1, 2, 3, 4]);
    assert_eq!(applied(&database, "s39").await, [1, 2, 3]);
    assert_eq!(
        count(&database, "SELECT count(*) FROM parked_events").await,
        0
    );
    let twice = "SELECT count(*) - count(DISTINCT (stream, sequence)) FROM applied";
    assert_eq!(
        count(&database, twice).await,
        0,
        "an event was applied twice"
    );
}

#[tokio::test]
async fn a_skipped_event_lets_its_stream_go_on_and_stays_recorded() {
    let (database, store) = prepared().await;
    append(&store, "a", 0, json!(1)).await;
    append(&store, "a", 1, json!(POISON)).await;
    append(&store, "a", 2, json!(3)).await;
    until_stopped(&store, async { caught_up(&database).await }).await;
    let pool = &database.pool;
    let parked = catch_up::parked(pool, None, 0, 10).await.unwrap();
    assert_eq!(parked.len(), 2);
    let waiting = catch_up::skip(pool, "test", parked[1].position, &mut noting).await;
    assert!(
        matches!(waiting, Err(ParkedError::NotParked { .. })),
        "{waiting:?}"
    );
    let skipped = catch_up::skip(pool, "test", parked[0].position, &mut noting).await;
    assert_eq!(
        skipped.unwrap(),
        Retried {
            applied: 1,
            failed: 0
        }
    );
    assert_eq!(applied(&database, "a").await, [1, 3]);
    let status = status(&database).await.unwrap();
    assert_eq!((status.failed, status.waiting, status.skipped), (0, 0, 1));
    append(&store, "a", 3, json!(4)).await;
    until_stopped(&store, async { caught_up(&database).await }).await;
    assert_eq!(applied(&database, "a").await, [1, 3, 4]);
}

#[tokio::test]
async fn a_projection_without_its_table_parks_nothing() {
    let (database, store) = prepared().await;
    append(&store, "a", 0, json!(1)).await;
    sqlx::query("ALTER TABLE applied RENAME TO elsewhere")
        .execute(&database.pool)
        .await
        .unwrap();
    let failures = &store.metrics().clone();
    until_stopped(&store, async {
        eventually(
            DEADLINE,
            "it fails more often than it would park",
            async || {
                let metrics = failures.collectors();
                let failed = metrics
                    .iter()
                    .flat_map(|one| one.collect())
                    .find(|family| family.name() == "hyperfleet_projection_failures_total");
                failed.is_some_and(|family| {
                    family.get_metric().iter().any(|one| {
                        one.get_counter().get_value() > f64::from(catch_up::ATTEMPTS) + 1.0
                    })
                })
            },
        )
        .await;
        assert_eq!(
            status(&database).await.map_or(0, |status| status.position),
            0
        );
        sqlx::query("ALTER TABLE elsewhere RENAME TO applied")
            .execute(&database.pool)
            .await
            .unwrap();
        caught_up(&database).await;
    })
    .await;
    assert_eq!(
        count(&database, "SELECT count(*) FROM parked_events").await,
        0
    );
    assert_eq!(applied(&database, "a").await, [1]);
}

#[tokio::test]
async fn a_paused_projection_applies_nothing_until_it_is_resumed() {
    let (database, store) = prepared().await;
    append(&store, "a", 0, json!(1)).await;
    let registry = prometheus::Registry::new();
    let gauges = ProjectionGauges::register(&registry).unwrap();
    until_stopped(&store, async {
        caught_up(&database).await;
        let mut connection = database.pool.acquire().await.unwrap();
        assert!(!catch_up::pause(&mut connection, "unknown").await.unwrap());
        assert!(catch_up::pause(&mut connection, "test").await.unwrap());
        append(&store, "a", 1, json!(2)).await;
        append(&store, "a", 2, json!(3)).await;
        eventually(DEADLINE, "the lag is seen", async || {
            gauges.refresh(&database.pool).await;
            let shown = prometheus::TextEncoder::new()
                .encode_to_string(&registry.gather())
                .unwrap();
            shown.contains("hyperfleet_projection_lag_events{projection=\"test\"} 2")
                && shown.contains("hyperfleet_projection_paused{projection=\"test\"} 1")
                && !shown.contains("hyperfleet_projection_lag_seconds{projection=\"test\"} 0\n")
        })
        .await;
        assert_eq!(applied(&database, "a").await, [1]);
        assert!(catch_up::resume(&mut connection, "test").await.unwrap());
        caught_up(&database).await;
    })
    .await;
    assert_eq!(applied(&database, "a").await, [1, 2, 3]);
}

#[tokio::test]
async fn a_network_that_dies_around_a_commit_neither_parks_nor_applies_twice() {
    let (database, store) = prepared().await;
    let mut version = 0;
    for cut in [Cut::Before, Cut::After] {
        let relay = Relay::start(&database.url, cut, 5).await;
        let through = EventStore::open(EventStoreOptions::new(&relay.url))
            .await
            .unwrap();
        until_stopped(&through, async {
            while relay.cuts_left() > 0 {
                append(&store, "a", version, json!(version)).await;
                version += 1;
                caught_up(&database).await;
            }
        })
        .await;
    }
    let expected: Vec<i64> = (1..=version.cast_signed()).collect();
    assert_eq!(applied(&database, "a").await, expected);
    let parked = "SELECT count(*) FROM parked_events";
    assert_eq!(count(&database, parked).await, 0);
}

/// Applies, and never gets to the commit: as a process does that is stopped in between.
fn stopping<'a>(
    connection: &'a mut PgConnection,
    events: &'a [RecordedEvent],
) -> BoxFuture<'a, Result<(), ApplyError>> {
    async move {
        note(connection, events, false).await?;
        std::future::pending().await
    }
    .boxed()
}

#[tokio::test(flavor = "multi_thread")]
async fn another_runner_takes_over_from_a_stopped_one() {
    let (database, store) = prepared().await;
    let another = open(&database).await;
    append(&store, "a", 0, json!(1)).await;
    let shutdown = CancellationToken::new();
    let stopped = {
        let (another, shutdown) = (another.clone(), shutdown.clone());
        tokio::spawn(async move { catch_up::run(&another, "test", stopping, shutdown).await })
    };
    let holder = "SELECT count(*) FROM pg_stat_activity
         WHERE datname = current_database() AND state = 'idle in transaction'";
    eventually(DEADLINE, "it has the checkpoint", async || {
        count(&database, holder).await == 1
    })
    .await;
    let since = Instant::now();
    until_stopped(&store, async { caught_up(&database).await }).await;
    let took = since.elapsed();
    assert!(took <= catch_up::TAKE_OVER, "{took:?}");
    assert_eq!(applied(&database, "a").await, [1]);
    stopped.abort();
}
