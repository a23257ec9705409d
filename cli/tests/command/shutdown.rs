//! Asked to end in the middle of writers: every request that was begun is answered, and every
//! acknowledged write is there after the next start.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hyperfleet_test_support::eventually;
use serde_json::{Value, json};

use crate::dev::Dev;

const WRITERS: usize = 64;

/// Far longer than they take.
const DEADLINE: Duration = Duration::from_mins(1);

/// Acknowledged writes before the end is asked for.
const BEFORE: usize = 200;

#[derive(Debug, Default)]
struct Written {
    acknowledged: Vec<String>,
    /// Requests that were sent and got no answer.
    cut_off: Vec<String>,
}

#[tokio::test(flavor = "multi_thread")]
async fn sixty_four_writers_lose_nothing_at_shutdown() {
    let folder = tempfile::tempdir().unwrap();
    let data_dir = folder.path().join("data");
    let dev = Dev::start_api(&data_dir).await;
    let url = format!("{}/api/hyperfleet/v1/clusters", dev.url);
    let answered = Arc::new(AtomicUsize::new(0));
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| tokio::spawn(write(url.clone(), writer, Arc::clone(&answered))))
        .collect();
    eventually(DEADLINE, "enough acknowledged writes", async || {
        answered.load(Ordering::Relaxed) >= BEFORE
    })
    .await;
    dev.stop().await;
    let mut acknowledged = BTreeSet::new();
    for writer in writers {
        let written = writer.await.unwrap();
        assert!(written.cut_off.is_empty(), "{:?}", written.cut_off);
        acknowledged.extend(written.acknowledged);
    }
    assert!(acknowledged.len() >= BEFORE);
    let dev = Dev::start_api(&data_dir).await;
    let list: Value =
        serde_json::from_str(&dev.ok(&["get", "clusters", "-o", "json"]).await).unwrap();
    let items = list["items"].as_array().unwrap().iter();
    let stored: BTreeSet<String> = items
        .map(|item| item["name"].as_str().unwrap().to_owned())
        .collect();
    let lost: Vec<_> = acknowledged.difference(&stored).collect();
    assert!(lost.is_empty(), "{lost:?}");
    dev.stop().await;
}

/// Creates clusters, each over a connection of its own, until nobody listens any more.
async fn write(url: String, writer: usize, answered: Arc<AtomicUsize>) -> Written {
    let http = reqwest::Client::builder()
        .pool_max_idle_per_host(0)
        .build()
        .unwrap();
    let mut written = Written::default();
    for number in 0.. {
        let name = format!("w{writer}-{number}");
        let body = json!({"kind": "Cluster", "name": name, "spec": {}});
        match http.post(&url).json(&body).send().await {
            Ok(answer) if answer.status() == 201 => {
                written.acknowledged.push(name);
                answered.fetch_add(1, Ordering::Relaxed);
            }
            Ok(answer) => written.cut_off.push(format!("{name}: {}", answer.status())),
            Err(error) if error.is_connect() => break,
            Err(error) => {
                written.cut_off.push(format!("{name}: {error:?}"));
                break;
            }
        }
    }
    written
}
