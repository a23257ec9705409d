//! Rebuilding the resource view from a log, while the API is read.
//!
//! The log is made by copying the stream of one cluster that was reported on in turns, under other ids and
//! names. Reads come at a steady pace that the machine can take, before and meanwhile; the rebuild has threads of its
//! own, as it has a process of its own in production.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use axum::body::Bytes;
use axum::http::header::HOST;
use axum::http::{Request, StatusCode};
use http_body_util::Full;
use hyperfleet_api_types::BASE_PATH;
use hyperfleet_event_store::{EventStore, EventStoreOptions};
use hyperfleet_projections::InlineProjector;
use hyperfleet_projections::replay::{self, ReadModel, RebuildOptions};
use sqlx::postgres::PgPool;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::api::fleet::{self, Fleet};
use super::api::{client, product, serve};
use super::figure::{Figure, median, percentile};
use crate::postgres::{self, Durability, Server};

/// Reports on the cluster that is copied.
const REPORTS: usize = 8;

/// Copies made by one statement.
const SLICE: i64 = 2000;

/// Connections that read, and the time from one read of each to its next.
const READERS: usize = 4;
const PACE: Duration = Duration::from_millis(20);

/// How long reads are measured before.
const BEFORE: Duration = Duration::from_secs(8);

/// Events per second that a rebuild must reach on two cores.
const EVENTS_PER_SECOND: f64 = 20_000.0;

/// How much longer one read in a hundred may take meanwhile.
const SLOWER: f64 = 2.0;

const COPY: &str = "
WITH copied AS (
    SELECT number, aggregate_type, replace(aggregate_id, '-', 'c') || number AS id, sequence, event_type,
        event_version, replace(replace(payload::text, aggregate_id,
            replace(aggregate_id, '-', 'c') || number), '\"cluster-0\"', '\"copy-' || number || '\"')::jsonb
            AS payload, metadata, recorded_at, hash
    FROM events CROSS JOIN generate_series($1, $2) AS number WHERE aggregate_id = $3
), heads AS (
    INSERT INTO streams SELECT aggregate_type, id, max(sequence), '' FROM copied GROUP BY 1, 2
)
INSERT INTO live_events (aggregate_type, aggregate_id, sequence, event_type, event_version, payload,
    metadata, recorded_at, hash, position)
SELECT placed.*, nextval('event_position') FROM (
    SELECT aggregate_type, id, sequence, event_type, event_version, payload, metadata, recorded_at, hash
    FROM copied ORDER BY sequence, number
) AS placed";

/// Measures everything.
///
/// # Errors
/// When PostgreSQL is missing or fails, or a rebuild does not give what is live.
pub(super) fn run(events: u32) -> Result<Vec<Figure>> {
    let binaries = postgres::find().context(
        "PostgreSQL 14 or newer is missing; install it (Debian, Ubuntu: package `postgresql`)",
    )?;
    let server = Server::start(&binaries, Durability::Full)?;
    println!("{binaries}, fsync on, {events} events");
    let serving = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let shutdown = CancellationToken::new();
    let measured = serving.block_on(measure(server.url(), events, &shutdown));
    shutdown.cancel();
    measured
}

async fn measure(database: &str, events: u32, shutdown: &CancellationToken) -> Result<Vec<Figure>> {
    let pool = PgPool::connect(database).await?;
    hyperfleet_event_store::migrator().run(&pool).await?;
    let options = EventStoreOptions::new(database).projection(Arc::new(InlineProjector));
    let store = EventStore::open(options).await?;
    let total = fill(&store, i64::from(events)).await?;
    let alone = rebuild(database).await?;
    let address = serve(product::router(&store, shutdown)?, shutdown).await?;
    let ids = ids(&pool).await?;
    let done = Arc::new(AtomicBool::new(false));
    let before = {
        let (done, ids) = (Arc::clone(&done), Arc::clone(&ids));
        let reading = tokio::spawn(async move { read(address, &ids, &done).await });
        tokio::time::sleep(BEFORE).await;
        reading
    };
    done.store(true, Ordering::Relaxed);
    let before = before.await??;
    let done = Arc::new(AtomicBool::new(false));
    let reading = {
        let (done, ids) = (Arc::clone(&done), Arc::clone(&ids));
        tokio::spawn(async move { read(address, &ids, &done).await })
    };
    let meanwhile = rebuild(database).await?;
    done.store(true, Ordering::Relaxed);
    let during = reading.await??;
    Ok(figures(total, (alone, meanwhile), (&before, &during)))
}

