//! `cargo xtask coverage`: how much of the code the tests run.
//!
//! The compiler writes counters into the workspace's programs, every process writes theirs to a file when it
//! ends, and the sums are brought back to lines here, so that no tool of the compiler's is needed. Reading
//! them is compiled with the feature `coverage`; without it this module only starts that build.

#[cfg(feature = "coverage")]
mod instrumented;
#[cfg(any(feature = "coverage", test))]
mod lines;
#[cfg(feature = "coverage")]
mod mapping;
#[cfg(feature = "coverage")]
mod profiles;
#[cfg(any(feature = "coverage", test))]
mod report;

use std::path::PathBuf;

use anyhow::Result;

/// Folders whose code is tests, or serves them.
#[cfg(feature = "coverage")]
const NOT_COUNTED: [&str; 4] = ["fuzz", "test-support", "tests", "xtask"];

/// Of a hundred processes, how many may be killed while they write what they counted. Some tests kill
/// processes on purpose, few in that moment.
#[cfg(feature = "coverage")]
const MOST_UNREADABLE_PERCENT: u32 = 5;

/// Measure which lines the tests run; print them per crate and in total.
///
/// Builds the workspace again, instrumented, and runs every test but those in documentation. Needs PostgreSQL,
/// as `cargo xtask test` does. Code of tests is not counted. Exits with 1 when a test fails.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Exit with 1 when fewer lines than this percentage are run.
    #[arg(long, value_name = "PERCENT")]
    minimum: Option<f64>,
    /// Also name the lines below a folder, such as a crate's, that no test runs.
    #[arg(long, value_name = "FOLDER")]
    uncovered: Option<String>,
    /// Also write everything to a file.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Arguments for cargo-nextest, to run only some of the tests.
    #[arg(last = true, value_name = "NEXTEST")]
    nextest: Vec<String>,
}

/// Builds this program for measuring and measures with it.
#[cfg(not(feature = "coverage"))]
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    use crate::{process, workspace};

    let mut measuring = workspace::cargo()?;
    measuring
        // In release: hundreds of profiles with some thousand functions each are read.
        .args(["run", "--quiet", "--release", "--package", "xtask"])
        .args(["--features", "coverage", "--", "coverage"]);
    if let Some(minimum) = arguments.minimum {
        measuring.arg(format!("--minimum={minimum}"));
    }
    if let Some(folder) = &arguments.uncovered {
        measuring.arg(format!("--uncovered={folder}"));
    }
    if let Some(file) = &arguments.json {
        // Cargo runs in the root folder; the file is meant from here.
        measuring.arg("--json").arg(std::path::absolute(file)?);
    }
    measuring.arg("--").args(&arguments.nextest);
    process::run(&mut measuring)
}

/// Measures.
#[cfg(feature = "coverage")]
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    use anyhow::Context as _;

    use crate::test::Parts;
    use crate::tools;

    tools::require("nextest")?;
    let parts = Parts::find()?;
    let database_url = parts.database_url().context(
        "PostgreSQL 14 or newer is missing; install it (Debian, Ubuntu: package `postgresql`)",
    )?;
    parts.print();
    let build = instrumented::Instrumented::build()?;
    let programs = build.programs()?;
    let collector = profiles::Collector::start(build.profiles())?;
    let tests = build.test(database_url, &parts, &arguments.nextest);
    let counters = collector.finish()?;
    // What was measured is of use also when a test failed.
    let measured = tell(arguments, &programs, &counters);
    tests.and(measured)
}

#[cfg(feature = "coverage")]
fn tell(arguments: &Arguments, programs: &[PathBuf], counters: &profiles::Counters) -> Result<()> {
    let profiles::Counters {
        read, unreadable, ..
    } = counters;
    println!(
        "{read} processes counted what they ran; {unreadable} more were killed while they wrote it"
    );
    anyhow::ensure!(
        unreadable * 100 <= (read + unreadable) * MOST_UNREADABLE_PERCENT,
        "more than {MOST_UNREADABLE_PERCENT} % of the profiles cannot be read"
    );
    let report = measure(programs, counters)?;
    for (name, lines) in &report.crates {
        println!("{}", lines.describe(name));
    }
    println!("{}", report.total.describe("total"));
    if let Some(folder) = &arguments.uncovered {
        for line in report.uncovered(folder) {
            println!("{line}");
        }
    }
    if let Some(file) = &arguments.json {
        std::fs::write(file, serde_json::to_string_pretty(&report)?)?;
    }
    match arguments.minimum {
        Some(minimum) if report.total.percent() < minimum => {
            anyhow::bail!("fewer than {minimum} % of lines")
        }
        _ => Ok(()),
    }
}

#[cfg(feature = "coverage")]
fn measure(programs: &[PathBuf], counters: &profiles::Counters) -> Result<report::Report> {
    use std::collections::BTreeMap;

    use anyhow::Context as _;

    use crate::workspace;

    let files = mapping::read(programs, counters, workspace::root(), is_counted)?;
    let mut counted = BTreeMap::new();
    for (path, regions) in files {
        let text = std::fs::read_to_string(workspace::root().join(&path))
            .with_context(|| format!("cannot read {path}"))?;
        let code = lines::of_code(&text);
        let mut lines = lines::of_regions(&regions);
        lines.retain(|line, _| code.contains(line));
        counted.insert(path, lines);
    }
    anyhow::ensure!(
        !counted.is_empty(),
        "the programs name no file of this workspace"
    );
    Ok(report::Report::of(counted))
}

/// Whether the code of a file, named by its path from the root, is what tests should run.
#[cfg(feature = "coverage")]
fn is_counted(path: &str) -> bool {
    let folder = path.split('/').next().unwrap_or(path);
    !NOT_COUNTED.contains(&folder) && !crate::rust_source::is_test(path)
}
