//! Which sentinels run, and what none of them selects.
//!
//! A row that has been due for [`ASIDE_AFTER`] and that no running sentinel selects is set aside: its priority
//! becomes one that claims do not look at. It comes back when a sentinel that selects it reports, or when its
//! resource changes.

use std::collections::BTreeMap;
use std::time::Duration;

use sqlx::types::Json;
use sqlx::{PgPool, Row as _};
use uuid::Uuid;

use super::{COUNTED_ROWS, Priority, Shard};
use crate::error::Error;

/// The priority of what is set aside. Statements that look for it name it themselves: with a parameter, a plan for
/// any priority would read the whole queue.
const ASIDE: i16 = 4;

/// How long a row must have been due.
const ASIDE_AFTER: Duration = Duration::from_mins(1);

/// A sentinel that has not reported for so long does not run.
pub(super) const SEEN_WITHIN: Duration = Duration::from_mins(1);

/// Rows of each priority that are looked at in one go.
const LOOKED_AT: i64 = 2_000;

/// A running sentinel.
#[derive(Clone, Debug, PartialEq)]
pub struct Registration {
    /// Of this process and configuration.
    pub id: Uuid,
    /// Its name.
    pub name: String,
    /// The kind that it works on.
    pub kind: String,
    /// The labels that it selects.
    pub labels: BTreeMap<String, String>,
    /// Its share.
    pub shard: Shard,
}

const REGISTER: &str = "
INSERT INTO sentinels (id, name, kind, labels, shard, shard_count, seen_time)
VALUES ($1, $2, $3, $4, $5, $6, now())
ON CONFLICT (id) DO UPDATE SET seen_time = now()";

pub(super) const BRING_BACK: &str = "
UPDATE reconcile_queue queue SET priority = $4
WHERE queue.kind = $1 AND queue.priority = 4 AND queue.labels @> $2
  AND ($5 = 1 OR abs(hashtextextended(queue.resource_id, 0) % $5) = $3)";

/// Reports that a sentinel runs, and brings back what it selects.
///
/// # Errors
/// When the database cannot answer.
pub async fn register(pool: &PgPool, sentinel: &Registration) -> Result<(), Error> {
    let (shard, shards) = sentinel.shard.stored();
    sqlx::query(REGISTER)
        .bind(sentinel.id)
        .bind(&sentinel.name)
        .bind(&sentinel.kind)
        .bind(Json(&sentinel.labels))
        .bind(shard)
        .bind(shards)
        .execute(pool)
        .await?;
    sqlx::query(BRING_BACK)
        .bind(&sentinel.kind)
        .bind(Json(&sentinel.labels))
        .bind(shard)
        .bind(Priority::Change.stored())
        .bind(shards)
        .execute(pool)
        .await?;
    Ok(())
}

/// Reports that a sentinel has ended. One that was killed is forgotten by itself.
///
/// # Errors
/// When the database cannot answer.
pub async fn unregister(pool: &PgPool, id: Uuid) -> Result<(), Error> {
    sqlx::query("DELETE FROM sentinels WHERE id = $1 OR seen_time < now() - interval '1 hour'")
        .bind(id)
        .execute(pool)
        .await?;
    Ok(())
}

const SET_ASIDE: &str = "
WITH waiting AS (
    SELECT first.resource_id, first.labels
    FROM unnest('{0,1,2,3}'::smallint[]) AS class (priority)
    CROSS JOIN LATERAL (
        SELECT queue.resource_id, queue.labels FROM reconcile_queue queue
        WHERE queue.kind = $1 AND queue.priority = class.priority
          AND queue.due_time <= now() - make_interval(secs => $2)
          AND (queue.claimed_until IS NULL OR queue.claimed_until <= now())
        ORDER BY queue.due_time LIMIT $3
    ) AS first
    WHERE NOT EXISTS (
        SELECT FROM sentinels
        WHERE sentinels.kind = $1 AND sentinels.seen_time > now() - make_interval(secs => $4)
          AND first.labels @> sentinels.labels AND (sentinels.shard_count = 1 OR
              abs(hashtextextended(first.resource_id, 0) % sentinels.shard_count) = sentinels.shard)
    )
), locked AS (
    SELECT queue.resource_id FROM reconcile_queue queue JOIN waiting USING (resource_id)
    WHERE queue.due_time <= now() AND queue.labels = waiting.labels
    FOR UPDATE OF queue SKIP LOCKED
)
UPDATE reconcile_queue queue SET priority = $5
FROM locked WHERE queue.resource_id = locked.resource_id";

/// Sets aside what has been due for long and is not selected by any running sentinel; how many rows.
///
/// # Errors
/// When the database cannot answer.
pub async fn set_unselected_aside(pool: &PgPool, kind: &str) -> Result<u64, Error> {
    let done = sqlx::query(SET_ASIDE)
        .bind(kind)
        .bind(ASIDE_AFTER.as_secs_f64())
        .bind(LOOKED_AT)
        .bind(SEEN_WITHIN.as_secs_f64())
        .bind(ASIDE)
        .execute(pool)
        .await?;
    Ok(done.rows_affected())
}

/// Resources that no sentinel selects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unselected {
    /// How many are set aside; [`COUNTED_ROWS`] are counted at most.
    pub count: i64,
    /// Ids of the longest waiting ones.
    pub first: Vec<String>,
}

/// What of a kind is set aside, with so many of the longest waiting ones.
///
/// # Errors
/// When the database cannot answer.
pub async fn unselected(pool: &PgPool, kind: &str, limit: u32) -> Result<Unselected, Error> {
    let row = sqlx::query(
        "WITH aside AS (
             SELECT resource_id, due_time FROM reconcile_queue
             WHERE kind = $1 AND priority = 4 ORDER BY due_time LIMIT $2
         )
         SELECT count(*) AS count,
             coalesce((array_agg(resource_id ORDER BY due_time))[1:$3], '{}') AS first
         FROM aside",
    )
    .bind(kind)
    .bind(i64::from(COUNTED_ROWS))
    .bind(i32::try_from(limit).unwrap_or(i32::MAX))
    .fetch_one(pool)
    .await?;
    Ok(Unselected {
        count: row.try_get("count")?,
        first: row.try_get("first")?,
    })
}
