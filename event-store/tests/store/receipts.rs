//! Receipts: what a transaction leaves behind for a caller that did not get the answer.

use std::time::Duration;

use hyperfleet_event_store::{Append, AppendError, EventStore, EventStoreOptions, Receipt};
use hyperfleet_test_support::database;
use hyperfleet_test_support::relay::{Cut, Relay};
use serde_json::json;

use crate::fixture::{claiming, count, one, open, stream};

fn receipt(key: &str, value: &str) -> Receipt {
    Receipt {
        key: key.to_owned(),
        value: json!(value),
        lifetime: Duration::from_hours(1),
    }
}

fn taken(key: &str) -> AppendError {
    AppendError::ReceiptTaken {
        key: key.to_owned(),
    }
}

#[tokio::test]
async fn a_receipt_is_there_if_and_only_if_its_append_is() {
    let database = database().await;
    let store = open(&database).await;
    assert_eq!(store.receipt("k").await.unwrap(), None);
    let append = vec![claiming("a", &["name"])];
    store
        .append_with_receipt(append, Some(receipt("k", "done")))
        .await
        .unwrap();
    assert_eq!(store.receipt("k").await.unwrap(), Some(json!("done")));

    let by_version = store
        .append_with_receipt(vec![one("a", 7, json!(1))], Some(receipt("v", "x")))
        .await;
    assert!(matches!(by_version, Err(AppendError::Conflict { .. })));
    let by_claim = store
        .append_with_receipt(vec![claiming("b", &["name"])], Some(receipt("c", "x")))
        .await;
    assert!(matches!(by_claim, Err(AppendError::ClaimTaken { .. })));
    let by_receipt = store
        .append_with_receipt(vec![claiming("c", &["other"])], Some(receipt("k", "again")))
        .await;
    assert_eq!(by_receipt, Err(taken("k")));
    assert_eq!(count(&database, "SELECT count(*) FROM receipts").await, 1);
    assert_eq!(count(&database, "SELECT count(*) FROM claims").await, 1);
    assert_eq!(count(&database, "SELECT count(*) FROM events").await, 1);
    assert_eq!(store.receipt("k").await.unwrap(), Some(json!("done")));
}

#[tokio::test]
async fn a_mere_check_of_a_version_leaves_its_receipt() {
    let database = database().await;
    let store = open(&database).await;
    store.append(vec![one("a", 0, json!(1))]).await.unwrap();
    let check = |expected| vec![Append::events(stream("a"), expected, Vec::new())];
    let stale = store
        .append_with_receipt(check(2), Some(receipt("k", "x")))
        .await;
    assert!(matches!(stale, Err(AppendError::Conflict { .. })));
    assert_eq!(store.receipt("k").await.unwrap(), None);
    store
        .append_with_receipt(check(1), Some(receipt("k", "same")))
        .await
        .unwrap();
    assert_eq!(store.receipt("k").await.unwrap(), Some(json!("same")));
    assert_eq!(count(&database, "SELECT count(*) FROM events").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_transactions_with_one_key_in_two_processes_one_is_committed() {
    let database = database().await;
    let (one_process, another) = (open(&database).await, open(&database).await);
    let send = |number: usize| {
        let store = if number.is_multiple_of(2) {
            &one_process
        } else {
            &another
        };
        let append = vec![one(&format!("s{number}"), 0, json!(number))];
        store.append_with_receipt(append, Some(receipt("k", &number.to_string())))
    };
    let answers = futures::future::join_all((0..100).map(send)).await;
    let winners: Vec<usize> = (0..100).filter(|&number| answers[number].is_ok()).collect();
    assert_eq!(winners.len(), 1, "{winners:?}");
    for (number, answer) in answers.iter().enumerate() {
        if number != winners[0] {
            assert_eq!(*answer, Err(taken("k")));
        }
    }
    assert_eq!(count(&database, "SELECT count(*) FROM streams").await, 1);
    let kept = another.receipt("k").await.unwrap();
    assert_eq!(kept, Some(json!(winners[0].to_string())));
}

#[tokio::test]
async fn an_expired_receipt_is_not_found_and_its_key_is_free() {
    let database = database().await;
    let store = open(&database).await;
    let append = |id: &str| vec![one(id, 0, json!(1))];
    store
        .append_with_receipt(append("a"), Some(receipt("k", "old")))
        .await
        .unwrap();
    let expire = "UPDATE receipts SET expires_at = clock_timestamp()";
    sqlx::query(expire).execute(&database.pool).await.unwrap();
    assert_eq!(store.receipt("k").await.unwrap(), None);
    store
        .append_with_receipt(append("b"), Some(receipt("k", "new")))
        .await
        .unwrap();
    assert_eq!(store.receipt("k").await.unwrap(), Some(json!("new")));
}

#[tokio::test]
async fn expired_receipts_are_removed_in_bounded_steps() {
    let database = database().await;
    let store = open(&database).await;
    for number in 0..5 {
        let append = vec![one(&format!("s{number}"), 0, json!(1))];
        store
            .append_with_receipt(append, Some(receipt(&format!("k{number}"), "x")))
            .await
            .unwrap();
    }
    let expire = "UPDATE receipts SET expires_at = clock_timestamp() WHERE key <> 'k4'";
    sqlx::query(expire).execute(&database.pool).await.unwrap();
    assert_eq!(store.purge_receipts(3).await.unwrap(), 3);
    assert_eq!(store.purge_receipts(3).await.unwrap(), 1);
    assert_eq!(store.purge_receipts(3).await.unwrap(), 0);
    assert_eq!(store.receipt("k4").await.unwrap(), Some(json!("x")));
}

#[tokio::test]
async fn a_caller_that_never_learns_the_outcome_finds_the_receipt() {
    let database = database().await;
    let relay = Relay::start(&database.url, Cut::AfterAndForGood, 1).await;
    let cut_off = EventStore::open(EventStoreOptions::new(&relay.url))
        .await
        .unwrap();
    let append = || vec![one("a", 0, json!(1))];
    let lost = cut_off
        .append_with_receipt(append(), Some(receipt("k", "done")))
        .await;
    assert!(
        matches!(lost, Err(AppendError::OutcomeUnknown { .. })),
        "{lost:?}"
    );
    let store = open(&database).await;
    assert_eq!(store.receipt("k").await.unwrap(), Some(json!("done")));
    let again = store
        .append_with_receipt(append(), Some(receipt("k", "x")))
        .await;
    assert!(again.is_err());
    assert_eq!(count(&database, "SELECT count(*) FROM events").await, 1);
}
