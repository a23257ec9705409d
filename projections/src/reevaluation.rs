//! Which kinds are to be evaluated again because their rules changed, and how far that is.
//!
//! Invariants:
//! - one process at a time works on a kind; its claim ends by itself, and progress stays;
//! - rules count as applied only after every resource that existed was evaluated by them;
//! - evaluating twice is harmless, because it records nothing when nothing differs.

use std::time::Duration;

use sqlx::{PgPool, Row};
use uuid::Uuid;

use crate::error::Error;

/// What there is to do for one kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claim {
    /// Nothing: its resources were evaluated by these rules.
    Done,
    /// Another process works on it, by these or other rules.
    Elsewhere,
    /// The caller's, until the claim ends: the resources after this id, or all of them.
    Taken {
        /// Last evaluated id.
        progress: Option<String>,
    },
}

/// Takes a kind, when its resources were not evaluated by these rules and nobody else has it.
///
/// # Errors
/// When the database cannot answer.
pub async fn claim(
    pool: &PgPool,
    kind: &str,
    rules: &str,
    token: Uuid,
    lease: Duration,
) -> Result<Claim, Error> {
    sqlx::query("INSERT INTO kind_rules (kind) VALUES ($1) ON CONFLICT (kind) DO NOTHING")
        .bind(kind)
        .execute(pool)
        .await?;
    let taken = sqlx::query(
        "UPDATE kind_rules SET
             progress = CASE WHEN pending_rules = $2 THEN progress END, pending_rules = $2,
             claim_token = $3, claimed_until = now() + $4 * interval '1 second'
         WHERE kind = $1 AND rules IS DISTINCT FROM $2
           AND (claimed_until IS NULL OR claimed_until <= now())
         RETURNING progress",
    )
    .bind(kind)
    .bind(rules)
    .bind(token)
    .bind(lease.as_secs_f64())
    .fetch_optional(pool)
    .await?;
    if let Some(row) = taken {
        let progress = row.try_get("progress")?;
        return Ok(Claim::Taken { progress });
    }
    let done: bool =
        sqlx::query_scalar("SELECT EXISTS (SELECT FROM kind_rules WHERE kind = $1 AND rules = $2)")
            .bind(kind)
            .bind(rules)
            .fetch_one(pool)
            .await?;
    Ok(if done { Claim::Done } else { Claim::Elsewhere })
}

/// The ids of live resources of a kind after an id, in order.
///
/// # Errors
/// When the database cannot answer.
pub async fn next(
    pool: &PgPool,
    kind: &str,
    after: Option<&str>,
    limit: u32,
) -> Result<Vec<String>, Error> {
    Ok(sqlx::query_scalar(
        "SELECT id FROM resources WHERE kind = $1 AND id > $2 AND removed_time IS NULL
         ORDER BY id LIMIT $3",
    )
    .bind(kind)
    .bind(after.unwrap_or_default())
    .bind(i64::from(limit))
    .fetch_all(pool)
    .await?)
}

/// Records progress and keeps the claim. False when the claim is no longer the caller's.
///
/// # Errors
/// When the database cannot answer.
pub async fn advance(
    pool: &PgPool,
    kind: &str,
    token: Uuid,
    progress: &str,
    lease: Duration,
) -> Result<bool, Error> {
    let moved = sqlx::query(
        "UPDATE kind_rules SET progress = $3, claimed_until = now() + $4 * interval '1 second'
         WHERE kind = $1 AND claim_token = $2",
    )
    .bind(kind)
    .bind(token)
    .bind(progress)
    .bind(lease.as_secs_f64())
    .execute(pool)
    .await?;
    Ok(moved.rows_affected() == 1)
}

/// Records that every resource was evaluated. False when the claim is no longer the caller's.
///
/// # Errors
/// When the database cannot answer.
pub async fn finish(pool: &PgPool, kind: &str, token: Uuid) -> Result<bool, Error> {
    let finished = sqlx::query(
        "UPDATE kind_rules SET rules = pending_rules, pending_rules = NULL, progress = NULL,
             claim_token = NULL, claimed_until = NULL
         WHERE kind = $1 AND claim_token = $2",
    )
    .bind(kind)
    .bind(token)
    .execute(pool)
    .await?;
    Ok(finished.rows_affected() == 1)
}

/// Gives a claim back before it ends, so that others need not wait.
///
/// # Errors
/// When the database cannot answer.
pub async fn release(pool: &PgPool, kind: &str, token: Uuid) -> Result<(), Error> {
    sqlx::query(
        "UPDATE kind_rules SET claim_token = NULL, claimed_until = NULL
         WHERE kind = $1 AND claim_token = $2",
    )
    .bind(kind)
    .bind(token)
    .execute(pool)
    .await?;
    Ok(())
}
