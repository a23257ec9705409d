//! Cargo tools, installed once into the user's cache folder.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Result, bail};

use crate::{process, workspace};

/// The folder of this repository's tools: its `bin` folder has their executables.
///
/// # Errors
/// When neither `XDG_CACHE_HOME` nor `HOME` is set.
pub(crate) fn folder() -> Result<PathBuf> {
    Ok(cache()?.join("tools"))
}

fn cache() -> Result<PathBuf> {
    if let Some(cache) = std::env::var_os("XDG_CACHE_HOME").filter(|value| !value.is_empty()) {
        return Ok(PathBuf::from(cache).join("hyperfleet"));
    }
    match std::env::home_dir() {
        Some(home) => Ok(home.join(".cache/hyperfleet")),
        None => bail!("no folder for tools: set XDG_CACHE_HOME or HOME"),
    }
}

/// Makes sure that a cargo subcommand can be run; installs the crate of the same name when it cannot, in the
/// version that stands behind an `@`, or the newest.
///
/// # Errors
/// When it is absent and cannot be installed.
pub(crate) fn require(tool: &str) -> Result<()> {
    let subcommand = tool.split('@').next().unwrap_or(tool);
    let present = workspace::cargo()?
        .args([subcommand, "--version"])
        .output()
        .is_ok_and(|output| output.status.success());
    if present {
        return Ok(());
    }
    println!(
        "installing cargo-{tool} into {} (once)",
        folder()?.display()
    );
    let mut install: Command = workspace::cargo()?;
    install
        .args(["install", "--locked", "--root"])
        .arg(folder()?)
        .arg(format!("cargo-{tool}"))
        .env("CARGO_TARGET_DIR", cache()?.join("tools-target"));
    process::run(&mut install)
}
