//! One batch, one transaction.
//!
//! In order: lock the stream heads, drop who lost by version; take claims, drop who lost by claim; run
//! the inline projection on the winners; last, in one statement, move the heads, take the position lock,
//! insert the events and notify. The lock is therefore held for one statement and the commit.
//!
//! Deadlocks between processes cannot arise: heads are locked in order, then claims in order, and the
//! position lock comes last.

use std::collections::{BTreeMap, HashMap, HashSet};

use chrono::{DateTime, Utc};
use sqlx::{Connection as _, PgConnection, Row as _};

use super::Queued;
use crate::append::{Append, AppendError, StreamId};
use crate::chain::{self, GENESIS};
use crate::error::is_connection_failure;
use crate::inline::{InlineProjection, StreamChange};

/// Key of the position lock, among PostgreSQL's advisory locks of this database ("HFPOSITN").
const POSITION_LOCK: i64 = 0x4846_504F_5349_544E;

/// Channel that tells other processes about new positions.
pub(crate) const CHANNEL: &str = "hyperfleet_events";

/// What became of a batch.
pub(super) struct Outcome {
    /// For each transaction, why it lost; `None` for winners.
    pub(super) lost: Vec<Option<AppendError>>,
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
    #[error("the connection was lost while committing: {0}")]
    OutcomeUnknown(sqlx::Error),
}

impl From<sqlx::Error> for BatchError {
    fn from(error: sqlx::Error) -> Self {
        if is_connection_failure(&error) {
            return Self::Unavailable(error);
        }
        let code = error
            .as_database_error()
            .and_then(|error| error.code().map(std::borrow::Cow::into_owned));
        match code.as_deref() {
            // Serialization failure, deadlock, lock timeout, and a stream that another process created
            // in the same moment.
            Some("40001" | "40P01" | "55P03" | "23505") => Self::Collided(error),
            _ => Self::Rejected(error),
        }
    }
}

/// The head of a stream as the database has it.
struct Head {
    version: u64,
    hash: Vec<u8>,
}

pub(super) async fn write(
    connection: &mut PgConnection,
    batch: &[Queued],
    projection: Option<&dyn InlineProjection>,
    position_lock: bool,
) -> Result<Outcome, BatchError> {
    let mut transaction = connection.begin().await?;
    let (heads, recorded_at) = lock_heads(&mut transaction, batch).await?;
    let mut lost: Vec<Option<AppendError>> = batch
        .iter()
        .map(|queued| version_conflict(&queued.appends, &heads))
        .collect();
    take_claims(&mut transaction, batch, &mut lost).await?;
    let winners: Vec<&Append> = batch
        .iter()
        .zip(&lost)
        .filter(|(_, lost)| lost.is_none())
        .flat_map(|(queued, _)| &queued.appends)
        .collect();
    if let Some(projection) = projection {
        let changes = changes(&winners, recorded_at);
        if !changes.is_empty() {
            projection.apply(&mut transaction, &changes).await?;
        }
    }
    let rows = Rows::of(&winners, &heads, recorded_at);
    let events = u32::try_from(rows.sequences.len()).unwrap_or(u32::MAX);
    let position = if events == 0 {
        0
    } else {
        rows.insert(&mut transaction, position_lock).await?
    };
    transaction.commit().await.map_err(|error| {
        if is_connection_failure(&error) {
            BatchError::OutcomeUnknown(error)
        } else {
            error.into()
        }
    })?;
    Ok(Outcome {
        lost,
        position,
        events,
    })
}

