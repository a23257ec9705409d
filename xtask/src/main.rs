#![doc = include_str!("../README.md")]
#![expect(
    clippy::print_stdout,
    reason = "the output of these chores is for the terminal"
)]

mod bench;
mod check;
mod coverage;
mod openapi;
mod postgres;
mod process;
mod test;
mod tools;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Chores of this repository.
#[derive(Debug, Parser)]
#[command(
    name = "cargo xtask",
    bin_name = "cargo xtask",
    disable_help_subcommand = true
)]
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
    /// Measure which lines the tests run.
    Coverage(coverage::Arguments),
    /// Write the OpenAPI document, docs/openapi.json.
    Openapi(openapi::Arguments),
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().chore {
        Chore::Test(arguments) => test::run(&arguments),
        Chore::Bench(arguments) => bench::run(&arguments),
        Chore::Check(arguments) => check::run(&arguments),
        Chore::Coverage(arguments) => coverage::run(&arguments),
        Chore::Openapi(arguments) => openapi::run(&arguments),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
