//! Parked events: what a projection passed by because it could not be applied, and what waits behind it.
//!
//! Whoever reads or changes them holds the projection's checkpoint, so no event slips past a stream that
//! is held up, and none is applied twice.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use sqlx::{Connection as _, PgConnection, PgPool, Row as _};

use super::failure::Failure;
use super::isolate::{self, Isolated};
use super::{ATTEMPTS, Apply, ApplyError, BATCH, checkpoint};
use crate::append::StreamId;
use crate::error::Error;
use crate::recorded::{self, RecordedEvent};

/// Most failed events of one projection. Where so many fail, not they are at fault but the projection: it
/// stops then, and says so, instead of passing the whole log by.
const FAILED_LIMIT: i64 = 1000;

/// Longest error that is kept, in characters: enough for a chain of causes.
const ERROR_LENGTH: usize = 2000;

/// An event that a projection passed by.
#[derive(Clone, Debug, PartialEq)]
pub struct ParkedEvent {
    /// The projection.
    pub projection: String,
    /// The event's place in the log.
    pub position: u64,
    /// Its stream.
    pub stream: StreamId,
    /// Its place in the stream.
    pub sequence: u64,
    /// Why it could not be applied; none when it waits behind an earlier event of its stream.
    pub error: Option<String>,
    /// How often it was tried.
    pub attempts: u32,
    /// When it was parked.
    pub parked_at: DateTime<Utc>,
    /// When it was last tried, if it was.
    pub tried_at: Option<DateTime<Utc>>,
    /// When an operator gave it up.
    pub skipped_at: Option<DateTime<Utc>>,
}

/// What a retry did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Retried {
    /// Events that are applied now.
    pub applied: u64,
    /// Events that failed again, and still hold up their streams.
    pub failed: u64,
}

/// Why parked events could not be dealt with.
#[derive(Debug, thiserror::Error)]
pub enum ParkedError {
    /// There is none at that position.
    #[error("projection {projection} has no failed event at position {position}")]
    NotParked {
        /// The projection.
        projection: String,
        /// The position.
        position: u64,
    },
    /// The log or the database could not be used, or the projection cannot work at all.
    #[error("the parked events could not be tried")]
    Failed(#[source] ApplyError),
}

impl From<Failure> for ParkedError {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure.into_error())
    }
}

impl From<sqlx::Error> for ParkedError {
    fn from(error: sqlx::Error) -> Self {
        Self::Failed(error.into())
    }
}

/// What is parked, of one projection or of all, in the order of the log, after a position, at most `limit`.
/// Skipped events are left out.
///
/// # Errors
/// When the database cannot answer.
pub async fn parked(
    pool: &PgPool,
    projection: Option<&str>,
    after: u64,
    limit: usize,
) -> Result<Vec<ParkedEvent>, Error> {
    let rows = sqlx::query(
        "SELECT * FROM parked_events
         WHERE skipped_at IS NULL AND ($1::text IS NULL OR projection = $1) AND position > $2
         ORDER BY position, projection LIMIT $3",
    )
    .bind(projection)
    .bind(after.cast_signed())
    .bind(i64::try_from(limit).unwrap_or(i64::MAX))
    .fetch_all(pool)
    .await?;
    rows.iter()
        .map(|row| {
            let unsigned = |column| row.try_get::<i64, _>(column).map(i64::unsigned_abs);
            Ok(ParkedEvent {
                projection: row.try_get("projection")?,
                position: unsigned("position")?,
                stream: stream_of(row)?,
                sequence: unsigned("sequence")?,
                error: row.try_get("error")?,
                attempts: row.try_get::<i32, _>("attempts")?.unsigned_abs(),
                parked_at: row.try_get("parked_at")?,
                tried_at: row.try_get("tried_at")?,
                skipped_at: row.try_get("skipped_at")?,
            })
        })
        .collect()
}

