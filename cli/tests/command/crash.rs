//! Killed at random moments while clusters are provisioned, and started again on the same data: every
//! acknowledged write is there, every cluster becomes reconciled, and log and read models agree.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use rand::{Rng as _, SeedableRng as _};
use serde_json::Value;

use crate::dev::{Dev, cluster_file, hyperfleet};

const CLUSTERS: usize = 20;

/// Kills in the ordinary suite; `cargo xtask crash --rounds N` asks for more.
const ROUNDS: usize = 3;

/// How many kills, and from which seed.
#[expect(
    clippy::disallowed_methods,
    reason = "how `cargo xtask crash` says how much"
)]
fn plan() -> (usize, u64) {
    let number = |name| {
        std::env::var(name)
            .ok()
            .and_then(|value| value.parse().ok())
    };
    let rounds = number("HYPERFLEET_CRASH_ROUNDS").and_then(|rounds| usize::try_from(rounds).ok());
    (
        rounds.unwrap_or(ROUNDS),
        number("HYPERFLEET_CRASH_SEED").unwrap_or_else(rand::random),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_acknowledged_is_lost_and_everything_converges() {
    let (rounds, seed) = plan();
    println!("{rounds} rounds, HYPERFLEET_CRASH_SEED={seed}");
    let mut random = rand::rngs::StdRng::seed_from_u64(seed);
    let folder = tempfile::tempdir().unwrap();
    let data_dir = folder.path().join("data");
    let mut acknowledged: BTreeSet<String> = BTreeSet::new();
    for round in 0..rounds {
        let dev = Dev::start(&data_dir).await;
        let names = listed(&dev).await;
        let lost: Vec<&String> = acknowledged.difference(&names).collect();
        assert!(lost.is_empty(), "round {round}: lost {lost:?}");
        acknowledged = names;
        let moment = Duration::from_millis(random.random_range(0..1500));
        // The moment comes while creating, or while adapters work on what was created.
        let _ = tokio::time::timeout(moment, create(&dev, folder.path(), &mut acknowledged)).await;
        dev.kill().await;
    }
    let dev = Dev::start(&data_dir).await;
    converge(&dev, folder.path()).await;
    dev.stop().await;
    let verify = ["replay", "verify", "--data-dir"];
    let verified = hyperfleet()
        .args(verify)
        .arg(&data_dir)
        .output()
        .await
        .unwrap();
    let report = String::from_utf8_lossy(&verified.stdout).into_owned();
    let complaint = String::from_utf8_lossy(&verified.stderr);
    assert!(verified.status.success(), "{report}{complaint}");
    println!("{report}");
}

async fn listed(dev: &Dev) -> BTreeSet<String> {
    let list: Value =
        serde_json::from_str(&dev.ok(&["get", "clusters", "-o", "json"]).await).unwrap();
    let items = list["items"].as_array().unwrap();
    items
        .iter()
        .map(|item| item["name"].as_str().unwrap().to_owned())
        .collect()
}

/// Creates what is missing, then waits for the end.
async fn create(dev: &Dev, folder: &Path, acknowledged: &mut BTreeSet<String>) {
    while acknowledged.len() < CLUSTERS {
        let name = format!("crash-{:02}", acknowledged.len());
        let file = cluster_file(folder, &name);
        let output = dev.run(&["create", "-f", file.to_str().unwrap()]).await;
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        acknowledged.insert(name);
    }
    std::future::pending::<()>().await;
}

async fn converge(dev: &Dev, folder: &Path) {
    for index in 0..CLUSTERS {
        let file = cluster_file(folder, &format!("crash-{index:02}"));
        // A create whose answer the kill swallowed may have happened: then the name is taken.
        let output = dev.run(&["create", "-f", file.to_str().unwrap()]).await;
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success() || complaint.contains("already exists"),
            "{complaint}"
        );
    }
    for index in 0..CLUSTERS {
        dev.ok(&[
            "wait",
            "cluster",
            &format!("crash-{index:02}"),
            "--timeout",
            "120",
        ])
        .await;
    }
}
