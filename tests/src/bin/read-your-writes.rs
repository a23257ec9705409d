//! Writes to a running server and reads back at once; fails when any read is stale.
//!
//! `cargo run -p hyperfleet-tests --bin read-your-writes -- http://127.0.0.1:8000`

use std::time::Instant;

use anyhow::{Result, ensure};
use clap::Parser;
use hyperfleet_tests::read_your_writes::{Load, stale_reads};

/// Write to a server and read back at once.
#[derive(Debug, Parser)]
struct Arguments {
    /// Address of the server, e.g. <http://127.0.0.1:8000>.
    server: String,
    /// Writers at the same time.
    #[arg(long, default_value_t = 16)]
    connections: u32,
    /// Pairs of one write and one read.
    #[arg(long, default_value_t = 10_000)]
    pairs: u32,
}

#[tokio::main]
#[expect(clippy::print_stdout, reason = "a command for people")]
async fn main() -> Result<()> {
    let Arguments {
        server,
        connections,
        pairs,
    } = Arguments::parse();
    let started = Instant::now();
    let stale = stale_reads(&server, Load { connections, pairs }).await?;
    let seconds = started.elapsed().as_secs_f64();
    let rate = f64::from(pairs) / seconds;
    println!(
        "{pairs} pairs from {connections} connections in {seconds:.1} s ({rate:.0}/s): {stale} stale"
    );
    ensure!(
        stale == 0,
        "{stale} reads did not show the write before them"
    );
    Ok(())
}
