//! `hyperfleet demo --exit`, with the built-in example and with the user's own file and database.

use std::time::{Duration, Instant};

use tokio::process::Command;

use crate::dev::{cluster_file, hyperfleet};

/// The bar is 15 s on an idle machine; a test machine runs other tests beside.
const PATIENCE: Duration = Duration::from_secs(90);

async fn demo(arguments: &[&str]) -> String {
    run(&mut hyperfleet(), arguments).await
}

pub(crate) async fn run(hyperfleet: &mut Command, arguments: &[&str]) -> String {
    let started = Instant::now();
    let output = hyperfleet
        .args([
            "demo",
            "--exit",
            "--port",
            "0",
            "--health-port",
            "0",
            "--metrics-port",
            "0",
            "--timeout",
            "80",
        ])
        .args(arguments)
        .output()
        .await
        .unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    assert!(
        output.status.success(),
        "{printed}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(started.elapsed() < PATIENCE, "took {:?}", started.elapsed());
    printed
}

#[tokio::test]
async fn the_demo_shows_a_cluster_and_a_node_pool_become_reconciled() {
    shows_everything_reconciled(&demo(&[]).await);
}

#[tokio::test]
async fn the_demo_runs_the_same_on_pubsub() {
    let Some(project) = hyperfleet_test_support::pubsub_project() else {
        return;
    };
    // Another broker is another URL, and nothing else
    let broker = format!("pubsub://{}?create=true", project.project_id);
    let mut hyperfleet = hyperfleet();
    hyperfleet.env("PUBSUB_EMULATOR_HOST", &project.host);
    let printed = run(&mut hyperfleet, &["--broker", &broker]).await;
    shows_everything_reconciled(&printed);
}

#[tokio::test]
async fn the_demo_runs_the_same_on_rabbitmq() {
    let Some(server) = hyperfleet_test_support::rabbitmq() else {
        return;
    };
    let printed = demo(&["--broker", &server.url()]).await;
    shows_everything_reconciled(&printed);
}

pub(crate) fn shows_everything_reconciled(printed: &str) {
    for adapter in ["validation", "dns", "placement", "pullsecret", "hypershift"] {
        let line = format!("cluster/demo-eu-1      {adapter}");
        assert!(
            printed
                .lines()
                .any(|shown| shown.contains('✓') && shown.contains(&line)),
            "{adapter}: {printed}"
        );
    }
    for resource in ["cluster/demo-eu-1", "nodepool/workers"] {
        let reconciled = |shown: &str| {
            shown.contains('✓') && shown.contains(resource) && shown.contains("Reconciled     True")
        };
        assert!(printed.lines().any(reconciled), "{resource}: {printed}");
    }
    assert!(
        printed.contains("audit timeline of Cluster demo-eu-1"),
        "{printed}"
    );
    assert!(printed.contains("resource.created"), "{printed}");
}

#[tokio::test]
async fn the_demo_takes_the_users_file_and_database_and_finds_them_again() {
    let folder = tempfile::tempdir().unwrap();
    let file = cluster_file(folder.path(), "mine-1");
    let database = hyperfleet_test_support::database().await;
    let data_dir = folder.path().join("data");
    let arguments = [
        "--file",
        file.to_str().unwrap(),
        "--database-url",
        &database.url,
        "--data-dir",
        data_dir.to_str().unwrap(),
    ];
    let first = demo(&arguments).await;
    assert!(first.contains("created cluster/mine-1"), "{first}");
    let second = demo(&arguments).await;
    assert!(second.contains("found cluster/mine-1"), "{second}");
}
