//! Killed in the middle of writers that send keys: each request, sent again until it is answered, is
//! carried out exactly once.

use std::collections::BTreeMap;
use std::time::Duration;

use rand::Rng as _;
use serde_json::{Value, json};

use crate::dev::Dev;

const WRITERS: usize = 16;

/// Kills.
const ROUNDS: usize = 3;

/// Requests of one writer between two kills, if it comes to that.
const REQUESTS: usize = 60;

/// What a writer knows of a request: the id that it was answered with, if it was.
type Known = BTreeMap<String, Option<String>>;

#[tokio::test(flavor = "multi_thread")]
async fn a_keyed_request_is_carried_out_once_whatever_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let data_dir = folder.path().join("data");
    let mut known = Known::new();
    for round in 0..ROUNDS {
        let dev = Dev::start_api(&data_dir).await;
        settle(&dev, &mut known).await;
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| tokio::spawn(write(dev.url.clone(), round, writer)))
            .collect();
        let moment = Duration::from_millis(rand::rng().random_range(20..400));
        let _ = tokio::time::timeout(moment, std::future::pending::<()>()).await;
        dev.kill().await;
        for writer in writers {
            known.extend(writer.await.unwrap());
        }
    }
    let unanswered = known.values().filter(|id| id.is_none()).count();
    println!(
        "{} requests, {unanswered} without an answer at the last kill",
        known.len()
    );
    let dev = Dev::start_api(&data_dir).await;
    settle(&dev, &mut known).await;
    let list: Value =
        serde_json::from_str(&dev.ok(&["get", "clusters", "-o", "json"]).await).unwrap();
    let text = |item: &Value, member: &str| item[member].as_str().unwrap().to_owned();
    let stored: Vec<(String, String)> = list["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| (text(item, "name"), text(item, "id")))
        .collect();
    assert_eq!(stored.len(), known.len(), "each request has one effect");
    for (name, id) in stored {
        assert_eq!(known[&name].as_ref(), Some(&id), "{name}");
    }
    dev.stop().await;
}

/// Creates clusters until the server is gone.
async fn write(url: String, round: usize, writer: usize) -> Known {
    let http = reqwest::Client::new();
    let mut known = Known::new();
    for number in 0..REQUESTS {
        let name = format!("r{round}-w{writer}-{number}");
        let id = create(&http, &url, &name).await;
        let is_gone = id.is_none();
        known.insert(name, id);
        if is_gone {
            break;
        }
    }
    known
}

/// Sends every request again, answered or not: the answer is what it was, and never a conflict.
async fn settle(dev: &Dev, known: &mut Known) {
    let http = reqwest::Client::new();
    for (name, id) in known {
        let answered = create(&http, &dev.url, name).await;
        let answered = answered.expect("the server is there");
        assert_eq!(
            id.get_or_insert_with(|| answered.clone()),
            &answered,
            "{name}"
        );
    }
}

/// The id of the cluster; nothing when there was no answer.
async fn create(http: &reqwest::Client, url: &str, name: &str) -> Option<String> {
    let request = http
        .post(format!("{url}/api/hyperfleet/v1/clusters"))
        .header("idempotency-key", format!("create-{name}"))
        .json(&json!({"kind": "Cluster", "name": name, "spec": {}}));
    let answer = request.send().await.ok()?;
    let status = answer.status();
    let body: Value = answer.json().await.ok()?;
    // A server that is being killed may still say that its database went before it.
    if status == 503 {
        return None;
    }
    assert_eq!(status, 201, "{name}: {body}");
    Some(body["id"].as_str().unwrap().to_owned())
}
