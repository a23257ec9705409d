//! `cargo xtask bench NAME`: a baseline and the product, measured in the same run.
//!
//! A figure that has a target is `ok` or `short` by its ratio to the baseline, so that the verdict does not
//! depend on the machine. Measuring is compiled with the feature `bench`, in release; without it this
//! module only starts that build.

#[cfg(feature = "bench")]
mod api;
#[cfg(feature = "bench")]
mod broker;
#[cfg(feature = "bench")]
mod faults;
#[cfg(feature = "bench")]
mod figure;
#[cfg(feature = "bench")]
mod growth;
#[cfg(feature = "bench")]
mod history;
#[cfg(feature = "bench")]
mod load;
#[cfg(feature = "bench")]
mod rebuild;
#[cfg(feature = "bench")]
mod sentinel;
#[cfg(feature = "bench")]
mod store;
#[cfg(feature = "bench")]
mod watch;

use std::path::PathBuf;

use anyhow::Result;

/// That of the product, for the baselines too.
#[cfg(feature = "bench")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The benchmarks: name and what it measures.
const BENCHMARKS: [(&str, &str); 9] = [
    (
        "store",
        "appends per second, against pgbench and postgres-es",
    ),
    (
        "api",
        "requests per second and latency, reads against a bare handler with the same statements",
    ),
    (
        "watch",
        "time from commit to client with many watchers, none missing anything",
    ),
    (
        "rebuild",
        "events per second of rebuilding the resource view, and reads meanwhile against before",
    ),
    (
        "history",
        "latency of histories and past states over a long log",
    ),
    (
        "growth",
        "bytes of the log for a cluster's beginning, for reports without news, for a change",
    ),
    (
        "sentinel",
        "time from a change to its event at a consumer, events per second, what idling costs",
    ),
    (
        "faults",
        "what sentinels lose, and for how long, when they are killed, stopped, misset, or without a broker",
    ),
    (
        "broker",
        "confirmed publishes per second and time to the handler, against bare clients",
    ),
];

/// Clusters of the benchmarks `api`, `watch`, `sentinel` and `faults` when nobody says otherwise.
const DEFAULT_CLUSTERS: u32 = 10_000;

/// Clusters of the benchmarks `api`, `watch` and `sentinel`. Fewer would make pages and searches empty.
const CLUSTERS: std::ops::RangeInclusive<i64> = 1_000..=1_000_000;

/// Events of the benchmarks `history` and `rebuild` when nobody says otherwise.
const DEFAULT_EVENTS: u32 = 2_000_000;

/// Events of the benchmarks `history` and `rebuild`. With fewer, starting and ending is most of the time.
const EVENTS: std::ops::RangeInclusive<i64> = 20_000..=100_000_000;

/// Measure the product against a baseline of the same run.
///
/// Prints one line per figure: name, value with unit, ratio to the baseline, target, ok or short.
/// Benchmarks: store (appends per second, against pgbench and postgres-es); api (requests per second and
/// latency, reads against a bare handler with the same statements); watch (time from commit to client with
/// many watchers, each compared with the log); rebuild (events per second of rebuilding the resource view, and
/// reads meanwhile against before); history (latency of histories and past states over a long log); growth
/// (bytes of the log for a cluster's beginning, for reports without news, for a change);
/// sentinel (time from a change to its event at a consumer, events per second, what idling costs); faults (what
/// sentinels lose, and for how long, when they are killed, stopped, misset, or without a broker); broker (confirmed
/// publishes per second and time to the handler, against bare clients).
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Which benchmark.
    #[arg(value_parser = BENCHMARKS.map(|(name, _)| name))]
    name: String,
    /// How many clusters the API serves; for `api`, `watch`, `sentinel` and `faults`.
    #[arg(long, value_name = "N", default_value_t = DEFAULT_CLUSTERS, value_parser = clap::value_parser!(u32).range(CLUSTERS))]
    clusters: u32,
    /// How many watch; for `watch`.
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    watchers: u16,
    /// Changes per second; for `watch`.
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    rate: u32,
    /// How long to change; for `watch` and `faults`, which changes twice as long.
    #[arg(long, value_name = "SECONDS", default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    seconds: u64,
    /// How many events are in the log; for `rebuild` and `history`.
    #[arg(long, value_name = "N", default_value_t = DEFAULT_EVENTS, value_parser = clap::value_parser!(u32).range(EVENTS))]
    events: u32,
    /// Exit with 1 when a figure is short of its target.
    #[arg(long)]
    check: bool,
    /// Also write the figures to a file.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// Builds this program for measuring and runs the benchmark with it.
#[cfg(any(not(feature = "bench"), debug_assertions))]
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    use crate::{process, workspace};

    let mut measuring = workspace::cargo()?;
    measuring
        .args(["run", "--quiet", "--release", "--package", "xtask"])
        .args(["--features", "bench", "--", "bench", &arguments.name])
        .args(["--clusters", &arguments.clusters.to_string()])
        .args(["--watchers", &arguments.watchers.to_string()])
        .args(["--rate", &arguments.rate.to_string()])
        .args(["--seconds", &arguments.seconds.to_string()])
        .args(["--events", &arguments.events.to_string()]);
    if arguments.check {
        measuring.arg("--check");
    }
    if let Some(file) = &arguments.json {
        // Cargo runs in the root folder; the file is meant from here.
        measuring.arg("--json").arg(std::path::absolute(file)?);
    }
    process::run(&mut measuring)
}

/// Runs the benchmark.
#[cfg(all(feature = "bench", not(debug_assertions)))]
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let figures = figures(arguments)?;
    for figure in &figures {
        println!("{figure}");
    }
    if let Some(file) = &arguments.json {
        std::fs::write(file, serde_json::to_string_pretty(&figures)?)?;
    }
    let short = figures.iter().filter(|figure| figure.is_short()).count();
    anyhow::ensure!(
        !arguments.check || short == 0,
        "{short} figures are short of their targets"
    );
    Ok(())
}

#[cfg(feature = "bench")]
#[cfg_attr(
    debug_assertions,
    expect(dead_code, reason = "only a release build measures")
)]
fn figures(arguments: &Arguments) -> Result<Vec<figure::Figure>> {
    match arguments.name.as_str() {
        "store" => store::run(),
        "api" => api::run(arguments.clusters),
        "watch" => watch::run(watch::Plan {
            clusters: arguments.clusters,
            watchers: arguments.watchers.into(),
            rate: arguments.rate,
            duration: std::time::Duration::from_secs(arguments.seconds),
        }),
        "rebuild" => rebuild::run(arguments.events),
        "history" => history::run(arguments.events),
        "sentinel" => sentinel::run(arguments.clusters),
        "growth" => growth::run(),
        "faults" => faults::run(faults::Plan {
            clusters: arguments.clusters,
            duration: std::time::Duration::from_secs(arguments.seconds),
        }),
        "broker" => broker::run(),
        name => anyhow::bail!("there is no benchmark {name:?}"),
    }
}
