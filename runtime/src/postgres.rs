//! A private PostgreSQL server: a supervised child process with its own data directory.
//!
//! Invariants:
//! - One data directory is served by one process at a time; a second open is refused and told which
//!   process holds it.
//! - The server listens on a unix socket that only its own account (and root) can reach, never on a
//!   network address.
//! - The server does not outlive this process, however this process ends. What was acknowledged is
//!   kept, because `fsync` is on unless a caller gives durability up.
//! - A server that dies is started again, with growing pauses between attempts.
//!
//! The child is forked from a thread that lives as long as the child does, because Linux tells a
//! child about the death of the forking *thread*, not of the process.

mod account;
mod binaries;
mod child;
mod error;
mod fetch;
mod place;
mod supervisor;

use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgSslMode};
use sqlx::{Connection as _, PgConnection};
use tokio::sync::{oneshot, watch};

pub use binaries::{Binaries, OLDEST_MAJOR};
pub use error::PostgresError;
use supervisor::Supervisor;

/// The database role that owns everything in a private server.
pub const ROLE: &str = "hyperfleet";

/// How long a fast shutdown may take before the caller stops waiting: it ends with a checkpoint,
/// which on a slow disk takes seconds.
const STOP_DEADLINE: Duration = Duration::from_secs(30);

/// Whether acknowledged commits survive a power failure.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// Every commit reaches the disk before it is acknowledged.
    #[default]
    Full,
    /// Nothing waits for the disk: for tests, whose data nobody wants back.
    None,
}

/// What a private server is started with.
#[derive(Clone, Debug)]
pub struct PostgresSettings {
    data_directory: PathBuf,
    database: String,
    durability: Durability,
    max_connections: u32,
    settings: Vec<(String, String)>,
    binaries: Option<PathBuf>,
}

impl PostgresSettings {
    /// A durable server whose files live in `data_directory/postgres`, with one database named
    /// `hyperfleet`.
    pub fn new(data_directory: impl Into<PathBuf>) -> Self {
        Self {
            data_directory: data_directory.into(),
            database: "hyperfleet".to_owned(),
            durability: Durability::Full,
            max_connections: 200,
            settings: Vec::new(),
            binaries: None,
        }
    }

    /// Sets the durability.
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// Sets how many connections the server accepts.
    pub fn max_connections(mut self, max_connections: u32) -> Self {
        self.max_connections = max_connections;
        self
    }

    /// Adds a server setting, as in `postgresql.conf`.
    pub fn setting(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.settings.push((name.into(), value.into()));
        self
    }

    /// Uses the binaries in this folder instead of looking for some.
    pub fn binaries(mut self, folder: impl Into<PathBuf>) -> Self {
        self.binaries = Some(folder.into());
        self
    }
}

/// What the supervisor's child is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PostgresState {
    /// Not accepting connections yet, or not any more until it is started again.
    Starting,
    /// Accepting connections.
    Ready {
        /// Process id of the server.
        pid: u32,
        /// How often it was started again since the first start.
        restarts: u32,
    },
    /// Ended for good.
    Stopped,
}

/// A running private server. Dropping it stops the server without waiting for the end.
#[derive(Debug)]
pub struct Postgres {
    socket_directory: PathBuf,
    database: String,
    log: PathBuf,
    version: u32,
    requests: mpsc::Sender<supervisor::Stop>,
    state: watch::Receiver<PostgresState>,
}