/// Tries the stream of a failed event again, or every stream that is held up: its failed event and, if that
/// succeeds, what waits behind it, in order.
///
/// # Errors
/// When there is no such event, the database cannot answer, or the projection cannot work.
pub async fn retry(
    pool: &PgPool,
    projection: &str,
    position: Option<u64>,
    apply: &mut Apply<'_>,
) -> Result<Retried, ParkedError> {
    let failed = sqlx::query(
        "SELECT aggregate_type, aggregate_id FROM parked_events
         WHERE projection = $1 AND error IS NOT NULL AND skipped_at IS NULL
           AND ($2::bigint IS NULL OR position = $2)
         ORDER BY position",
    )
    .bind(projection)
    .bind(position.map(u64::cast_signed))
    .fetch_all(pool)
    .await?;
    if let (true, Some(position)) = (failed.is_empty(), position) {
        let projection = projection.to_owned();
        return Err(ParkedError::NotParked {
            projection,
            position,
        });
    }
    let mut retried = Retried::default();
    for row in &failed {
        let stream = stream_of(row)?;
        let mut goes_on = true;
        while goes_on {
            goes_on = retry_stream(pool, projection, &stream, apply, &mut retried).await?;
        }
    }
    Ok(retried)
}

/// Gives up a failed event, and tries what waits behind it, in order. The event stays recorded as skipped.
///
/// # Errors
/// As [`retry`].
pub async fn skip(
    pool: &PgPool,
    projection: &str,
    position: u64,
    apply: &mut Apply<'_>,
) -> Result<Retried, ParkedError> {
    let mut transaction = pool.begin().await?;
    checkpoint::wait_for(&mut transaction, projection).await?;
    let skipped = sqlx::query(
        "UPDATE parked_events SET skipped_at = now()
         WHERE projection = $1 AND position = $2 AND error IS NOT NULL AND skipped_at IS NULL
         RETURNING aggregate_type, aggregate_id",
    )
    .bind(projection)
    .bind(position.cast_signed())
    .fetch_optional(&mut *transaction)
    .await?;
    let Some(row) = skipped else {
        let projection = projection.to_owned();
        return Err(ParkedError::NotParked {
            projection,
            position,
        });
    };
    let stream = stream_of(&row)?;
    transaction.commit().await?;
    let mut retried = Retried::default();
    while retry_stream(pool, projection, &stream, apply, &mut retried).await? {}
    Ok(retried)
}

/// Tries the first parked events of a stream in one transaction. Returns whether to go on with the next.
async fn retry_stream(
    pool: &PgPool,
    projection: &str,
    stream: &StreamId,
    apply: &mut Apply<'_>,
    retried: &mut Retried,
) -> Result<bool, ParkedError> {
    let mut connection = pool.acquire().await?;
    let mut transaction = connection.begin().await?;
    checkpoint::wait_for(&mut transaction, projection).await?;
    let positions: Vec<i64> = sqlx::query_scalar(
        "SELECT position FROM parked_events
         WHERE projection = $1 AND aggregate_type = $2 AND aggregate_id = $3
           AND skipped_at IS NULL
         ORDER BY position LIMIT $4",
    )
    .bind(projection)
    .bind(&stream.aggregate_type)
    .bind(&stream.aggregate_id)
    .bind(i64::try_from(BATCH).unwrap_or(i64::MAX))
    .fetch_all(&mut *transaction)
    .await?;
    if positions.is_empty() {
        return Ok(false);
    }
    let events = recorded::read_at(&mut transaction, &positions)
        .await
        .map_err(|error| ParkedError::Failed(error.into()))?;
    let mut isolated = Isolated::default();
    isolate::apply_what_can_be(&mut transaction, apply, events, &mut isolated).await?;
    let failed = isolated.failed.first();
    let applied: Vec<i64> = match failed {
        Some((event, _)) => positions
            .into_iter()
            .take_while(|position| position.unsigned_abs() < event.position)
            .collect(),
        None => positions,
    };
    sqlx::query("DELETE FROM parked_events WHERE projection = $1 AND position = ANY($2)")
        .bind(projection)
        .bind(&applied)
        .execute(&mut *transaction)
        .await?;
    retried.applied += applied.len() as u64;
    if let Some((event, error)) = failed {
        sqlx::query(
            "UPDATE parked_events SET error = $3, attempts = attempts + 1, tried_at = now()
             WHERE projection = $1 AND position = $2",
        )
        .bind(projection)
        .bind(event.position.cast_signed())
        .bind(described(error))
        .execute(&mut *transaction)
        .await?;
        retried.failed += 1;
    }
    transaction.commit().await?;
    Ok(isolated.failed.is_empty())
}

