#![doc = include_str!("../README.md")]
#![expect(
    clippy::print_stdout,
    reason = "the output of these chores is for the terminal"
)]

mod bench;
mod check;
mod chore;
mod conformance;
mod coverage;
mod crash;
mod fuzz;
mod load;
mod openapi;
mod postgres;
mod process;
mod pubsub;
mod rabbitmq;
mod rust_source;
mod schemathesis;
mod test;
mod tools;
mod upgrade;
mod workspace;

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    match chore::Arguments::parse().run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
