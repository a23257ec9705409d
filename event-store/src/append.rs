//! What can be appended, and how an append ends.

use std::fmt;

use serde_json::Value;

/// Names one stream: all events of one aggregate.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId {
    /// The aggregate's type.
    pub aggregate_type: String,
    /// The aggregate's id, unique within its type.
    pub aggregate_id: String,
}

impl StreamId {
    /// The stream of an aggregate.
    pub fn new(aggregate_type: impl Into<String>, aggregate_id: impl Into<String>) -> Self {
        Self {
            aggregate_type: aggregate_type.into(),
            aggregate_id: aggregate_id.into(),
        }
    }
}

impl fmt::Display for StreamId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.aggregate_type, self.aggregate_id)
    }
}

/// An event that is to be recorded.
#[derive(Clone, Debug, PartialEq)]
pub struct NewEvent {
    /// Stored type, for example `hyperfleet.resource.created`.
    pub event_type: String,
    /// Version of the payload's shape.
    pub event_version: String,
    /// The fact.
    pub payload: Value,
    /// Who, why and within which request.
    pub metadata: Value,
}

/// What happens to one stream in a transaction.
#[derive(Clone, Debug, PartialEq)]
pub struct Append {
    /// The stream.
    pub stream: StreamId,
    /// The version that the stream must have; 0 when it must not exist.
    pub expected: u64,
    /// The events; none for liveness, or for a mere check of the version.
    pub events: Vec<NewEvent>,
    /// The aggregate's state after the events, for the inline projection.
    pub snapshot: Option<Value>,
    /// Unique keys to take. They must be free or held by this stream.
    pub claims: Vec<String>,
    /// Unique keys to give up. A key that this stream does not hold is left alone.
    pub releases: Vec<String>,
}

impl Append {
    /// An append of events, without snapshot or claims.
    pub fn events(stream: StreamId, expected: u64, events: Vec<NewEvent>) -> Self {
        Self {
            stream,
            expected,
            events,
            snapshot: None,
            claims: Vec::new(),
            releases: Vec::new(),
        }
    }

    /// The stream's version after this append.
    pub fn version(&self) -> u64 {
        self.expected + self.events.len() as u64
    }
}

/// An append that is durable and visible.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    /// The highest position of the batch that carried it. 0 when the batch recorded no event.
    pub position: u64,
    /// The version of each stream, in the order of the appends.
    pub versions: Vec<u64>,
}

/// Why nothing was appended, or why that is not known.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// A stream has another version than the expected one. Load again and decide again.
    #[error("stream {stream} is at version {actual}, not {expected}")]
    Conflict {
        /// The stream.
        stream: StreamId,
        /// The version that the append expected.
        expected: u64,
        /// The version it has.
        actual: u64,
    },
    /// A unique key is held by another stream.
    #[error("the key {key:?} is taken")]
    ClaimTaken {
        /// The key.
        key: String,
    },
    /// A receipt of that key lives: what this transaction does was done before.
    #[error("there is a receipt {key:?} already")]
    ReceiptTaken {
        /// The receipt's key.
        key: String,
    },
    /// The append contradicts itself or cannot be stored. Trying again cannot help.
    #[error("the append cannot be stored: {reason}")]
    Invalid {
        /// What is wrong, and where.
        reason: String,
    },
    /// The database could not be used. Nothing was written.
    #[error("the event store is unavailable, nothing was written: {reason}")]
    Unavailable {
        /// What failed.
        reason: String,
    },
    /// The connection was lost while committing. Everything or nothing was written.
    #[error("the connection was lost while committing, the outcome is not known: {reason}")]
    OutcomeUnknown {
        /// What failed.
        reason: String,
    },
}

impl AppendError {
    /// Whether the database was the cause, rather than the append.
    pub fn is_unavailable(&self) -> bool {
        matches!(self, Self::Unavailable { .. } | Self::OutcomeUnknown { .. })
    }
}
