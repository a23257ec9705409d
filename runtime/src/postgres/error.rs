//! Why a private server could not be had.

use std::io;
use std::path::{Path, PathBuf};

/// Why a private PostgreSQL server could not be started or stopped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PostgresError {
    /// No binaries of an acceptable version on this machine, and none could be fetched.
    #[error(
        "no PostgreSQL {wanted} server binaries on this machine (looked in {looked}) and they could \
         not be fetched ({fetch}); install the package `postgresql` (Debian, Ubuntu), \
         `postgresql-server` (Fedora, RHEL) or `postgresql` (Homebrew), name their folder in PG_BIN, \
         or name a running server with --database-url"
    )]
    NoBinaries {
        /// The acceptable versions.
        wanted: String,
        /// The folders that were searched.
        looked: String,
        /// Why fetching failed.
        fetch: String,
    },
    /// A named folder does not hold a usable server.
    #[error("{} holds no PostgreSQL {oldest} or newer server: {reason}", folder.display())]
    UnusableBinaries {
        /// The folder.
        folder: PathBuf,
        /// The oldest acceptable version.
        oldest: u32,
        /// What is wrong.
        reason: String,
    },
    /// Another process serves this data directory.
    #[error(
        "the data directory {} is in use by process {holder}; stop that process or choose another \
         data directory",
        path.display()
    )]
    InUse {
        /// The data directory.
        path: PathBuf,
        /// Process id of the holder, when it left one.
        holder: String,
    },
    /// The data directory belongs to someone else.
    #[error(
        "{} belongs to user id {owner}, not to this process' user id {own}; run as that user or \
         choose another data directory",
        path.display()
    )]
    ForeignOwner {
        /// The directory.
        path: PathBuf,
        /// Its owner.
        owner: u32,
        /// Who we are.
        own: u32,
    },
    /// PostgreSQL refuses to run as root, and there is no account to run it as.
    #[error(
        "PostgreSQL does not run as root and /etc/passwd names neither `postgres` nor `nobody`; add \
         one of them or run as another user"
    )]
    NoAccount,
    /// A file operation failed.
    #[error("{} could not be {operation}", path.display())]
    File {
        /// What was tried, as a participle.
        operation: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// The data directory could not be made.
    #[error("initdb could not make {}: {output}", path.display())]
    Initdb {
        /// The data directory.
        path: PathBuf,
        /// What initdb said.
        output: String,
    },
    /// The server ended or hung instead of coming up.
    #[error("the PostgreSQL server {reason}; the end of {}: {tail}", log.display())]
    NotReady {
        /// What happened.
        reason: String,
        /// The server's log.
        log: PathBuf,
        /// Its last lines.
        tail: String,
    },
    /// The server did not end in time.
    #[error("the PostgreSQL server has not stopped after {seconds} s")]
    NotStopped {
        /// How long was waited.
        seconds: u64,
    },
    /// The server came up but does not serve.
    #[error("the PostgreSQL server does not serve database {database}")]
    Connect {
        /// The database.
        database: String,
        /// Why.
        #[source]
        source: sqlx::Error,
    },
    /// The supervising thread ended early; its own error was logged.
    #[error("the thread that supervises PostgreSQL has ended")]
    SupervisorGone,
}

impl PostgresError {
    /// Wraps an error of `operation` on `path`.
    pub(super) fn file<'a>(
        operation: &'static str,
        path: &'a Path,
    ) -> impl FnOnce(io::Error) -> Self + use<'a> {
        move |source| Self::File {
            operation,
            path: path.to_owned(),
            source,
        }
    }
}
