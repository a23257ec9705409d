//! Events as they are stored.

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row as _};

use crate::append::StreamId;
use crate::error::Error;
use crate::inline::Snapshot;

/// Columns of `events` that [`RecordedEvent::from_row`] reads.
const COLUMNS: &str = "aggregate_type, aggregate_id, sequence, event_type, event_version, payload, metadata, \
     position, recorded_at, hash";

/// A stored event.
#[derive(Clone, Debug, PartialEq)]
pub struct RecordedEvent {
    /// Its stream.
    pub stream: StreamId,
    /// Its place in the stream, from 1.
    pub sequence: u64,
    /// Its place in the log: the order of commits, with gaps.
    pub position: u64,
    /// Stored type.
    pub event_type: String,
    /// Version of the payload's shape.
    pub event_version: String,
    /// The fact.
    pub payload: Value,
    /// Who, why and within which request.
    pub metadata: Value,
    /// When it was recorded, by the database's clock, in whole microseconds.
    pub recorded_at: DateTime<Utc>,
    /// SHA-256 over the previous event's hash and this event.
    pub hash: Vec<u8>,
}

impl RecordedEvent {
    /// A query of whole events.
    pub(crate) fn query(condition_and_order: &str) -> String {
        format!("SELECT {COLUMNS} FROM events WHERE {condition_and_order}")
    }

    pub(crate) fn from_row(row: &PgRow) -> Result<Self, Error> {
        let stream = StreamId {
            aggregate_type: row.try_get("aggregate_type")?,
            aggregate_id: row.try_get("aggregate_id")?,
        };
        let sequence: i64 = row.try_get("sequence")?;
        let position: i64 = row.try_get("position")?;
        let unsigned = |value: i64, column: &str| {
            u64::try_from(value).map_err(|_| Error::Damaged {
                stream: stream.clone(),
                sequence,
                reason: format!("{column} is {value}"),
            })
        };
        Ok(Self {
            sequence: unsigned(sequence, "sequence")?,
            position: unsigned(position, "position")?,
            event_type: row.try_get("event_type")?,
            event_version: row.try_get("event_version")?,
            payload: row.try_get("payload")?,
            metadata: row.try_get("metadata")?,
            recorded_at: row.try_get("recorded_at")?,
            hash: row.try_get("hash")?,
            stream,
        })
    }
}

/// A stream as it was loaded: a snapshot, if there is one, and the events after it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Loaded {
    /// The stream's version; 0 when it does not exist.
    pub version: u64,
    /// The state at `version` minus the number of `events`.
    pub snapshot: Option<Value>,
    /// The events after the snapshot.
    pub events: Vec<RecordedEvent>,
}

impl Loaded {
    pub(crate) fn new(snapshot: Option<Snapshot>, events: Vec<RecordedEvent>) -> Self {
        let base = snapshot.as_ref().map_or(0, |snapshot| snapshot.version);
        let version = events.last().map_or(base, |event| event.sequence);
        Self {
            version,
            snapshot: snapshot.map(|snapshot| snapshot.state),
            events,
        }
    }
}

/// Which part of the log is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// What was not put aside. All that can follow a snapshot is there.
    Live,
    /// Everything.
    Whole,
}

/// The events of a stream after a sequence, in order.
pub(crate) async fn read_stream(
    connection: &mut PgConnection,
    part: Part,
    stream: &StreamId,
    after: u64,
    limit: usize,
) -> Result<Vec<RecordedEvent>, Error> {
    let table = match part {
        Part::Live => "live_events",
        Part::Whole => "events",
    };
    let query = format!(
        "SELECT {COLUMNS} FROM {table} WHERE aggregate_type = $1 AND aggregate_id = $2 AND sequence > $3
         ORDER BY sequence LIMIT $4"
    );
    let rows = sqlx::query(&query)
        .bind(&stream.aggregate_type)
        .bind(&stream.aggregate_id)
        .bind(signed(after))
        .bind(i64::try_from(limit).unwrap_or(i64::MAX))
        .fetch_all(connection)
        .await?;
    rows.iter().map(RecordedEvent::from_row).collect()
}

/// The events of several streams, each up to and including a sequence, stream by stream in order.
pub(crate) async fn read_streams(
    connection: &mut PgConnection,
    wanted: &[(StreamId, u64)],
) -> Result<Vec<RecordedEvent>, Error> {
    let texts = |read: fn(&StreamId) -> &str| -> Vec<&str> {
        wanted.iter().map(|(stream, _)| read(stream)).collect()
    };
    let bounds: Vec<i64> = wanted.iter().map(|(_, up_to)| signed(*up_to)).collect();
    let query = format!(
        "SELECT {COLUMNS}
         FROM UNNEST($1::text[], $2::text[], $3::bigint[]) AS wanted (wanted_type, wanted_id, up_to)
         JOIN events ON aggregate_type = wanted_type AND aggregate_id = wanted_id AND sequence <= up_to
         ORDER BY aggregate_type, aggregate_id, sequence"
    );
    let rows = sqlx::query(&query)
        .bind(texts(|stream| &stream.aggregate_type))
        .bind(texts(|stream| &stream.aggregate_id))
        .bind(bounds)
        .fetch_all(connection)
        .await?;
    rows.iter().map(RecordedEvent::from_row).collect()
}

/// The position of the last event of the log; 0 when there is none.
pub(crate) async fn head(connection: &mut PgConnection) -> Result<u64, Error> {
    let head: i64 = sqlx::query_scalar("SELECT coalesce(max(position), 0) FROM live_events")
        .fetch_one(connection)
        .await?;
    Ok(head.unsigned_abs())
}

/// The events of the log after a position, in order.
pub(crate) async fn read_all(
    connection: &mut PgConnection,
    after: u64,
    limit: usize,
) -> Result<Vec<RecordedEvent>, Error> {
    let query =
        format!("SELECT {COLUMNS} FROM events WHERE position > $1 ORDER BY position LIMIT $2");
    let rows = sqlx::query(&query)
        .bind(signed(after))
        .bind(i64::try_from(limit).unwrap_or(i64::MAX))
        .fetch_all(connection)
        .await?;
    rows.iter().map(RecordedEvent::from_row).collect()
}

/// The events at these positions, in order.
pub(crate) async fn read_at(
    connection: &mut PgConnection,
    positions: &[i64],
) -> Result<Vec<RecordedEvent>, Error> {
    let query = format!("SELECT {COLUMNS} FROM events WHERE position = ANY($1) ORDER BY position");
    let rows = sqlx::query(&query)
        .bind(positions)
        .fetch_all(connection)
        .await?;
    rows.iter().map(RecordedEvent::from_row).collect()
}

/// A bound for the database. One beyond its range, from a caller's query string perhaps, has no events
/// after it.
fn signed(after: u64) -> i64 {
    i64::try_from(after).unwrap_or(i64::MAX)
}
