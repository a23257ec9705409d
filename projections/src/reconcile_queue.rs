//! The reconcile queue: which resource is due, shared by any number of sentinels.
//!
//! Invariants:
//! - A row is held by at most one claim at a time. Claims are taken with `FOR UPDATE SKIP LOCKED`,
//!   so claimers never wait for each other, and return by themselves when their time passes.
//! - A change of the resource that matters makes its row due at once and ends the claim on it.
//!   Completing an ended claim records the publication but leaves the row due: no change is lost
//!   between claiming and completing.
//! - All times are the database's. Replicas with different clocks agree, and a delay is a duration
//!   from now.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use hyperfleet_domain::resource::Resource;
use sqlx::types::Json;
use sqlx::{PgPool, Row};
use uuid::Uuid;

use crate::error::Error;
use crate::resource_view::read_state;

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
}

/// How much work waits, per kind.
#[derive(Clone, Debug, PartialEq)]
pub struct Depth {
    /// The kind.
    pub kind: String,
    /// Live resources.
    pub total: i64,
    /// Rows that are due and not claimed.
    pub due: i64,
    /// Rows that a sentinel holds.
    pub claimed: i64,
    /// How long the oldest of the due rows has been waiting, in seconds.
    pub oldest_due_seconds: f64,
}

const CLAIM: &str = "
WITH due AS (
    SELECT resource_id FROM reconcile_queue
    WHERE kind = $1 AND due_time <= now() AND (claimed_until IS NULL OR claimed_until <= now())
      AND labels @> $2
    ORDER BY due_time
    LIMIT $3
    FOR UPDATE SKIP LOCKED
)
UPDATE reconcile_queue queue
SET claimed_until = now() + make_interval(secs => $4), claim_token = gen_random_uuid()
FROM due
WHERE queue.resource_id = due.resource_id
RETURNING queue.resource_id, queue.attempt, queue.last_published_generation,
          queue.last_published_time, queue.due_time, queue.claim_token, queue.traceparent,
          now() AS claimed_time";

/// Claims due rows, the longest waiting first.
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
    let mut due = Vec::with_capacity(rows.len());
    for row in rows {
        let resource_id: String = row.try_get("resource_id")?;
        // Removed since it was claimed, and its row with it.
        let Some(resource) = states.remove(&resource_id) else {
            continue;
        };
        due.push(DueResource {
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
            },
        });
    }
    due.sort_by_key(|row| row.due_time);
    Ok(due)
}

/// Rows are locked in the order of ids, as appends do, so that neither waits for the other in a
/// circle.
const COMPLETE: &str = "
WITH locked AS (
    SELECT resource_id FROM reconcile_queue WHERE resource_id = ANY($1)
    ORDER BY resource_id FOR UPDATE
)
UPDATE reconcile_queue queue
SET last_published_generation =
        COALESCE(done.published_generation, queue.last_published_generation),
    last_published_time = CASE WHEN done.published_generation IS NULL
        THEN queue.last_published_time ELSE now() END,
    attempt = CASE WHEN queue.claim_token = done.token THEN done.attempt ELSE queue.attempt END,
    due_time = CASE WHEN queue.claim_token = done.token
        THEN now() + make_interval(secs => done.delay) ELSE queue.due_time END,
    claimed_until = CASE WHEN queue.claim_token = done.token
        THEN NULL ELSE queue.claimed_until END,
    claim_token = CASE WHEN queue.claim_token = done.token
        THEN NULL ELSE queue.claim_token END,
    traceparent = CASE WHEN queue.claim_token = done.token THEN NULL ELSE queue.traceparent END
FROM locked
JOIN UNNEST($1::text[], $2::uuid[], $3::integer[], $4::integer[], $5::float8[])
    AS done (resource_id, token, published_generation, attempt, delay) USING (resource_id)
WHERE queue.resource_id = locked.resource_id";

/// Records what became of claimed rows and when they are due again. A row that changed meanwhile
/// stays due; one whose resource is gone is skipped.
///
/// # Errors
/// When the database cannot answer.
pub async fn complete(pool: &PgPool, completions: &[Completion]) -> Result<(), Error> {
    if completions.is_empty() {
        return Ok(());
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
    sqlx::query(COMPLETE)
        .bind(ids)
        .bind(tokens)
        .bind(generations)
        .bind(attempts)
        .bind(delays)
        .execute(pool)
        .await?;
    Ok(())
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

/// How much work waits, per kind.
///
/// # Errors
/// When the database cannot answer.
pub async fn depth(pool: &PgPool) -> Result<Vec<Depth>, Error> {
    let rows = sqlx::query(
        "SELECT kind,
                count(*) AS total,
                count(*) FILTER (WHERE claimed_until > now()) AS claimed,
                count(*) FILTER (WHERE due_time <= now()
                    AND (claimed_until IS NULL OR claimed_until <= now())) AS due,
                COALESCE(max(EXTRACT(EPOCH FROM now() - due_time)) FILTER (WHERE due_time <= now()
                    AND (claimed_until IS NULL OR claimed_until <= now())), 0)::float8
                    AS oldest_due_seconds
         FROM reconcile_queue GROUP BY kind ORDER BY kind",
    )
    .fetch_all(pool)
    .await?;
    rows.iter()
        .map(|row| {
            Ok(Depth {
                kind: row.try_get("kind")?,
                total: row.try_get("total")?,
                due: row.try_get("due")?,
                claimed: row.try_get("claimed")?,
                oldest_due_seconds: row.try_get("oldest_due_seconds")?,
            })
        })
        .collect()
}

/// How long until the next row of `kind` is due and free; `None` when the kind has no rows.
/// Zero when one is due now.
///
/// # Errors
/// When the database cannot answer.
pub async fn next_due_in(pool: &PgPool, kind: &str) -> Result<Option<Duration>, Error> {
    let seconds: Option<f64> = sqlx::query_scalar(
        "SELECT EXTRACT(EPOCH FROM min(GREATEST(due_time, COALESCE(claimed_until, due_time)))
                - now())::float8
         FROM reconcile_queue WHERE kind = $1",
    )
    .bind(kind)
    .fetch_one(pool)
    .await?;
    Ok(seconds.map(|seconds| Duration::try_from_secs_f64(seconds).unwrap_or_default()))
}
