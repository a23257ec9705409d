//! The reconcile queue: which resource is due, shared by any number of sentinels.
//!
//! Invariants:
//! - A row is held by at most one claim at a time. Claims are taken with `FOR UPDATE SKIP LOCKED`,
//!   so claimers never wait for each other, and return by themselves when their time passes.
//! - A change of the resource that matters makes its row due at once and ends the claim on it.
//!   Completing an ended claim records the publication but leaves the row due: no change is lost
//!   between claiming and completing.
//! - Due rows are claimed by [`Priority`], and the longest waiting first within one.
//! - No statement reads rows that are neither due nor named by their ids.
//! - All times are the database's. Replicas with different clocks agree, and a delay is a duration
//!   from now.

#[cfg(test)]
mod plans;

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use hyperfleet_domain::resource::Resource;
use sqlx::types::Json;
use sqlx::{PgPool, Row};
use uuid::Uuid;

use crate::error::Error;
use crate::resource_view::read_state;

/// Which of the due rows goes first, the most urgent one first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Priority {
    /// A resource is new, has a new generation or is to be deleted.
    Generation,
    /// Something else about it changed, such as a condition.
    Change,
    /// It has not got where it should be.
    Retry,
    /// All is well; this is to make sure.
    Refresh,
}

impl Priority {
    /// As the queue stores it.
    pub(crate) const fn stored(self) -> i16 {
        match self {
            Self::Generation => 0,
            Self::Change => 1,
            Self::Retry => 2,
            Self::Refresh => 3,
        }
    }
}

/// Which due rows to claim.
#[derive(Clone, Debug, PartialEq)]
pub struct ClaimRequest {
    /// Kind of the resources.
    pub kind: String,
    /// Labels that the resources must have; none means all resources.
    pub labels: BTreeMap<String, String>,
    /// How many rows at most.
    pub limit: u32,
    /// How long the rows stay claimed when they are neither completed nor released.
    pub visibility: Duration,
}

/// The right to complete or release one row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    resource_id: String,
    token: Uuid,
    /// When others may claim the row.
    until: DateTime<Utc>,
}

impl Claim {
    /// The claimed resource.
    pub fn resource_id(&self) -> &str {
        &self.resource_id
    }
}

/// A claimed resource, as it is now.
#[derive(Clone, Debug)]
pub struct DueResource {
    /// The resource.
    pub resource: Resource,
    /// Publications since the resource last made progress.
    pub attempt: i32,
    /// The generation that was last published, if any was.
    pub last_published_generation: Option<i32>,
    /// When it was last published, if it was.
    pub last_published_time: Option<DateTime<Utc>>,
    /// Since when the resource has been due.
    pub due_time: DateTime<Utc>,
    /// The database's time when the row was claimed.
    pub claimed_time: DateTime<Utc>,
    /// The trace of the change that made it due, if it is due because of one.
    pub traceparent: Option<String>,
    /// The right to complete or release the row.
    pub claim: Claim,
}

/// What became of a claimed row.
#[derive(Clone, Debug, PartialEq)]
pub struct Completion {
    /// The claim.
    pub claim: Claim,
    /// The generation that was published; `None` when nothing was.
    pub published_generation: Option<i32>,
    /// Publications since the resource last made progress, this one included.
    pub attempt: i32,
    /// How long from now the resource is due again.
    pub next_due_in: Duration,
    /// How urgent it is then.
    pub next_priority: Priority,
}

/// How much work of a kind waits.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Depth {
    /// Rows that are due and not claimed; of each priority, [`COUNTED_ROWS`] are counted at most.
    pub due: i64,
    /// How long the oldest of the due rows has been waiting, in seconds.
    pub oldest_due_seconds: f64,
}

/// Of each priority, how many due rows [`depth`] counts, so that a backlog does not make measuring it
/// expensive.
pub const COUNTED_ROWS: u32 = 10_000;

