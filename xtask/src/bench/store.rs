//! Appends per second through the event store, without an inline projection, on a server that flushes.
//!
//! Baselines on the same server: pgbench, and the repository of postgres-es, each inserting the same event, one
//! per transaction. Every writer appends to its own stream, except in
//! the comparison on hot streams, where writers meet on few streams and try again after a conflict.

mod postgres_es;

use std::collections::{BTreeMap, HashMap};
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use hyperfleet_event_store::{
    Append, AppendError, EventStore, EventStoreOptions, NewEvent, StreamId,
};
use serde_json::json;
use sqlx::postgres::{PgPool, PgPoolOptions};
use tempfile::NamedTempFile;

use super::figure::{Figure, median};
use super::load::{Meter, per_second};
use crate::postgres::{self, Binaries, Durability, Server};
use crate::process;

/// How often everything is measured.
const ROUNDS: usize = 3;

const WRITERS: [usize; 3] = [1, 16, 64];
const HOT_WRITERS: usize = 64;
const HOT_STREAMS: u64 = 200;
const PGBENCH_SECONDS: &str = "3";
const APPENDS: &str = "appends/s";

/// With as many connections as writers, the baseline never waits for one.
const BASELINE_CONNECTIONS: u32 = 64;

/// Measures everything.
///
/// # Errors
/// When PostgreSQL is missing or fails.
pub(super) fn run() -> Result<Vec<Figure>> {
    let binaries = postgres::find().context(
        "PostgreSQL 14 or newer is missing; install it (Debian, Ubuntu: package `postgresql`)",
    )?;
    let server = Server::start(&binaries, Durability::Full)?;
    println!("{binaries}, fsync on");
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?
        .block_on(measure(&binaries, server.url()))
}

async fn measure(binaries: &Binaries, server: &str) -> Result<Vec<Figure>> {
    let baseline = create_database(server, "baseline").await?;
    let product = create_database(server, "product").await?;
    let pool = PgPoolOptions::new()
        .max_connections(BASELINE_CONNECTIONS)
        .test_before_acquire(false)
        .connect(&baseline)
        .await?;
    postgres_es::prepare(&pool).await?;
    migrate(&product).await?;
    let mut rounds: BTreeMap<usize, Vec<Round>> = BTreeMap::new();
    let mut hot_rounds = Vec::new();
    for round in 0..ROUNDS {
        for writers in WRITERS {
            let commits = pgbench(binaries, &baseline, round, writers)?;
            let rows = postgres_es::appends_per_second(&pool, round, writers).await?;
            let store = EventStore::open(EventStoreOptions::new(&product)).await?;
            let appends = own_streams(&store, round, writers).await?;
            let (batches, events) = store.metrics().batches();
            rounds.entry(writers).or_default().push(Round {
                commits,
                rows,
                appends,
                events_per_commit: events / f64::from(u32::try_from(batches)?),
            });
        }
        hot_rounds.push(hot(&product, round).await?);
    }
    let mut figures = Vec::new();
    for (writers, rounds) in rounds {
        figures.extend(compare(writers, &rounds));
    }
    figures.extend(compare_hot(&hot_rounds));
    Ok(figures)
}

/// What one number of writers did in one round.
struct Round {
    commits: f64,
    rows: f64,
    appends: f64,
    events_per_commit: f64,
}

/// The figures of one number of writers. A ratio is the median of the rounds' ratios: what is compared ran
/// within seconds of each other, so a machine that slows down for a while does not tilt it.
fn compare(writers: usize, rounds: &[Round]) -> Vec<Figure> {
    let figure = |name: String, unit, read: fn(&Round) -> f64| {
        Figure::new(name, median(rounds.iter().map(read)), unit)
    };
    let over_pgbench = figure(
        format!("store over pgbench, {writers} writers"),
        APPENDS,
        |round| round.appends,
    )
    .ratio(median(
        rounds.iter().map(|round| round.appends / round.commits),
    ));
    let over_postgres_es = figure(
        format!("store over postgres-es, {writers} writers"),
        APPENDS,
        |round| round.appends,
    )
    .ratio(median(
        rounds.iter().map(|round| round.appends / round.rows),
    ));
    let (over_pgbench, over_postgres_es) = match writers {
        HOT_WRITERS => (over_pgbench.target(1.2), over_postgres_es.target(2.5)),
        _ => (over_pgbench, over_postgres_es),
    };
    vec![
        figure(
            format!("baseline: pgbench, {writers} clients"),
            "commits/s",
            |round| round.commits,
        ),
        figure(
            format!("baseline: postgres-es, {writers} writers"),
            APPENDS,
            |round| round.rows,
        ),
        over_pgbench,
        over_postgres_es,
        figure(
            format!("store: events per commit, {writers} writers"),
            "events",
            |round| round.events_per_commit,
        ),
    ]
}

