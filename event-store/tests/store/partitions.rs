//! The log in partitions: new ones while writers go on, old ones put aside and brought back.

use hyperfleet_event_store::partitions::{self, Partition, PartitionError};
use hyperfleet_event_store::{EventStore, RecordedEvent};
use hyperfleet_test_support::{TestDatabase, database};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::fixture::{count, one, open, stream};

/// Positions of a partition in these tests.
const SIZE: u64 = 40;

async fn append(store: &EventStore, id: &str, events: u64) {
    let from = store.load(&stream(id)).await.unwrap().version;
    for version in from..from + events {
        store
            .append(vec![one(id, version, json!({"number": version}))])
            .await
            .unwrap();
    }
}

/// Two complete partitions, and one that is written to; the stream goes through all of them.
async fn three_partitions() -> (TestDatabase, EventStore) {
    let database = database().await;
    let store = open(&database).await;
    for _ in 0..2 {
        append(&store, "a", SIZE - 1).await;
        assert!(partitions::keep_room(&database.pool, SIZE).await.unwrap());
    }
    append(&store, "a", SIZE).await;
    (database, store)
}

async fn list(database: &TestDatabase) -> Vec<Partition> {
    partitions::list(&database.pool).await.unwrap()
}

fn names(partitions: &[Partition]) -> Vec<(&str, bool)> {
    partitions
        .iter()
        .map(|partition| (partition.name.as_str(), partition.is_archived))
        .collect()
}

async fn whole(store: &EventStore) -> Vec<RecordedEvent> {
    store.read_all(0, usize::MAX).await.unwrap()
}

#[tokio::test]
async fn a_partition_is_begun_before_the_newest_is_full() {
    // Given a log with little in it
    let database = database().await;
    let store = open(&database).await;
    append(&store, "a", 5).await;
    assert!(!partitions::keep_room(&database.pool, SIZE).await.unwrap());
    assert_eq!(names(&list(&database).await), [("events_from_0", false)]);
    // When it is three quarters full
    append(&store, "a", 25).await;
    assert!(partitions::keep_room(&database.pool, SIZE).await.unwrap());
    assert!(!partitions::keep_room(&database.pool, SIZE).await.unwrap());
    // Then the next one begins where it ends, and takes what comes after
    let bounds: Vec<_> = list(&database)
        .await
        .iter()
        .map(|partition| (partition.first, partition.end))
        .collect();
    assert_eq!(bounds, [(0, Some(SIZE)), (SIZE, None)]);
    append(&store, "a", SIZE).await;
    assert_eq!(
        count(&database, "SELECT count(*) FROM events_from_0").await,
        39
    );
    assert_eq!(
        count(&database, "SELECT count(*) FROM events_from_40").await,
        31
    );
    assert_eq!(store.verify_stream(&stream("a")).await.unwrap(), Ok(70));
    // And it has all indexes of the first.
    let indexes = "SELECT count(*) FROM pg_indexes WHERE tablename = ";
    let (first, second) = (
        format!("{indexes}'events_from_0'"),
        format!("{indexes}'events_from_40'"),
    );
    assert_eq!(
        count(&database, &first).await,
        count(&database, &second).await
    );
}

/// Begins partitions, puts them aside and brings them back, over and over.
async fn change(database: &TestDatabase) {
    let (mut begun, mut carried) = (0, 0);
    while begun < 5 || carried < 10 {
        match partitions::keep_room(&database.pool, SIZE).await {
            Ok(is_begun) => begun += u32::from(is_begun),
            Err(PartitionError::Busy(_)) => {}
            Err(error) => panic!("{error}"),
        }
        for partition in list(database).await {
            let moved = if partition.is_archived {
                partitions::restore(&database.pool, &partition.name).await
            } else {
                partitions::archive(&database.pool, &partition.name).await
            };
            match moved {
                Ok(_) => carried += 1,
                Err(PartitionError::Incomplete { .. } | PartitionError::Busy(_)) => {}
                Err(error) => panic!("{error}"),
            }
        }
    }
}

