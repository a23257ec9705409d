//! The hook for read models that must never be behind.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::PgConnection;

use crate::append::{NewEvent, StreamId};

/// What a committed append does to one stream.
#[derive(Clone, Debug, PartialEq)]
pub struct StreamChange {
    /// The stream.
    pub stream: StreamId,
    /// Its version before; 0 when it did not exist.
    pub previous_version: u64,
    /// Its version after; equal when there are no events.
    pub version: u64,
    /// The events, numbered from `previous_version + 1`.
    pub events: Vec<NewEvent>,
    /// The state after, as the caller gave it.
    pub snapshot: Option<Value>,
    /// When the events are recorded.
    pub recorded_at: DateTime<Utc>,
}

/// The state of a stream at one version.
#[derive(Clone, Debug, PartialEq)]
pub struct Snapshot {
    /// The stream.
    pub stream: StreamId,
    /// The version that the state belongs to.
    pub version: u64,
    /// The state.
    pub state: Value,
}

/// A read model that is written in the append transaction, and that also serves as snapshot store.
///
/// Positions are not known here: they are drawn in the statement after, the last before commit.
#[async_trait]
pub trait InlineProjection: Send + Sync {
    /// Applies the changes of a batch. Each stream occurs at most once. Runs inside the append
    /// transaction.
    ///
    /// # Errors
    /// An error undoes the batch. Every error of the database is to be returned: it has ended the
    /// transaction, so a batch whose projection keeps one to itself is undone all the same.
    async fn apply(
        &self,
        connection: &mut PgConnection,
        changes: &[StreamChange],
    ) -> Result<(), sqlx::Error>;

    /// The latest states that the read model has of these streams; streams without one are left out.
    async fn snapshots(
        &self,
        connection: &mut PgConnection,
        streams: &[StreamId],
    ) -> Result<Vec<Snapshot>, sqlx::Error>;
}
