//! No subscriber ever skips an event.

use std::collections::HashMap;
use std::io::Read as _;
use std::process::Stdio;
use std::time::Duration;

use hyperfleet_event_store::{EventStore, EventStoreOptions, RecordedEvent, Subscription};
use hyperfleet_test_support::{TestDatabase, database, eventually};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use serde_json::{Value, json};
use tokio::process::{Child, Command};
use tokio_util::sync::CancellationToken;

use crate::fixture::{DEADLINE, count, one, stream};

/// Writers in each of the two processes.
const WRITERS: usize = 16;

/// How often the second process is stopped and continued.
const STOPS: usize = 12;

/// Names the database to the second process.
const DATABASE_OF_SECOND_PROCESS: &str = "EVENT_STORE_TEST_SECOND_PROCESS";

#[tokio::test(flavor = "multi_thread")]
async fn every_event_is_seen_once_whatever_happens_to_the_writers() {
    let seed = rand::rng().random();
    println!("seed {seed}");
    let database = database().await;
    let store = open(&database.url, false).await;
    let reader = open(&database.url, false).await;
    let second = second_process(&database);
    let (stop, done) = (CancellationToken::new(), CancellationToken::new());
    let writing = async {
        tokio::join!(
            write(&store, "first", stop.clone()),
            stop_and_continue(second, StdRng::seed_from_u64(seed), stop.clone()),
        );
        done.cancel();
    };
    let ((), near, far) = tokio::join!(
        writing,
        follow(store.subscribe(0), &database, done.clone()),
        follow(reader.subscribe(0), &database, done.clone()),
    );

    for seen in [&near, &far] {
        assert!(seen.is_sorted_by(|one, next| one.position < next.position));
        let mut versions = HashMap::new();
        for event in seen {
            let version = versions.entry(&event.stream).or_insert(0);
            *version += 1;
            assert_eq!(event.sequence, *version, "in stream {}", event.stream);
        }
        assert_eq!(versions.len(), 2 * WRITERS);
    }
    assert!(near == far, "two subscribers saw different logs");
}

/// The second process of the test above; returns at once when it is run as a test.
#[tokio::test(flavor = "multi_thread")]
async fn second_process_of_the_test_of_order() {
    #[expect(
        clippy::disallowed_methods,
        reason = "how this process was told what it is"
    )]
    let Ok(url) = std::env::var(DATABASE_OF_SECOND_PROCESS) else {
        return;
    };
    let store = open(&url, false).await;
    let done = CancellationToken::new();
    let told_to_end = async {
        let ended = tokio::task::spawn_blocking(|| std::io::stdin().read(&mut [0])).await;
        assert_eq!(
            ended.unwrap().unwrap(),
            0,
            "the parent only closes the pipe"
        );
        done.cancel();
    };
    tokio::join!(write(&store, "second", done.clone()), told_to_end);
}

fn second_process(database: &TestDatabase) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "order::second_process_of_the_test_of_order"])
        .env(DATABASE_OF_SECOND_PROCESS, &database.url)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

/// Stops the process at random moments, once for longer than the server keeps an idle transaction.
async fn stop_and_continue(mut process: Child, mut random: StdRng, done: CancellationToken) {
    let id = process.id().expect("it was not waited for").to_string();
    let signal = async |name: &str| {
        let sent = Command::new("kill")
            .args([name, id.as_str()])
            .status()
            .await;
        assert!(sent.unwrap().success(), "kill {name} {id}");
    };
    let long = random.random_range(1..STOPS);
    for stop in 0..STOPS {
        tokio::time::sleep(Duration::from_millis(random.random_range(1..150))).await;
        signal("-STOP").await;
        let stopped = if stop == long {
            2500
        } else {
            random.random_range(1..250)
        };
        tokio::time::sleep(Duration::from_millis(stopped)).await;
        signal("-CONT").await;
    }
    drop(process.stdin.take());
    assert!(process.wait().await.unwrap().success());
    done.cancel();
}

