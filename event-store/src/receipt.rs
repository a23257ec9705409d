//! Receipts: what a transaction leaves behind for a caller that did not get the answer.
//!
//! Invariants: a receipt is durable if and only if the appends of its transaction are; of all
//! transactions with one key, across processes, one is committed while the receipt lives; the
//! database's clock alone decides whether it still does.

use std::time::Duration;

use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::error::Error;
use crate::store::EventStore;

/// Receipts removed by one statement: bounds how long it holds row locks.
pub const PURGE_BATCH: u32 = 1000;

/// Between two looks for expired receipts. They are not found any more long before they are removed,
/// so this only bounds how much dead weight the table carries.
const PURGE_INTERVAL: Duration = Duration::from_mins(1);

/// What a transaction leaves behind.
#[derive(Clone, Debug, PartialEq)]
pub struct Receipt {
    /// Unique among the receipts that live.
    pub key: String,
    /// Whatever the caller wants to find again.
    pub value: Value,
    /// How long it lives, from the commit on.
    pub lifetime: Duration,
}

impl EventStore {
    /// The value of a living receipt.
    ///
    /// # Errors
    /// When the database cannot answer.
    pub async fn receipt(&self, key: &str) -> Result<Option<Value>, Error> {
        let value = sqlx::query_scalar(
            "SELECT value FROM receipts WHERE key = $1 AND expires_at > clock_timestamp()",
        )
        .bind(key)
        .fetch_optional(self.pool())
        .await?;
        Ok(value)
    }

    /// Removes expired receipts, at most `limit` of them, and returns how many. Processes that do so
    /// at the same time share the work.
    ///
    /// # Errors
    /// When the database cannot answer.
    pub async fn purge_receipts(&self, limit: u32) -> Result<u64, Error> {
        let removed = sqlx::query(
            "DELETE FROM receipts WHERE key IN (
                 SELECT key FROM receipts WHERE expires_at <= clock_timestamp()
                 ORDER BY expires_at LIMIT $1 FOR UPDATE SKIP LOCKED)",
        )
        .bind(i64::from(limit))
        .execute(self.pool())
        .await?;
        Ok(removed.rows_affected())
    }
}

/// Removes expired receipts until shutdown. Every replica may run it.
pub async fn run_purge(store: &EventStore, shutdown: CancellationToken) {
    loop {
        match store.purge_receipts(PURGE_BATCH).await {
            // There may be more: go on at once.
            Ok(removed) if removed >= u64::from(PURGE_BATCH) && !shutdown.is_cancelled() => {
                continue;
            }
            Ok(_) => {}
            Err(error) => {
                tracing::warn!(error = %error, "expired receipts could not be removed, they stay for now");
            }
        }
        let pause = tokio::time::sleep(PURGE_INTERVAL);
        if shutdown.run_until_cancelled(pause).await.is_none() {
            return;
        }
    }
}
