//! `hyperfleet broker check`, and brokers that a file describes.

use std::path::PathBuf;
use std::process::Output;

use hyperfleet_broker::rabbitmq::{RabbitMqBroker, RabbitMqOptions};
use hyperfleet_broker::{Subscriber as _, Subscription};
use serde_json::Value;

use crate::demo::{run, shows_everything_reconciled};
use crate::dev::hyperfleet;
use crate::replay::ended;

const CHECK: [&str; 6] = [
    "broker",
    "check",
    "--topic",
    "clusters",
    "--subscription",
    "dns-adapter",
];

async fn check(broker: &str, more: &[&str]) -> Output {
    let mut hyperfleet = hyperfleet();
    hyperfleet.args(CHECK).args(more);
    hyperfleet.env("HYPERFLEET_BROKER", broker);
    hyperfleet.output().await.unwrap()
}

/// The states that a check found, in order.
fn states(output: &Output) -> Vec<String> {
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    let checks = document["checks"].as_array().unwrap();
    let in_order = checks.iter().all(|check| check["problem"] == false);
    assert_eq!(document["in_order"], in_order, "{document}");
    assert_eq!(output.status.success(), in_order, "{document}");
    let state = |check: &Value| check["state"].as_str().unwrap().to_owned();
    checks.iter().map(state).collect()
}

#[tokio::test]
async fn a_check_of_rabbitmq_tells_what_is_missing_and_what_is_wrong() {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let Some(server) = hyperfleet_test_support::rabbitmq() else {
        return;
    };
    let url = server.url();
    // Given a server on which nothing was started yet
    let output = check(&url, &[]).await;
    ended(
        &output,
        1,
        &[
            "missing",
            "exchange clusters",
            "queue clusters-dns-adapter-dlq",
        ],
    );
    let output = check(&url, &["-o", "json"]).await;
    assert_eq!(states(&output), ["exists", "missing", "missing", "missing"]);
    // When a subscription was declared, all is in order
    let broker = RabbitMqBroker::new(RabbitMqOptions::from_url(&url).unwrap());
    let subscription = Subscription::new("clusters", "dns-adapter");
    broker.declare(&subscription).await.unwrap();
    let output = check(&url, &["-o", "json"]).await;
    assert_eq!(states(&output), ["exists"; 4]);
    // But not for somebody who wants another type of exchange
    let other = check(&format!("{url}?exchange_type=fanout"), &["-o", "json"]).await;
    assert_eq!(states(&other), ["exists", "wrong", "exists", "exists"]);
    // And the password is never shown
    let shown = String::from_utf8(output.stdout).unwrap();
    assert!(!shown.contains("guest:guest"), "{shown}");
}

#[tokio::test]
async fn a_check_tells_which_permission_fails() {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let Some(server) = hyperfleet_test_support::rabbitmq() else {
        return;
    };
    let broker = RabbitMqBroker::new(RabbitMqOptions::from_url(&server.url()).unwrap());
    let subscription = Subscription::new("clusters", "dns-adapter");
    broker.declare(&subscription).await.unwrap();
    // Given a user who may do everything but one thing
    for (configure, write, read, permission) in [
        ("", ".*", ".*", "lacks configure"),
        (".*", "", ".*", "lacks write or read"),
        (".*", ".*", "", "lacks read"),
    ] {
        let url = server.url_of_user(configure, write, read);
        let output = check(&url, &[]).await;
        ended(&output, 1, &["denied", permission]);
    }
}

#[tokio::test]
async fn a_check_of_pubsub_tells_how_to_create_what_is_missing() {
    let Some(project) = hyperfleet_test_support::pubsub_project() else {
        return;
    };
    let broker = format!("pubsub://{}", project.project_id);
    let mut hyperfleet = hyperfleet();
    hyperfleet.env("PUBSUB_EMULATOR_HOST", &project.host);
    hyperfleet.args(CHECK).args(["--broker", &broker]);
    let output = hyperfleet.output().await.unwrap();
    ended(
        &output,
        1,
        &["missing", "gcloud pubsub topics create clusters"],
    );
}

#[tokio::test]
async fn without_a_broker_a_check_says_how_to_name_one() {
    let mut hyperfleet = hyperfleet();
    let output = hyperfleet.args(CHECK).output().await.unwrap();
    assert!(!output.status.success());
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.contains("--broker URL, HYPERFLEET_BROKER or BROKER_CONFIG_FILE"),
        "{said}"
    );
    // And nobody answers where nobody is
    let output = check("amqp://guest:secret@127.0.0.1:1", &["-o", "json"]).await;
    assert_eq!(states(&output), ["unreachable"]);
    let shown = String::from_utf8(output.stdout).unwrap();
    assert!(!shown.contains("secret"), "{shown}");
}

fn file(folder: &tempfile::TempDir, text: &str) -> PathBuf {
    let path = folder.path().join("broker.yaml");
    std::fs::write(&path, text).unwrap();
    path
}

#[tokio::test]
async fn the_demo_runs_the_same_on_a_broker_that_a_file_describes() {
    let Some(server) = hyperfleet_test_support::rabbitmq() else {
        return;
    };
    // Given the file of existing peers, whose URL a variable gives
    let folder = tempfile::tempdir().unwrap();
    let text = "broker:\n  type: rabbitmq\n  rabbitmq: {url: '', exchange_type: topic, prefetch_count: 10}\n";
    let mut hyperfleet = hyperfleet();
    hyperfleet.env("BROKER_CONFIG_FILE", file(&folder, text));
    hyperfleet.env("BROKER_RABBITMQ_URL", server.url());
    // Then everything runs on it
    let printed = run(&mut hyperfleet, &[]).await;
    shows_everything_reconciled(&printed);
}

#[tokio::test]
async fn sentinels_take_the_broker_file_and_refuse_what_peers_refuse() {
    let folder = tempfile::tempdir().unwrap();
    let text = "broker: {type: rabbitmq, rabbitmq: {url: 'amqp://mq', exchange_type: x}}";
    let path = file(&folder, text);
    let mut hyperfleet = hyperfleet();
    hyperfleet.arg("sentinel").env("BROKER_CONFIG_FILE", &path);
    let output = hyperfleet.output().await.unwrap();
    assert!(!output.status.success());
    let said = String::from_utf8(output.stderr).unwrap();
    for text in [
        path.display().to_string().as_str(),
        "failed to load config: invalid configuration",
        "rabbitmq.exchange_type must be one of: direct, fanout, topic, headers",
    ] {
        assert!(said.contains(text), "{text}: {said}");
    }
}
