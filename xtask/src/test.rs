//! `cargo xtask test`: every suite, on real parts.

use anyhow::Result;

use crate::{process, tools, workspace};

/// Run the tests, with everything that they need.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Run only the tests whose names contain one of these.
    filter: Vec<String>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    tools::require("nextest")?;
    if arguments.filter.is_empty() {
        process::run(workspace::cargo()?.args(["test", "--quiet", "--doc", "--workspace"]))?;
    }
    process::run(
        workspace::cargo()?
            .args(["nextest", "run", "--workspace", "--no-tests=pass"])
            .args(&arguments.filter),
    )
}