/// Locks the heads of every stream, in order, and reads the one clock that all processes share.
async fn lock_heads(
    connection: &mut PgConnection,
    batch: &[Queued],
) -> Result<(HashMap<StreamId, Head>, DateTime<Utc>), BatchError> {
    let mut streams: Vec<&StreamId> = batch
        .iter()
        .flat_map(|queued| &queued.appends)
        .map(|append| &append.stream)
        .collect();
    streams.sort_unstable();
    let types: Vec<&str> = streams
        .iter()
        .map(|stream| stream.aggregate_type.as_str())
        .collect();
    let ids: Vec<&str> = streams
        .iter()
        .map(|stream| stream.aggregate_id.as_str())
        .collect();
    let rows = sqlx::query(
        "WITH locked AS (
             SELECT aggregate_type, aggregate_id, version, hash FROM streams
             WHERE (aggregate_type, aggregate_id) IN (SELECT * FROM UNNEST($1::text[], $2::text[]))
             ORDER BY aggregate_type, aggregate_id FOR UPDATE
         )
         SELECT clock.now, locked.* FROM (SELECT clock_timestamp() AS now) AS clock LEFT JOIN locked ON true",
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

fn version_conflict(appends: &[Append], heads: &HashMap<StreamId, Head>) -> Option<AppendError> {
    appends.iter().find_map(|append| {
        let actual = heads.get(&append.stream).map_or(0, |head| head.version);
        (actual != append.expected).then(|| AppendError::Conflict {
            stream: append.stream.clone(),
            expected: append.expected,
            actual,
        })
    })
}

/// Takes the claims of those who have not lost, marks who loses by them, and gives up releases.
async fn take_claims(
    connection: &mut PgConnection,
    batch: &[Queued],
    lost: &mut [Option<AppendError>],
) -> Result<(), BatchError> {
    let wanted: BTreeMap<&str, (usize, &StreamId)> =
        claims_of(batch, lost, |append| &append.claims);
    if !wanted.is_empty() {
        let mut taken = insert_claims(connection, &wanted).await?;
        for (key, (index, _)) in &wanted {
            if !taken.contains(*key) {
                lost[*index] = Some(AppendError::ClaimTaken {
                    key: (*key).to_owned(),
                });
            }
        }
        taken.retain(|key| {
            wanted
                .get(key.as_str())
                .is_some_and(|(index, _)| lost[*index].is_some())
        });
        if !taken.is_empty() {
            // Taken by a transaction that lost another of its claims. Keys that its streams held
            // before are not here: they were not inserted.
            let keys: Vec<&String> = taken.iter().collect();
            sqlx::query("DELETE FROM claims WHERE key = ANY($1)")
                .bind(keys)
                .execute(&mut *connection)
                .await?;
        }
    }
    let released = claims_of(batch, lost, |append| &append.releases);
    if !released.is_empty() {
        let keys: Vec<&str> = released.keys().copied().collect();
        let ids: Vec<&str> = released
            .values()
            .map(|(_, stream)| stream.aggregate_id.as_str())
            .collect();
        sqlx::query(
            "DELETE FROM claims USING UNNEST($1::text[], $2::text[]) AS released (key, id)
             WHERE claims.key = released.key AND claims.aggregate_id = released.id",
        )
        .bind(keys)
        .bind(ids)
        .execute(connection)
        .await?;
    }
    Ok(())
}

fn claims_of<'a>(
    batch: &'a [Queued],
    lost: &[Option<AppendError>],
    member: impl Fn(&Append) -> &Vec<String>,
) -> BTreeMap<&'a str, (usize, &'a StreamId)> {
    batch
        .iter()
        .enumerate()
        .filter(|(index, _)| lost[*index].is_none())
        .flat_map(|(index, queued)| queued.appends.iter().map(move |append| (index, append)))
        .flat_map(|(index, append)| {
            member(append)
                .iter()
                .map(move |key| (key.as_str(), (index, &append.stream)))
        })
        .collect()
}

/// The keys that are now held by the streams that want them.
async fn insert_claims(
    connection: &mut PgConnection,
    wanted: &BTreeMap<&str, (usize, &StreamId)>,
) -> Result<HashSet<String>, BatchError> {
    let keys: Vec<&str> = wanted.keys().copied().collect();
    let types: Vec<&str> = wanted
        .values()
        .map(|(_, stream)| stream.aggregate_type.as_str())
        .collect();
    let ids: Vec<&str> = wanted
        .values()
        .map(|(_, stream)| stream.aggregate_id.as_str())
        .collect();
    let taken: Vec<String> = sqlx::query_scalar(
        "INSERT INTO claims (key, aggregate_type, aggregate_id)
         SELECT * FROM UNNEST($1::text[], $2::text[], $3::text[]) ORDER BY 1
         ON CONFLICT (key) DO NOTHING RETURNING key",
    )
    .bind(keys)
    .bind(types)
    .bind(ids)
    .fetch_all(connection)
    .await?;
    Ok(taken.into_iter().collect())
}