/// Fills the log; returns how many events it has.
async fn fill(store: &EventStore, events: i64) -> Result<i64> {
    let pool = store.pool();
    let fleet = Fleet::seed(store, 1).await?;
    let id = fleet.ids.first().context("a cluster was created")?;
    fleet::report_in_turns(store, id, REPORTS).await?;
    let each: i64 = sqlx::query_scalar("SELECT count(*) FROM events WHERE aggregate_id = $1")
        .bind(id)
        .fetch_one(pool)
        .await?;
    let copies = events / each;
    let mut first = 1;
    while first <= copies {
        let last = copies.min(first + SLICE - 1);
        sqlx::query(COPY)
            .bind(first)
            .bind(last)
            .bind(id)
            .execute(pool)
            .await?;
        first = last + 1;
    }
    // As a server that has been running has it; else the first reads would write.
    for statement in ["VACUUM ANALYZE live_events", "CHECKPOINT"] {
        sqlx::raw_sql(statement).execute(pool).await?;
    }
    let total = sqlx::query_scalar("SELECT count(*) FROM events")
        .fetch_one(pool)
        .await?;
    println!("{copies} copies of a cluster with {each} events");
    Ok(total)
}

/// Rebuilds the resource view as the command does it: on connections of its own and on threads that yield.
async fn rebuild(database: &str) -> Result<Duration> {
    let database = database.to_owned();
    hyperfleet_runtime::background::run(move || async move {
        let pool = PgPool::connect(&database).await?;
        let started = Instant::now();
        let options = RebuildOptions::default();
        let rebuilt = replay::rebuild(&pool, ReadModel::ResourceView, &options).await?;
        ensure!(rebuilt.is_live, "the rebuild was not put in place");
        let took = started.elapsed();
        pool.close().await;
        Ok(took)
    })
    .await?
}

async fn ids(pool: &PgPool) -> Result<Arc<[String]>> {
    let ids: Vec<String> = sqlx::query_scalar("SELECT id FROM resources ORDER BY random()")
        .fetch_all(pool)
        .await?;
    Ok(ids.into())
}

/// Reads one resource after the other at a steady pace until told to stop; how long each took.
async fn read(
    server: SocketAddr,
    ids: &Arc<[String]>,
    done: &Arc<AtomicBool>,
) -> Result<Vec<Duration>> {
    let mut readers = JoinSet::new();
    for reader in 0..READERS {
        let (ids, done) = (Arc::clone(ids), Arc::clone(done));
        readers.spawn(async move {
            let mut sender = client::connect(server).await?;
            let mut times = Vec::new();
            let mut pace = tokio::time::interval(PACE);
            for number in 0.. {
                pace.tick().await;
                if done.load(Ordering::Relaxed) {
                    break;
                }
                let id = &ids[(reader + number * READERS) % ids.len()];
                let request = Request::get(format!("{BASE_PATH}/clusters/{id}"))
                    .header(HOST, "localhost")
                    .body(Full::<Bytes>::default())?;
                let started = Instant::now();
                client::answered(&mut sender, request, StatusCode::OK).await?;
                times.push(started.elapsed());
            }
            Ok::<_, anyhow::Error>(times)
        });
    }
    let mut times = Vec::new();
    while let Some(ended) = readers.join_next().await {
        times.extend(ended.context("a reader stopped")??);
    }
    times.sort_unstable();
    Ok(times)
}

fn figures(
    total: i64,
    (alone, meanwhile): (Duration, Duration),
    (before, during): (&[Duration], &[Duration]),
) -> Vec<Figure> {
    let rate = |took: Duration| {
        let total = u32::try_from(total).map_or(f64::INFINITY, f64::from);
        total / took.as_secs_f64()
    };
    let milliseconds = |times: &[Duration]| {
        let time = percentile(times, 99).unwrap_or_default();
        time.as_secs_f64() * 1000.0
    };
    let latency = |name: &str, times: &[Duration], read: &dyn Fn(&[Duration]) -> f64| {
        Figure::lower(name, read(times), "ms")
    };
    let middle = |times: &[Duration]| median(times.iter().map(|time| time.as_secs_f64() * 1000.0));
    let (p99_before, p99_during) = (milliseconds(before), milliseconds(during));
    vec![
        Figure::new("rebuild, nobody reads", rate(alone), "events/s").target(EVENTS_PER_SECOND),
        Figure::new("rebuild, with readers", rate(meanwhile), "events/s").target(EVENTS_PER_SECOND),
        latency("baseline: GET one before, p50", before, &middle),
        latency("baseline: GET one before, p99", before, &milliseconds),
        latency("GET one meanwhile, p50", during, &middle),
        latency("GET one meanwhile, p99", during, &milliseconds)
            .ratio(p99_during / p99_before)
            .target(SLOWER),
        latency("GET one meanwhile, longest", during, &|times| {
            times.last().copied().unwrap_or_default().as_secs_f64() * 1000.0
        }),
    ]
}
