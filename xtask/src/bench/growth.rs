//! How the database grows: bytes of the log for each thing that happens to a cluster.
//!
//! Everything is decided, appended and projected as the API does it. Bytes are those of the log's partitions with
//! their indexes, as PostgreSQL counts them; the read models' are those of the tables without dead rows.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use hyperfleet_event_store::{EventStore, EventStoreOptions};
use hyperfleet_projections::InlineProjector;
use sqlx::{PgPool, Row as _};

use super::figure::Figure;
use crate::load::fleet::{Fleet, Plan};
use crate::postgres::{self, Durability, Server};

/// Enough that a page or two of an index make no difference.
const PLAN: Plan = Plan {
    clusters: 1_000,
    node_pools: 2,
};

/// Reports of each adapter without news: an hour of one in ten minutes.
const REPORTS: u32 = 6;

/// Changes of each cluster.
const CHANGES: u32 = 5;

/// What grows.
struct Sizes {
    events: f64,
    log: f64,
    read_models: f64,
}

/// Measures everything.
///
/// # Errors
/// When PostgreSQL is missing or fails.
pub(super) fn run() -> Result<Vec<Figure>> {
    let binaries = postgres::find().context(
        "PostgreSQL 14 or newer is missing; install it (Debian, Ubuntu: package `postgresql`)",
    )?;
    let server = Server::start(&binaries, Durability::None)?;
    println!(
        "{binaries}, {} clusters with {} node pools each",
        PLAN.clusters, PLAN.node_pools
    );
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?
        .block_on(measure(server.url()))
}

async fn measure(database: &str) -> Result<Vec<Figure>> {
    let pool = PgPool::connect(database).await?;
    hyperfleet_event_store::migrator().run(&pool).await?;
    let options = EventStoreOptions::new(database).projection(Arc::new(InlineProjector));
    let store = EventStore::open(options).await?;
    let empty = sizes(&pool).await?;
    let fleet = Fleet::open(&store, PLAN).await?;
    // First it is being worked on, then it is done.
    fleet.report_all("False", true).await?;
    fleet.report_all("True", true).await?;
    let begun = sizes(&pool).await?;
    for _ in 0..REPORTS {
        fleet.report_all("True", false).await?;
    }
    let steady = sizes(&pool).await?;
    for turn in 0..CHANGES as usize {
        for cluster in 0..PLAN.clusters as usize {
            let cluster = fleet.cluster(cluster);
            fleet.change(cluster, turn).await?;
            fleet.report(cluster, "False").await?;
            fleet.report(cluster, "True").await?;
        }
    }
    let changed = sizes(&pool).await?;
    Ok(figures(&empty, &begun, &steady, &changed))
}

fn figures(empty: &Sizes, begun: &Sizes, steady: &Sizes, changed: &Sizes) -> Vec<Figure> {
    let clusters = f64::from(PLAN.clusters);
    let changes = f64::from(PLAN.clusters * CHANGES);
    let log = |before: &Sizes, after: &Sizes, by: f64| (after.log - before.log) / by;
    let events = |before: &Sizes, after: &Sizes, by: f64| (after.events - before.events) / by;
    vec![
        Figure::lower(
            "events until a cluster is reconciled",
            events(empty, begun, clusters),
            "events",
        ),
        Figure::lower(
            "log until a cluster is reconciled",
            log(empty, begun, clusters),
            "bytes",
        ),
        Figure::lower(
            "read models of a cluster",
            (begun.read_models - empty.read_models) / clusters,
            "bytes",
        ),
        Figure::lower(
            "events in an hour without news",
            events(begun, steady, clusters),
            "events",
        )
        .target(0.0),
        Figure::lower(
            "log in an hour without news",
            log(begun, steady, clusters),
            "bytes",
        )
        .target(0.0),
        Figure::lower(
            "events of a change, until it is reconciled",
            events(steady, changed, changes),
            "events",
        ),
        Figure::lower(
            "log of a change, until it is reconciled",
            log(steady, changed, changes),
            "bytes",
        ),
        Figure::lower(
            "log of one event",
            log(empty, changed, changed.events - empty.events),
            "bytes",
        ),
    ]
}

async fn sizes(pool: &PgPool) -> Result<Sizes> {
    let read_models = [
        "resources",
        "resource_conditions",
        "adapter_statuses",
        "reconcile_queue",
        "resource_lifetimes",
    ];
    sqlx::raw_sql(&format!("VACUUM (FULL) {}", read_models.join(", ")))
        .execute(pool)
        .await?;
    let row = sqlx::query(
        "SELECT (SELECT count(*) FROM events)::float8 AS events,
             (SELECT sum(pg_total_relation_size(inhrelid)) FROM pg_inherits
              WHERE inhparent = 'live_events'::regclass)::float8 AS log,
             (SELECT sum(pg_total_relation_size(name::regclass)) FROM unnest($1) AS name)::float8 AS read_models",
    )
    .bind(read_models.map(str::to_owned).to_vec())
    .fetch_one(pool)
    .await?;
    Ok(Sizes {
        events: row.try_get("events")?,
        log: row.try_get("log")?,
        read_models: row.try_get("read_models")?,
    })
}
