//! `cargo xtask upgrade`: replaces an older version of the API by this one under load.
//!
//! The program that does it is `tests/src/bin/upgrade.rs`; this chore builds the older version from its
//! revision, in a working tree and a target folder of its own below the target folder, where the next run
//! finds them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use cargo_metadata::MetadataCommand;

use crate::{process, workspace};

/// Replace an older version of the API by this one under load, as a rolling upgrade does.
///
/// The newer replica migrates the database while the older one serves, then both serve, then the older one
/// ends. Fails when any request fails, a written generation is not read, the read models are not the fold of
/// the log, or an event is parked.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The older version: a tag, branch or commit; the latest tag without.
    #[arg(long, value_name = "REVISION")]
    from: Option<String>,
    /// How long each phase is, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 3)]
    seconds: u64,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let revision = match &arguments.from {
        Some(revision) => revision.clone(),
        None => latest_tag()?,
    };
    let commit = git(&["rev-parse", "--verify", &format!("{revision}^{{commit}}")])
        .with_context(|| format!("{revision:?} is no revision of this repository"))?;
    let target = MetadataCommand::new()
        .current_dir(workspace::root())
        .no_deps()
        .exec()
        .context("cannot read the workspace")?
        .target_directory
        .into_std_path_buf();
    let old = build_old(&target.join("upgrade"), &commit)?;
    process::run(workspace::cargo()?.args([
        "build",
        "--quiet",
        "--package",
        "hyperfleet-cli",
        "--package",
        "hyperfleet-tests",
        "--bin",
        "hyperfleet",
        "--bin",
        "upgrade",
    ]))?;
    println!("from {revision} ({}) to this tree", &commit[..12]);
    let built = target.join("debug");
    process::run(
        Command::new(built.join("upgrade"))
            .arg("--old")
            .arg(old)
            .arg("--new")
            .arg(built.join("hyperfleet"))
            .args(["--seconds", &arguments.seconds.to_string()]),
    )
    .context("the upgrade was noticed")
}

/// The older version's program, built where the next run finds it.
fn build_old(folder: &Path, commit: &str) -> Result<PathBuf> {
    let program = folder.join(format!("hyperfleet-{commit}"));
    if program.exists() {
        return Ok(program);
    }
    let tree = folder.join("tree");
    fs::create_dir_all(folder)?;
    if tree.exists() {
        git(&["worktree", "remove", "--force", &tree.to_string_lossy()])?;
    }
    git(&[
        "worktree",
        "add",
        "--detach",
        &tree.to_string_lossy(),
        commit,
    ])?;
    let target = folder.join("target");
    let built = process::run(
        workspace::cargo()?
            .current_dir(&tree)
            .env("CARGO_TARGET_DIR", &target)
            .args([
                "build",
                "--quiet",
                "--locked",
                "--package",
                "hyperfleet-cli",
                "--bin",
                "hyperfleet",
            ]),
    );
    git(&["worktree", "remove", "--force", &tree.to_string_lossy()])?;
    built.context("the older version does not build")?;
    fs::copy(target.join("debug/hyperfleet"), &program)?;
    Ok(program)
}

fn latest_tag() -> Result<String> {
    git(&["describe", "--tags", "--abbrev=0"]).or_else(|_| {
        bail!("this repository has no tag to upgrade from; name a revision: cargo xtask upgrade --from REVISION")
    })
}

/// What git answers.
fn git(arguments: &[&str]) -> Result<String> {
    let output = Command::new("git")
        .current_dir(workspace::root())
        .args(arguments)
        .output()
        .context("cannot run git")?;
    if !output.status.success() {
        bail!(
            "git {}: {}",
            arguments.join(" "),
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