/// Each writer appends to a stream of its own, one event after the other, until told to end.
async fn write(store: &EventStore, process: &str, done: CancellationToken) {
    let writers = (0..WRITERS).map(|writer| {
        let done = done.clone();
        async move {
            let id = format!("{process}-{writer}");
            let mut version = 0;
            while !done.is_cancelled() {
                match store.append(vec![one(&id, version, json!(version))]).await {
                    Ok(committed) => version = committed.versions[0],
                    Err(error) if error.is_unavailable() => {
                        version = eventually(DEADLINE, "the stream can be read", async || {
                            store.load(&stream(&id)).await
                        })
                        .await
                        .version;
                    }
                    Err(error) => panic!("{id}: {error}"),
                }
            }
        }
    });
    futures::future::join_all(writers).await;
}

/// Everything that a subscription sees, until the writers are done and it has as many as are stored.
async fn follow(
    mut subscription: Subscription,
    database: &TestDatabase,
    done: CancellationToken,
) -> Vec<RecordedEvent> {
    let mut seen = Vec::new();
    while let Some(events) = done.run_until_cancelled(subscription.next(100)).await {
        seen.extend(events.unwrap());
    }
    let stored = count(database, "SELECT count(*) FROM events").await;
    while seen.len() < usize::try_from(stored).unwrap() {
        let events = tokio::time::timeout(DEADLINE, subscription.next(100)).await;
        seen.extend(events.expect("an event was skipped").unwrap());
    }
    assert_eq!(seen.len(), usize::try_from(stored).unwrap());
    seen
}

async fn open(url: &str, without_position_lock: bool) -> EventStore {
    let options = EventStoreOptions {
        without_position_lock,
        ..EventStoreOptions::new(url)
    };
    EventStore::open(options).await.unwrap()
}

/// A slow commit and a quick one in another process, which draws its position later: what a subscriber
/// sees that follows the log meanwhile.
async fn seen_around_a_slow_commit(without_position_lock: bool) -> Vec<Value> {
    let database = database().await;
    sqlx::raw_sql(
        "CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS
             $$ BEGIN PERFORM pg_sleep(1); RETURN NULL; END $$;
         CREATE CONSTRAINT TRIGGER dawdle AFTER INSERT ON live_events DEFERRABLE INITIALLY DEFERRED
             FOR EACH ROW WHEN (NEW.payload = '\"slow\"') EXECUTE FUNCTION dawdle()",
    )
    .execute(&database.pool)
    .await
    .unwrap();
    let slow = open(&database.url, without_position_lock).await;
    let quick = open(&database.url, without_position_lock).await;
    let done = CancellationToken::new();

    let quick_after_slow = async {
        eventually(DEADLINE, "the slow commit sleeps", async || {
            count(
                &database,
                "SELECT count(*) FROM pg_stat_activity
                 WHERE datname = current_database() AND wait_event = 'PgSleep'",
            )
            .await
                == 1
        })
        .await;
        quick.append(vec![one("quick", 0, json!("quick"))]).await
    };
    let writing = async {
        let slow_append = slow.append(vec![one("slow", 0, json!("slow"))]);
        let (slow, quick) = tokio::join!(slow_append, quick_after_slow);
        slow.unwrap();
        quick.unwrap();
        done.cancel();
    };
    let mut subscription = quick.subscribe(0);
    let following = async {
        let mut seen = Vec::new();
        while let Some(events) = done.run_until_cancelled(subscription.next(100)).await {
            seen.extend(events.unwrap());
        }
        // What is there now, beyond what was seen. Nothing is in flight any more.
        seen.extend(quick.read_all(subscription.position(), 100).await.unwrap());
        seen
    };
    let ((), seen) = tokio::join!(writing, following);
    seen.into_iter().map(|event| event.payload).collect()
}

#[tokio::test]
async fn a_slow_commit_is_seen_before_what_comes_after_it() {
    assert_eq!(seen_around_a_slow_commit(false).await, ["slow", "quick"]);
}

#[tokio::test]
async fn without_the_position_lock_a_slow_commit_is_lost() {
    assert_eq!(seen_around_a_slow_commit(true).await, ["quick"]);
}
