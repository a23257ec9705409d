//! `cargo xtask coverage`: how much of the code the tests run.

use std::collections::BTreeMap;
use std::fs;

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;

use crate::postgres::{self, Durability, Server};
use crate::{process, tools, workspace};

/// Measure which lines the tests run; print them per crate and in total.
///
/// Installs cargo-tarpaulin once. Not part of CI: it builds everything again, instrumented.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Exit with 1 when fewer lines than this percentage are run.
    #[arg(long, value_name = "PERCENT")]
    minimum: Option<f64>,
}

/// What tarpaulin writes, as far as it is read here.
#[derive(Debug, Deserialize)]
struct Report {
    files: Vec<FileReport>,
}

#[derive(Debug, Deserialize)]
struct FileReport {
    /// The parts of the absolute path.
    path: Vec<String>,
    covered: u32,
    coverable: u32,
}

/// Lines that can be run and lines that were.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Lines {
    covered: u32,
    coverable: u32,
}

impl Lines {
    fn add(&mut self, covered: u32, coverable: u32) {
        self.covered += covered;
        self.coverable += coverable;
    }

    fn percent(self) -> f64 {
        if self.coverable == 0 {
            return 100.0;
        }
        100.0 * f64::from(self.covered) / f64::from(self.coverable)
    }
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    tools::require("tarpaulin")?;
    let binaries = postgres::find().context(
        "PostgreSQL 14 or newer is missing; install it (Debian, Ubuntu: package `postgresql`)",
    )?;
    let server = Server::start(&binaries, Durability::None)?;
    let folder = workspace::root().join("target/coverage");
    fs::create_dir_all(&folder)?;
    let mut tarpaulin = workspace::cargo()?;
    tarpaulin
        .args([
            "tarpaulin",
            "--workspace",
            "--engine",
            "llvm",
            "--skip-clean",
        ])
        .args(["--exclude", "xtask", "--exclude-files", "*/tests/*"])
        .args(["--timeout", "300", "--out", "Json", "--output-dir"])
        .arg(&folder)
        .arg("--target-dir")
        .arg(folder.join("build"))
        .env("HYPERFLEET_TEST_DATABASE_URL", server.url());
    process::run(&mut tarpaulin)?;
    let written = folder.join("tarpaulin-report.json");
    let report = fs::read_to_string(&written)
        .with_context(|| format!("cannot read {}", written.display()))?;
    let report: Report =
        serde_json::from_str(&report).context("tarpaulin's report has another shape")?;
    let crates = by_crate(&report, &workspace::root().to_string_lossy());
    let mut total = Lines::default();
    for (name, lines) in &crates {
        total.add(lines.covered, lines.coverable);
        print(name, *lines);
    }
    print("total", total);
    match arguments.minimum {
        Some(minimum) if total.percent() < minimum => bail!("fewer than {minimum} % of lines"),
        _ => Ok(()),
    }
}

fn print(name: &str, lines: Lines) {
    println!(
        "{name:<16} {:>6.1} % of {:>6} lines",
        lines.percent(),
        lines.coverable
    );
}

/// Adds up the files below each folder of the root.
fn by_crate(report: &Report, root: &str) -> BTreeMap<String, Lines> {
    let mut crates: BTreeMap<String, Lines> = BTreeMap::new();
    for file in &report.files {
        let path = file.path.join("/").replace("//", "/");
        let inside = path
            .strip_prefix(root)
            .map(|path| path.trim_start_matches('/'));
        if let Some((name, _)) = inside.and_then(|path| path.split_once('/')) {
            let lines = crates.entry(name.to_owned()).or_default();
            lines.add(file.covered, file.coverable);
        }
    }
    crates
}

#[cfg(test)]
mod tests {
    use super::{FileReport, Lines, Report, by_crate};

    fn file(path: &[&str], covered: u32, coverable: u32) -> FileReport {
        FileReport {
            path: path.iter().map(ToString::to_string).collect(),
            covered,
            coverable,
        }
    }

    #[test]
    fn lines_are_added_up_by_crate() {
        let report = Report {
            files: vec![
                file(&["/", "r", "domain", "src", "a.rs"], 1, 2),
                file(&["/", "r", "domain", "src", "b.rs"], 2, 2),
                file(&["/", "elsewhere", "c.rs"], 0, 9),
            ],
        };
        let crates = by_crate(&report, "/r");
        assert_eq!(crates.len(), 1);
        let expected = Lines {
            covered: 3,
            coverable: 4,
        };
        assert_eq!(crates["domain"], expected);
        assert!((expected.percent() - 75.0).abs() < f64::EPSILON);
    }
}
