//! Appends per second through the event store, without an inline projection, on a server that flushes.
//!
//! Baselines on the same server: pgbench committing single-row updates of separate rows, and the repository
//! of postgres-es inserting one event per transaction. Every writer appends to its own stream, except in
//! the comparison on hot streams, where writers meet on few streams and try again after a conflict.

mod postgres_es;

use std::collections::HashMap;
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use hyperfleet_event_store::{
    Append, AppendError, EventStore, EventStoreOptions, NewEvent, StreamId,
};
use serde_json::json;
use sqlx::postgres::{PgPool, PgPoolOptions};
use tempfile::NamedTempFile;

use super::figure::Figure;
use super::load::{Meter, per_second};
use crate::postgres::{self, Binaries, Durability, Server};
use crate::process;

const WRITERS: [usize; 3] = [1, 16, 64];
const HOT_WRITERS: usize = 64;
const HOT_STREAMS: u64 = 200;
const PGBENCH_SECONDS: &str = "4";
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
    sqlx::raw_sql(
        "CREATE TABLE bench (id int PRIMARY KEY, v bigint NOT NULL) WITH (fillfactor = 50);
         INSERT INTO bench SELECT id, 0 FROM generate_series(1, 1000) AS id;",
    )
    .execute(&pool)
    .await?;
    postgres_es::prepare(&pool).await?;
    migrate(&product).await?;
    let mut figures = Vec::new();
    for writers in WRITERS {
        let commits = pgbench(binaries, &baseline, writers)?;
        let rows = postgres_es::appends_per_second(&pool, writers).await?;
        let store = EventStore::open(EventStoreOptions::new(&product)).await?;
        let appends = own_streams(&store, writers).await?;
        figures.extend(compare(writers, commits, rows, appends));
        if writers == HOT_WRITERS {
            let (batches, events) = store.metrics().batches();
            let batches = f64::from(u32::try_from(batches)?);
            figures.push(Figure::new(
                format!("store: events per commit, {writers} writers"),
                events / batches,
                "events",
            ));
        }
    }
    figures.extend(hot(&product).await?);
    Ok(figures)
}

/// The figures of one number of writers.
fn compare(writers: usize, commits: f64, rows: f64, appends: f64) -> Vec<Figure> {
    let over_pgbench = Figure::new(
        format!("store over pgbench, {writers} writers"),
        appends,
        APPENDS,
    )
    .over(commits);
    let over_postgres_es = Figure::new(
        format!("store over postgres-es, {writers} writers"),
        appends,
        APPENDS,
    )
    .over(rows);
    let (over_pgbench, over_postgres_es) = match writers {
        1 => (over_pgbench.target(0.5), over_postgres_es),
        HOT_WRITERS => (over_pgbench.target(1.2), over_postgres_es.target(2.5)),
        _ => (over_pgbench, over_postgres_es),
    };
    vec![
        Figure::new(
            format!("baseline: pgbench, {writers} clients"),
            commits,
            "commits/s",
        ),
        Figure::new(
            format!("baseline: postgres-es, {writers} writers"),
            rows,
            APPENDS,
        ),
        over_pgbench,
        over_postgres_es,
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

/// Single-row commits per second, each client on its own row.
fn pgbench(binaries: &Binaries, url: &str, clients: usize) -> Result<f64> {
    let script = NamedTempFile::new()?;
    std::fs::write(
        &script,
        "UPDATE bench SET v = v + 1 WHERE id = :client_id + 1;\n",
    )?;
    let clients = clients.to_string();
    let threads = if clients == "1" { "1" } else { "2" };
    let mut pgbench = Command::new(binaries.program("pgbench"));
    pgbench
        .args(["-n", "-M", "prepared", "-T", PGBENCH_SECONDS])
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

async fn own_streams(store: &EventStore, writers: usize) -> Result<f64> {
    per_second(writers, |writer, meter| {
        let store = store.clone();
        async move {
            let stream = StreamId::new("bench", format!("own-{writers}-{writer}"));
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

/// Many writers on few streams: with group commit, and without.
async fn hot(url: &str) -> Result<Vec<Figure>> {
    let mut unbatched = EventStoreOptions::new(url);
    unbatched.maximum_batch = 1;
    let unbatched = EventStore::open(unbatched).await?;
    let without = hot_streams(&unbatched, "unbatched").await?;
    let batched = EventStore::open(EventStoreOptions::new(url)).await?;
    let with = hot_streams(&batched, "batched").await?;
    Ok(vec![
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
        .over(without)
        .target(0.8),
    ])
}

async fn hot_streams(store: &EventStore, name: &'static str) -> Result<f64> {
    per_second(HOT_WRITERS, |writer, meter| {
        let store = store.clone();
        async move { write_hot(&store, name, writer, &meter).await }
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
