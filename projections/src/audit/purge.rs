//! Removing entries that are too old or too many.

use std::time::Duration;

use sqlx::PgPool;
use tokio_util::sync::CancellationToken;

use super::metrics::AuditMetrics;
use crate::error::Error;

/// Most entries of known callers that are kept. A row takes about 600 bytes with its indexes, seldom
/// more than 3 KiB: some gigabytes at worst.
pub const MAX_KNOWN_ROWS: i64 = 2_000_000;

/// Most entries of strangers that are kept.
pub const MAX_ANONYMOUS_ROWS: i64 = 500_000;

/// Rows removed by one statement: bounds how long it takes.
const BATCH: i64 = 10_000;

/// Between two looks. What comes in meanwhile is bounded by the rate.
const INTERVAL: Duration = Duration::from_mins(10);

/// Removes what is older than `retention`, and the oldest of each class beyond `most` (known callers,
/// strangers); returns how many.
///
/// # Errors
/// When the database cannot answer.
pub async fn purge(pool: &PgPool, retention: Duration, most: (i64, i64)) -> Result<u64, Error> {
    let mut removed = 0;
    loop {
        let old = sqlx::query(
            "DELETE FROM audit_requests WHERE id IN (
                 SELECT id FROM audit_requests
                 WHERE recorded_at < clock_timestamp() - $1 * interval '1 second'
                 ORDER BY recorded_at LIMIT $2)",
        )
        .bind(retention.as_secs_f64())
        .bind(BATCH)
        .execute(pool)
        .await?
        .rows_affected();
        removed += old;
        if old < BATCH.unsigned_abs() {
            break;
        }
    }
    for (is_anonymous, most) in [(false, most.0), (true, most.1)] {
        removed += purge_class(pool, is_anonymous, most).await?;
    }
    Ok(removed)
}

async fn purge_class(pool: &PgPool, is_anonymous: bool, most: i64) -> Result<u64, Error> {
    let last: Option<i64> = sqlx::query_scalar(
        "SELECT id FROM audit_requests WHERE is_anonymous = $1 ORDER BY id DESC OFFSET $2 LIMIT 1",
    )
    .bind(is_anonymous)
    .bind(most)
    .fetch_optional(pool)
    .await?;
    let Some(last) = last else { return Ok(0) };
    let mut removed = 0;
    loop {
        let beyond = sqlx::query(
            "DELETE FROM audit_requests WHERE id IN (
                 SELECT id FROM audit_requests WHERE is_anonymous = $1 AND id <= $2
                 ORDER BY id LIMIT $3)",
        )
        .bind(is_anonymous)
        .bind(last)
        .bind(BATCH)
        .execute(pool)
        .await?
        .rows_affected();
        removed += beyond;
        if beyond < BATCH.unsigned_abs() {
            return Ok(removed);
        }
    }
}

/// Removes what is too old or too many until shutdown. Every replica may run it.
pub async fn run_purge(
    pool: PgPool,
    retention: Duration,
    metrics: AuditMetrics,
    shutdown: CancellationToken,
) {
    loop {
        match purge(&pool, retention, (MAX_KNOWN_ROWS, MAX_ANONYMOUS_ROWS)).await {
            Ok(removed) => metrics.purged.inc_by(removed),
            Err(error) => {
                tracing::warn!(error = %error, "old entries of the audit could not be removed, they stay for now");
            }
        }
        let pause = tokio::time::sleep(INTERVAL);
        if shutdown.run_until_cancelled(pause).await.is_none() {
            return;
        }
    }
}
