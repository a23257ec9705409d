//! `cargo xtask bench NAME`: a baseline and the product, measured in the same run.
//!
//! A figure that has a target is `ok` or `short` by its ratio to the baseline, so that the verdict does not
//! depend on the machine. Measuring is compiled with the feature `bench`, in release; without it this
//! module only starts that build.

#[cfg(feature = "bench")]
mod api;
#[cfg(feature = "bench")]
mod figure;
#[cfg(feature = "bench")]
mod history;
#[cfg(feature = "bench")]
mod load;
#[cfg(feature = "bench")]
mod store;

use std::path::PathBuf;

use anyhow::Result;

/// The benchmarks: name and what it measures.
const BENCHMARKS: [(&str, &str); 3] = [
    (
        "store",
        "appends per second, against pgbench and postgres-es",
    ),
    (
        "api",
        "requests per second and latency, reads against a bare handler with the same statements",
    ),
    (
        "history",
        "latency of histories and past states over a long log",
    ),
];

/// Clusters of the benchmark `api` when nobody says otherwise.
const DEFAULT_CLUSTERS: u32 = 10_000;

/// Clusters of the benchmark `api`. Fewer would make pages and searches empty.
const CLUSTERS: std::ops::RangeInclusive<i64> = 1_000..=1_000_000;

/// Events of the benchmark `history` when nobody says otherwise.
const DEFAULT_EVENTS: u32 = 2_000_000;

/// Events of the benchmark `history`. Fewer fit into the shortest stretch that is asked for.
const EVENTS: std::ops::RangeInclusive<i64> = 20_000..=100_000_000;

/// Measure the product against a baseline of the same run.
///
/// Prints one line per figure: name, value with unit, ratio to the baseline, target, ok or short.
/// Benchmarks: store (appends per second, against pgbench and postgres-es); api (requests per second and
/// latency, reads against a bare handler with the same statements); history (latency of histories and past
/// states over a long log).
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Which benchmark.
    #[arg(value_parser = BENCHMARKS.map(|(name, _)| name))]
    name: String,
    /// How many clusters the API serves; for `api`.
    #[arg(long, value_name = "N", default_value_t = DEFAULT_CLUSTERS, value_parser = clap::value_parser!(u32).range(CLUSTERS))]
    clusters: u32,
    /// How many events the log has; for `history`.
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
        "history" => history::run(arguments.events),
        name => anyhow::bail!("there is no benchmark {name:?}"),
    }
}
