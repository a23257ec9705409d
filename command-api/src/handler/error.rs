//! Why a command was not carried out: refusal and failure apart.

use hyperfleet_domain::resource::Refusal;
use hyperfleet_domain::upcast::UpcastError;
use hyperfleet_event_store::{AppendError, Error as StoreError};

use super::conditions::Outcome;

/// Why a command was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// The rules refuse it.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The resource is not at a version that the caller expects.
    #[error("resource {id} is at version {}, which is not an expected one", current.version)]
    Outdated {
        /// The resource.
        id: String,
        /// What it is now.
        current: Box<Outcome>,
    },
    /// The idempotency key was used for another request.
    #[error("the idempotency key was used for another request")]
    KeyReused,
    /// A receipt is not what this API writes.
    #[error("the stored answer of an earlier request cannot be read")]
    UnreadableReceipt(#[source] serde_json::Error),
    /// Its sender is part of the system and may only report.
    #[error("{}", crate::identity::SYSTEM_IDENTITY)]
    OnlyReports,
    /// Others kept changing the same resource.
    #[error("resource {id} was changed by others {attempts} times while this command was decided")]
    TooManyConflicts {
        /// The resource.
        id: String,
        /// How often the command was decided.
        attempts: u32,
    },
    /// The event store could not be read.
    #[error("the event store could not be read")]
    Load(#[from] StoreError),
    /// The event store did not take the events.
    #[error("the events could not be appended")]
    Append(#[from] AppendError),
    /// A stored state is not what the domain writes.
    #[error("the stored state of resource {id} cannot be read")]
    UnreadableState {
        /// The resource.
        id: String,
        /// The cause.
        #[source]
        source: serde_json::Error,
    },
    /// A stored event is not what any known version of the domain writes.
    #[error("event {sequence} of resource {id} cannot be read")]
    UnreadableEvent {
        /// The resource.
        id: String,
        /// Its number in the resource's stream.
        sequence: u64,
        /// The cause.
        #[source]
        source: UpcastError,
    },
    /// A state or metadata cannot be written as JSON.
    #[error("the outcome cannot be written as JSON")]
    Unwritable(#[source] serde_json::Error),
}

impl CommandError {
    /// Counts a failure of the database to be read; failures to write count where they happen.
    pub(crate) fn count(&self) {
        if let Self::Load(StoreError::Database(error)) = self {
            hyperfleet_runtime::telemetry::database_failed("query", error);
        }
    }

    /// Whether the same command may succeed a little later.
    pub fn is_unavailable(&self) -> bool {
        match self {
            Self::TooManyConflicts { .. } => true,
            Self::Load(error) => error.is_unavailable(),
            Self::Append(error) => error.is_unavailable(),
            Self::Refused(_)
            | Self::Outdated { .. }
            | Self::KeyReused
            | Self::UnreadableReceipt(_)
            | Self::OnlyReports
            | Self::UnreadableState { .. }
            | Self::UnreadableEvent { .. }
            | Self::Unwritable(_) => false,
        }
    }
}
