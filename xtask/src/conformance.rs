//! `cargo xtask conformance api`: how many cases of the API contract hold.
//!
//! A test says which cases it shows by its name: `case_16_and_17_a_new_cluster`, `case_18_to_25_names`. The
//! ids of all cases are in one place, `cases`, so that a case without a test is noticed.

mod cases;

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::process::{ChildStdout, Stdio};

use anyhow::{Context as _, Result, bail, ensure};
use clap::ValueEnum;
use serde::Deserialize;

use crate::test::{DATABASE_URL, Parts};
use crate::{process, tools, workspace};

/// The crates whose tests show cases.
const PACKAGES: [&str; 2] = ["hyperfleet-tests", "hyperfleet-cli"];

/// Count the cases of a contract that hold.
///
/// Runs every test whose name has case numbers, prints a line for each case that failed or that no test
/// shows, and last `passed/total`. Fails when they differ.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The contract.
    contract: Contract,
}

/// A contract with numbered cases.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Contract {
    /// The REST API v1.
    Api,
}

/// What the tests say about a case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Verdict {
    passed: usize,
    failed: Vec<String>,
}

/// One line of the runner's output that is about a test.
#[derive(Deserialize)]
struct Line {
    #[serde(rename = "type")]
    about: String,
    event: String,
    #[serde(default)]
    name: String,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let Contract::Api = arguments.contract;
    let verdicts = verdicts(&run_tests()?);
    let mut passed = 0;
    for section in cases::API {
        for case in section.cases.clone() {
            match verdicts.get(&case) {
                None => println!("case {case} ({}): no test shows it", section.name),
                Some(verdict) if verdict.failed.is_empty() => passed += 1,
                Some(verdict) => {
                    let tests = verdict.failed.join(", ");
                    println!("case {case} ({}): failed: {tests}", section.name);
                }
            }
        }
    }
    let total = cases::count(&cases::API);
    println!("{passed}/{total}");
    ensure!(passed == total, "{} cases do not hold", total - passed);
    Ok(())
}

/// Runs the tests that show cases; their names, and whether they passed.
fn run_tests() -> Result<Vec<(String, bool)>> {
    tools::require("nextest")?;
    let parts = Parts::find()?;
    let Some(url) = parts.database_url() else {
        bail!(
            "PostgreSQL 14 or newer is missing; install it (Debian, Ubuntu: package `postgresql`)"
        );
    };
    let mut nextest = workspace::cargo()?;
    nextest.args(["nextest", "run", "--profile", "default"]);
    for package in PACKAGES {
        nextest.args(["--package", package]);
    }
    nextest.args(["-E", r"test(/\bcase_\d/)"]);
    nextest.args(["--message-format", "libtest-json"]);
    nextest.env("NEXTEST_EXPERIMENTAL_LIBTEST_JSON", "1");
    nextest.env(DATABASE_URL, url);
    let mut child = nextest
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start `{}`", process::line(&nextest)))?;
    let outcomes = child.stdout.take().map(outcomes).unwrap_or_default();
    let status = child.wait().context("cannot wait for the tests")?;
    if outcomes.is_empty() {
        bail!(
            "`{}` ran no test and ended with {status}",
            process::line(&nextest)
        );
    }
    Ok(outcomes)
}

fn outcomes(output: ChildStdout) -> Vec<(String, bool)> {
    BufReader::new(output)
        .lines()
        .map_while(Result::ok)
        .filter_map(|line| outcome(&line))
        .collect()
}

/// A test and whether it passed, when the line says so.
fn outcome(line: &str) -> Option<(String, bool)> {
    let line: Line = serde_json::from_str(line).ok()?;
    let ended = line.about == "test" && ["ok", "failed"].contains(&line.event.as_str());
    let name = line.name.rsplit('$').next().unwrap_or_default().to_owned();
    ended.then(|| (name, line.event == "ok"))
}

fn verdicts(outcomes: &[(String, bool)]) -> BTreeMap<u16, Verdict> {
    let mut verdicts: BTreeMap<u16, Verdict> = BTreeMap::new();
    for (name, passed) in outcomes {
        for case in cases::named_by(name) {
            let verdict = verdicts.entry(case).or_default();
            if *passed {
                verdict.passed += 1;
            } else {
                verdict.failed.push(name.clone());
            }
        }
    }
    verdicts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_runners_lines_are_understood() {
        let ok = r#"{"type":"test","event":"ok","name":"hyperfleet-tests::api$a::case_1_x","exec_time":0.1}"#;
        assert_eq!(outcome(ok), Some(("a::case_1_x".to_owned(), true)));
        let failed = ok.replace("\"ok\"", "\"failed\"");
        assert_eq!(outcome(&failed), Some(("a::case_1_x".to_owned(), false)));
        for other in [
            r#"{"type":"suite","event":"ok","passed":1}"#,
            r#"{"type":"test","event":"started","name":"a$case_1_x"}"#,
            "not JSON",
        ] {
            assert_eq!(outcome(other), None, "{other}");
        }
    }

    #[test]
    fn one_failure_spoils_a_case() {
        let verdicts = verdicts(&[
            ("case_1_and_2_a".to_owned(), true),
            ("case_2_b".to_owned(), false),
        ]);
        assert!(verdicts[&1].failed.is_empty());
        assert_eq!(verdicts[&2].passed, 1);
        assert_eq!(verdicts[&2].failed, ["case_2_b"]);
    }
}
