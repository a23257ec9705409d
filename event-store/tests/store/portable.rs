//! The log as a file: exported, read elsewhere, and tampered with on the way.

use hyperfleet_event_store::EventStore;
use hyperfleet_event_store::portable::{
    self, HeadFault, Heads, HeadsChecker, Lines, PortableError, compare_heads,
};
use hyperfleet_test_support::{TestDatabase, database};
use serde_json::{Value, json};

use crate::fixture::{claiming, count, one, open, stream};

/// Three streams, one of which holds a key.
async fn filled() -> (TestDatabase, EventStore) {
    let database = database().await;
    let store = open(&database).await;
    store.append(vec![claiming("a", &["name"])]).await.unwrap();
    for version in 1..4 {
        store
            .append(vec![one(
                "a",
                version,
                json!({"number": version, "half": 0.5}),
            )])
            .await
            .unwrap();
        store
            .append(vec![one(&format!("b{version}"), 0, json!("first"))])
            .await
            .unwrap();
    }
    (database, store)
}

async fn exported(database: &TestDatabase) -> String {
    let mut file = Vec::new();
    portable::export(&database.pool, &mut file, |_| ())
        .await
        .unwrap();
    String::from_utf8(file).unwrap()
}

/// Reads a file to its end, as an auditor does.
async fn read(file: &str, heads: Option<&Heads>) -> Result<(u64, Vec<HeadFault>), PortableError> {
    let mut lines = Lines::new(file.as_bytes());
    let mut checker = lines.begin().await?;
    let mut heads = heads.map(HeadsChecker::new);
    while let Some(line) = lines.next().await? {
        if let (portable::Entry::Event(event), Some(heads)) = (checker.check(line)?, &mut heads) {
            heads.check(&event);
        }
    }
    checker.finish()?;
    Ok(heads.map_or((0, Vec::new()), HeadsChecker::finish))
}

async fn log(database: &TestDatabase) -> Vec<Value> {
    let mut all = Vec::new();
    for table in ["events", "streams", "claims"] {
        let query = format!("SELECT to_jsonb(t) FROM {table} AS t ORDER BY to_jsonb(t)::text");
        let rows: Vec<Value> = sqlx::query_scalar(&query)
            .fetch_all(&database.pool)
            .await
            .unwrap();
        all.extend(rows);
    }
    all
}

#[tokio::test]
async fn an_imported_log_is_the_exported_one_and_goes_on() {
    let (original, _) = filled().await;
    let file = exported(&original).await;
    assert_eq!(read(&file, None).await.unwrap(), (0, Vec::new()));
    let copy = database().await;
    let imported = portable::import(&copy.pool, file.as_bytes(), |_, _| ()).await;
    assert_eq!(imported.unwrap().header.events, 7);
    assert_eq!(log(&copy).await, log(&original).await);
    assert_eq!(exported(&copy).await.lines().count(), file.lines().count());
    // Versions, claims and positions go on from there.
    let store = open(&copy).await;
    store.append(vec![one("a", 4, json!(5))]).await.unwrap();
    assert!(store.append(vec![claiming("c", &["name"])]).await.is_err());
    assert_eq!(store.verify_stream(&stream("a")).await.unwrap(), Ok(5));
    let again = portable::import(&copy.pool, file.as_bytes(), |_, _| ()).await;
    assert!(
        matches!(again, Err(PortableError::NotEmpty("events"))),
        "{again:?}"
    );
}

#[tokio::test]
async fn a_log_without_events_can_be_carried_too() {
    let empty = database().await;
    let file = exported(&empty).await;
    let copy = database().await;
    portable::import(&copy.pool, file.as_bytes(), |_, _| ())
        .await
        .unwrap();
    open(&copy)
        .await
        .append(vec![one("a", 0, json!(1))])
        .await
        .unwrap();
}

/// Every byte of every line, flipped: none goes unnoticed, and the line is named.
#[tokio::test]
async fn a_flipped_byte_is_named_by_its_line() {
    let (original, _) = filled().await;
    let file = exported(&original).await;
    let mut line = 1;
    for at in 0..file.len() {
        let mut bytes = file.clone().into_bytes();
        if bytes[at] == b'\n' {
            line += 1;
            continue;
        }
        bytes[at] ^= 1;
        let Ok(flipped) = String::from_utf8(bytes) else {
            continue;
        };
        let told = read(&flipped, None).await;
        let Err(PortableError::Line { line: named, .. }) = told else {
            panic!("byte {at} of line {line}: {told:?}");
        };
        // What the first line says is proven by the others.
        assert!(named == line || line == 1, "{named} instead of {line}");
    }
}

