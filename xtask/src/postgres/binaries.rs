//! Finding PostgreSQL on this machine, and installing it where that is wanted.

use std::fs;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::process;

/// The oldest release that HyperFleet supports.
const MINIMUM_MAJOR: u32 = 14;

/// Where distributions put the server: a folder, and what each version's folder in it starts with.
const PLACES: [(&str, &str); 4] = [
    ("/usr/lib/postgresql", ""),
    ("/usr", "pgsql-"),
    ("/opt/homebrew/opt", "postgresql"),
    ("/usr/local/opt", "postgresql"),
];

/// While this script says 101, packages do not start their services.
const SERVICE_POLICY: &str = "/usr/sbin/policy-rc.d";

/// The programs of one PostgreSQL release.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Binaries {
    major: u32,
    folder: PathBuf,
}

impl Binaries {
    /// Path of one program.
    pub(crate) fn program(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn at(folder: &Path) -> Option<Self> {
        // A link leads to the folder with all of the release's programs.
        let folder = fs::canonicalize(folder.join("postgres")).ok()?;
        let folder = folder.parent()?;
        if !folder.join("initdb").is_file() {
            return None;
        }
        let printed =
            process::output(Command::new(folder.join("postgres")).arg("--version")).ok()?;
        Some(Self {
            major: major(&printed)?,
            folder: folder.to_owned(),
        })
    }
}

impl std::fmt::Display for Binaries {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            formatter,
            "PostgreSQL {} in {}",
            self.major,
            self.folder.display()
        )
    }
}

/// The newest supported PostgreSQL of this machine.
pub(crate) fn find() -> Option<Binaries> {
    let on_path = std::env::var_os("PATH")
        .map(|path| std::env::split_paths(&path).collect::<Vec<_>>())
        .unwrap_or_default();
    let installed = PLACES.into_iter().flat_map(|(place, prefix)| {
        let folders = fs::read_dir(place).into_iter().flatten().flatten();
        folders
            .filter(move |folder| folder.file_name().to_string_lossy().starts_with(prefix))
            .map(|folder| folder.path().join("bin"))
    });
    installed
        .chain(on_path)
        .filter_map(|folder| Binaries::at(&folder))
        .filter(|binaries| binaries.major >= MINIMUM_MAJOR)
        .max()
}

/// Whether the system's package manager can be used from here.
pub(crate) fn can_install() -> bool {
    let is_root = process::output(Command::new("id").arg("-u")).is_ok_and(|id| id.trim() == "0");
    is_root && process::output(Command::new("apt-get").arg("--version")).is_ok()
}

/// Installs the system's PostgreSQL package.
///
/// # Errors
/// As [`install_package`].
pub(crate) fn install() -> Result<()> {
    install_package("postgresql")
}

/// Installs a package of the system, without starting services that it may have.
///
/// # Errors
/// When this machine has no apt-get, this process is not root, or the package cannot be installed.
pub(crate) fn install_package(package: &str) -> Result<()> {
    anyhow::ensure!(
        can_install(),
        "only root on a system with apt-get can install it here"
    );
    let policy = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o755)
        .open(SERVICE_POLICY)
        .and_then(|mut file| std::io::Write::write_all(&mut file, b"#!/bin/sh\nexit 101\n"));
    let apt = |arguments: &[&str]| {
        let mut command = Command::new("apt-get");
        command
            .args(arguments)
            .env("DEBIAN_FRONTEND", "noninteractive");
        process::run(&mut command)
    };
    let installed = apt(&["update", "-qq"])
        .and_then(|()| apt(&["install", "-y", "-qq", "--no-install-recommends", package]));
    if policy.is_ok() {
        fs::remove_file(SERVICE_POLICY).context("cannot remove the temporary service policy")?;
    }
    installed
}

/// The major release in what `postgres --version` prints.
fn major(printed: &str) -> Option<u32> {
    let version = printed.split_whitespace().nth(2)?;
    let digits: String = version.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::{Binaries, major};

    #[test]
    fn reads_the_release_that_the_server_prints() {
        assert_eq!(
            major("postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)"),
            Some(15)
        );
        assert_eq!(major("postgres (PostgreSQL) 19beta1"), Some(19));
        assert_eq!(major("something else"), None);
    }

    #[test]
    fn a_newer_release_is_greater() {
        let release = |major, folder: &str| Binaries {
            major,
            folder: folder.into(),
        };
        assert!(release(17, "/a") > release(16, "/z"));
    }
}
