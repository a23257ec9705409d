//! Where the server's binaries are.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{PostgresError, fetch};

/// The oldest major version that HyperFleet runs on.
pub const OLDEST_MAJOR: u32 = 14;

/// Folders of well-known packages beside `PATH`; `*` stands for any version.
const KNOWN: [&str; 7] = [
    "/usr/lib/postgresql/*/bin",
    "/usr/local/bin",
    "/usr/pgsql-*/bin",
    "/usr/local/pgsql/bin",
    "/usr/libexec/postgresql*",
    "/opt/homebrew/opt/postgresql*/bin",
    "/usr/local/opt/postgresql*/bin",
];

/// A folder with `postgres` and `initdb`, and their major version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binaries {
    folder: PathBuf,
    major: u32,
}

impl Binaries {
    /// The binaries in `folder`.
    ///
    /// # Errors
    /// When there is no `postgres` or `initdb` in it, or it is too old.
    pub fn in_folder(folder: &Path) -> Result<Self, PostgresError> {
        let unusable = |reason: String| PostgresError::UnusableBinaries {
            folder: folder.to_owned(),
            oldest: OLDEST_MAJOR,
            reason,
        };
        for name in ["postgres", "initdb"] {
            if !folder.join(name).is_file() {
                return Err(unusable(format!("`{name}` is not there")));
            }
        }
        let output = Command::new(folder.join("postgres"))
            .arg("--version")
            .output()
            .map_err(|error| unusable(format!("`postgres --version` does not run: {error}")))?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let major = major_of(&said)
            .ok_or_else(|| unusable(format!("`postgres --version` says `{}`", said.trim())))?;
        if major < OLDEST_MAJOR {
            return Err(unusable(format!("it is version {major}")));
        }
        Ok(Self {
            folder: folder.to_owned(),
            major,
        })
    }

    /// The newest usable binaries of this machine, else fetched ones.
    ///
    /// # Errors
    /// When there are none and none can be fetched.
    pub async fn find() -> Result<Self, PostgresError> {
        Self::find_major(None).await
    }

    /// Binaries that can open the data directory under `data_directory`, which keeps the major
    /// version it was made with; any usable ones when there is no data yet.
    pub(super) async fn find_for(data_directory: &Path) -> Result<Self, PostgresError> {
        let version = data_directory.join("postgres/data/PG_VERSION");
        let made_with = fs::read_to_string(version).ok();
        Self::find_major(made_with.and_then(|text| text.trim().parse().ok())).await
    }

    async fn find_major(wanted: Option<u32>) -> Result<Self, PostgresError> {
        let local = tokio::task::spawn_blocking(move || Self::of_this_machine(wanted));
        if let Ok(Some(binaries)) = local.await {
            return Ok(binaries);
        }
        match fetch::fetch(wanted).await {
            Ok(folder) => Self::in_folder(&folder),
            Err(error) => Err(PostgresError::NoBinaries {
                wanted: wanted.map_or_else(
                    || format!("{OLDEST_MAJOR} or newer"),
                    |major| format!("{major} (which the data directory was made with)"),
                ),
                looked: format!("PATH, PG_BIN, {}", KNOWN.join(", ")),
                fetch: crate::error_chain(&error),
            }),
        }
    }

    /// The newest usable binaries in the known folders.
    fn of_this_machine(wanted: Option<u32>) -> Option<Self> {
        candidates()
            .iter()
            .filter_map(|folder| Self::in_folder(folder).ok())
            .filter(|binaries| wanted.is_none_or(|major| binaries.major == major))
            .max_by_key(|binaries| binaries.major)
    }

    /// Major version.
    pub fn major(&self) -> u32 {
        self.major
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Path of one program.
    pub fn program(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}

/// Every folder worth a look that has a `postgres`, without links to one another.
fn candidates() -> Vec<PathBuf> {
    let named = env::var_os("PG_BIN").map(PathBuf::from);
    let path = env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = named
        .into_iter()
        .chain(env::split_paths(&path))
        .chain(KNOWN.iter().flat_map(|pattern| expand(pattern)))
        .filter_map(|folder| fs::canonicalize(folder.join("postgres")).ok())
        .filter_map(|program| program.parent().map(Path::to_owned))
        .collect();
    folders.sort();
    folders.dedup();
    folders
}

/// The folders that a pattern with at most one `*` in one path segment stands for.
fn expand(pattern: &str) -> Vec<PathBuf> {
    let Some((before, after)) = pattern.split_once('*') else {
        return vec![PathBuf::from(pattern)];
    };
    let (parent, prefix) = before.rsplit_once('/').unwrap_or(("", before));
    let after = after.trim_start_matches('/');
    let Ok(entries) = fs::read_dir(parent) else {
        return Vec::new();
    };
    entries
        .filter_map(Result::ok)
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix))
        .map(|entry| entry.path().join(after))
        .collect()
}

/// The major version in `postgres (PostgreSQL) 15.10 (Debian …)`.
fn major_of(said: &str) -> Option<u32> {
    let number = said.split_whitespace().nth(2)?;
    let digits = number
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(number.len());
    number[..digits].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_major_version_is_read() {
        assert_eq!(
            major_of("postgres (PostgreSQL) 15.10 (Debian 15.10-0)\n"),
            Some(15)
        );
        assert_eq!(major_of("postgres (PostgreSQL) 18beta1\n"), Some(18));
        assert_eq!(major_of("something else"), None);
    }

    #[test]
    fn a_folder_without_a_server_is_refused_by_name() {
        let folder = tempfile::tempdir().expect("a folder");
        let error = Binaries::in_folder(folder.path()).expect_err("nothing in it");
        assert!(
            error.to_string().contains("`postgres` is not there"),
            "{error}"
        );
    }

    #[test]
    fn a_pattern_stands_for_every_matching_folder() {
        let folder = tempfile::tempdir().expect("a folder");
        for name in ["pgsql-14", "pgsql-15", "other"] {
            fs::create_dir(folder.path().join(name)).expect("a folder");
        }
        let mut found = expand(&format!("{}/pgsql-*/bin", folder.path().display()));
        found.sort();
        let expected = ["pgsql-14/bin", "pgsql-15/bin"].map(|name| folder.path().join(name));
        assert_eq!(found, expected);
    }
}