#[tokio::test]
async fn nothing_can_be_taken_out_put_in_or_moved() {
    let (original, _) = filled().await;
    let file = exported(&original).await;
    let lines: Vec<&str> = file.lines().collect();
    let told = async |lines: &[&str]| {
        let file = lines.join("\n");
        let copy = database().await;
        let imported = portable::import(&copy.pool, file.as_bytes(), |_, _| ()).await;
        assert_eq!(count(&copy, "SELECT count(*) FROM events").await, 0);
        match imported {
            Err(PortableError::Line { line, reason }) => (line, reason),
            other => panic!("{other:?}"),
        }
    };
    let (line, reason) = told(&lines[..lines.len() - 2]).await;
    assert_eq!(line, lines.len() as u64 - 1);
    assert!(reason.contains("missing"), "{reason}");
    let mut holed = lines.clone();
    holed.remove(3);
    assert_eq!(told(&holed).await.0, 4, "what came behind it is named");
    let mut swapped = lines.clone();
    swapped.swap(2, 3);
    assert_eq!(told(&swapped).await.0, 3);
    let mut doubled = lines.clone();
    doubled.insert(2, lines[1]);
    assert_eq!(told(&doubled).await.0, 3);
    let mut more = lines.clone();
    more.push(lines[lines.len() - 1]);
    assert_eq!(told(&more).await.0, lines.len() as u64 + 1);
    assert_eq!(told(&[]).await.0, 1);
    assert_eq!(told(&["{}"]).await.0, 1);
}

#[tokio::test]
async fn heads_tell_a_shorter_or_another_history() {
    let (database, store) = filled().await;
    let heads = Heads::take(&database.pool).await.unwrap();
    // What comes later is no fault.
    store
        .append(vec![one("a", 4, json!("later"))])
        .await
        .unwrap();
    store
        .append(vec![one("new", 0, json!("later"))])
        .await
        .unwrap();
    let whole = (0, Vec::new());
    assert_eq!(compare_heads(&database.pool, &heads).await.unwrap(), whole);
    let file = exported(&database).await;
    assert_eq!(read(&file, Some(&heads)).await.unwrap(), whole);
    // A log of another history is whole in itself: only the heads tell.
    let (other, _) = filled().await;
    let forged = exported(&other).await;
    let (faults, named) = read(&forged, Some(&heads)).await.unwrap();
    assert_eq!(faults, 4, "{named:?}");
    assert!(
        named[0].to_string().contains("another history"),
        "{named:?}"
    );
    // One that was cut before its end was exported, too.
    let cut = database_without(&database).await;
    let (faults, named) = read(&exported(&cut).await, Some(&heads)).await.unwrap();
    assert_eq!((faults, named[0].stream.aggregate_id.as_str()), (1, "b3"));
    assert!(named[0].to_string().contains("missing"), "{named:?}");
    let (faults, _) = compare_heads(&cut.pool, &heads).await.unwrap();
    assert_eq!(faults, 1);
    // What was put in behind the back of who took the heads.
    sqlx::query("UPDATE live_events SET position = 0 WHERE aggregate_id = 'new'")
        .execute(&database.pool)
        .await
        .unwrap();
    let (faults, named) = compare_heads(&database.pool, &heads).await.unwrap();
    assert_eq!((faults, named[0].stream.aggregate_id.as_str()), (1, "new"));
}

/// A copy that lacks a stream, heads included.
async fn database_without(original: &TestDatabase) -> TestDatabase {
    let copy = database().await;
    let file = exported(original).await;
    portable::import(&copy.pool, file.as_bytes(), |_, _| ())
        .await
        .unwrap();
    for table in ["live_events", "streams"] {
        sqlx::query(&format!("DELETE FROM {table} WHERE aggregate_id = 'b3'"))
            .execute(&copy.pool)
            .await
            .unwrap();
    }
    copy
}

#[tokio::test]
async fn what_is_signed_covers_everything() {
    let (database, _) = filled().await;
    let heads = Heads::take(&database.pool).await.unwrap();
    let document = serde_json::to_value(&heads).unwrap();
    let read: Heads = serde_json::from_value(document).unwrap();
    assert!(read.is_known());
    assert_eq!(read.statement(), heads.statement());
    for change in [
        (|heads: &mut Heads| heads.position += 1) as fn(&mut Heads),
        |heads| heads.streams[0].version += 1,
        |heads| heads.streams[0].hash.replace_range(0..1, "x"),
        |heads| heads.streams.truncate(1),
        |heads| heads.streams[0].id.push('x'),
        |heads| heads.taken_at += chrono::TimeDelta::microseconds(1),
    ] {
        let mut changed = heads.clone();
        change(&mut changed);
        assert_ne!(changed.statement(), heads.statement());
    }
}
