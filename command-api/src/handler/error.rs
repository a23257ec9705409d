//! Why a command was not carried out: refusal and failure apart.

use hyperfleet_domain::resource::Refusal;
use hyperfleet_domain::upcast::UpcastError;
use hyperfleet_event_store::{AppendError, Error as StoreError};

/// Why a command was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// The rules refuse it.
    #[error(transparent)]
    Refused(#[from] Refusal),
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
    /// Whether the same command may succeed a little later.
    pub fn is_unavailable(&self) -> bool {
        match self {
            Self::TooManyConflicts { .. } => true,
            Self::Load(error) => error.is_unavailable(),
            Self::Append(error) => error.is_unavailable(),
            Self::Refused(_)
            | Self::OnlyReports
            | Self::UnreadableState { .. }
            | Self::UnreadableEvent { .. }
            | Self::Unwritable(_) => false,
        }
    }
}