impl Postgres {
    /// Starts the server, making its data directory on the first start, and waits until it accepts
    /// connections and its database exists.
    ///
    /// # Errors
    /// No usable binaries, a data directory in use or out of reach, or a server that does not come
    /// up; each says what to do.
    pub async fn start(settings: PostgresSettings) -> Result<Self, PostgresError> {
        let binaries = match &settings.binaries {
            Some(folder) => Binaries::in_folder(folder)?,
            None => Binaries::find_for(&settings.data_directory).await?,
        };
        let database = settings.database.clone();
        let version = binaries.major();
        let (requests, stop_requests) = mpsc::channel();
        let (state_sender, state) = watch::channel(PostgresState::Starting);
        let (started, first_start) = oneshot::channel();
        Supervisor::launch(settings, binaries, stop_requests, state_sender, started)?;
        let place = first_start
            .await
            .map_err(|_| PostgresError::SupervisorGone)??;
        let server = Self {
            socket_directory: place.socket_directory,
            log: place.log,
            database,
            version,
            requests,
            state,
        };
        server.ensure_database().await?;
        Ok(server)
    }

    /// Connection URL of the server's own database.
    pub fn url(&self) -> String {
        self.url_of(&self.database)
    }

    /// Connection URL of `database` on this server.
    pub fn url_of(&self, database: &str) -> String {
        format!(
            "postgres://{ROLE}@localhost/{database}?host={}&sslmode=disable",
            percent_encoded(&self.socket_directory)
        )
    }

    /// Connection options of the server's own database.
    pub fn connect_options(&self) -> PgConnectOptions {
        self.connect_options_of(&self.database)
    }

    /// Folder of the server's unix socket.
    pub fn socket_directory(&self) -> &Path {
        &self.socket_directory
    }

    /// The server's own log.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// Major version of the server.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// What the server is doing, to look at or to wait on.
    pub fn state(&self) -> watch::Receiver<PostgresState> {
        self.state.clone()
    }

    /// Stops the server: open transactions are rolled back, everything is written out.
    ///
    /// # Errors
    /// When the server has not ended after 30 seconds.
    pub async fn stop(mut self) -> Result<(), PostgresError> {
        // The supervisor is gone only when the server is too.
        let _ = self.requests.send(supervisor::Stop);
        let ended = self
            .state
            .wait_for(|state| *state == PostgresState::Stopped);
        match tokio::time::timeout(STOP_DEADLINE, ended).await {
            // An error means that the supervisor's end of the channel is gone: it has ended too.
            Ok(_) => Ok(()),
            Err(_) => Err(PostgresError::NotStopped {
                seconds: STOP_DEADLINE.as_secs(),
            }),
        }
    }

    fn connect_options_of(&self, database: &str) -> PgConnectOptions {
        PgConnectOptions::new()
            .socket(&self.socket_directory)
            .port(place::PORT)
            .username(ROLE)
            .database(database)
            .ssl_mode(PgSslMode::Disable)
    }

    /// Makes the server's database on the first start. Its name is a constant of this crate, so it
    /// needs no quoting.
    async fn ensure_database(&self) -> Result<(), PostgresError> {
        let connect = |source| PostgresError::Connect {
            database: self.database.clone(),
            source,
        };
        let mut connection = PgConnection::connect_with(&self.connect_options_of("postgres"))
            .await
            .map_err(connect)?;
        let exists: bool =
            sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM pg_database WHERE datname = $1)")
                .bind(&self.database)
                .fetch_one(&mut connection)
                .await
                .map_err(connect)?;
        if !exists {
            sqlx::query(&format!("CREATE DATABASE {}", self.database))
                .execute(&mut connection)
                .await
                .map_err(connect)?;
        }
        connection.close().await.map_err(connect)
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // A supervisor that is gone has no server to stop.
        let _ = self.requests.send(supervisor::Stop);
    }
}

/// `path` as the value of a query parameter of a URL.
fn percent_encoded(path: &Path) -> String {
    use std::fmt::Write as _;
    use std::os::unix::ffi::OsStrExt as _;
    path.as_os_str()
        .as_bytes()
        .iter()
        .fold(String::new(), |mut encoded, byte| {
            if byte.is_ascii_alphanumeric() || b"-._~".contains(byte) {
                encoded.push(char::from(*byte));
            } else {
                // Writing to a String cannot fail.
                let _ = write!(encoded, "%{byte:02X}");
            }
            encoded
        })
}
