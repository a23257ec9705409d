//! Seeds a fleet on a database of its own and prints how the searches that clients send are answered.
//!
//! `cargo run -p hyperfleet-tests --bin search-plans -- 100000`

use anyhow::Result;
use clap::Parser;
use hyperfleet_projections::resource_view::{self, Order, Page};
use hyperfleet_tests::search_fleet::{searches, seed};

/// Show how searches of a large fleet are answered.
#[derive(Debug, Parser)]
struct Arguments {
    /// How many resources.
    resources: i32,
    /// Print every plan, not only the indexes that it reads and the time.
    #[arg(long)]
    full: bool,
}

#[tokio::main]
#[expect(clippy::print_stdout, reason = "a command for people")]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let database = hyperfleet_test_support::database().await;
    seed(&database.pool, arguments.resources).await?;
    let page = Page {
        number: 1,
        size: 20,
    };
    for (text, filter) in searches(&database.pool).await? {
        // The second time everything is in memory.
        let mut plan = Vec::new();
        for _ in 0..2 {
            let order = Order::default();
            plan = resource_view::plan(&database.pool, &filter, &order, page, true).await?;
        }
        println!("{text}");
        for line in &plan {
            let is_scan = line.contains("Scan") && line.contains(" on ");
            if arguments.full || is_scan || line.starts_with("Execution Time") {
                println!("    {line}");
            }
        }
    }
    Ok(())
}