#[tokio::test]
async fn writers_and_readers_go_on_while_partitions_come_and_go() {
    // Given writers on streams of their own, and a reader that follows the log
    let database = database().await;
    let store = open(&database).await;
    let (done, written) = (CancellationToken::new(), CancellationToken::new());
    let write = |writer: usize| {
        let (store, done) = (store.clone(), done.clone());
        async move {
            let mut version = 0;
            while !done.is_cancelled() {
                let appended = store
                    .append(vec![one(&format!("w{writer}"), version, json!(version))])
                    .await
                    .unwrap();
                version = appended.versions[0];
            }
            version
        }
    };
    let read = async {
        let (mut seen, mut position) = (0_u64, 0);
        loop {
            // What is read last has to be complete.
            let is_last = written.is_cancelled();
            let events = store.read_all(position, 100).await.unwrap();
            assert!(
                events
                    .windows(2)
                    .all(|pair| pair[0].position < pair[1].position)
            );
            seen += events.len() as u64;
            position = events.last().map_or(position, |event| event.position);
            let all = count(&database, "SELECT count(*) FROM events")
                .await
                .unsigned_abs();
            assert!(
                all >= seen,
                "{seen} events were seen, and now there are {all}"
            );
            if is_last && events.is_empty() {
                return seen;
            }
        }
    };
    // When partitions are begun, put aside and brought back all the time
    let change = async {
        change(&database).await;
        done.cancel();
    };
    let writers = async {
        let versions = futures::future::join_all((0..8).map(write)).await;
        written.cancel();
        versions
    };
    let (versions, seen, ()) = tokio::join!(writers, read, change);
    // Then nobody failed, and nothing is missing.
    assert_eq!(seen, versions.iter().sum::<u64>());
    for (writer, version) in versions.iter().enumerate() {
        let verified = store.verify_stream(&stream(&format!("w{writer}"))).await;
        assert_eq!(verified.unwrap(), Ok(*version));
    }
}

#[tokio::test]
async fn what_is_put_aside_is_read_as_before() {
    // Given what the log says
    let (database, store) = three_partitions().await;
    let before = whole(&store).await;
    let all = list(&database).await;
    assert_eq!(all.len(), 3);
    // When its old partitions are put aside
    for partition in &all[..2] {
        partitions::archive(&database.pool, &partition.name)
            .await
            .unwrap();
    }
    let archived = list(&database).await;
    assert_eq!(
        names(&archived),
        [
            ("events_from_0", true),
            ("events_from_40", true),
            (all[2].name.as_str(), false)
        ]
    );
    let bounds = |all: &[Partition]| -> Vec<_> {
        all.iter()
            .map(|partition| (partition.first, partition.end))
            .collect()
    };
    assert_eq!(bounds(&archived), bounds(&all));
    // Then it says the same, and streams go on,
    assert_eq!(whole(&store).await, before);
    assert_eq!(
        store
            .read_stream(&stream("a"), 0, usize::MAX)
            .await
            .unwrap(),
        before
    );
    assert_eq!(store.load(&stream("a")).await.unwrap().events, before);
    append(&store, "a", 1).await;
    assert_eq!(
        store.verify_stream(&stream("a")).await.unwrap(),
        Ok(before.len() as u64 + 1)
    );
    let contents = archived[1].contents(&database.pool).await.unwrap();
    let of_it = before
        .iter()
        .filter(|event| (40..all[2].first).contains(&event.position));
    let times: Vec<_> = of_it.map(|event| event.recorded_at).collect();
    assert_eq!(contents.events, times.len() as u64);
    assert_eq!(
        (contents.from, contents.to),
        (times.first().copied(), times.last().copied())
    );
    // what is live does not hold it,
    let live = count(&database, "SELECT count(*) FROM live_events")
        .await
        .unsigned_abs();
    assert!(live < before.len() as u64 - 70, "{live}");
    // and it comes back as it was.
    for partition in &all[..2] {
        partitions::restore(&database.pool, &partition.name)
            .await
            .unwrap();
    }
    assert_eq!(names(&list(&database).await), names(&all));
    assert_eq!(whole(&store).await[..before.len()], before);
}

