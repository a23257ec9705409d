//! `cargo xtask schemathesis`: requests made from the OpenAPI document against a server of its own.
//!
//! The server runs on embedded parts and ends with the chore. The tool comes from the Python package index, in
//! one version, into the cache folder.

use std::fs;
use std::io::{BufRead as _, BufReader, Lines};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use anyhow::{Context as _, Result};
use cargo_metadata::MetadataCommand;
use tempfile::TempDir;

use crate::{process, tools, workspace};

const VERSION: &str = "4.32.5";

/// What stands before the API's address in what the server prints.
const API: &str = "API ";

/// Rules that a schema cannot say (a name that is taken, the grammar of a search, headers that depend on each
/// other) refuse requests that satisfy the document.
const EXCLUDED: &str = "positive_data_acceptance";

/// Let Schemathesis make requests from the OpenAPI document, and fail on any answer that the document does not
/// describe, on any server error, and on any change that is not found in the audit.
///
/// Some 4,800 requests; some 21,000 with `--examples 220`. The report is target/schemathesis/junit.xml. Needs
/// Python 3 with its venv module.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Most examples for each operation.
    #[arg(long, value_name = "N", default_value_t = 10)]
    examples: u32,
    /// Seed of the requests; a failure prints it.
    #[arg(long, value_name = "SEED", default_value_t = 1)]
    seed: u64,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let program = program()?;
    // What a failure needs to be repeated stays here, after the server's own folder is gone.
    let folder = workspace::root().join("target/schemathesis");
    // It begins empty: what an earlier run found would change the requests of a seed.
    if folder.exists() {
        fs::remove_dir_all(&folder)
            .with_context(|| format!("cannot empty {}", folder.display()))?;
    }
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let server = Server::start()?;
    let hooks = workspace::root().join("xtask/src/schemathesis");
    let mut schemathesis = Command::new(&program);
    schemathesis
        .arg("run")
        .arg(format!("{}/api/hyperfleet/v1/openapi", server.url))
        .args(["--checks", "all", "--exclude-checks", EXCLUDED])
        .args(["--phases", "coverage,fuzzing,stateful", "--workers", "2"])
        .args(["--max-examples", &arguments.examples.to_string()])
        .args(["--seed", &arguments.seed.to_string()])
        .args(["--warnings", "off", "--no-color"])
        .args(["--report", "junit", "--report-junit-path"])
        .arg(folder.join("junit.xml"))
        .env("SCHEMATHESIS_HOOKS", "hooks")
        .env("PYTHONPATH", &hooks)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .current_dir(&folder);
    process::run(&mut schemathesis).context("an answer is not what the OpenAPI document says")?;
    let mut audit = Command::new(program.with_file_name("python"));
    audit
        .arg(hooks.join("audit.py"))
        .arg(&server.url)
        .arg(folder.join("mutations.ndjson"));
    process::run(&mut audit).context("the audit lacks requests that were sent")
}

/// The tool; installs it when it is absent.
fn program() -> Result<PathBuf> {
    let environment = tools::folder()?.join(format!("schemathesis-{VERSION}"));
    let program = environment.join("bin/schemathesis");
    if program.exists() {
        return Ok(program);
    }
    println!("installing schemathesis {VERSION} (once)");
    let venv = |environment: &Path| {
        let mut venv = Command::new("python3");
        venv.args(["-m", "venv", "--clear"]).arg(environment);
        process::output(&mut venv)
    };
    if venv(&environment).is_err() {
        if workspace::everything_is_required() {
            install_python()?;
        }
        venv(&environment).context(
            "Python 3 with its venv module is missing; install it (Debian, Ubuntu: package `python3-venv`)",
        )?;
    }
    let mut install = Command::new(environment.join("bin/pip"));
    install.args(["install", "--quiet", "--disable-pip-version-check"]);
    install.arg(format!("schemathesis=={VERSION}"));
    process::run(&mut install)?;
    Ok(program)
}

fn install_python() -> Result<()> {
    for arguments in [
        &["update", "-qq"][..],
        &[
            "install",
            "-y",
            "-qq",
            "--no-install-recommends",
            "python3-venv",
        ],
    ] {
        let mut apt = Command::new("apt-get");
        apt.args(arguments).env("DEBIAN_FRONTEND", "noninteractive");
        process::run(&mut apt)?;
    }
    Ok(())
}

/// The API on embedded parts; dropping it stops it.
struct Server {
    child: Child,
    url: String,
    _folder: TempDir,
    /// Open as long as the server may print.
    _printed: Lines<BufReader<ChildStdout>>,
}

impl Server {
    fn start() -> Result<Self> {
        process::run(workspace::cargo()?.args([
            "build",
            "--quiet",
            "--package",
            "hyperfleet-cli",
        ]))?;
        let metadata = MetadataCommand::new()
            .current_dir(workspace::root())
            .no_deps()
            .exec()
            .context("cannot read the workspace")?;
        let folder = tempfile::Builder::new()
            .prefix("hyperfleet-schemathesis-")
            .tempdir()?;
        let mut hyperfleet = Command::new(metadata.target_directory.join("debug/hyperfleet"));
        hyperfleet
            .args(["api", "--log-level", "error", "--data-dir"])
            .arg(folder.path().join("data"))
            .args(["--port", "0", "--health-port", "0", "--metrics-port", "0"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        let mut child = hyperfleet.spawn().context("cannot start the API")?;
        let printed = child.stdout.take().context("the API has no output")?;
        let mut printed = BufReader::new(printed).lines();
        let url = printed
            .by_ref()
            .map_while(Result::ok)
            .find_map(|line| Some(line.trim().strip_prefix(API)?.trim().to_owned()));
        let server = Self {
            child,
            url: url.unwrap_or_default(),
            _folder: folder,
            _printed: printed,
        };
        anyhow::ensure!(
            !server.url.is_empty(),
            "the API ended before it said where it listens"
        );
        Ok(server)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Its PostgreSQL ends with it.
        if process::signal(self.child.id(), "TERM").is_err() {
            let _ = self.child.kill();
        }
        let _ = self.child.wait();
    }
}