/// Which streams of these events are held up.
pub(super) async fn blocked_streams(
    connection: &mut PgConnection,
    projection: &str,
    events: &[RecordedEvent],
) -> Result<BTreeSet<StreamId>, sqlx::Error> {
    let streams: BTreeSet<&StreamId> = events.iter().map(|event| &event.stream).collect();
    let (types, ids): (Vec<&str>, Vec<&str>) = streams
        .iter()
        .map(|stream| (stream.aggregate_type.as_str(), stream.aggregate_id.as_str()))
        .unzip();
    let rows = sqlx::query(
        "SELECT DISTINCT aggregate_type, aggregate_id FROM parked_events
         WHERE projection = $1 AND skipped_at IS NULL AND (aggregate_type, aggregate_id)
             IN (SELECT * FROM UNNEST($2::text[], $3::text[]))",
    )
    .bind(projection)
    .bind(types)
    .bind(ids)
    .fetch_all(connection)
    .await?;
    rows.iter().map(stream_of).collect()
}

/// Writes down what was not applied.
pub(super) async fn park(
    connection: &mut PgConnection,
    projection: &str,
    isolated: &Isolated,
) -> Result<(), Failure> {
    if !isolated.failed.is_empty() {
        refuse_too_many(&mut *connection, projection, isolated.failed.len()).await?;
    }
    let failed = isolated.failed.iter();
    let rows: Vec<(&RecordedEvent, Option<String>)> = failed
        .map(|(event, error)| (event, Some(described(error))))
        .chain(isolated.waiting.iter().map(|event| (event, None)))
        .collect();
    if rows.is_empty() {
        return Ok(());
    }
    for (event, error) in &isolated.failed {
        let error = described(error);
        tracing::error!(projection, event.position = event.position, event.stream = %event.stream, event.sequence, error, "an event was parked, and its stream waits behind it");
    }
    let streams = || rows.iter().map(|(event, _)| &event.stream);
    sqlx::query(
        "INSERT INTO parked_events (projection, position, aggregate_type, aggregate_id, sequence,
             error, attempts, parked_at, tried_at)
         SELECT $1, position, aggregate_type, aggregate_id, sequence, error,
             CASE WHEN error IS NULL THEN 0 ELSE $7 END, now(),
             CASE WHEN error IS NULL THEN NULL ELSE now() END
         FROM UNNEST($2::bigint[], $3::text[], $4::text[], $5::bigint[], $6::text[])
             AS parked (position, aggregate_type, aggregate_id, sequence, error)",
    )
    .bind(projection)
    .bind(
        rows.iter()
            .map(|(event, _)| event.position.cast_signed())
            .collect::<Vec<_>>(),
    )
    .bind(
        streams()
            .map(|stream| stream.aggregate_type.as_str())
            .collect::<Vec<_>>(),
    )
    .bind(
        streams()
            .map(|stream| stream.aggregate_id.as_str())
            .collect::<Vec<_>>(),
    )
    .bind(
        rows.iter()
            .map(|(event, _)| event.sequence.cast_signed())
            .collect::<Vec<_>>(),
    )
    .bind(
        rows.iter()
            .map(|(_, error)| error.clone())
            .collect::<Vec<_>>(),
    )
    .bind(ATTEMPTS.cast_signed() + 1)
    .execute(connection)
    .await?;
    Ok(())
}

async fn refuse_too_many(
    connection: &mut PgConnection,
    projection: &str,
    more: usize,
) -> Result<(), Failure> {
    let parked: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM parked_events
         WHERE projection = $1 AND error IS NOT NULL AND skipped_at IS NULL",
    )
    .bind(projection)
    .fetch_one(connection)
    .await?;
    if parked + i64::try_from(more).unwrap_or(i64::MAX) <= FAILED_LIMIT {
        return Ok(());
    }
    let error = format!(
        "{parked} events are parked and {more} more cannot be applied; the projection stands still until some are retried or skipped"
    );
    Err(Failure::Projection(error.into()))
}

/// The error with its causes.
fn described(error: &ApplyError) -> String {
    let mut text = hyperfleet_runtime::error_chain(error.as_ref());
    if let Some((end, _)) = text.char_indices().nth(ERROR_LENGTH) {
        text.truncate(end);
    }
    // What a text of the database cannot hold.
    text.replace('\0', "\u{fffd}")
}

fn stream_of(row: &sqlx::postgres::PgRow) -> Result<StreamId, sqlx::Error> {
    Ok(StreamId {
        aggregate_type: row.try_get("aggregate_type")?,
        aggregate_id: row.try_get("aggregate_id")?,
    })
}
