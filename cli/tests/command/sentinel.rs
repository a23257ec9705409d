//! Sentinels as a role of their own, and the commands that look at what they do.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use hyperfleet_test_support::{TestDatabase, database, eventually, rabbitmq};
use serde_json::Value;
use tokio::process::Child;

use crate::dev::{Dev, cluster_file, hyperfleet};

const DEADLINE: Duration = Duration::from_secs(30);

/// A port that is free now.
fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// A sentinel, and the addresses of its health and metrics servers.
fn start(database: &TestDatabase, broker: &str, arguments: &[&str]) -> (Child, String, String) {
    let (health, metrics) = (free_port(), free_port());
    let process = hyperfleet()
        .arg("sentinel")
        .args(["--health-port", &health.to_string()])
        .args(["--metrics-port", &metrics.to_string()])
        .args(arguments)
        .env("HYPERFLEET_DATABASE_URL", &database.url)
        .env("HYPERFLEET_BROKER", broker)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let url = |port| format!("http://127.0.0.1:{port}");
    (process, url(health), url(metrics))
}

/// Status and body of an answer; 0 when there is none.
async fn get(url: &str, path: &str) -> (u16, String) {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    match reqwest::get(format!("{url}{path}")).await {
        Ok(answer) => (answer.status().as_u16(), answer.text().await.unwrap()),
        Err(error) => (0, error.to_string()),
    }
}

async fn sentinel(database: &TestDatabase, arguments: &[&str]) -> (bool, String) {
    let output = hyperfleet()
        .arg("sentinel")
        .args(arguments)
        .env("HYPERFLEET_DATABASE_URL", &database.url)
        .output()
        .await
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(said).unwrap())
}

async fn explained(database: &TestDatabase, name: &str) -> Value {
    let (_, said) = sentinel(database, &["explain", "cluster", name, "-o", "json"]).await;
    serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}"))
}

fn shipped() -> String {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..");
    let file = root.join("deploy/sentinels/clusters.yaml");
    file.to_str().unwrap().to_owned()
}

