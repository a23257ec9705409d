//! One batch, one transaction.
//!
//! In order: lock the stream heads, drop who lost by version; write receipts and take claims, drop who
//! lost by either; run
//! the inline projection on the winners; last, in one statement, move the heads, take the position lock,
//! and insert the events. The lock is therefore held for one statement and the commit.
//!
//! Deadlocks between processes cannot arise: heads are locked in order, then receipts, then claims, each in
//! order, and the position lock comes last. Streams that do not exist yet have no head to lock; the primary key of
//! the heads tells two creators apart, and the second one tries again and loses.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use sqlx::{Connection as _, PgConnection, Row as _};

use super::contest::Standing;
use super::rows::Rows;
use super::{EventText, Queued, claims, contest, receipts};
use crate::append::{Append, StreamId};
use crate::error::is_connection_failure;
use crate::inline::{InlineProjection, StreamChange};

/// What became of a batch.
#[derive(Debug)]
pub(super) struct Outcome {
    /// How each transaction stands.
    pub(super) standings: Vec<Standing>,
    /// The highest position drawn; 0 when there were no events.
    pub(super) position: u64,
    /// How many events were recorded.
    pub(super) events: u32,
}

/// Why a batch was not committed.
#[derive(Debug, thiserror::Error)]
pub(super) enum BatchError {
    #[error("the database could not be used: {0}")]
    Unavailable(sqlx::Error),
    #[error("another process was in the way: {0}")]
    Collided(sqlx::Error),
    #[error("the database refused: {0}")]
    Rejected(sqlx::Error),
    /// The commit got no answer. Whoever can find out that it succeeded has the outcome.
    #[error("the connection was lost while committing: {error}")]
    OutcomeUnknown {
        error: sqlx::Error,
        outcome: Outcome,
        transaction: Option<String>,
    },
}

impl BatchError {
    /// What the database said.
    pub(super) fn cause(&self) -> &sqlx::Error {
        match self {
            Self::Unavailable(error)
            | Self::Collided(error)
            | Self::Rejected(error)
            | Self::OutcomeUnknown { error, .. } => error,
        }
    }
}

impl From<sqlx::Error> for BatchError {
    fn from(error: sqlx::Error) -> Self {
        if is_connection_failure(&error) {
            return Self::Unavailable(error);
        }
        let database = error.as_database_error();
        let collided = database.is_some_and(|error| match error.code().as_deref() {
            // Serialization failure, deadlock, lock timeout.
            Some("40001" | "40P01" | "55P03") => true,
            // A stream that another process created in the same moment: it has a head already. A unique key
            // of a read model is another matter: it is violated again.
            Some("23505") => matches!(error.table(), Some("streams")),
            _ => false,
        });
        if collided {
            Self::Collided(error)
        } else {
            Self::Rejected(error)
        }
    }
}

/// The head of a stream as the database has it.
pub(super) struct Head {
    pub(super) version: u64,
    pub(super) hash: Vec<u8>,
}

pub(super) async fn write(
    connection: &mut PgConnection,
    batch: &[Queued],
    projection: Option<&dyn InlineProjection>,
    position_lock: bool,
) -> Result<Outcome, BatchError> {
    let mut transaction = connection.begin().await?;
    let (heads, recorded_at) = lock_heads(&mut transaction, batch).await?;
    let head = |stream: &StreamId| heads.get(stream).map_or(0, |head| head.version);
    let mut standings = contest::by_version(batch, head);
    receipts::take(&mut transaction, batch, &mut standings).await?;
    claims::settle(&mut transaction, batch, &mut standings).await?;
    receipts::give_back(&mut transaction, batch, &standings).await?;
    contest::settle_rivals(batch, head, &mut standings);
    let winners: Vec<(&Append, &[EventText])> = contest::winners(batch, &standings).collect();
    if let Some(projection) = projection {
        let changes = changes(&winners, recorded_at);
        if !changes.is_empty() {
            projection.apply(&mut transaction, &changes).await?;
        }
    }
    let rows = Rows::of(&winners, &heads, recorded_at);
    let nothing_won = winners.is_empty();
    let mut outcome = Outcome {
        standings,
        position: 0,
        events: u32::try_from(rows.len()).unwrap_or(u32::MAX),
    };
    if nothing_won {
        // Cheaper than a commit, which would wait for the disk because of the locked heads.
        transaction.rollback().await?;
        return Ok(outcome);
    }
    let mut transaction_id = None;
    if outcome.events > 0 {
        let (position, id) = rows.insert(&mut transaction, position_lock).await?;
        outcome.position = position;
        transaction_id = Some(id);
    } else {
        // A commit of a transaction that an error ended is answered as if it had succeeded.
        sqlx::query("SELECT").execute(&mut *transaction).await?;
    }
    match transaction.commit().await {
        Ok(()) => Ok(outcome),
        Err(error) if was_ended_for_idling(&error) => Err(BatchError::Unavailable(error)),
        Err(error) if is_connection_failure(&error) => Err(BatchError::OutcomeUnknown {
            error,
            outcome,
            transaction: transaction_id,
        }),
        Err(error) => Err(error.into()),
    }
}

