//! Watches over HTTP: many watchers, a steady rate of changes, on a server that flushes.
//!
//! Every watcher notes the position of each event; afterwards its notes are compared with the log, so a figure is
//! only printed when nothing was missing and nothing came twice. The time is that from the answer to the writer,
//! when the change is committed, to the event's last byte at the client. Measured twice: every watcher on all
//! clusters, which is the most that can be delivered, and each on one of 50 shards by a search.

mod client;
mod writers;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use hyperfleet_event_store::{EventStore, EventStoreOptions};
use sqlx::postgres::PgPool;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use self::client::Noted;
use self::writers::Change;
use super::api::{fleet::Fleet, product, serve};
use super::figure::{Figure, percentile};
use crate::postgres::{self, Durability, Server};

/// What is measured.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    pub(super) clusters: u32,
    pub(super) watchers: usize,
    /// Changes per second.
    pub(super) rate: u32,
    pub(super) duration: Duration,
}

/// Greatest time from commit to client at the 99th percentile, in milliseconds.
const TARGET: f64 = 100.0;

/// Values of the label `shard` in the fleet.
const SHARDS: usize = 50;

/// How long what was committed may take to arrive before it counts as missing.
const PATIENCE: Duration = Duration::from_mins(1);

/// What a watcher watches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Share {
    All,
    OneShard,
}

impl Share {
    fn name(self) -> &'static str {
        match self {
            Self::All => "each watching all clusters",
            Self::OneShard => "each watching one shard of 50",
        }
    }

    fn shard(self, watcher: usize) -> Option<usize> {
        (self == Self::OneShard).then_some(watcher % SHARDS)
    }
}

/// Measures everything.
///
/// # Errors
/// When PostgreSQL is missing or fails, or a watcher missed something or got it twice.
pub(super) fn run(plan: Plan) -> Result<Vec<Figure>> {
    let binaries = postgres::find().context(
        "PostgreSQL 14 or newer is missing; install it (Debian, Ubuntu: package `postgresql`)",
    )?;
    let server = Server::start(&binaries, Durability::Full)?;
    println!(
        "{binaries}, fsync on, {} clusters, {} watchers, {} changes/s for {} s",
        plan.clusters,
        plan.watchers,
        plan.rate,
        plan.duration.as_secs()
    );
    let serving = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    // Clients have threads of their own, so that a busy server does not count late.
    let clients = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    let shutdown = CancellationToken::new();
    let bench = serving.block_on(Bench::start(server.url(), plan, &shutdown))?;
    let mut figures = Vec::new();
    for share in [Share::OneShard, Share::All] {
        figures.extend(clients.block_on(bench.measure(share))?);
    }
    shutdown.cancel();
    Ok(figures)
}

struct Bench {
    plan: Plan,
    store: EventStore,
    fleet: Fleet,
    address: SocketAddr,
}

impl Bench {
    async fn start(database: &str, plan: Plan, shutdown: &CancellationToken) -> Result<Self> {
        let pool = PgPool::connect(database).await?;
        hyperfleet_event_store::migrator().run(&pool).await?;
        let options = EventStoreOptions::new(database)
            .projection(Arc::new(hyperfleet_projections::InlineProjector));
        let store = EventStore::open(options).await?;
        let fleet = Fleet::seed(&store, plan.clusters).await?;
        sqlx::raw_sql("ANALYZE").execute(&pool).await?;
        pool.close().await;
        let address = serve(product::router(&store, shutdown)?, shutdown).await?;
        Ok(Self {
            plan,
            store,
            fleet,
            address,
        })
    }

    async fn measure(&self, share: Share) -> Result<Vec<Figure>> {
        let begun = self.store.head().await?;
        let mut watchers = JoinSet::new();
        let end = Arc::new(std::sync::OnceLock::new());
        let (ready, mut all_ready) = tokio::sync::mpsc::channel(self.plan.watchers);
        for watcher in 0..self.plan.watchers {
            let (ready, end, address) = (ready.clone(), Arc::clone(&end), self.address);
            let shard = share.shard(watcher);
            watchers.spawn(async move { client::watch(address, shard, &ready, &end).await });
        }
        for _ in 0..self.plan.watchers {
            all_ready.recv().await.context("a watcher stopped")?;
        }
        let changes = writers::write(&self.store, &self.fleet, self.plan, begun).await?;
        let changes = writers::placed(&self.store, begun, changes).await?;
        let last = changes.last().map_or(begun, |change| change.position);
        end.set(last).ok();
        let mut times = Vec::new();
        let arriving = async {
            while let Some(ended) = watchers.join_next().await {
                let noted = ended.context("a watcher stopped")??;
                compare(&noted, &changes, &mut times)?;
            }
            anyhow::Ok(())
        };
        let arrived = tokio::time::timeout(PATIENCE, arriving).await;
        arrived.context("not everything arrived in time")??;
        Ok(self.figures(share, changes.len(), times))
    }

    fn figures(&self, share: Share, changes: usize, mut times: Vec<Duration>) -> Vec<Figure> {
        times.sort_unstable();
        let milliseconds = |hundredths: usize| {
            percentile(&times, hundredths).map_or(f64::NAN, |time| time.as_secs_f64() * 1000.0)
        };
        let name = format!("{} watchers, {}", self.plan.watchers, share.name());
        let number = |what: &str, count: usize, unit| {
            let count = u32::try_from(count).unwrap_or(u32::MAX);
            Figure::new(format!("{name}, {what}"), f64::from(count), unit)
        };
        let time = |what: &str, hundredths| {
            Figure::lower(format!("{name}, {what}"), milliseconds(hundredths), "ms")
        };
        vec![
            number("changes", changes, "changes"),
            number("delivered, none missing or twice", times.len(), "events"),
            time("commit to client p50", 50),
            time("commit to client p99", 99).target(TARGET),
        ]
    }
}

/// Adds the times of what a watcher got, which is exactly what it should have got.
fn compare(noted: &Noted, changes: &[Change], times: &mut Vec<Duration>) -> Result<()> {
    let expected = changes
        .iter()
        .filter(|change| noted.shard.is_none_or(|shard| shard == change.shard));
    let mut events = noted.events.iter();
    for change in expected {
        let got = events.next();
        ensure!(
            got.is_some_and(|(position, _)| *position == change.position),
            "a watcher of {:?} should have got position {} and got {:?}",
            noted.shard,
            change.position,
            got.map(|(position, _)| position)
        );
        if let Some((_, arrived)) = got {
            times.push(arrived.saturating_duration_since(change.committed));
        }
    }
    ensure!(events.next().is_none(), "a watcher got more than there was");
    Ok(())
}

/// What the time of an event is measured by.
type Moment = Instant;

#[cfg(test)]
mod tests {
    use super::*;

    /// A short run in whatever build this is; its figures say nothing, that it ends says that every watcher
    /// got what it should.
    #[test]
    fn every_watcher_gets_every_change() {
        let plan = Plan {
            clusters: 100,
            watchers: 20,
            rate: 100,
            duration: Duration::from_secs(1),
        };
        if postgres::find().is_none() {
            return;
        }
        for figure in run(plan).expect("no watcher misses anything") {
            println!("{figure}");
        }
    }
}
