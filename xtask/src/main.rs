#![doc = include_str!("../README.md")]
#![expect(
    clippy::print_stdout,
    reason = "the output of these chores is for the terminal"
)]

mod bench;
mod check;
mod conformance;
mod coverage;
mod crash;
mod fuzz;
mod openapi;
mod postgres;
mod process;
mod pubsub;
mod rabbitmq;
mod rust_source;
mod schemathesis;
mod test;
mod tools;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Chores of this repository.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
#[command(disable_help_subcommand = true)]
struct Arguments {
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
    /// Write the OpenAPI document, docs/openapi.json.
    Openapi(openapi::Arguments),
    /// Make requests from the OpenAPI document and hold the answers against it.
    Schemathesis(schemathesis::Arguments),
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().chore {
        Chore::Test(arguments) => test::run(&arguments).map(|()| true),
        Chore::Bench(arguments) => bench::run(&arguments).map(|()| true),
        Chore::Check(arguments) => check::run(&arguments).map(|()| true),
        Chore::Conformance(arguments) => conformance::run(&arguments),
        Chore::Crash(arguments) => crash::run(&arguments).map(|()| true),
        Chore::Coverage(arguments) => coverage::run(&arguments).map(|()| true),
        Chore::Fuzz(arguments) => fuzz::run(&arguments).map(|()| true),
        Chore::Openapi(arguments) => openapi::run(&arguments).map(|()| true),
        Chore::Schemathesis(arguments) => schemathesis::run(&arguments).map(|()| true),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        // The chore's own last line says why.
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            println!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
