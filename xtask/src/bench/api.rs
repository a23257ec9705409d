//! The API over HTTP: reads, searches and writes per second on keep-alive connections, on a server that
//! flushes.
//!
//! The baseline of a read is a bare handler that runs the product's own statement on a pool of the same size
//! and answers with the stored JSON as it is, served the same way. What the product adds is everything else: layers,
//! decoding, the resource as users see it. Reads are measured before writes, so that every round reads the same fleet.

mod bare;
pub(super) mod client;
pub(super) mod fleet;
pub(super) mod product;
pub(super) mod scenario;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result};
use axum::Router;
use hyperfleet_event_store::{EventStore, EventStoreOptions};
use sqlx::postgres::{PgPool, PgPoolOptions};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

use self::client::Measured;
use self::fleet::Fleet;
use self::scenario::Scenario;
use super::DEFAULT_CLUSTERS;
use super::figure::{Figure, median};
use crate::postgres::{self, Durability, Server};

/// How often everything is measured.
const ROUNDS: usize = 3;

const CONNECTIONS: [usize; 3] = [1, 10, 64];

/// How much of the bare handler's rate a read must reach.
const SHARE_OF_BARE: f64 = 0.5;

/// Lists per second at [`LIST_CONNECTIONS`] with [`DEFAULT_CLUSTERS`].
const LISTS_PER_SECOND: f64 = 2400.0;
const LIST_CONNECTIONS: usize = 10;

/// Measures everything.
///
/// # Errors
/// When PostgreSQL is missing or fails, or an answer is not the expected one.
pub(super) fn run(clusters: u32) -> Result<Vec<Figure>> {
    let binaries = postgres::find().context(
        "PostgreSQL 14 or newer is missing; install it (Debian, Ubuntu: package `postgresql`)",
    )?;
    let server = Server::start(&binaries, Durability::Full)?;
    println!("{binaries}, fsync on, {clusters} clusters");
    let serving = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let bench = serving.block_on(Bench::start(server.url(), clusters))?;
    let measured = bench.measure(&serving);
    bench.shutdown.cancel();
    Ok(figures(clusters, &measured?))
}

/// By the order of measuring: what was measured, at how many connections, in each round.
type Rounds = BTreeMap<(usize, usize), Vec<Round>>;

/// What one scenario did at one number of connections in one round.
struct Round {
    product: Measured,
    bare: Option<Measured>,
}

/// The running servers and the fleet that they serve.
struct Bench {
    fleet: Fleet,
    product: SocketAddr,
    bare: SocketAddr,
    shutdown: CancellationToken,
}

impl Bench {
    async fn start(database: &str, clusters: u32) -> Result<Self> {
        let pool = PgPool::connect(database).await?;
        hyperfleet_event_store::migrator().run(&pool).await?;
        let options = EventStoreOptions::new(database)
            .projection(std::sync::Arc::new(hyperfleet_projections::InlineProjector));
        let connections = options.read_connections;
        let store = EventStore::open(options).await?;
        let fleet = Fleet::seed(&store, clusters).await?;
        sqlx::raw_sql("ANALYZE").execute(&pool).await?;
        pool.close().await;
        let bare_pool = PgPoolOptions::new()
            .max_connections(connections)
            .test_before_acquire(false)
            .connect(database)
            .await?;
        let shutdown = CancellationToken::new();
        let product = serve(product::router(&store, &shutdown)?, &shutdown).await?;
        let bare = serve(bare::router(bare_pool), &shutdown).await?;
        Ok(Self {
            fleet,
            product,
            bare,
            shutdown,
        })
    }

    /// Requests come from this thread, so that a busy server does not count late.
    fn measure(&self, serving: &Runtime) -> Result<Rounds> {
        let client = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        // Tasks of the servers run on their own threads meanwhile.
        let _guard = serving.enter();
        let mut rounds = Rounds::new();
        for scenarios in [Scenario::READS.as_slice(), &Scenario::WRITES] {
            for _ in 0..ROUNDS {
                for connections in CONNECTIONS {
                    for scenario in scenarios {
                        let round = client.block_on(self.round(*scenario, connections))?;
                        let key = (scenario.place(), connections);
                        rounds.entry(key).or_default().push(round);
                    }
                }
            }
        }
        Ok(rounds)
    }

    async fn round(&self, scenario: Scenario, connections: usize) -> Result<Round> {
        let requests = scenario.requests(&self.fleet, connections);
        let bare = if scenario.has_bare_handler() {
            Some(client::measure(self.bare, &requests).await?)
        } else {
            None
        };
        let product = client::measure(self.product, &requests).await?;
        Ok(Round { product, bare })
    }
}

/// Serves on a free port, as the product does, and returns where.
///
/// # Errors
/// When there is no free port.
pub(super) async fn serve(router: Router, shutdown: &CancellationToken) -> Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let shutdown = shutdown.clone();
    tokio::spawn(hyperfleet_runtime::http::serve(
        listener,
        router,
        shutdown,
        Duration::ZERO,
    ));
    Ok(address)
}

fn figures(clusters: u32, rounds: &Rounds) -> Vec<Figure> {
    let mut figures = Vec::new();
    for ((place, connections), rounds) in rounds {
        let scenario = Scenario::at(*place);
        figures.extend(compare(scenario, *connections, rounds));
        let is_absolute = scenario == Scenario::List
            && *connections == LIST_CONNECTIONS
            && clusters == DEFAULT_CLUSTERS;
        if is_absolute {
            let rate = median(rounds.iter().map(|round| round.product.per_second));
            let name = format!("{}, {connections} connections, as a value", scenario.name());
            figures.push(Figure::new(name, rate, "requests/s").target(LISTS_PER_SECOND));
        }
    }
    figures
}

/// The figures of one scenario at one number of connections.
fn compare(scenario: Scenario, connections: usize, rounds: &[Round]) -> Vec<Figure> {
    let name = format!("{}, {connections} connections", scenario.name());
    let mut figures = Vec::new();
    let rate = median(rounds.iter().map(|round| round.product.per_second));
    let mut figure = Figure::new(name.clone(), rate, "requests/s");
    let bare: Vec<(f64, f64)> = rounds
        .iter()
        .filter_map(|round| Some((round.bare.as_ref()?.per_second, round.product.per_second)))
        .collect();
    if !bare.is_empty() {
        let rate = median(bare.iter().map(|(bare, _)| *bare));
        figures.push(Figure::new(
            format!("baseline: bare {name}"),
            rate,
            "requests/s",
        ));
        let ratio = median(bare.iter().map(|(bare, product)| product / bare));
        figure = figure.ratio(ratio).target(SHARE_OF_BARE);
    }
    figures.push(figure);
    let latency = |read: fn(&Measured) -> f64, which: &str| {
        let milliseconds = median(rounds.iter().map(|round| read(&round.product)));
        Figure::lower(format!("{name}, {which}"), milliseconds, "ms")
    };
    figures.push(latency(|measured| measured.p50_milliseconds, "p50"));
    figures.push(latency(|measured| measured.p99_milliseconds, "p99"));
    figures
}
