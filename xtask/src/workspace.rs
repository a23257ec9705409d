//! Where the repository is and which files it has.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::process;

/// The root folder of the repository.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("this crate lies one level below the root")
}

/// A cargo command in the root folder, with the tools of the cache on its path.
pub(crate) fn cargo() -> Result<Command> {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    let mut folders: Vec<PathBuf> = std::env::var_os("PATH")
        .map(|path| std::env::split_paths(&path).collect())
        .unwrap_or_default();
    folders.push(crate::tools::folder()?.join("bin"));
    let path: OsString = std::env::join_paths(folders).context("PATH cannot be extended")?;
    command.env("PATH", path);
    Ok(command)
}

/// The text files of the repository, tracked or about to be, relative to the root and sorted.
///
/// # Errors
/// When git cannot list them.
pub(crate) fn files() -> Result<Vec<String>> {
    let mut git = Command::new("git");
    git.current_dir(root()).args([
        "ls-files",
        "-z",
        "--cached",
        "--others",
        "--exclude-standard",
    ]);
    let listed = process::output(&mut git)?;
    let mut files: Vec<String> = listed
        .split('\0')
        .filter(|file| !file.is_empty() && root().join(file).is_file())
        .map(str::to_owned)
        .collect();
    files.sort();
    files.dedup();
    Ok(files)
}

/// Whether missing parts are failures.
pub(crate) fn everything_is_required() -> bool {
    std::env::var_os("HYPERFLEET_REQUIRE_ALL").is_some_and(|value| value == "1")
}