async fn create_database(server: &str, name: &str) -> Result<String> {
    let pool = PgPool::connect(server).await?;
    sqlx::raw_sql(&format!("CREATE DATABASE {name}"))
        .execute(&pool)
        .await?;
    pool.close().await;
    let (address, _) = server
        .rsplit_once('/')
        .context("the server's URL names no database")?;
    Ok(format!("{address}/{name}"))
}

async fn migrate(url: &str) -> Result<()> {
    let pool = PgPool::connect(url).await?;
    hyperfleet_event_store::migrator().run(&pool).await?;
    pool.close().await;
    Ok(())
}

/// Single-row commits per second: the event that the others append, inserted by the quickest client there
/// is, each client into its own stream.
fn pgbench(binaries: &Binaries, url: &str, round: usize, clients: usize) -> Result<f64> {
    let script = NamedTempFile::new()?;
    let event = event();
    let insert = format!(
        "\\set sequence :sequence + 1\n\
         INSERT INTO events VALUES ('pgbench', '{round}-{clients}-' || :client_id, :sequence, '{}', '{}', '{}', '{}');\n",
        event.event_type, event.event_version, event.payload, event.metadata,
    );
    std::fs::write(&script, insert)?;
    let clients = clients.to_string();
    let threads = if clients == "1" { "1" } else { "2" };
    let mut pgbench = Command::new(binaries.program("pgbench"));
    pgbench
        .args(["-n", "-M", "prepared", "-T", PGBENCH_SECONDS])
        .args(["-D", "sequence=0"])
        .args(["-c", &clients, "-j", threads, "-f"])
        .arg(script.path())
        .arg(url);
    let printed =
        process::output(&mut pgbench).context("pgbench is part of PostgreSQL's packages")?;
    let rate = printed
        .lines()
        .find_map(|line| line.strip_prefix("tps = ")?.split(' ').next()?.parse().ok());
    rate.with_context(|| format!("pgbench printed no rate:\n{printed}"))
}

fn event() -> NewEvent {
    NewEvent {
        event_type: "hyperfleet.resource.spec_changed".to_owned(),
        event_version: "1".to_owned(),
        payload: json!({"spec": {"replicas": 3, "region": "europe-west1"}, "generation": 2}),
        metadata: json!({"actor": "bench", "command": "patch"}),
    }
}

async fn own_streams(store: &EventStore, round: usize, writers: usize) -> Result<f64> {
    per_second(writers, |writer, meter| {
        let store = store.clone();
        async move {
            let stream = StreamId::new("bench", format!("own-{round}-{writers}-{writer}"));
            let mut version = 0;
            while !meter.is_over() {
                let append = Append::events(stream.clone(), version, vec![event()]);
                version = store.append(vec![append]).await?.versions[0];
                meter.success();
            }
            Ok(())
        }
    })
    .await
}

/// Many writers on few streams: without group commit, and with.
async fn hot(url: &str, round: usize) -> Result<(f64, f64)> {
    let mut unbatched = EventStoreOptions::new(url);
    unbatched.maximum_batch = 1;
    let unbatched = EventStore::open(unbatched).await?;
    let without = hot_streams(&unbatched, format!("unbatched-{round}")).await?;
    let batched = EventStore::open(EventStoreOptions::new(url)).await?;
    let with = hot_streams(&batched, format!("batched-{round}")).await?;
    Ok((without, with))
}

fn compare_hot(rounds: &[(f64, f64)]) -> [Figure; 2] {
    let without = median(rounds.iter().map(|(without, _)| *without));
    let with = median(rounds.iter().map(|(_, with)| *with));
    let ratio = median(rounds.iter().map(|(without, with)| with / without));
    [
        Figure::new(
            format!("baseline: unbatched, {HOT_STREAMS} hot streams"),
            without,
            APPENDS,
        ),
        Figure::new(
            format!("store over unbatched, {HOT_STREAMS} hot streams"),
            with,
            APPENDS,
        )
        .ratio(ratio)
        .target(0.8),
    ]
}

async fn hot_streams(store: &EventStore, name: String) -> Result<f64> {
    per_second(HOT_WRITERS, |writer, meter| {
        let (store, name) = (store.clone(), name.clone());
        async move { write_hot(&store, &name, writer, &meter).await }
    })
    .await
}

async fn write_hot(store: &EventStore, name: &str, writer: usize, meter: &Meter) -> Result<()> {
    let mut random = u64::try_from(writer)? + 1;
    let mut versions: HashMap<u64, u64> = HashMap::new();
    while !meter.is_over() {
        let index = next(&mut random) % HOT_STREAMS;
        let stream = StreamId::new("bench", format!("hot-{name}-{index}"));
        let version = versions.entry(index).or_default();
        loop {
            let append = Append::events(stream.clone(), *version, vec![event()]);
            match store.append(vec![append]).await {
                Ok(committed) => {
                    *version = committed.versions[0];
                    meter.success();
                    break;
                }
                Err(AppendError::Conflict { actual, .. }) => *version = actual,
                Err(error) => bail!(error),
            }
        }
    }
    Ok(())
}

/// Xorshift: the same choices in every run.
fn next(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}