/// What `explain` says of a cluster that was published, and that nobody answers for.
async fn explains_itself(database: &TestDatabase) {
    let (_, text) = sentinel(database, &["explain", "cluster", "eu-1"]).await;
    for part in [
        "cluster/eu-1",
        "not_reconciled: true",
        "sentinel       hyperfleet-sentinel-clusters",
        "next pulses",
    ] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
    // The curve of a cluster that nobody answers for: 10 s, twice as long each time, at most 2 min.
    let curve = explained(database, "eu-1").await;
    let times: Vec<chrono::DateTime<chrono::Utc>> = curve["pulses"]
        .as_array()
        .unwrap()
        .iter()
        .map(|pulse| pulse["time"].as_str().unwrap().parse().unwrap())
        .collect();
    let pauses: Vec<i64> = times
        .windows(2)
        .map(|pair| (pair[1] - pair[0]).num_seconds())
        .collect();
    assert!(
        pauses
            .windows(2)
            .all(|pair| pair[1] > pair[0] || pair[1] >= 107),
        "{pauses:?}"
    );
    assert!(
        pauses.iter().all(|pause| (9..=120).contains(pause)),
        "{pauses:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sentinel_on_rabbitmq_says_how_it_is_and_what_it_does() {
    let Some(server) = rabbitmq() else { return };
    let (folder, database) = (tempfile::tempdir().unwrap(), database().await);
    let dev = Dev::start_api_on(&database.url).await;
    let file = cluster_file(folder.path(), "eu-1");
    dev.ok(&["create", "-f", file.to_str().unwrap()]).await;
    // Before any runs, it is explained what is missing.
    let before = explained(&database, "eu-1").await;
    assert_eq!(before["decision"]["reason"], "new generation");
    assert_eq!(before["sentinels"], Value::Array(Vec::new()));
    assert!(before["state"].as_str().unwrap().starts_with("due for"));
    let broker = format!("{}?tolerate_no_subscription=true", server.url());
    let (mut process, health, metrics) = start(&database, &broker, &["-c", &shipped()]);
    eventually(DEADLINE, "it is ready", async || {
        let (status, body) = get(&health, "/readyz").await;
        let expected = r#"{"checks":{"broker":"ok","sentinel_poll":"ok"},"status":"ok"}"#;
        if status == 200 && body.trim() == expected {
            Ok(())
        } else {
            Err(format!("{status} {body}"))
        }
    })
    .await;
    assert_eq!(get(&health, "/healthz").await.0, 200);
    eventually(DEADLINE, "the cluster is published", async || {
        let now = explained(&database, "eu-1").await;
        if now["last_published_generation"] == 1 {
            Ok(())
        } else {
            Err(now.to_string())
        }
    })
    .await;
    let (_, told) = get(&metrics, "/metrics").await;
    for name in [
        "hyperfleet_sentinel_build_info",
        "hyperfleet_sentinel_events_published_total",
        "hyperfleet_sentinel_unselected_resources",
        "process_resident_memory_bytes",
    ] {
        assert!(told.contains(name), "{name} is not in {told}");
    }
    explains_itself(&database).await;
    let pid = process.id().unwrap().to_string();
    let sent = std::process::Command::new("kill")
        .args(["-TERM", &pid])
        .status();
    assert!(sent.unwrap().success());
    let ended = tokio::time::timeout(DEADLINE, process.wait()).await;
    assert!(ended.expect("it ends in time").unwrap().success());
    let registered: i64 = sqlx::query_scalar("SELECT count(*) FROM sentinels")
        .fetch_one(&database.pool)
        .await
        .unwrap();
    assert_eq!(registered, 0, "it says that it has ended");
    dev.stop().await;
}

async fn complains(database: &TestDatabase, policy: &str) {
    for (arguments, complaint) in [
        (
            &["explain", "cluster", "nosuch"][..],
            "no Cluster named \"nosuch\"",
        ),
        (
            &["explain", "nosuch", "eu-1"],
            "there are: clusters, nodepools",
        ),
        (
            &["explain", "nodepool", "eu-1", "-c", policy],
            "is for clusters, not for nodepools",
        ),
        (
            &["dry-run", "-c", "/nowhere.yaml"],
            "cannot read /nowhere.yaml",
        ),
        (&[], "--broker URL"),
    ] {
        let (is_well, said) = sentinel(database, arguments).await;
        assert!(
            !is_well && said.contains(complaint),
            "{arguments:?}: {said}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_is_tried_and_what_nobody_selects_is_listed() {
    let (folder, database) = (tempfile::tempdir().unwrap(), database().await);
    let dev = Dev::start_api_on(&database.url).await;
    for name in ["eu-1", "eu-2"] {
        let file = cluster_file(folder.path(), name);
        dev.ok(&["create", "-f", file.to_str().unwrap()]).await;
    }
    dev.ok(&[
        "patch",
        "cluster",
        "eu-2",
        "-p",
        r#"{"labels":{"region":"asia"}}"#,
    ])
    .await;
    let policy = folder.path().join("policy.yaml");
    let text = "clients: {broker: {topic: t}}\nresource_type: clusters\n\
                resource_selector: [{label: region, value: asia}]\n\
                policy: [{name: always, when: 'true', interval: 30s}]\nmessage_data: {id: resource.id}\n";
    std::fs::write(&policy, text).unwrap();
    let policy = policy.to_str().unwrap();
    let (is_well, said) = sentinel(&database, &["dry-run", "-c", policy, "-o", "json"]).await;
    assert!(is_well, "{said}");
    let tried: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(
        (&tried["selected"], &tried["not_selected"]),
        (&1.into(), &1.into())
    );
    assert_eq!(tried["by_rule"]["always"], 1);
    assert_eq!(tried["published"][0]["name"], "eu-2");
    assert_eq!(
        tried["published"][0]["data"]["id"],
        tried["published"][0]["id"]
    );
    let (_, said) = sentinel(&database, &["dry-run", "-c", policy]).await;
    assert!(
        said.contains("1 clusters selected, 1 not; 1 would be published now"),
        "{said}"
    );
    let (_, said) = sentinel(&database, &["unselected"]).await;
    assert!(
        said.contains("every resource that was due is selected"),
        "{said}"
    );
    sqlx::query("UPDATE reconcile_queue SET priority = 4, due_time = now() - interval '1 hour'")
        .execute(&database.pool)
        .await
        .unwrap();
    let (_, said) = sentinel(&database, &["unselected", "clusters"]).await;
    assert!(
        said.contains("eu-1") && said.contains("region=asia"),
        "{said}"
    );
    complains(&database, policy).await;
    dev.stop().await;
}
