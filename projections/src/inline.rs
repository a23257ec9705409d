//! The inline projection: the resource view with what searches look up, the adapter statuses and
//! the reconcile queue, written in the transaction that appends the events.
//!
//! Invariants:
//! - Everything is written set-based: a batch costs a fixed number of statements.
//! - Rows are written in the order of their ids, so two writers cannot wait for each other in a
//!   circle.
//! - A row never moves back: a state older than the stored one changes nothing, so replays are
//!   harmless.
//! - A change without events is liveness: rows are written, nothing becomes due. Liveness of
//!   several adapters at once is merged, never overwritten, also not by an event that was decided
//!   before it.

mod condition_rows;
pub(crate) mod liveness;
pub(crate) mod queue_rows;
mod resource_rows;
mod status_rows;

use async_trait::async_trait;
use hyperfleet_domain::resource::Resource;
use hyperfleet_event_store::{InlineProjection, Snapshot, StreamChange, StreamId};
use serde::Deserialize as _;
use sqlx::{PgConnection, Row};

use crate::reconcile_queue::Priority;

/// Writes the read models that must never be behind. See the module documentation.
#[derive(Clone, Copy, Debug, Default)]
pub struct InlineProjector;

/// A resource as it is to be stored, and what happened to it.
pub(crate) struct Change {
    pub(crate) resource: Resource,
    /// Sequence of its last event.
    pub(crate) version: i64,
    /// Whether there was such a resource before.
    pub(crate) existed: bool,
    /// What the rows say that are stored, if that is known: rows that would stay the same are not written.
    pub(crate) stored: Option<Resource>,
    /// Whether only liveness moves.
    pub(crate) is_quiet: bool,
    /// How urgent what happened is, if sentinels must hear of it at once.
    pub(crate) makes_due: Option<Priority>,
    /// The trace that its last event belongs to.
    pub(crate) traceparent: Option<String>,
}

#[async_trait]
impl InlineProjection for InlineProjector {
    async fn apply(
        &self,
        connection: &mut PgConnection,
        changes: &[StreamChange],
    ) -> Result<(), sqlx::Error> {
        let mut changes = read_changes(changes)?;
        liveness::read(connection, &mut changes).await?;
        liveness::merge(&mut changes);
        write(connection, &changes).await?;
        queue_rows::write(connection, &changes).await
    }

    async fn snapshots(
        &self,
        connection: &mut PgConnection,
        streams: &[StreamId],
    ) -> Result<Vec<Snapshot>, sqlx::Error> {
        let ids: Vec<&str> = streams
            .iter()
            .filter(|stream| stream.aggregate_type == crate::AGGREGATE_TYPE)
            .map(|stream| stream.aggregate_id.as_str())
            .collect();
        let rows = sqlx::query("SELECT id, version, state FROM resources WHERE id = ANY($1)")
            .bind(ids)
            .fetch_all(connection)
            .await?;
        rows.iter()
            .map(|row| {
                let version: i64 = row.try_get("version")?;
                Ok(Snapshot {
                    stream: StreamId::new(crate::AGGREGATE_TYPE, row.try_get::<String, _>("id")?),
                    version: u64::try_from(version)
                        .map_err(|error| sqlx::Error::Decode(Box::new(error)))?,
                    state: row.try_get("state")?,
                })
            })
            .collect()
    }
}

/// Writes the resource view, the times of conditions, and the adapter statuses.
pub(crate) async fn write(
    connection: &mut PgConnection,
    changes: &[Change],
) -> Result<(), sqlx::Error> {
    if changes.is_empty() {
        return Ok(());
    }
    resource_rows::write(connection, changes).await?;
    condition_rows::write(connection, changes).await?;
    status_rows::write(connection, changes).await
}

/// The changes of resources that carry a state, in the order of ids.
fn read_changes(changes: &[StreamChange]) -> Result<Vec<Change>, sqlx::Error> {
    let mut read = Vec::with_capacity(changes.len());
    for change in changes {
        let Some(state) = &change.snapshot else {
            continue;
        };
        if change.stream.aggregate_type != crate::AGGREGATE_TYPE {
            continue;
        }
        let events = change.events.iter();
        read.push(Change {
            resource: Resource::deserialize(state).map_err(unwritable)?,
            version: i64::try_from(change.version).map_err(unwritable)?,
            existed: change.previous_version > 0,
            stored: None,
            is_quiet: change.events.is_empty(),
            makes_due: events
                .filter_map(|event| queue_rows::priority(&event.event_type))
                .min(),
            traceparent: traceparent(change),
        });
    }
    read.sort_by(|left, right| left.resource.id.cmp(&right.resource.id));
    Ok(read)
}

/// The trace context in the metadata of the last event.
fn traceparent(change: &StreamChange) -> Option<String> {
    let metadata = &change.events.last()?.metadata;
    Some(metadata.get("traceparent")?.as_str()?.to_owned())
}

fn unwritable(error: impl std::error::Error + Send + Sync + 'static) -> sqlx::Error {
    sqlx::Error::Encode(Box::new(error))
}
