//! `cargo xtask conformance api|adapter|broker`: how many cases of a contract hold.
//!
//! A test says which cases it shows by its name: `case_16_and_17_a_new_cluster`, `case_18_to_25_names` for
//! the API, `a056_a_default_is_not_converted` for adapters, `b001_every_subscription_gets_every_event` for
//! brokers, where each backend shows every case by a test of that name. The ids of all cases are in one place, `cases`,
//! so that a case without a test is noticed.

mod cases;

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::process::{ChildStdout, Stdio};

use anyhow::{Context as _, Result, bail, ensure};
use clap::ValueEnum;
use serde::Deserialize;

use crate::test::{DATABASE_URL, Parts};
use crate::{process, pubsub, tools, workspace};

/// Count the cases of a contract that hold.
///
/// Runs every test whose name has case numbers, prints a line for each case that failed or that no test
/// shows, and last `passed/total`. Fails when they differ.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The contract.
    contract: Contract,
}

/// Memory, with and without a folder, Pub/Sub, RabbitMQ, and RabbitMQ as existing peers set it up.
const BACKENDS: usize = 5;

/// A contract with numbered cases.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Contract {
    /// The REST API v1.
    Api,
    /// Configurations of adapters, and what they do.
    Adapter,
    /// Brokers: every backend, on real servers.
    Broker,
}

impl Contract {
    /// The crates whose tests show cases.
    fn packages(self) -> &'static [&'static str] {
        match self {
            Self::Api => &["hyperfleet-tests", "hyperfleet-cli"],
            Self::Adapter => &["hyperfleet-adapter", "hyperfleet-cli"],
            Self::Broker => &["hyperfleet-broker"],
        }
    }

    /// What comes before the numbers in the name of a test.
    fn prefix(self) -> &'static str {
        match self {
            Self::Api => "case_",
            Self::Adapter => "a",
            Self::Broker => "b",
        }
    }

    /// The tests that show cases, in the language of nextest.
    fn filter(self) -> &'static str {
        match self {
            Self::Api => r"test(/\bcase_\d/)",
            Self::Adapter => r"test(/\ba\d\d\d_/)",
            Self::Broker => r"test(/\bb\d\d\d_/)",
        }
    }

    fn sections(self) -> &'static [cases::Section] {
        match self {
            Self::Api => &cases::API,
            Self::Adapter => &cases::ADAPTER,
            Self::Broker => &cases::BROKER,
        }
    }

    /// How many tests have to show a case: one for each way to set a backend up.
    fn tests_of_a_case(self) -> usize {
        match self {
            Self::Api | Self::Adapter => 1,
            Self::Broker => BACKENDS,
        }
    }

    /// Whether the tests need servers that are started for them.
    fn needs_parts(self) -> bool {
        matches!(self, Self::Api | Self::Broker)
    }
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
    let contract = arguments.contract;
    let verdicts = verdicts(contract.prefix(), &run_tests(contract)?);
    let mut passed = 0;
    for section in contract.sections() {
        for case in section.cases.clone() {
            match verdicts.get(&case) {
                None => println!("case {case} ({}): no test shows it", section.name),
                Some(Verdict {
                    passed: shown,
                    failed,
                }) if failed.is_empty() => {
                    if *shown >= contract.tests_of_a_case() {
                        passed += 1;
                    } else {
                        println!("case {case} ({}): only {shown} tests show it", section.name);
                    }
                }
                Some(verdict) => {
                    let tests = verdict.failed.join(", ");
                    println!("case {case} ({}): failed: {tests}", section.name);
                }
            }
        }
    }
    let total = cases::count(contract.sections());
    println!("{passed}/{total}");
    ensure!(passed == total, "{} cases do not hold", total - passed);
    Ok(())
}

/// Runs the tests that show cases; their names, and whether they passed.
fn run_tests(contract: Contract) -> Result<Vec<(String, bool)>> {
    tools::require("nextest")?;
    let parts = contract.needs_parts().then(Parts::find).transpose()?;
    let mut nextest = workspace::cargo()?;
    nextest.args(["nextest", "run", "--profile", "default"]);
    for package in contract.packages() {
        nextest.args(["--package", package]);
    }
    nextest.args(["-E", contract.filter()]);
    nextest.args(["--message-format", "libtest-json"]);
    nextest.env("NEXTEST_EXPERIMENTAL_LIBTEST_JSON", "1");
    if let Some(parts) = &parts {
        if contract == Contract::Broker {
            // A backend without a server would pass by being skipped.
            nextest.env("HYPERFLEET_REQUIRE_ALL", "1");
        }
        if let Some(host) = parts.pubsub_host() {
            nextest.env(pubsub::HOST, host);
        }
        nextest.envs(parts.rabbitmq_variables());
    }
    if let Some(parts) = parts.as_ref().filter(|_| contract == Contract::Api) {
        let Some(url) = parts.database_url() else {
            bail!(
                "PostgreSQL 14 or newer is missing; install it (Debian, Ubuntu: package `postgresql`)"
            );
        };
        nextest.env(DATABASE_URL, url);
    }
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

fn verdicts(prefix: &str, outcomes: &[(String, bool)]) -> BTreeMap<u16, Verdict> {
    let mut verdicts: BTreeMap<u16, Verdict> = BTreeMap::new();
    for (name, passed) in outcomes {
        for case in cases::named_by(prefix, name) {
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
        let verdicts = verdicts(
            "case_",
            &[
                ("case_1_and_2_a".to_owned(), true),
                ("case_2_b".to_owned(), false),
            ],
        );
        assert!(verdicts[&1].failed.is_empty());
        assert_eq!(verdicts[&2].passed, 1);
        assert_eq!(verdicts[&2].failed, ["case_2_b"]);
    }
}