/// What became of a transaction: `committed`, `aborted` or `in progress`; nothing when it is too old.
pub(super) async fn status(
    connection: &mut PgConnection,
    transaction: &str,
) -> Result<String, sqlx::Error> {
    sqlx::query_scalar("SELECT coalesce(pg_xact_status($1::text::xid8), '')")
        .bind(transaction)
        .fetch_one(connection)
        .await
}

/// The server ends a transaction that idles (a stopped process, for example) before it reads the commit.
fn was_ended_for_idling(error: &sqlx::Error) -> bool {
    error
        .as_database_error()
        .is_some_and(|error| error.code().as_deref() == Some("25P03"))
}

/// Locks the heads of every stream, in order, and then reads the one clock that all processes share, so
/// that times grow with the sequence of a stream.
async fn lock_heads(
    connection: &mut PgConnection,
    batch: &[Queued],
) -> Result<(HashMap<StreamId, Head>, DateTime<Utc>), BatchError> {
    let streams = batch
        .iter()
        .flat_map(|queued| &queued.appends)
        .map(|append| &append.stream);
    let (types, ids): (Vec<&str>, Vec<&str>) = streams
        .map(|stream| (stream.aggregate_type.as_str(), stream.aggregate_id.as_str()))
        .unzip();
    let rows = sqlx::query(
        "WITH locked AS (
             SELECT aggregate_type, aggregate_id, version, hash FROM streams
             WHERE (aggregate_type, aggregate_id) IN (SELECT * FROM UNNEST($1::text[], $2::text[]))
             ORDER BY aggregate_type, aggregate_id FOR UPDATE
         ), clock AS MATERIALIZED (
             SELECT count(*) AS locked, clock_timestamp() AS now FROM locked
         )
         SELECT clock.now, locked.* FROM clock LEFT JOIN locked ON true",
    )
    .bind(types)
    .bind(ids)
    .fetch_all(connection)
    .await?;
    let mut heads = HashMap::with_capacity(rows.len());
    let mut now = None;
    for row in rows {
        now = Some(row.try_get("now")?);
        let Some(aggregate_type) = row.try_get("aggregate_type")? else {
            continue;
        };
        let version: i64 = row.try_get("version")?;
        let stream = StreamId {
            aggregate_type,
            aggregate_id: row.try_get("aggregate_id")?,
        };
        heads.insert(
            stream,
            Head {
                version: version.unsigned_abs(),
                hash: row.try_get("hash")?,
            },
        );
    }
    Ok((heads, now.ok_or(sqlx::Error::RowNotFound)?))
}

fn changes(winners: &[(&Append, &[EventText])], recorded_at: DateTime<Utc>) -> Vec<StreamChange> {
    winners
        .iter()
        .map(|(append, _)| append)
        .filter(|append| !append.events.is_empty() || append.snapshot.is_some())
        .map(|append| StreamChange {
            stream: append.stream.clone(),
            previous_version: append.expected,
            version: append.version(),
            events: append.events.clone(),
            snapshot: append.snapshot.clone(),
            recorded_at,
        })
        .collect()
}
