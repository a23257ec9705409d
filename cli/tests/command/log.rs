//! `hyperfleet log`: old parts of the log are put aside and brought back under a running API.

use std::process::Output;

use hyperfleet_event_store::partitions;
use serde_json::Value;

use crate::dev::hyperfleet;
use crate::replay::{Fleet, ended, ok};

async fn log(fleet: &Fleet, arguments: &[&str]) -> Output {
    hyperfleet()
        .arg("log")
        .args(arguments)
        .args(["--database-url", &fleet.database.url])
        .output()
        .await
        .unwrap()
}

/// What a fleet answers about its past.
async fn past(fleet: &Fleet) -> Vec<Value> {
    let mut answers = Vec::new();
    for path in [
        "history".to_owned(),
        format!("clusters/{}/history", fleet.cluster),
        format!("clusters/{}?version=1", fleet.cluster),
        format!("clusters/{}", fleet.cluster),
    ] {
        let url = format!("{}/api/hyperfleet/v1/{path}", fleet.dev.url);
        let answer = reqwest::get(url).await.unwrap();
        assert!(answer.status().is_success(), "{path}: {answer:?}");
        answers.push(answer.json().await.unwrap());
    }
    answers
}

#[tokio::test]
async fn old_parts_of_the_log_are_put_aside_and_brought_back() {
    // Given a fleet whose log has a complete partition
    let fleet = Fleet::start().await;
    let pool = &fleet.database.pool;
    assert!(partitions::keep_room(pool, 4).await.unwrap());
    fleet.until_caught_up().await;
    let listed = log(&fleet, &["partitions"]).await;
    ended(&listed, 0, &["events_from_0", "(open)", "live"]);
    let change = serde_json::json!({"spec": {"a": 3}});
    let path = format!("clusters/{}", fleet.cluster);
    fleet.send(reqwest::Method::PATCH, &path, &change).await;
    fleet.until_caught_up().await;
    let before = past(&fleet).await;
    // When it is put aside
    let dry = log(
        &fleet,
        &["archive", "--partition", "events_from_0", "--dry-run"],
    )
    .await;
    ended(&dry, 0, &["events_from_0 would be archived"]);
    let early = log(&fleet, &["archive", "--before", "1d ago"]).await;
    ended(&early, 0, &["no complete partition is that old"]);
    let now = log(&fleet, &["archive", "--before", "now"]).await;
    ended(
        &now,
        0,
        &["events_from_0 is archived; its events stay readable"],
    );
    // Then everything about the past is as it was, and proofs hold,
    assert_eq!(past(&fleet).await, before);
    let listed = ok(&log(&fleet, &["partitions", "-o", "json"]).await)
        .stdout
        .clone();
    let listed: Value = serde_json::from_slice(&listed).unwrap();
    assert_eq!(listed["partitions"][0]["state"], "archived");
    assert!(listed["partitions"][0]["events"].as_u64() > Some(3));
    ok(&fleet.replay(&["verify", "--chains"]).await);
    // and it comes back.
    let again = log(&fleet, &["archive", "--partition", "events_from_0"]).await;
    ended(&again, 1, &["events_from_0 is archived already"]);
    let dry = log(&fleet, &["restore", "events_from_0", "--dry-run"]).await;
    ended(&dry, 0, &["events_from_0 would be brought back"]);
    let back = log(&fleet, &["restore", "events_from_0"]).await;
    ended(&back, 0, &["events_from_0 is live again"]);
    assert_eq!(past(&fleet).await, before);
    for (arguments, words) in [
        (vec!["archive"], "--partition <NAME>|--before <TIME>"),
        (
            vec!["archive", "--partition", "x"],
            "there is no partition \"x\"",
        ),
        (vec!["archive", "--before", "soon"], "soon"),
        (vec!["restore", "events_from_0"], "is live already"),
    ] {
        let refused = log(&fleet, &arguments).await;
        assert_ne!(refused.status.code(), Some(0));
        ended(&refused, refused.status.code().unwrap(), &[words]);
    }
    fleet.stop().await;
}
