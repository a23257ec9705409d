//! `cargo xtask bench NAME`: a baseline and the product, measured in the same run.
//!
//! A figure that has a target is `ok` or `short` by its ratio to the baseline, so that the verdict does not
//! depend on the machine. Measuring is compiled with the feature `bench`, in release; without it this
//! module only starts that build.

#[cfg(feature = "bench")]
mod figure;
#[cfg(feature = "bench")]
mod load;
#[cfg(feature = "bench")]
mod store;

use std::path::PathBuf;

use anyhow::Result;

/// The benchmarks: name and what it measures.
const BENCHMARKS: [(&str, &str); 1] = [(
    "store",
    "appends per second, against pgbench and postgres-es",
)];

/// Measure the product against a baseline of the same run.
///
/// Prints one line per figure: name, value with unit, ratio to the baseline, target, ok or short.
/// Benchmarks: store (appends per second, against pgbench and postgres-es).
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Which benchmark.
    #[arg(value_parser = BENCHMARKS.map(|(name, _)| name))]
    name: String,
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
        .args(["--features", "bench", "--", "bench", &arguments.name]);
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
    let figures = figures(&arguments.name)?;
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
fn figures(name: &str) -> Result<Vec<figure::Figure>> {
    match name {
        "store" => store::run(),
        _ => anyhow::bail!("there is no benchmark {name:?}"),
    }
}
