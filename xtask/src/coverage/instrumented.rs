//! The tests, built so that they count what they run.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result};
use cargo_metadata::MetadataCommand;
use serde::Deserialize;

use crate::test::DATABASE_URL;
use crate::{process, workspace};

/// Stands in for the compiler of the workspace's crates only: what they depend on is not measured, and would
/// make programs and profiles several times as large.
const COMPILER: &str = "#!/bin/sh\nexec \"$@\" -Cinstrument-coverage\n";

/// What is built: everything except these chores.
const SELECTION: [&str; 3] = ["--workspace", "--exclude", "xtask"];

/// What `cargo nextest list` prints, as far as it is read here.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Listed {
    rust_build_meta: BuildMeta,
    rust_binaries: BTreeMap<String, TestBinary>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct BuildMeta {
    target_directory: PathBuf,
    /// By package.
    non_test_binaries: BTreeMap<String, Vec<Binary>>,
}

/// A program that tests start.
#[derive(Debug, Deserialize)]
struct Binary {
    /// From the target folder.
    path: PathBuf,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct TestBinary {
    binary_path: PathBuf,
}

/// The instrumented build, which has a target folder of its own.
#[derive(Debug)]
pub(super) struct Instrumented {
    folder: PathBuf,
}

impl Instrumented {
    /// Builds everything.
    ///
    /// # Errors
    /// When the build fails.
    pub(super) fn build() -> Result<Self> {
        let metadata = MetadataCommand::new()
            .current_dir(workspace::root())
            .no_deps()
            .exec()
            .context("cannot read the workspace")?;
        let folder = metadata
            .target_directory
            .join("coverage")
            .into_std_path_buf();
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let build = Self { folder };
        fs::write(build.compiler(), COMPILER)?;
        fs::set_permissions(build.compiler(), fs::Permissions::from_mode(0o755))?;
        process::run(build.nextest("run")?.arg("--no-run"))?;
        Ok(build)
    }

    /// Where the programs write their profiles.
    pub(super) fn profiles(&self) -> PathBuf {
        self.folder.join("profiles")
    }

    /// The test programs, and the programs that tests start.
    ///
    /// # Errors
    /// When they cannot be listed.
    pub(super) fn programs(&self) -> Result<Vec<PathBuf>> {
        let mut list = self.nextest("list")?;
        list.args(["--list-type", "binaries-only", "--message-format", "json"]);
        programs(&process::output(&mut list)?)
    }

    /// Runs the tests that arguments for the runner select, or all.
    ///
    /// # Errors
    /// When a test fails.
    pub(super) fn test(
        &self,
        database_url: &str,
        parts: &crate::test::Parts,
        arguments: &[String],
    ) -> Result<()> {
        let mut tests = self.nextest("run")?;
        if let Some(host) = parts.pubsub_host() {
            tests.env(crate::pubsub::HOST, host);
        }
        tests
            .envs(parts.rabbitmq_variables())
            .args(["--profile", "default"])
            .args(arguments)
            .env(DATABASE_URL, database_url);
        process::run(&mut tests).context("the tests failed")
    }

    fn compiler(&self) -> PathBuf {
        self.folder.join("rustc")
    }

    /// The same environment each time, or everything would be built again.
    fn nextest(&self, action: &str) -> Result<Command> {
        let mut nextest = workspace::cargo()?;
        nextest
            .args(["nextest", action])
            .args(SELECTION)
            .arg("--target-dir")
            .arg(self.folder.join("build"))
            .env("RUSTC_WORKSPACE_WRAPPER", self.compiler())
            // One file for each process: one that is killed while it writes spoils no other's.
            .env("LLVM_PROFILE_FILE", self.profiles().join("%p-%m.profraw"))
            // The programs are large, and nobody debugs them.
            .env("CARGO_INCREMENTAL", "0")
            .env("CARGO_PROFILE_DEV_DEBUG", "0");
        Ok(nextest)
    }
}

fn programs(listed: &str) -> Result<Vec<PathBuf>> {
    let listed: Listed =
        serde_json::from_str(listed).context("the list of cargo-nextest has another shape")?;
    let started = listed
        .rust_build_meta
        .non_test_binaries
        .into_values()
        .flatten()
        .map(|binary| listed.rust_build_meta.target_directory.join(binary.path));
    let mut programs: Vec<PathBuf> = listed
        .rust_binaries
        .into_values()
        .map(|binary| binary.binary_path)
        .chain(started)
        .collect();
    programs.sort();
    programs.dedup();
    Ok(programs)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::programs;

    #[test]
    fn programs_that_tests_start_belong_to_it() {
        let listed = serde_json::json!({
            "rust-build-meta": {
                "target-directory": "/t",
                "non-test-binaries": {
                    "one": [{"name": "p", "kind": "bin-exe", "path": "debug/p"}],
                    "two": [{"name": "p", "kind": "bin-exe", "path": "debug/p"}],
                },
            },
            "rust-binaries": { "one": {"binary-path": "/t/debug/deps/one-1"} },
        });
        let programs = programs(&listed.to_string()).expect("a list");
        assert_eq!(
            programs,
            [Path::new("/t/debug/deps/one-1"), Path::new("/t/debug/p")]
        );
    }
}
