//! Two processes run the projections of one database; the one at work is stopped, or killed.

use std::time::{Duration, Instant};

use hyperfleet_event_store::catch_up::TAKE_OVER;
use hyperfleet_test_support::{TestDatabase, database, eventually};
use serde_json::json;

use crate::dev::Dev;

const DEADLINE: Duration = Duration::from_secs(30);

fn signal(name: &str, pid: u32) {
    let sent = std::process::Command::new("kill")
        .args([name, &pid.to_string()])
        .status()
        .unwrap();
    assert!(sent.success());
}

/// Creates a cluster through a process that lives.
async fn create(dev: &Dev, name: &str) {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let url = format!("{}/api/hyperfleet/v1/clusters", dev.url);
    let document = json!({"kind": "Cluster", "name": name, "spec": {}});
    let answer = reqwest::Client::new().post(url).json(&document).send();
    assert_eq!(answer.await.unwrap().status(), 201);
}

/// Waits until the projection has passed everything that is in the log now, and says how long that took.
async fn until_caught_up(database: &TestDatabase) -> Duration {
    let since = Instant::now();
    eventually(DEADLINE, "the projection has caught up", async || {
        let behind: bool = sqlx::query_scalar(
            "SELECT coalesce((SELECT max(position) FROM events)
                 > (SELECT position FROM checkpoints WHERE name = 'fleet_summary'), true)",
        )
        .fetch_one(&database.pool)
        .await
        .unwrap();
        !behind
    })
    .await;
    since.elapsed()
}

/// The process that applied the last batch.
async fn runner(database: &TestDatabase) -> u32 {
    let runner: String =
        sqlx::query_scalar("SELECT runner FROM checkpoints WHERE name = 'fleet_summary'")
            .fetch_one(&database.pool)
            .await
            .unwrap();
    runner.rsplit(' ').next().unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn another_process_takes_over_within_three_seconds() {
    let database = database().await;
    let (one, other) = (
        Dev::start_api_on(&database.url).await,
        Dev::start_api_on(&database.url).await,
    );
    for round in 0..6 {
        create(&one, &format!("before-{round}")).await;
        until_caught_up(&database).await;
        let stopped = runner(&database).await;
        let (working, standing_by) = if stopped == one.pid() {
            (&one, &other)
        } else {
            (&other, &one)
        };
        // Stopped at any moment, with a batch or without.
        let during = format!("during-{round}");
        let creating = create(standing_by, &during);
        let stopping = async { signal("-STOP", working.pid()) };
        tokio::join!(creating, stopping);
        create(standing_by, &format!("after-{round}")).await;
        let took = until_caught_up(&database).await;
        signal("-CONT", working.pid());
        assert!(took <= TAKE_OVER, "round {round}: {took:?}");
    }
    let killed = runner(&database).await;
    let (killed, left) = if killed == one.pid() {
        (one, other)
    } else {
        (other, one)
    };
    killed.kill().await;
    create(&left, "the-end").await;
    let took = until_caught_up(&database).await;
    assert!(took <= TAKE_OVER, "{took:?}");
    let counted: i64 = sqlx::query_scalar(
        "SELECT count FROM fleet_summary WHERE kind = 'Cluster' AND measure = 'lifecycle'",
    )
    .fetch_one(&database.pool)
    .await
    .unwrap();
    assert_eq!(counted, 6 * 3 + 1, "each is counted once");
    left.stop().await;
}