/// Priorities are looked at one after the other, and the outer limit ends that as soon as it has enough, so
/// no row is locked that is not claimed.
const CLAIM: &str = "
WITH due AS (
    SELECT first.resource_id
    FROM unnest('{0,1,2,3}'::smallint[]) AS class (priority)
    CROSS JOIN LATERAL (
        SELECT queue.resource_id FROM reconcile_queue queue
        WHERE queue.kind = $1 AND queue.priority = class.priority AND queue.due_time <= now()
          AND (queue.claimed_until IS NULL OR queue.claimed_until <= now())
          AND queue.labels @> $2
        ORDER BY queue.due_time
        LIMIT $3
        FOR UPDATE SKIP LOCKED
    ) AS first
    LIMIT $3
)
UPDATE reconcile_queue queue
SET claimed_until = now() + make_interval(secs => $4), claim_token = gen_random_uuid()
FROM due
WHERE queue.resource_id = due.resource_id
RETURNING queue.resource_id, queue.attempt, queue.last_published_generation,
          queue.last_published_time, queue.due_time, queue.claim_token, queue.claimed_until,
          queue.priority, queue.traceparent, now() AS claimed_time";

/// Claims due rows, the most urgent first, and of these the longest waiting.
///
/// # Errors
/// When the database cannot answer, or a row's resource cannot be read.
pub async fn claim(pool: &PgPool, request: &ClaimRequest) -> Result<Vec<DueResource>, Error> {
    let rows = sqlx::query(CLAIM)
        .bind(&request.kind)
        .bind(Json(&request.labels))
        .bind(i64::from(request.limit))
        .bind(request.visibility.as_secs_f64())
        .fetch_all(pool)
        .await?;
    let ids: Vec<String> = rows
        .iter()
        .map(|row| row.try_get("resource_id"))
        .collect::<Result<_, _>>()?;
    // A statement of its own, so that what it sees is not older than the claims: a change that the
    // claiming statement's snapshot missed is seen here, and a later one ends the claim.
    let rows_of_resources = sqlx::query("SELECT id, state FROM resources WHERE id = ANY($1)")
        .bind(&ids)
        .fetch_all(pool)
        .await?;
    let mut states: BTreeMap<String, Resource> = BTreeMap::new();
    for row in rows_of_resources {
        let id: String = row.try_get("id")?;
        let state = read_state(&id, &row)?;
        states.insert(id, state);
    }
    let mut due: Vec<(i16, DueResource)> = Vec::with_capacity(rows.len());
    for row in rows {
        let resource_id: String = row.try_get("resource_id")?;
        // Removed since it was claimed, and its row with it.
        let Some(resource) = states.remove(&resource_id) else {
            continue;
        };
        let priority = row.try_get("priority")?;
        let due_resource = DueResource {
            resource,
            attempt: row.try_get("attempt")?,
            last_published_generation: row.try_get("last_published_generation")?,
            last_published_time: row.try_get("last_published_time")?,
            due_time: row.try_get("due_time")?,
            claimed_time: row.try_get("claimed_time")?,
            traceparent: row.try_get("traceparent")?,
            claim: Claim {
                resource_id,
                token: row.try_get("claim_token")?,
                until: row.try_get("claimed_until")?,
            },
        };
        due.push((priority, due_resource));
    }
    due.sort_by_key(|(priority, row)| (*priority, row.due_time));
    Ok(due.into_iter().map(|(_, row)| row).collect())
}

/// Rows are locked in the order of ids, as appends do, so that neither waits for the other in a
/// circle.
const COMPLETE: &str = "
WITH locked AS (
    SELECT resource_id, claim_token FROM reconcile_queue WHERE resource_id = ANY($1)
    ORDER BY resource_id FOR UPDATE
)
UPDATE reconcile_queue queue
SET last_published_generation =
        GREATEST(done.published_generation, queue.last_published_generation),
    last_published_time = CASE WHEN done.published_generation IS NULL
        THEN queue.last_published_time ELSE now() END,
    attempt = CASE WHEN queue.claim_token = done.token THEN done.attempt ELSE queue.attempt END,
    due_time = CASE WHEN queue.claim_token = done.token
        THEN now() + make_interval(secs => done.delay) ELSE queue.due_time END,
    priority = CASE WHEN queue.claim_token = done.token
        THEN done.priority ELSE queue.priority END,
    claimed_until = CASE WHEN queue.claim_token = done.token
        THEN NULL ELSE queue.claimed_until END,
    claim_token = CASE WHEN queue.claim_token = done.token
        THEN NULL ELSE queue.claim_token END,
    traceparent = CASE WHEN queue.claim_token = done.token THEN NULL ELSE queue.traceparent END
FROM locked
JOIN UNNEST($1::text[], $2::uuid[], $3::integer[], $4::integer[], $5::float8[], $6::smallint[],
            $7::timestamptz[])
    AS done (resource_id, token, published_generation, attempt, delay, priority, until)
    USING (resource_id)
