//! `cargo xtask crash`: kills processes of a control plane at random moments, and checks what is left.
//!
//! The program that does it is `tests/src/bin/crash`; this chore builds it with the `hyperfleet` that it runs.
//! Bugs are planted by a build with the feature `planted-bugs`, in a folder of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};
use cargo_metadata::MetadataCommand;

use crate::{process, workspace};

/// The bugs that can be planted, as `runtime/src/planted.rs` has them.
const BUGS: [&str; 3] = [
    "no-batch-lock",
    "checkpoint-outside-transaction",
    "pulse-marked-before-confirm",
];

/// Kill processes of a control plane at random moments, PostgreSQL among them, while 64 clients send commands
/// with idempotency keys; and check after each round that every acknowledged command was carried out exactly
/// once, that sequences have no holes, that read models are the fold of the log, that a reader of the log
/// missed nothing, and that no pulse was lost.
///
/// A failing round prints its seed, what does not hold, and where the data is kept. With --planted, a bug is
/// compiled in, and the chore fails unless the rounds find it.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// How many rounds; with --planted, at most.
    #[arg(long, value_name = "N", default_value_t = 10)]
    rounds: u32,
    /// Seed of what clients send and of what is killed when; another one each time without.
    #[arg(long, value_name = "SEED")]
    seed: Option<u64>,
    /// Clients at the same time.
    #[arg(long, value_name = "N", default_value_t = 64)]
    clients: u32,
    /// Build for speed: more commands, and more moments at which something can go wrong.
    #[arg(long)]
    release: bool,
    /// A bug to plant, or `all` of them, one after the other.
    #[arg(long, value_name = "BUG", value_parser = ["all", BUGS[0], BUGS[1], BUGS[2]])]
    planted: Option<String>,
    /// Also write what the rounds did to a file.
    #[arg(long, value_name = "FILE", conflicts_with = "planted")]
    json: Option<PathBuf>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let folder = tempfile::Builder::new()
        .prefix("hyperfleet-crash-programs-")
        .tempdir()?;
    build(arguments, folder.path())?;
    let rounds = |bug: Option<&str>| {
        let mut rounds = Command::new(folder.path().join("crash"));
        rounds
            .arg("rounds")
            .arg("--hyperfleet")
            .arg(folder.path().join("hyperfleet"))
            .args(["--rounds", &arguments.rounds.to_string()])
            .args(["--clients", &arguments.clients.to_string()]);
        if let Some(seed) = arguments.seed {
            rounds.args(["--seed", &seed.to_string()]);
        }
        if let Some(bug) = bug {
            rounds.args(["--planted", bug]);
        }
        if let Some(file) = &arguments.json {
            rounds.arg("--json").arg(file);
        }
        process::run(&mut rounds)
    };
    match arguments.planted.as_deref() {
        None => rounds(None).context("something was lost, done twice, or seen out of order"),
        Some("all") => BUGS.iter().try_for_each(|bug| rounds(Some(bug))),
        Some(bug) => rounds(Some(bug)),
    }
    .context("the crash suite failed")
}

/// Builds both programs and puts them where a later build does not replace them.
fn build(arguments: &Arguments, folder: &Path) -> Result<()> {
    let mut build = workspace::cargo()?;
    build
        .args(["build", "--quiet", "--package", "hyperfleet-cli"])
        .args(["--package", "hyperfleet-tests"])
        .args(["--bin", "hyperfleet", "--bin", "crash"]);
    if arguments.release {
        build.arg("--release");
    }
    if arguments.planted.is_some() {
        build.args(["--features", "hyperfleet-tests/planted-bugs"]);
    }
    process::run(&mut build)?;
    let metadata = MetadataCommand::new()
        .current_dir(workspace::root())
        .no_deps()
        .exec()
        .context("cannot read the workspace")?;
    for program in ["hyperfleet", "crash"] {
        let profile = if arguments.release {
            "release"
        } else {
            "debug"
        };
        let built = metadata.target_directory.join(profile).join(program);
        fs::copy(&built, folder.join(program)).with_context(|| format!("cannot copy {built}"))?;
    }
    Ok(())
}
