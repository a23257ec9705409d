//! `cargo xtask load`: a fleet of any size in a database, and changes and reports at set rates.
//!
//! Everything goes the way of the product: commands are decided, appended and projected as the API does it,
//! in this process, without HTTP. It is compiled with the feature `bench`, in release; without it this module
//! only starts that build.

#[cfg(feature = "bench")]
pub(crate) mod fleet;
#[cfg(feature = "bench")]
mod traffic;

use anyhow::Result;

/// Fill a database with a fleet and keep it busy.
///
/// Creates clusters `load-0000000` and so on with their node pools, and lets every required adapter report
/// success, until there are as many as asked for; what is there already is kept. Then clusters are changed, and
/// adapters report, at the given rates. The database is migrated when it needs to be. Nothing else needs to
/// run; sentinels and the API may.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// URL of the database.
    #[arg(
        long,
        env = "HYPERFLEET_DATABASE_URL",
        value_name = "URL",
        hide_env_values = true
    )]
    database_url: String,
    /// How many clusters there shall be.
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    clusters: u32,
    /// How many node pools each has.
    #[arg(long, value_name = "N", default_value_t = 3)]
    node_pools: u32,
    /// Changes of the spec of some cluster, per second.
    #[arg(long, value_name = "RATE", default_value_t = 0)]
    changes: u32,
    /// How long the adapters take to answer a change, in milliseconds; without, they do not.
    #[arg(long, value_name = "MILLISECONDS")]
    answer_after: Option<u64>,
    /// Reports without news, per second, over the whole fleet in turn.
    #[arg(long, value_name = "RATE", default_value_t = 0)]
    reports: u32,
    /// For how long, once the fleet is there.
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    seconds: u64,
}

/// Builds this program for speed and loads with it.
#[cfg(any(not(feature = "bench"), debug_assertions))]
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    use crate::{process, workspace};

    let mut loading = workspace::cargo()?;
    loading
        .args(["run", "--quiet", "--release", "--package", "xtask"])
        .args(["--features", "bench", "--", "load"])
        // Not as an argument: others can read those.
        .env("HYPERFLEET_DATABASE_URL", &arguments.database_url)
        .args(["--clusters", &arguments.clusters.to_string()])
        .args(["--node-pools", &arguments.node_pools.to_string()])
        .args(["--changes", &arguments.changes.to_string()])
        .args(["--reports", &arguments.reports.to_string()])
        .args(["--seconds", &arguments.seconds.to_string()]);
    if let Some(milliseconds) = arguments.answer_after {
        loading.args(["--answer-after", &milliseconds.to_string()]);
    }
    process::run(&mut loading)
}

/// Loads.
#[cfg(all(feature = "bench", not(debug_assertions)))]
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?
        .block_on(load(arguments))
}

#[cfg(feature = "bench")]
#[cfg_attr(
    debug_assertions,
    expect(dead_code, reason = "only a release build loads")
)]
async fn load(arguments: &Arguments) -> Result<()> {
    use std::sync::Arc;
    use std::time::Duration;

    use hyperfleet_event_store::{EventStore, EventStoreOptions};
    use hyperfleet_projections::InlineProjector;

    let pool = sqlx::PgPool::connect(&arguments.database_url).await?;
    hyperfleet_event_store::migrator().run(&pool).await?;
    pool.close().await;
    let options =
        EventStoreOptions::new(&arguments.database_url).projection(Arc::new(InlineProjector));
    let store = EventStore::open(options).await?;
    let plan = fleet::Plan {
        clusters: arguments.clusters,
        node_pools: arguments.node_pools,
    };
    let fleet = fleet::Fleet::open(&store, plan).await?;
    fleet.report_all("True", true).await?;
    println!("{} clusters and node pools", fleet.len());
    let rates = traffic::Rates {
        changes: arguments.changes,
        answer_after: arguments.answer_after.map(Duration::from_millis),
        reports: arguments.reports,
    };
    traffic::drive(&fleet, rates, Duration::from_secs(arguments.seconds)).await
}
