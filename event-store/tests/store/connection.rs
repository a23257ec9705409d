//! Lost connections.

use std::collections::HashSet;

use hyperfleet_event_store::{AppendError, EventStore, EventStoreOptions};
use hyperfleet_test_support::{database, eventually};
use serde_json::json;
use sqlx::postgres::PgListener;
use tokio_util::sync::CancellationToken;

use crate::fixture::{DEADLINE, all, count, one, open, payloads, stream};

/// Ends every connection of the store that this database has.
const KILL: &str = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
     WHERE datname = current_database() AND application_name LIKE 'hyperfleet%'";

const KILL_WRITER: &str = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
     WHERE datname = current_database() AND application_name = 'hyperfleet writer'";

#[tokio::test]
async fn what_is_acknowledged_survives_killed_connections_and_what_is_refused_is_not_there() {
    let database = database().await;
    let store = open(&database).await;
    let enough = CancellationToken::new();
    let appending = async {
        let mut answers = Vec::new();
        for round in 0.. {
            let appends = (0..10).map(|number| one(&format!("{round}-{number}"), 0, json!(1)));
            answers.extend(all(&store, appends).await);
            if enough.is_cancelled() && round >= 30 {
                break;
            }
        }
        answers
    };
    let killing = async {
        let mut kills = 0;
        while kills < 20 {
            kills += count(&database, KILL_WRITER).await;
        }
        enough.cancel();
    };
    let (answers, ()) = tokio::join!(appending, killing);

    let there: HashSet<String> = sqlx::query_scalar("SELECT aggregate_id FROM events")
        .fetch_all(&database.pool)
        .await
        .unwrap()
        .into_iter()
        .collect();
    for (number, answer) in answers.iter().enumerate() {
        let id = format!("{}-{}", number / 10, number % 10);
        match answer {
            Ok(_) => assert!(there.contains(&id), "{id} was acknowledged and is lost"),
            Err(AppendError::Unavailable { .. }) => {
                assert!(!there.contains(&id), "{id} was refused and is there");
            }
            Err(AppendError::OutcomeUnknown { .. }) => {}
            Err(other) => panic!("{id}: {other}"),
        }
    }
    store.append(vec![one("after", 0, json!(1))]).await.unwrap();
    assert_eq!(payloads(&store, "after").await, [json!(1)]);
}

#[tokio::test]
async fn a_connection_that_was_closed_while_idle_costs_nothing() {
    let database = database().await;
    let store = open(&database).await;
    for version in 0..5 {
        store
            .append(vec![one("a", version, json!(1))])
            .await
            .unwrap();
        assert!(count(&database, KILL_WRITER).await > 0);
    }
}

#[tokio::test]
async fn readers_recover_after_their_connections_are_killed() {
    let database = database().await;
    let store = open(&database).await;
    store.append(vec![one("a", 0, json!(1))]).await.unwrap();
    assert!(count(&database, KILL).await > 0);
    eventually(DEADLINE, "the stream can be read again", async || {
        store.read_stream(&stream("a"), 0, 10).await
    })
    .await;
}

#[tokio::test]
async fn a_commit_that_is_killed_is_known_to_have_failed() {
    let database = database().await;
    let store = open(&database).await;
    sqlx::raw_sql(
        "CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS
             $$ BEGIN PERFORM pg_sleep(10); RETURN NULL; END $$;
         CREATE CONSTRAINT TRIGGER dawdle AFTER INSERT ON live_events DEFERRABLE INITIALLY DEFERRED
             FOR EACH ROW WHEN (NEW.payload = '\"slow\"') EXECUTE FUNCTION dawdle()",
    )
    .execute(&database.pool)
    .await
    .unwrap();
    let done = CancellationToken::new();
    // The first commit, which is tried again, and the second.
    let killing = async {
        while !done.is_cancelled() {
            count(
                &database,
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
                 WHERE datname = current_database() AND wait_event = 'PgSleep'",
            )
            .await;
        }
    };
    let appending = async {
        let answer = store.append(vec![one("a", 0, json!("slow"))]).await;
        done.cancel();
        answer
    };
    let (answer, ()) = tokio::join!(appending, killing);
    assert!(
        matches!(answer, Err(AppendError::Unavailable { .. })),
        "{answer:?}"
    );
    assert_eq!(count(&database, "SELECT count(*) FROM events").await, 0);
}

#[tokio::test]
async fn one_reader_is_enough() {
    let database = database().await;
    let options = EventStoreOptions {
        read_connections: 1,
        ..EventStoreOptions::new(&database.url)
    };
    let store = EventStore::open(options).await.unwrap();
    let mut subscription = store.subscribe(0);
    for version in 0..10 {
        store
            .append(vec![one("a", version, json!(1))])
            .await
            .unwrap();
        assert_eq!(subscription.next(10).await.unwrap().len(), 1);
    }
}

#[tokio::test]
async fn other_processes_hear_of_the_newest_commit_without_one_notification_for_each() {
    let database = database().await;
    let mut listener = PgListener::connect(&database.url).await.unwrap();
    listener.listen("hyperfleet_events").await.unwrap();
    let store = open(&database).await;
    let started = tokio::time::Instant::now();
    let mut newest = 0;
    for number in 0..100 {
        let answer = store.append(vec![one("a", number, json!(number))]).await;
        newest = answer.unwrap().position;
    }
    let mut heard = 0;
    let hearing = async {
        loop {
            heard += 1;
            let notification = listener.recv().await.unwrap();
            if notification.payload() == newest.to_string() {
                break;
            }
        }
    };
    tokio::time::timeout(DEADLINE, hearing).await.unwrap();
    // One, and one more for each of its intervals.
    let most = 1 + started.elapsed().as_millis() / 5;
    assert!(heard <= most, "{heard} notifications in {most} intervals");
}