#[tokio::test]
async fn what_cannot_be_moved_is_told_why() {
    let (database, _store) = three_partitions().await;
    let pool = &database.pool;
    let newest = list(&database).await.pop().unwrap().name;
    let refused = async |name: &str| {
        partitions::archive(pool, name)
            .await
            .unwrap_err()
            .to_string()
    };
    assert!(refused(&newest).await.contains("is not complete"));
    assert!(
        refused("events_from_7")
            .await
            .contains("`hyperfleet log partitions` lists them")
    );
    // A projection that has not applied it.
    sqlx::query("INSERT INTO checkpoints (name, position, updated_at) VALUES ('slow', 20, now())")
        .execute(pool)
        .await
        .unwrap();
    let needed = refused("events_from_0").await;
    assert!(
        needed.contains("projection slow has applied the log up to 20 only"),
        "{needed}"
    );
    sqlx::query("UPDATE checkpoints SET position = 60")
        .execute(pool)
        .await
        .unwrap();
    assert!(refused("events_from_40").await.contains("slow"));
    partitions::archive(pool, "events_from_0").await.unwrap();
    assert!(
        refused("events_from_0")
            .await
            .contains("is archived already")
    );
    let live = partitions::restore(pool, "events_from_40")
        .await
        .unwrap_err();
    assert!(live.to_string().contains("is live already"), "{live}");
}

#[tokio::test]
async fn who_was_killed_leaves_nothing_in_the_way() {
    // Given bounds that a killed process proved and left
    let (database, store) = three_partitions().await;
    for (table, end) in [("events_from_0", 40), ("events_from_40", 80)] {
        let left =
            format!("ALTER TABLE {table} ADD CONSTRAINT bounds CHECK (position < {end}) NOT VALID");
        sqlx::query(&left).execute(&database.pool).await.unwrap();
    }
    // Then a partition moves all the same, both ways,
    partitions::archive(&database.pool, "events_from_0")
        .await
        .unwrap();
    partitions::restore(&database.pool, "events_from_0")
        .await
        .unwrap();
    // and so does the next begin.
    append(&store, "a", SIZE * 2).await;
    assert!(partitions::keep_room(&database.pool, SIZE).await.unwrap());
    let bounds = "SELECT count(*) FROM pg_constraint WHERE conname = 'bounds' AND conrelid <> 'events_from_40'::regclass";
    assert_eq!(count(&database, bounds).await, 0);
}

#[tokio::test]
async fn somebody_who_uses_the_log_for_long_is_not_cut_off() {
    let (database, _store) = three_partitions().await;
    let mut long = database.pool.begin().await.unwrap();
    sqlx::query("SELECT count(*) FROM events")
        .execute(&mut *long)
        .await
        .unwrap();
    let busy = partitions::archive(&database.pool, "events_from_0").await;
    assert!(matches!(busy, Err(PartitionError::Busy(_))), "{busy:?}");
    long.rollback().await.unwrap();
    partitions::archive(&database.pool, "events_from_0")
        .await
        .unwrap();
}

#[tokio::test]
async fn the_version_before_goes_on_appending() {
    // Given a row as a process of the version before writes it
    let database = database().await;
    let store = open(&database).await;
    append(&store, "a", 1).await;
    sqlx::query(
        "INSERT INTO events (aggregate_type, aggregate_id, sequence, event_type, event_version, payload,
             metadata, position, recorded_at, hash)
         SELECT aggregate_type, aggregate_id, 2, event_type, event_version, payload, metadata, position + 1,
             recorded_at, hash FROM events",
    )
    .execute(&database.pool)
    .await
    .unwrap();
    // Then it is in the log.
    assert_eq!(whole(&store).await.len(), 2);
    assert_eq!(
        count(&database, "SELECT count(*) FROM live_events").await,
        2
    );
}
