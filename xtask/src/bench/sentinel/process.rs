//! Sentinels as processes.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result};
use cargo_metadata::MetadataCommand;

use crate::{process, workspace};

/// Ticks of a second in /proc: the same on every Linux that Rust runs on.
const TICKS: f64 = 100.0;

/// Builds the command; where it is.
pub(in crate::bench) fn build() -> Result<PathBuf> {
    let mut build = workspace::cargo()?;
    build.args([
        "build",
        "--quiet",
        "--release",
        "--package",
        "hyperfleet-cli",
    ]);
    process::run(&mut build)?;
    let metadata = MetadataCommand::new()
        .current_dir(workspace::root())
        .no_deps()
        .exec()
        .context("cannot read the workspace")?;
    let program = metadata.target_directory.join("release").join("hyperfleet");
    Ok(program.into_std_path_buf())
}

/// Running replicas. Dropping them ends them.
pub(super) struct Replicas(Vec<Child>);

impl Replicas {
    /// Starts so many, each with a sentinel for clusters and one for node pools.
    pub(super) fn start(
        program: &Path,
        database: &str,
        broker: &str,
        count: usize,
    ) -> Result<Self> {
        let start = |_| {
            Command::new(program)
                .arg("sentinel")
                .args([
                    "--log-level",
                    "error",
                    "--health-port",
                    "0",
                    "--metrics-port",
                    "0",
                ])
                .env("HYPERFLEET_DATABASE_URL", database)
                .env("HYPERFLEET_BROKER", broker)
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .spawn()
                .with_context(|| format!("cannot start {}", program.display()))
        };
        (0..count).map(start).collect::<Result<_>>().map(Self)
    }

    /// What all of them together have used of the processors.
    pub(super) fn processor_time(&self) -> Result<Duration> {
        let mut ticks = 0.0;
        for child in &self.0 {
            let stat = std::fs::read_to_string(format!("/proc/{}/stat", child.id()))
                .context("processor time is read from /proc, which this system lacks")?;
            // After the name, which may have blanks, in parentheses.
            let (_, fields) = stat.rsplit_once(") ").context("no such process")?;
            let used = fields.split(' ').skip(11).take(2);
            for field in used {
                ticks += field.parse::<f64>()?;
            }
        }
        Ok(Duration::from_secs_f64(ticks / TICKS))
    }

    /// The memory of the largest, in MiB.
    pub(super) fn memory(&self) -> Result<f64> {
        let mut largest: f64 = 0.0;
        for child in &self.0 {
            let status = std::fs::read_to_string(format!("/proc/{}/status", child.id()))?;
            let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
            let kilobytes: f64 = line
                .and_then(|line| line.trim().strip_suffix(" kB"))
                .context("no memory in /proc")?
                .parse()?;
            largest = largest.max(kilobytes / 1024.0);
        }
        Ok(largest)
    }
}

impl Drop for Replicas {
    fn drop(&mut self) {
        for child in &self.0 {
            let _ = process::signal(child.id(), "TERM");
        }
        for child in &mut self.0 {
            let _ = child.wait();
        }
    }
}
