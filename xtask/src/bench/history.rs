//! Histories and past states over a long log: how long each answer takes, through every layer of the API.
//!
//! The log is made by the database itself: streams of 20 events with valid payloads, interleaved, recorded over
//! the last day. Requests come one after the other, at random resources and times, so that a latency is that of
//! the work and not of waiting.

mod log;

use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use http_body_util::BodyExt as _;
use hyperfleet_api_types::BASE_PATH;
use hyperfleet_event_store::{EventStore, EventStoreOptions};
use sqlx::PgPool;
use tower::ServiceExt as _;

use self::log::Log;
use super::api::product;
use super::figure::{Figure, percentile};
use crate::postgres::{self, Durability, Server};

/// The greatest latency of 99 in 100 answers, in milliseconds.
const TARGET_MILLISECONDS: f64 = 50.0;

/// Requests of each kind. One in a hundred of them is ten: few enough for a minute in all.
const REQUESTS: u32 = 1000;

/// Requests before those that count.
const WARM_UP: u32 = 50;

/// What is asked: the name of the figure, and the path below the base path.
type Scenario = (&'static str, fn(&Log, u32) -> String);

const SCENARIOS: [Scenario; 8] = [
    ("one cluster, now", |log, number| {
        format!("clusters/{}", log.cluster(number))
    }),
    ("one cluster ?at=", |log, number| {
        format!("clusters/{}?at={}", log.cluster(number), log.time(number))
    }),
    ("one cluster ?version=", |log, number| {
        format!(
            "clusters/{}?version={}",
            log.cluster(number),
            number % 20 + 1
        )
    }),
    ("list of 20 ?at=", |log, number| {
        format!("clusters?at={}", log.time(number))
    }),
    ("timeline of one cluster", |log, number| {
        format!("clusters/{}/history?size=100", log.cluster(number))
    }),
    ("fleet history, newest 20", |_, _| {
        "history?order=desc".to_owned()
    }),
    ("fleet history, 20 from a time", |log, number| {
        format!("history?from={}", log.time(number))
    }),
    ("fleet history, 20 of an actor and a type", |log, number| {
        format!(
            "history?actor=user-{}&type=spec_changed&kind=Cluster&from={}",
            number % 100,
            log.time(number)
        )
    }),
];

/// Measures everything.
///
/// # Errors
/// When PostgreSQL is missing or fails, or an answer is not the expected one.
pub(super) fn run(events: u32) -> Result<Vec<Figure>> {
    let binaries = postgres::find().context(
        "PostgreSQL 14 or newer is missing; install it (Debian, Ubuntu: package `postgresql`)",
    )?;
    // Only reads are measured.
    let server = Server::start(&binaries, Durability::None)?;
    println!("{binaries}, {events} events");
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?
        .block_on(measure(server.url(), events))
}

async fn measure(database: &str, events: u32) -> Result<Vec<Figure>> {
    let pool = PgPool::connect(database).await?;
    hyperfleet_event_store::migrator().run(&pool).await?;
    let started = Instant::now();
    let log = Log::write(&pool, events).await?;
    println!("the log was written in {} s", started.elapsed().as_secs());
    pool.close().await;
    let store = EventStore::open(EventStoreOptions::new(database)).await?;
    let router = product::router(&store, &tokio_util::sync::CancellationToken::new())?;
    let mut figures = Vec::new();
    for (name, path) in SCENARIOS {
        figures.extend(scenario(&router, &log, name, path).await?);
    }
    Ok(figures)
}

async fn scenario(
    router: &Router,
    log: &Log,
    name: &str,
    path: fn(&Log, u32) -> String,
) -> Result<Vec<Figure>> {
    let mut times = Vec::new();
    for number in 0..WARM_UP + REQUESTS {
        let request = Request::get(format!("{BASE_PATH}/{}", path(log, number)));
        let request = request.body(Body::empty())?;
        let started = Instant::now();
        let response = router.clone().oneshot(request).await?;
        let status = response.status();
        let body = response.into_body().collect().await?.to_bytes();
        if number >= WARM_UP {
            times.push(started.elapsed().as_secs_f64() * 1000.0);
        }
        ensure!(
            status == StatusCode::OK,
            "{name}: {status}: {}",
            String::from_utf8_lossy(&body)
        );
    }
    times.sort_by(f64::total_cmp);
    let figure = |hundredths, which: &str| {
        let time = percentile(&times, hundredths).unwrap_or(f64::NAN);
        Figure::lower(format!("{name}, {which}"), time, "ms")
    };
    Ok(vec![
        figure(50, "p50"),
        figure(99, "p99").target(TARGET_MILLISECONDS),
    ])
}
