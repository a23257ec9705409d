//! Unique keys.

use hyperfleet_event_store::{Append, AppendError};
use hyperfleet_test_support::database;
use serde_json::json;

use crate::fixture::{all, claiming, count, one, open};

fn taken(key: &str) -> AppendError {
    AppendError::ClaimTaken {
        key: key.to_owned(),
    }
}

fn releasing(id: &str, expected: u64, keys: &[&str]) -> Append {
    Append {
        releases: keys.iter().map(|&key| key.to_owned()).collect(),
        ..one(id, expected, json!("released"))
    }
}

#[tokio::test]
async fn of_many_claims_of_one_key_one_wins() {
    let database = database().await;
    let (one_process, another) = (open(&database).await, open(&database).await);
    let claim = |number: usize| claiming(&format!("s{number}"), &["name"]);
    let (answers, others) = tokio::join!(
        all(&one_process, (0..50).map(claim)),
        all(&another, (50..100).map(claim))
    );
    let answers: Vec<_> = answers.into_iter().chain(others).collect();
    let winners: Vec<usize> = (0..100).filter(|&number| answers[number].is_ok()).collect();
    assert_eq!(winners.len(), 1, "{winners:?}");
    assert_eq!(count(&database, "SELECT count(*) FROM streams").await, 1);

    let holder = format!("s{}", winners[0]);
    let release = releasing(&holder, 1, &["name"]);
    one_process.append(vec![release]).await.unwrap();
    another
        .append(vec![claiming("next", &["name"])])
        .await
        .unwrap();
}

#[tokio::test]
async fn a_lost_claim_gives_back_the_others() {
    let database = database().await;
    let store = open(&database).await;
    store
        .append(vec![claiming("holder", &["m"])])
        .await
        .unwrap();

    let lost = store
        .append(vec![claiming("a", &["k", "m"]), claiming("b", &["z"])])
        .await;
    assert_eq!(lost, Err(taken("m")));
    assert_eq!(count(&database, "SELECT count(*) FROM claims").await, 1);
    let won = store.append(vec![claiming("c", &["k", "z"])]).await;
    assert_eq!(won.unwrap().versions, [1]);
}

#[tokio::test]
async fn claims_and_versions_are_lost_for_oneself_only() {
    let database = database().await;
    let store = open(&database).await;
    store
        .append(vec![claiming("holder", &["taken"])])
        .await
        .unwrap();
    let answers = all(
        &store,
        (0..100).map(|number| {
            let own = format!("k{number}");
            let keys: &[&str] = if number == 50 {
                &["taken", &own]
            } else {
                &[&own]
            };
            claiming(&format!("s{number}"), keys)
        }),
    )
    .await;
    for (number, answer) in answers.into_iter().enumerate() {
        if number == 50 {
            assert_eq!(answer, Err(taken("taken")));
        } else {
            answer.unwrap();
        }
    }
    assert_eq!(count(&database, "SELECT count(*) FROM claims").await, 100);
}

#[tokio::test]
async fn a_stream_may_claim_again_what_it_holds_and_keeps_it_when_it_loses() {
    let database = database().await;
    let store = open(&database).await;
    store.append(vec![claiming("a", &["mine"])]).await.unwrap();
    store
        .append(vec![claiming("b", &["theirs"])])
        .await
        .unwrap();
    let mut again = claiming("a", &["mine", "more"]);
    again.expected = 1;
    store.append(vec![again.clone()]).await.unwrap();

    again.expected = 2;
    again.claims.push("theirs".to_owned());
    assert_eq!(store.append(vec![again]).await, Err(taken("theirs")));
    for key in ["mine", "more"] {
        let other = store.append(vec![claiming("c", &[key])]).await;
        assert_eq!(other, Err(taken(key)));
    }
}

#[tokio::test]
async fn only_the_holder_releases() {
    let database = database().await;
    let store = open(&database).await;
    store.append(vec![claiming("a", &["k"])]).await.unwrap();
    store.append(vec![one("b", 0, json!(1))]).await.unwrap();
    let by_another = releasing("b", 1, &["k", "unknown"]);
    store.append(vec![by_another]).await.unwrap();
    assert_eq!(count(&database, "SELECT count(*) FROM claims").await, 1);
    let by_both = vec![releasing("a", 1, &["k"]), releasing("b", 2, &["k"])];
    store.append(by_both).await.unwrap();
    assert_eq!(count(&database, "SELECT count(*) FROM claims").await, 0);
}

#[tokio::test]
async fn one_key_cannot_be_claimed_twice_in_a_transaction() {
    let database = database().await;
    let store = open(&database).await;
    let twice = store
        .append(vec![claiming("a", &["k"]), claiming("b", &["k"])])
        .await;
    assert!(
        matches!(twice, Err(AppendError::Invalid { .. })),
        "{twice:?}"
    );
}
