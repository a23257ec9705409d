//! Settling claims: what became of the rows, and when they are due again.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::PgPool;
use uuid::Uuid;

use super::{Claim, Priority};
use crate::error::Error;

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

/// Rows are locked in the order of ids, as appends do, so that neither waits for the other in a
/// circle.
pub(super) const COMPLETE: &str = "
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

pub(super) const RELEASE: &str = "
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
