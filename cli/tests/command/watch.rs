//! Watches of a real server: printed by `get -w`, ended with the server, and gone on with after it was
//! killed.

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use hyperfleet_api_types::client::{Client, Collection, Watch, WatchEvent, WatchOptions};
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::ChildStdout;

use crate::dev::{Dev, cluster_file, hyperfleet};

const DEADLINE: Duration = Duration::from_mins(1);

async fn create(dev: &Dev, folder: &Path, name: &str) {
    let file = cluster_file(folder, name);
    dev.ok(&["create", "-f", file.to_str().unwrap()]).await;
}

/// The names of the next clusters that are added.
async fn added(watch: &mut Watch, count: usize) -> Vec<String> {
    let mut names = Vec::new();
    let collecting = async {
        while names.len() < count {
            match watch.next().await.unwrap() {
                WatchEvent::Added(cluster) => names.push(cluster.name),
                WatchEvent::Bookmark { .. } => {}
                other => panic!("{other:?}"),
            }
        }
    };
    let in_time = tokio::time::timeout(DEADLINE, collecting).await;
    assert!(in_time.is_ok(), "{names:?}");
    names
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_goes_on_where_it_was_after_the_server_was_killed() {
    let folder = tempfile::tempdir().unwrap();
    let data_dir = folder.path().join("data");
    let mut dev = Dev::start_api(&data_dir).await;
    let port = dev.url.rsplit(':').next().unwrap().to_owned();
    let client = Client::new(&dev.url).unwrap();
    let clusters = Collection::of("clusters");
    create(&dev, folder.path(), "before").await;
    let mut watch = client.watch(&clusters, &WatchOptions::default());
    assert_eq!(added(&mut watch, 1).await, ["before"]);
    for round in 0..2 {
        let names = [1, 2, 3].map(|number| format!("r{round}-{number}"));
        create(&dev, folder.path(), &names[0]).await;
        assert_eq!(added(&mut watch, 1).await, names[..1]);
        // Written while nobody reads, and then the server is gone.
        create(&dev, folder.path(), &names[1]).await;
        dev.kill().await;
        dev = Dev::start_api_on_port(&data_dir, &port).await;
        create(&dev, folder.path(), &names[2]).await;
        assert_eq!(added(&mut watch, 2).await, names[1..]);
    }
    assert!(watch.position().is_some());
    dev.stop().await;
}

async fn line(lines: &mut Lines<BufReader<ChildStdout>>) -> String {
    let line = tokio::time::timeout(DEADLINE, lines.next_line()).await;
    line.expect("a line in time").unwrap().expect("a line")
}

#[tokio::test(flavor = "multi_thread")]
async fn get_w_prints_what_there_is_and_what_changes_and_holds_up_no_shutdown() {
    let folder = tempfile::tempdir().unwrap();
    let dev = Dev::start_api(&folder.path().join("data")).await;
    create(&dev, folder.path(), "one").await;
    let mut processes = Vec::new();
    let mut start = |arguments: &[&str]| {
        let mut process = hyperfleet()
            .args(["get", "clusters", "-o", "name"])
            .args(arguments)
            .env("HYPERFLEET_SERVER", &dev.url)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        processes.push(process);
        lines
    };
    let mut all = start(&["-w", "--sort-by", "name"]);
    let mut one = start(&["one", "-w"]);
    let mut selected = start(&["-w", "-l", "turn=2"]);
    assert_eq!(line(&mut all).await, "cluster/one");
    assert_eq!(line(&mut one).await, "cluster/one");
    create(&dev, folder.path(), "two").await;
    assert_eq!(line(&mut all).await, "cluster/two");
    let patch = r#"{"labels":{"turn":"2"}}"#;
    dev.ok(&["patch", "cluster", "one", "-p", patch]).await;
    assert_eq!(line(&mut all).await, "cluster/one");
    assert_eq!(line(&mut selected).await, "cluster/one");
    let delete = ["delete", "cluster", "one", "--force", "--reason", "x"];
    dev.ok(&delete).await;
    for lines in [&mut one, &mut selected] {
        let mut last = line(lines).await;
        while last == "cluster/one" {
            last = line(lines).await;
        }
        assert_eq!(last, "cluster/one removed");
    }
    let gone = ["wait", "cluster", "two", "--for=delete", "--timeout", "1"];
    assert!(dev.fails(&gone).await.contains("it still exists"));
    let started = Instant::now();
    dev.stop().await;
    let took = started.elapsed();
    assert!(took < Duration::from_secs(15), "the end took {took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn events_w_prints_what_is_recorded_and_history_w_ends_with_its_resource() {
    let folder = tempfile::tempdir().unwrap();
    let dev = Dev::start_api(&folder.path().join("data")).await;
    create(&dev, folder.path(), "one").await;
    let id = dev.ok(&["get", "cluster", "one", "-o", "json"]).await;
    let id: serde_json::Value = serde_json::from_str(&id).unwrap();
    let id = id["id"].as_str().unwrap();
    let mut processes = Vec::new();
    let mut start = |arguments: &[&str]| {
        let mut process = hyperfleet()
            .args(arguments)
            .env("HYPERFLEET_SERVER", &dev.url)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        processes.push(process);
        lines
    };
    let mut events = start(&["events", "-w", "-n", "1", "--kind", "cluster"]);
    let mut lines = start(&["events", "-w", "-o", "ndjson", "--type", "spec_changed"]);
    let mut one = start(&[
        "history",
        "cluster",
        id,
        "-w",
        "--type",
        "created",
        "--type",
        "force_removed",
    ]);
    assert!(line(&mut events).await.starts_with("TIME"));
    assert!(line(&mut events).await.contains("cluster/one"));
    assert!(line(&mut one).await.starts_with("TIME"));
    assert!(line(&mut one).await.contains("resource.created"));
    let patch = r#"{"spec":{"replicas":7}}"#;
    dev.ok(&["patch", "cluster", "one", "-p", patch]).await;
    let mut next = line(&mut events).await;
    while !next.contains("spec_changed") {
        next = line(&mut events).await;
    }
    let entry: serde_json::Value = serde_json::from_str(&line(&mut lines).await).unwrap();
    assert_eq!(entry["generation"], 2);
    let delete = ["delete", "cluster", "one", "--force", "--reason", "x"];
    dev.ok(&delete).await;
    assert!(line(&mut one).await.contains("force_removed"));
    let end = tokio::time::timeout(DEADLINE, one.next_line()).await;
    assert_eq!(end.unwrap().unwrap(), None, "nothing comes after it");
    let refused = ["events", "-w", "--outcome", "refused"];
    assert!(dev.fails(&refused).await.contains("cannot be used with"));
    dev.stop().await;
}
