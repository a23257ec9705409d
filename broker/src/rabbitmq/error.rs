//! What went wrong at RabbitMQ.

use std::time::Duration;

use lapin::ErrorKind;
use lapin::protocol::{AMQPErrorKind, AMQPHardError, AMQPSoftError};

/// Why RabbitMQ did not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RabbitMqError {
    /// No connection to the server.
    #[error(
        "cannot connect to RabbitMQ at {address}: is it running, and do user, password and vhost exist there?"
    )]
    Connect {
        /// The server, without the password.
        address: String,
        /// What the client reported.
        #[source]
        source: lapin::Error,
    },
    /// No connection to the server, as an attempt a moment ago has shown.
    #[error(transparent)]
    Away(std::sync::Arc<RabbitMqError>),
    /// The certificates of who signs the server's cannot be read.
    #[error("cannot read certificates from {}", file.display())]
    Certificates {
        /// The file that was named.
        file: std::path::PathBuf,
        /// What the system reported.
        #[source]
        source: std::io::Error,
    },
    /// The server refused something.
    #[error("RabbitMQ did not {operation} {name:?}{}", hint(source))]
    Failed {
        /// What was asked.
        operation: &'static str,
        /// Name of the exchange or queue.
        name: String,
        /// What the client reported.
        #[source]
        source: lapin::Error,
    },
    /// The server did not store an event.
    #[error(
        "RabbitMQ refused to store an event for {name:?}: is the queue full, or its node down?"
    )]
    NotStored {
        /// Name of the exchange or queue.
        name: String,
    },
    /// The queue that an event was for is gone.
    #[error("queue {name:?} does not exist any longer; its consumer declares it again")]
    QueueGone {
        /// Name of the queue.
        name: String,
    },
    /// A name is too long for the protocol.
    #[error(
        "{name:?} has more than 255 bytes, the longest name that RabbitMQ takes: shorten the topic or the subscription id"
    )]
    NameTooLong {
        /// The name.
        name: String,
    },
    /// No answer in time.
    #[error("RabbitMQ at {address} did not answer within {waited:?}")]
    Deadline {
        /// The server, without the password.
        address: String,
        /// How long was waited.
        waited: Duration,
    },
}

/// What to do about a refusal.
fn hint(error: &lapin::Error) -> &'static str {
    match soft(error) {
        Some(AMQPSoftError::ACCESSREFUSED) => {
            ": the user lacks a permission; it needs configure, write and read on the topic's exchange and queues"
        }
        Some(AMQPSoftError::PRECONDITIONFAILED) => {
            ": it exists with other settings; use the same exchange_type and queue_type, or delete it"
        }
        Some(AMQPSoftError::NOTFOUND) => ": it does not exist",
        _ => "",
    }
}

fn soft(error: &lapin::Error) -> Option<&AMQPSoftError> {
    match error.kind() {
        ErrorKind::ProtocolError(error) => match error.kind() {
            AMQPErrorKind::Soft(soft) => Some(soft),
            AMQPErrorKind::Hard(_) => None,
        },
        _ => None,
    }
}

impl RabbitMqError {
    fn lapin(&self) -> Option<&lapin::Error> {
        match self {
            Self::Connect { source, .. } | Self::Failed { source, .. } => Some(source),
            Self::Away(error) => error.lapin(),
            _ => None,
        }
    }

    /// Something exists with other settings than it was declared with.
    pub(super) fn is_mismatch(&self) -> bool {
        self.lapin().and_then(soft) == Some(&AMQPSoftError::PRECONDITIONFAILED)
    }

    /// Something does not exist.
    pub(super) fn is_missing(&self) -> bool {
        self.lapin().and_then(soft) == Some(&AMQPSoftError::NOTFOUND)
    }

    /// The user lacks a permission.
    pub(super) fn is_denied(&self) -> bool {
        self.lapin().and_then(soft) == Some(&AMQPSoftError::ACCESSREFUSED)
    }

    /// Whether trying again cannot help before somebody changes the configuration or the server.
    pub(crate) fn is_permanent(&self) -> bool {
        if matches!(self, Self::NameTooLong { .. }) {
            return true;
        }
        let Some(error) = self.lapin() else {
            return false;
        };
        let is_refused = matches!(
            soft(error),
            Some(AMQPSoftError::ACCESSREFUSED | AMQPSoftError::PRECONDITIONFAILED)
        );
        let is_not_allowed = matches!(error.kind(), ErrorKind::ProtocolError(error)
            if *error.kind() == AMQPErrorKind::Hard(AMQPHardError::NOTALLOWED));
        is_refused || is_not_allowed
    }
}
