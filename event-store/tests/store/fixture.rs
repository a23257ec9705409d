//! What these tests share.

use std::time::Duration;

use hyperfleet_event_store::{
    Append, AppendError, Committed, EventStore, EventStoreOptions, NewEvent, StreamId,
};
use hyperfleet_test_support::TestDatabase;
use serde_json::{Value, json};

/// Longer than anything here takes; only a failing test waits so long.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

pub(crate) fn stream(id: &str) -> StreamId {
    StreamId::new("thing", id)
}

pub(crate) fn event(payload: Value) -> NewEvent {
    NewEvent {
        event_type: "test.happened".to_owned(),
        event_version: "1".to_owned(),
        payload,
        metadata: json!({"actor": "test"}),
    }
}

/// One event on one stream.
pub(crate) fn one(id: &str, expected: u64, payload: Value) -> Append {
    Append::events(stream(id), expected, vec![event(payload)])
}

/// A new stream that takes keys.
pub(crate) fn claiming(id: &str, keys: &[&str]) -> Append {
    Append {
        claims: keys.iter().map(|&key| key.to_owned()).collect(),
        ..one(id, 0, json!("created"))
    }
}

pub(crate) async fn open(database: &TestDatabase) -> EventStore {
    EventStore::open(EventStoreOptions::new(&database.url))
        .await
        .expect("the test database is there")
}

/// Many appends at once; the answers in their order.
pub(crate) async fn all(
    store: &EventStore,
    appends: impl IntoIterator<Item = Append>,
) -> Vec<Result<Committed, AppendError>> {
    futures::future::join_all(appends.into_iter().map(|append| store.append(vec![append]))).await
}

/// The payloads of a stream.
pub(crate) async fn payloads(store: &EventStore, id: &str) -> Vec<Value> {
    store
        .read_stream(&stream(id), 0, usize::MAX)
        .await
        .unwrap()
        .into_iter()
        .map(|event| event.payload)
        .collect()
}

/// A number from a database query.
pub(crate) async fn count(database: &TestDatabase, query: &str) -> i64 {
    sqlx::query_scalar(query)
        .fetch_one(&database.pool)
        .await
        .unwrap()
}
