//! The hash chain over what the database gives back.

use hyperfleet_event_store::{ChainFault, ChainFaultKind, EventStore};
use hyperfleet_test_support::{TestDatabase, database};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use serde_json::{Value, json};

use crate::fixture::{one, open, payloads, stream};

async fn five_events(store: &EventStore, id: &str) {
    for version in 0..5 {
        store
            .append(vec![one(id, version, json!({"number": version}))])
            .await
            .unwrap();
    }
}

/// What is wrong with a stream: asked for it alone, and by looking through all of them, which must agree.
async fn verify(store: &EventStore, id: &str) -> Result<u64, ChainFault> {
    let alone = store.verify_stream(&stream(id)).await.unwrap();
    for limit in [1, 2, 100] {
        let (mut faults, mut after) = (Vec::new(), None);
        loop {
            let page = store.verify_page(after.as_ref(), limit).await.unwrap();
            faults.extend(
                page.faults
                    .into_iter()
                    .filter(|fault| fault.stream == stream(id)),
            );
            after = page.last;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(faults.first(), alone.as_ref().err(), "pages of {limit}");
        assert!(faults.len() <= 1, "{faults:?}");
    }
    alone
}

async fn tamper(database: &TestDatabase, statement: &str) {
    let done = sqlx::query(statement)
        .execute(&database.pool)
        .await
        .unwrap();
    assert!(done.rows_affected() > 0, "nothing tampered with");
}

fn fault(sequence: u64, kind: ChainFaultKind) -> Result<u64, ChainFault> {
    Err(ChainFault {
        stream: stream("a"),
        sequence,
        kind,
    })
}

#[tokio::test]
async fn what_the_database_spells_differently_verifies() {
    let database = database().await;
    let store = open(&database).await;
    let spellings = [
        "1.0",
        "1e3",
        "-0.0",
        "0.1",
        "9007199254740993",
        "1e21",
        "-1e-7",
        "1.5e300",
        "18446744073709551615",
        "-9223372036854775808",
        "1.2345678901234568e18",
        "0.30000000000000004",
        "null",
        "true",
        r#""""#,
        r#""ü 😀 \u2028 \ud83d\ude00 \u0001 \" \\ ￿""#,
        r#"{"b":{"z":1,"a":[{},[]]},"a":null,"ä":1,"aa":2}"#,
    ];
    for (version, spelling) in (0..).zip(spellings) {
        let payload: Value = serde_json::from_str(spelling).unwrap();
        store
            .append(vec![one("a", version, payload)])
            .await
            .unwrap();
    }
    let verified = verify(&store, "a").await;
    assert_eq!(verified, Ok(spellings.len() as u64));
    assert_eq!(verify(&store, "none").await, Ok(0));
}

#[tokio::test]
async fn any_double_verifies_and_is_read_back() {
    let seed = rand::rng().random();
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let mut doubles: Vec<f64> = (0..2000)
        .map(|_| f64::from_bits(random.random()))
        .filter(|double| double.is_finite())
        .collect();
    doubles.extend((0..2000).map(|_| random.random_range(-1000.0..1000.0)));
    let database = database().await;
    let store = open(&database).await;
    store
        .append(vec![one("a", 0, json!(doubles))])
        .await
        .unwrap();
    let verified = verify(&store, "a").await;
    assert_eq!(verified, Ok(1));
    // The database turns -0.0 and whole doubles into integers of the same value.
    let read: Vec<Option<f64>> = payloads(&store, "a").await[0]
        .as_array()
        .unwrap()
        .iter()
        .map(Value::as_f64)
        .collect();
    let written: Vec<Option<f64>> = doubles.into_iter().map(Some).collect();
    assert!(read == written, "a double changed on its way");
}

#[tokio::test]
async fn an_altered_event_is_named() {
    let database = database().await;
    let store = open(&database).await;
    for (statement, sequence) in [
        (
            "UPDATE live_events SET payload = '{\"number\": 9}' WHERE aggregate_id = 'a' AND sequence = 5",
            5,
        ),
        (
            "UPDATE live_events SET metadata = '{}' WHERE aggregate_id = 'a' AND sequence = 4",
            4,
        ),
        (
            "UPDATE live_events SET event_type = 'x' WHERE aggregate_id = 'a' AND sequence = 3",
            3,
        ),
        (
            "UPDATE live_events SET recorded_at = recorded_at + interval '1 us' WHERE aggregate_id = 'a' AND sequence = 2",
            2,
        ),
        (
            "UPDATE live_events SET event_version = '2' WHERE aggregate_id = 'a' AND sequence = 1",
            1,
        ),
    ] {
        if sequence == 5 {
            five_events(&store, "a").await;
        }
        tamper(&database, statement).await;
        let verified = verify(&store, "a").await;
        assert_eq!(
            verified,
            fault(sequence, ChainFaultKind::Altered),
            "{statement}"
        );
    }
}

#[tokio::test]
async fn a_missing_event_is_named() {
    let database = database().await;
    let store = open(&database).await;
    five_events(&store, "a").await;
    tamper(&database, "DELETE FROM live_events WHERE sequence = 5").await;
    let cut = verify(&store, "a").await;
    assert_eq!(cut, fault(5, ChainFaultKind::Missing));
    tamper(&database, "DELETE FROM live_events WHERE sequence = 2").await;
    let holed = verify(&store, "a").await;
    assert_eq!(holed, fault(2, ChainFaultKind::Missing));
    tamper(&database, "DELETE FROM live_events").await;
    let emptied = verify(&store, "a").await;
    assert_eq!(emptied, fault(1, ChainFaultKind::Missing));
}

#[tokio::test]
async fn a_head_that_is_not_the_end_is_found() {
    let database = database().await;
    let store = open(&database).await;
    five_events(&store, "a").await;
    tamper(&database, "UPDATE streams SET hash = '\\x00'").await;
    let forged = verify(&store, "a").await;
    assert_eq!(forged, fault(5, ChainFaultKind::HeadDiffers));
    tamper(&database, "DELETE FROM streams").await;
    let headless = verify(&store, "a").await;
    assert_eq!(headless, fault(5, ChainFaultKind::HeadDiffers));
}

#[tokio::test]
async fn a_stream_cannot_pass_for_another() {
    let database = database().await;
    let store = open(&database).await;
    five_events(&store, "b").await;
    tamper(&database, "UPDATE live_events SET aggregate_id = 'a'").await;
    tamper(&database, "UPDATE streams SET aggregate_id = 'a'").await;
    let moved = verify(&store, "a").await;
    assert_eq!(moved, fault(1, ChainFaultKind::Altered));
}

#[tokio::test]
async fn streams_are_listed_in_pages() {
    let database = database().await;
    let store = open(&database).await;
    for id in ["c", "a", "b"] {
        store.append(vec![one(id, 0, json!(1))]).await.unwrap();
    }
    let first = store.streams(None, 2).await.unwrap();
    assert_eq!(first, [stream("a"), stream("b")]);
    let rest = store.streams(first.last(), 2).await.unwrap();
    assert_eq!(rest, [stream("c")]);
}
