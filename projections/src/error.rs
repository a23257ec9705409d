//! What can go wrong when a read model is read or written.

use hyperfleet_event_store::Error as StoreError;

/// Why a read model could not be read or written. Every variant is a failure, never a refusal.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database did not do what it was asked.
    #[error("the read models could not be reached or changed")]
    Database(#[from] sqlx::Error),
    /// The event log could not be read.
    #[error("the event log could not be read")]
    Log(#[from] StoreError),
    /// A stored state is not what the domain writes.
    #[error("the stored state of resource {resource_id} cannot be read")]
    UnreadableState {
        /// The resource.
        resource_id: String,
        /// The cause.
        #[source]
        source: serde_json::Error,
    },
    /// A stored event is not what any known version of the domain writes.
    #[error("event {sequence} of resource {resource_id} cannot be read")]
    UnreadableEvent {
        /// The resource.
        resource_id: String,
        /// Its number in the resource's stream.
        sequence: u64,
        /// The cause.
        #[source]
        source: hyperfleet_domain::upcast::UpcastError,
    },
    /// A catch-up projection cannot go on.
    #[error("a projection could not be brought up to date")]
    Projection(#[source] hyperfleet_event_store::catch_up::ApplyError),
    /// A number in the database is out of the range that the code can hold.
    #[error("column {column} holds {value}, which is out of range")]
    OutOfRange {
        /// The column.
        column: &'static str,
        /// Its value.
        value: i64,
    },
}

impl Error {
    /// Counts a failure of the database.
    pub(crate) fn count(&self) {
        match self {
            Self::Database(error) | Self::Log(StoreError::Database(error)) => {
                hyperfleet_runtime::telemetry::database_failed("query", error);
            }
            Self::Log(_)
            | Self::UnreadableState { .. }
            | Self::UnreadableEvent { .. }
            | Self::Projection(_)
            | Self::OutOfRange { .. } => {}
        }
    }

    /// Whether the database could not be reached, rather than that something stored is wrong.
    pub fn is_unavailable(&self) -> bool {
        match self {
            Self::Database(error) => database_is_unavailable(error),
            Self::Log(error) => error.is_unavailable(),
            Self::UnreadableState { .. }
            | Self::UnreadableEvent { .. }
            | Self::Projection(_)
            | Self::OutOfRange { .. } => false,
        }
    }
}

/// Whether the error says that the database cannot be used now: no connection, a lost one, none
/// free in time, or a server that is starting or stopping (SQLSTATE classes 08, 53 and 57).
fn database_is_unavailable(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed => true,
        sqlx::Error::Database(error) => error.code().is_some_and(|code| {
            ["08", "53", "57"]
                .iter()
                .any(|class| code.starts_with(class))
        }),
        _ => false,
    }
}