fn changes(winners: &[&Append], recorded_at: DateTime<Utc>) -> Vec<StreamChange> {
    winners
        .iter()
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

/// The columns of the new events and heads.
#[derive(Default)]
struct Rows<'a> {
    types: Vec<&'a str>,
    ids: Vec<&'a str>,
    sequences: Vec<i64>,
    event_types: Vec<&'a str>,
    event_versions: Vec<&'a str>,
    payloads: Vec<&'a serde_json::Value>,
    metadata: Vec<&'a serde_json::Value>,
    hashes: Vec<Vec<u8>>,
    head_types: Vec<&'a str>,
    head_ids: Vec<&'a str>,
    head_versions: Vec<i64>,
    head_hashes: Vec<Vec<u8>>,
    recorded_at: DateTime<Utc>,
}

impl<'a> Rows<'a> {
    fn of(
        winners: &[&'a Append],
        heads: &HashMap<StreamId, Head>,
        recorded_at: DateTime<Utc>,
    ) -> Self {
        let mut rows = Self {
            recorded_at,
            ..Self::default()
        };
        for append in winners.iter().filter(|append| !append.events.is_empty()) {
            let mut hash = heads
                .get(&append.stream)
                .map_or_else(|| GENESIS.to_vec(), |head| head.hash.clone());
            for (sequence, event) in (append.expected + 1..).zip(&append.events) {
                let link = chain::Link {
                    sequence,
                    event_type: &event.event_type,
                    event_version: &event.event_version,
                    payload: &event.payload,
                    metadata: &event.metadata,
                    recorded_at,
                };
                hash = chain::hash(&hash, &link).to_vec();
                rows.types.push(&append.stream.aggregate_type);
                rows.ids.push(&append.stream.aggregate_id);
                rows.sequences.push(sequence.cast_signed());
                rows.event_types.push(&event.event_type);
                rows.event_versions.push(&event.event_version);
                rows.payloads.push(&event.payload);
                rows.metadata.push(&event.metadata);
                rows.hashes.push(hash.clone());
            }
            rows.head_types.push(&append.stream.aggregate_type);
            rows.head_ids.push(&append.stream.aggregate_id);
            rows.head_versions.push(append.version().cast_signed());
            rows.head_hashes.push(hash);
        }
        rows
    }

    /// Moves the heads, inserts the events and notifies, in the one statement that holds the position
    /// lock. A position is drawn only after the lock is held: the lock's row is joined first, and the
    /// sequence is called above the join.
    async fn insert(
        self,
        connection: &mut PgConnection,
        position_lock: bool,
    ) -> Result<u64, BatchError> {
        let position: i64 = sqlx::query_scalar(
            "WITH position_lock AS MATERIALIZED (
                 SELECT CASE WHEN $15 THEN pg_advisory_xact_lock($16) END
             ), input AS MATERIALIZED (
                 SELECT * FROM UNNEST($1::text[], $2::text[], $3::bigint[], $4::text[], $5::text[],
                     $6::jsonb[], $7::jsonb[], $8::bytea[]) WITH ORDINALITY
                     AS input (aggregate_type, aggregate_id, sequence, event_type, event_version,
                         payload, metadata, hash, place)
             ), heads AS (
                 INSERT INTO streams AS head (aggregate_type, aggregate_id, version, hash)
                 SELECT new.aggregate_type, new.aggregate_id, new.version, new.hash
                 FROM UNNEST($9::text[], $10::text[], $11::bigint[], $12::bytea[])
                     AS new (aggregate_type, aggregate_id, version, hash)
                 ON CONFLICT (aggregate_type, aggregate_id)
                 DO UPDATE SET version = excluded.version, hash = excluded.hash
             ), inserted AS (
                 INSERT INTO events (aggregate_type, aggregate_id, sequence, event_type, event_version,
                     payload, metadata, hash, recorded_at, position)
                 SELECT placed.*, $13, nextval('event_position')
                 FROM (
                     SELECT aggregate_type, aggregate_id, sequence, event_type, event_version,
                         payload, metadata, hash
                     FROM position_lock CROSS JOIN input ORDER BY place
                 ) AS placed
                 RETURNING position
             )
             SELECT max(position), pg_notify($14, max(position)::text) FROM inserted",
        )
        .bind(self.types)
        .bind(self.ids)
        .bind(self.sequences)
        .bind(self.event_types)
        .bind(self.event_versions)
        .bind(self.payloads)
        .bind(self.metadata)
        .bind(self.hashes)
        .bind(self.head_types)
        .bind(self.head_ids)
        .bind(self.head_versions)
        .bind(self.head_hashes)
        .bind(self.recorded_at)
        .bind(CHANNEL)
        .bind(position_lock)
        .bind(POSITION_LOCK)
        .fetch_one(connection)
        .await?;
        Ok(position.unsigned_abs())
    }
}
