//! The server dies under load, again and again; the network is cut under load.

use std::time::{Duration, Instant};

use hyperfleet_broker::Publisher as _;
use hyperfleet_test_support::{Cable, OwnRabbitMq, eventually, rabbitmq};
use lapin::{Connection, ConnectionProperties};

use crate::load::{Load, Result};
use crate::support::{DEADLINE, broker};

/// How often the server is killed; the chore that has time does it more often.
const KILLS: usize = 3;
const KILLS_VARIABLE: &str = "HYPERFLEET_TEST_KILLS";

/// Events before the first kill, some ten seconds: a quorum queue that RabbitMQ 3.10 made less than that before it was
/// killed comes back without a leader, and stays so until somebody has one elected.
const SETTLED: usize = 5000;

/// How soon both sides are to be back.
const RECOVERY: Duration = Duration::from_secs(5);

/// How much memory this process may take beyond what it had before the first outage.
const GROWTH: u64 = 128 * 1024 * 1024;

#[expect(
    clippy::disallowed_methods,
    reason = "tests have no configuration but their environment"
)]
fn kills() -> usize {
    let set = std::env::var(KILLS_VARIABLE).ok();
    set.map_or(KILLS, |kills| kills.parse().unwrap())
}

/// Bytes of memory that this process has, where the system tells it.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kibibytes = line.and_then(|line| line.trim().strip_suffix(" kB"));
    kibibytes.map_or(0, |figure| figure.trim().parse::<u64>().unwrap() * 1024)
}

/// Nothing was lost, which ending the load has shown; what came twice is what was under way at an outage.
fn assert_bounds(result: &Result, outages: usize) {
    println!("{outages} outages: {result:?}");
    assert!(result.confirmed > 200 * outages, "{result:?}");
    let duplicates = usize::try_from(result.duplicates).unwrap();
    assert!(duplicates <= 50 * outages, "{result:?}");
    // Five seconds of the deadline at 500 a second, and what a busy machine adds
    assert!(result.most_open < 4000, "{result:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn kills_of_the_server_lose_nothing_that_was_confirmed() {
    let Some(mut server) = OwnRabbitMq::start(None).await else {
        return;
    };
    // Given 500 events a second
    let broker = broker(&server.url());
    let load = Load::start(&broker).await;
    load.handles(SETTLED).await;
    let mut before = resident();
    let kills = kills();
    let mut slowest = Duration::ZERO;
    for kill in 0..kills {
        if kill == 1 {
            // What one outage took is taken again by the next ones
            before = resident();
        }
        // When the server is killed, health says so
        server.kill();
        broker.check().await.unwrap_err();
        // Then both sides are back soon after it is
        server.restart().await;
        eventually(DEADLINE, "the server", async || {
            Connection::connect(&server.url(), ConnectionProperties::default()).await
        })
        .await;
        let back = Instant::now();
        load.flows(RECOVERY).await;
        slowest = slowest.max(back.elapsed());
        eventually(RECOVERY, "health", async || broker.check().await).await;
        load.handles(300).await;
    }
    let grown = resident().saturating_sub(before);
    println!(
        "slowest recovery {slowest:?}, {} KiB more memory",
        grown / 1024
    );
    assert!(grown < GROWTH, "{grown} bytes more");
    assert_bounds(&load.end().await, kills);
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_cuts_under_load_lose_nothing_that_was_confirmed() {
    const CUTS: usize = 20;
    let Some(server) = rabbitmq() else { return };
    let cable = Cable::to(&server.host).await;
    let broker = broker(&server.url_at(&cable.address()));
    let load = Load::start(&broker).await;
    let before = resident();
    for _ in 0..CUTS {
        // When the network is cut, health says so
        cable.cut();
        eventually(DEADLINE, "bad health", async || {
            broker.check().await.is_err()
        })
        .await;
        // Then both sides are back soon after it is mended
        cable.mend();
        load.flows(RECOVERY).await;
        eventually(RECOVERY, "health", async || broker.check().await).await;
        load.handles(200).await;
    }
    let grown = resident().saturating_sub(before);
    assert!(grown < GROWTH, "{grown} bytes more");
    assert_bounds(&load.end().await, CUTS);
}
