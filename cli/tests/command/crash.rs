//! Killed at random moments while clusters are provisioned, and started again on the same data: every
//! acknowledged write is there, every cluster becomes reconciled, and log and read models agree.

use std::collections::BTreeSet;
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
        let listed: Value =
            serde_json::from_str(&dev.ok(&["get", "clusters", "-o", "json"]).await).unwrap();
        let names: BTreeSet<String> = listed["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|item| item["name"].as_str().unwrap().to_owned())
            .collect();
        assert!(
            acknowledged.is_subset(&names),
            "round {round}: lost {:?}",
            acknowledged.difference(&names)
        );
        acknowledged = names;
        let moment = Duration::from_millis(random.random_range(0..1500));
        let creating = async {
            while acknowledged.len() < CLUSTERS {
                let name = format!("crash-{:02}", acknowledged.len());
                let file = cluster_file(folder.path(), &name);
                let output = dev.run(&["create", "-f", file.to_str().unwrap()]).await;
                assert!(
                    output.status.success(),
                    "{}",
                    String::from_utf8_lossy(&output.stderr)
                );
                acknowledged.insert(name);
            }
            std::future::pending::<()>().await;
        };
        let _ = tokio::time::timeout(moment, creating).await;
        dev.kill().await;
    }
    let dev = Dev::start(&data_dir).await;
    for index in 0..CLUSTERS {
        let name = format!("crash-{index:02}");
        let file = cluster_file(folder.path(), &name);
        // A create whose answer the kill swallowed may have happened: then the name is taken.
        let output = dev.run(&["create", "-f", file.to_str().unwrap()]).await;
        assert!(
            output.status.success()
                || String::from_utf8_lossy(&output.stderr).contains("already exists")
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
    dev.stop().await;
    let verified = hyperfleet()
        .args(["replay", "verify", "--data-dir"])
        .arg(&data_dir)
        .output()
        .await
        .unwrap();
    let report = String::from_utf8_lossy(&verified.stdout).into_owned();
    assert!(
        verified.status.success(),
        "{report}{}",
        String::from_utf8_lossy(&verified.stderr)
    );
    println!("{report}");
}
