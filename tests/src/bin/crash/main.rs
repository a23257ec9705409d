//! Kills processes of a control plane at random moments, and checks after each round that nothing was lost,
//! done twice, or seen out of order. `cargo xtask crash` builds and runs it.
//!
//! The parts are real processes: PostgreSQL with every flush, two replicas of the API, a sentinel, and a
//! follower of the log. 64 clients send commands with idempotency keys, and send each again until it is
//! answered. The sentinel's broker is a file to which it appends with a flush, and the follower keeps what it
//! saw in another, so that what they did is known whatever becomes of them.

mod check;
mod clients;
mod follower;
mod journal;
mod processes;
mod pulses;
mod round;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// Kill processes of a control plane at random moments, and check what is left.
#[derive(Debug, Parser)]
struct Arguments {
    #[command(subcommand)]
    role: Role,
}

#[derive(Debug, Subcommand)]
enum Role {
    /// Run rounds of load, kills and checks.
    Rounds(round::Plan),
    /// Follow the log, and write down every position.
    Follow(Child),
    /// Run sentinels that publish to a file.
    Pulse(Child),
}

/// What a process of a round is told.
#[derive(Debug, clap::Args)]
struct Child {
    /// The database.
    #[arg(long)]
    database_url: String,
    /// Where it writes down what it did.
    #[arg(long)]
    journal: PathBuf,
}

#[tokio::main]
async fn main() -> ExitCode {
    // An error means that it was chosen already.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    match run(Arguments::parse().role).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

async fn run(role: Role) -> Result<()> {
    match role {
        Role::Rounds(plan) => round::run(plan).await,
        Role::Follow(child) => follower::run(&child).await,
        Role::Pulse(child) => pulses::run(&child).await,
    }
}

/// A line for people.
#[expect(clippy::print_stdout, reason = "a command for people")]
fn say(line: &str) {
    println!("{line}");
}
