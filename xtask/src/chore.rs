//! The chores by name.

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::{
    bench, check, conformance, coverage, crash, fuzz, load, openapi, schemathesis, test, upgrade,
};

/// Chores of this repository.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
#[command(disable_help_subcommand = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Debug, Subcommand)]
enum Chore {
    /// Run the tests, with everything that they need.
    Test(test::Arguments),
    /// Measure the product against a baseline of the same run.
    Bench(bench::Arguments),
    /// Check the structural rules of the repository.
    Check(check::Arguments),
    /// Count the cases of a contract that hold.
    Conformance(conformance::Arguments),
    /// Kill processes at random moments and check what is left.
    Crash(crash::Arguments),
    /// Measure which lines the tests run.
    Coverage(coverage::Arguments),
    /// Look for inputs for which something does not hold.
    Fuzz(fuzz::Arguments),
    /// Fill a database with a fleet and keep it busy.
    Load(load::Arguments),
    /// Write the OpenAPI document, docs/openapi.json.
    Openapi(openapi::Arguments),
    /// Make requests from the OpenAPI document and hold the answers against it.
    Schemathesis(schemathesis::Arguments),
    /// Replace an older version of the API by this one under load.
    Upgrade(upgrade::Arguments),
}

impl Arguments {
    /// Runs the chore.
    pub(crate) fn run(&self) -> Result<()> {
        match &self.chore {
            Chore::Test(arguments) => test::run(arguments),
            Chore::Bench(arguments) => bench::run(arguments),
            Chore::Check(arguments) => check::run(arguments),
            Chore::Conformance(arguments) => conformance::run(arguments),
            Chore::Crash(arguments) => crash::run(arguments),
            Chore::Coverage(arguments) => coverage::run(arguments),
            Chore::Fuzz(arguments) => fuzz::run(arguments),
            Chore::Load(arguments) => load::run(arguments),
            Chore::Openapi(arguments) => openapi::run(arguments),
            Chore::Schemathesis(arguments) => schemathesis::run(arguments),
            Chore::Upgrade(arguments) => upgrade::run(arguments),
        }
    }
}
