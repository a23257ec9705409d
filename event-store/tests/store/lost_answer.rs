//! A network that dies around a commit.

use hyperfleet_event_store::{AppendError, EventStore, EventStoreOptions};
use hyperfleet_test_support::database;
use hyperfleet_test_support::relay::{Cut, Relay};
use serde_json::json;

use crate::fixture::{count, one};

async fn open(url: &str) -> EventStore {
    EventStore::open(EventStoreOptions::new(url)).await.unwrap()
}

#[tokio::test]
async fn a_commit_whose_answer_is_lost_is_found_to_be_there() {
    let database = database().await;
    let relay = Relay::start(&database.url, Cut::After, 1).await;
    let store = open(&relay.url).await;
    let committed = store.append(vec![one("a", 0, json!(1))]).await.unwrap();
    assert_eq!(committed.versions, [1]);
    assert_eq!(relay.cuts_left(), 0, "no commit was cut");
    assert_eq!(count(&database, "SELECT count(*) FROM events").await, 1);
    store.append(vec![one("a", 1, json!(2))]).await.unwrap();
}

#[tokio::test]
async fn a_commit_that_never_arrived_is_tried_again() {
    let database = database().await;
    let relay = Relay::start(&database.url, Cut::Before, 1).await;
    let store = open(&relay.url).await;
    let committed = store.append(vec![one("a", 0, json!(1))]).await.unwrap();
    assert_eq!(committed.versions, [1]);
    assert_eq!(relay.cuts_left(), 0, "no commit was cut");
    assert_eq!(count(&database, "SELECT count(*) FROM events").await, 1);
}

#[tokio::test]
async fn a_commit_that_never_arrives_is_known_not_to_be_there() {
    let database = database().await;
    let relay = Relay::start(&database.url, Cut::Before, 2).await;
    let store = open(&relay.url).await;
    let lost = store.append(vec![one("a", 0, json!(1))]).await;
    assert!(
        matches!(lost, Err(AppendError::Unavailable { .. })),
        "{lost:?}"
    );
    assert_eq!(count(&database, "SELECT count(*) FROM events").await, 0);
    store.append(vec![one("a", 0, json!(1))]).await.unwrap();
}
