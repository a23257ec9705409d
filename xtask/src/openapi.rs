//! `cargo xtask openapi`: the committed OpenAPI document is what the server serves.

use std::fs;

use anyhow::{Context as _, Result, bail};
use serde::de::IgnoredAny;

use crate::{process, workspace};

const DOCUMENT: &str = "docs/openapi.json";

/// Write docs/openapi.json from the routes of the server.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Write nothing; fail when the document is not the current one.
    #[arg(long)]
    check: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let mut hyperfleet = workspace::cargo()?;
    hyperfleet.args([
        "run",
        "-q",
        "-p",
        "hyperfleet-cli",
        "--bin",
        "hyperfleet",
        "--",
        "openapi",
    ]);
    let printed = process::output(&mut hyperfleet)?;
    // Checked, and then kept as it was printed: writing it again would order its members by the features
    // that this build of the JSON library happens to have.
    serde_json::from_str::<IgnoredAny>(&printed)
        .context("`hyperfleet openapi` did not print JSON")?;
    let current = printed;
    let path = workspace::root().join(DOCUMENT);
    if !arguments.check {
        fs::write(&path, current).with_context(|| format!("cannot write {DOCUMENT}"))?;
        println!("wrote {DOCUMENT}");
        return Ok(());
    }
    let committed = fs::read_to_string(&path)
        .with_context(|| format!("cannot read {DOCUMENT}; run `cargo xtask openapi`"))?;
    if let Some(line) = first_difference(&committed, &current) {
        bail!(
            "{DOCUMENT}:{line}: differs from what the server serves; run `cargo xtask openapi` and commit it"
        );
    }
    println!("{DOCUMENT} is current");
    Ok(())
}

/// The first line, counted from 1, that differs.
fn first_difference(left: &str, right: &str) -> Option<usize> {
    if left == right {
        return None;
    }
    let same = left
        .lines()
        .zip(right.lines())
        .take_while(|(left, right)| left == right)
        .count();
    Some(same + 1)
}

#[cfg(test)]
mod tests {
    use super::first_difference;

    #[test]
    fn names_the_first_line_that_differs() {
        assert_eq!(first_difference("a\nb\n", "a\nb\n"), None);
        assert_eq!(first_difference("a\nb\n", "a\nc\n"), Some(2));
        assert_eq!(first_difference("a\n", "a\nb\n"), Some(2));
    }
}
