//! Why the log could not be read.

use crate::append::StreamId;

/// Why the event store could not be opened or read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database did not answer.
    #[error("the event log could not be read")]
    Database(#[from] sqlx::Error),
    /// A column holds what no version of this store writes.
    #[error("event {sequence} of stream {stream} is damaged: {reason}")]
    Damaged {
        /// The stream.
        stream: StreamId,
        /// The event's number in it.
        sequence: i64,
        /// What is wrong.
        reason: String,
    },
}

impl Error {
    /// Whether the database could not be used now: no connection, a lost one, none free in time, or a
    /// server that is starting or stopping.
    pub fn is_unavailable(&self) -> bool {
        match self {
            Self::Database(error) => is_connection_failure(error),
            Self::Damaged { .. } => false,
        }
    }
}

/// Whether an error says that the connection or the server cannot be used: SQLSTATE classes 08, 53 and 57,
/// and sessions that the server ended (25P03, 25P04).
pub(crate) fn is_connection_failure(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed => true,
        sqlx::Error::Database(error) => error.code().is_some_and(|code| {
            ["08", "25P03", "25P04", "53", "57"]
                .iter()
                .any(|class| code.starts_with(class))
        }),
        _ => false,
    }
}