WHERE queue.resource_id = locked.resource_id
RETURNING done.published_generation IS NOT NULL AND done.until <= now()
    AND locked.claim_token IS DISTINCT FROM done.token AS fenced";

/// Records what became of claimed rows and when they are due again. A row that changed meanwhile
/// stays due; one whose resource is gone is skipped.
///
/// Returns how many completions were fenced: they tell of a publish under a claim that had run out and no
/// longer stands, so that somebody else may have published the same. The schedule is not theirs to set.
///
/// # Errors
/// When the database cannot answer.
pub async fn complete(pool: &PgPool, completions: &[Completion]) -> Result<usize, Error> {
    if completions.is_empty() {
        return Ok(0);
    }
    let ids: Vec<&str> = completions
        .iter()
        .map(|done| done.claim.resource_id())
        .collect();
    let tokens: Vec<Uuid> = completions.iter().map(|done| done.claim.token).collect();
    let generations: Vec<Option<i32>> = completions
        .iter()
        .map(|done| done.published_generation)
        .collect();
    let attempts: Vec<i32> = completions.iter().map(|done| done.attempt).collect();
    let delays: Vec<f64> = completions
        .iter()
        .map(|done| done.next_due_in.as_secs_f64())
        .collect();
    let priorities: Vec<i16> = completions
        .iter()
        .map(|done| done.next_priority.stored())
        .collect();
    let ends: Vec<DateTime<Utc>> = completions.iter().map(|done| done.claim.until).collect();
    let fenced: Vec<bool> = sqlx::query_scalar(COMPLETE)
        .bind(ids)
        .bind(tokens)
        .bind(generations)
        .bind(attempts)
        .bind(delays)
        .bind(priorities)
        .bind(ends)
        .fetch_all(pool)
        .await?;
    Ok(fenced.into_iter().filter(|fenced| *fenced).count())
}

const RELEASE: &str = "
WITH locked AS (
    SELECT resource_id FROM reconcile_queue WHERE resource_id = ANY($1)
    ORDER BY resource_id FOR UPDATE
)
UPDATE reconcile_queue queue
SET due_time = now() + make_interval(secs => $3), claimed_until = NULL, claim_token = NULL
FROM locked JOIN UNNEST($1::text[], $2::uuid[]) AS released (resource_id, token)
    USING (resource_id)
WHERE queue.resource_id = locked.resource_id AND queue.claim_token = released.token";

/// Gives claimed rows back unpublished; they are due again after `retry_in`.
///
/// # Errors
/// When the database cannot answer.
pub async fn release(pool: &PgPool, claims: &[Claim], retry_in: Duration) -> Result<(), Error> {
    if claims.is_empty() {
        return Ok(());
    }
    let ids: Vec<&str> = claims.iter().map(Claim::resource_id).collect();
    let tokens: Vec<Uuid> = claims.iter().map(|claim| claim.token).collect();
    sqlx::query(RELEASE)
        .bind(ids)
        .bind(tokens)
        .bind(retry_in.as_secs_f64())
        .execute(pool)
        .await?;
    Ok(())
}

const DEPTH: &str = "
SELECT COALESCE(sum(waiting.due), 0)::bigint AS due,
       COALESCE(EXTRACT(EPOCH FROM now() - min(waiting.oldest)), 0)::float8 AS oldest_due_seconds
FROM unnest('{0,1,2,3}'::smallint[]) AS class (priority)
CROSS JOIN LATERAL (
    SELECT count(*) AS due, min(due_time) AS oldest
    FROM (
        SELECT queue.due_time FROM reconcile_queue queue
        WHERE queue.kind = $1 AND queue.priority = class.priority AND queue.due_time <= now()
          AND (queue.claimed_until IS NULL OR queue.claimed_until <= now())
        ORDER BY queue.due_time
        LIMIT $2
    ) AS first
) AS waiting";

/// How much work of a kind waits. Reads due rows only, and no more than [`COUNTED_ROWS`] of each priority
/// that no sentinel holds.
///
/// # Errors
/// When the database cannot answer.
pub async fn depth(pool: &PgPool, kind: &str) -> Result<Depth, Error> {
    let row = sqlx::query(DEPTH)
        .bind(kind)
        .bind(i64::from(COUNTED_ROWS))
        .fetch_one(pool)
        .await?;
    Ok(Depth {
        due: row.try_get("due")?,
        oldest_due_seconds: row.try_get("oldest_due_seconds")?,
    })
}
