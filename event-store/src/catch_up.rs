//! Catch-up projections: read models that follow the log behind a checkpoint.
//!
//! Rows and checkpoint move in one transaction, so every event is applied exactly once, also across
//! crashes. One runner per name works at a time, whoever holds the checkpoint's row; others stand by.

use std::time::Duration;

use futures::future::BoxFuture;
use sqlx::{Connection as _, PgConnection};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::error::Error;
use crate::recorded::{self, RecordedEvent};
use crate::store::EventStore;
use crate::subscription;

/// Events applied in one transaction.
const BATCH: usize = 500;

/// First and longest pause after a failure; it doubles in between.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// Between two looks of a runner that stands by.
const STAND_BY: Duration = Duration::from_secs(1);

/// Why a projection could not apply a batch.
pub type ApplyError = Box<dyn std::error::Error + Send + Sync>;

/// What one round did.
enum Round {
    Applied(u64),
    CaughtUp(u64),
    StandingBy,
}

/// Runs a projection until shutdown. `apply` works on the connection it is given and nothing else, so
/// that its rows and the checkpoint commit together. A failing batch is tried again with growing pauses;
/// it is never skipped.
pub async fn run<Apply>(
    store: &EventStore,
    name: &str,
    mut apply: Apply,
    shutdown: CancellationToken,
) where
    Apply: for<'a> FnMut(
            &'a mut PgConnection,
            &'a [RecordedEvent],
        ) -> BoxFuture<'a, Result<(), ApplyError>>
        + Send,
{
    let mut wake_ups = store.wake_ups();
    let mut pause = FIRST_PAUSE;
    let metrics = store.metrics().clone();
    while !shutdown.is_cancelled() {
        let wait = match round(store, name, &mut apply).await {
            Ok(Round::Applied(position)) => {
                metrics
                    .projection_position
                    .with_label_values(&[name])
                    .set(position.cast_signed());
                pause = FIRST_PAUSE;
                continue;
            }
            Ok(Round::CaughtUp(position)) => {
                shutdown
                    .run_until_cancelled(grown(store, name, position, &mut wake_ups))
                    .await;
                continue;
            }
            Ok(Round::StandingBy) => STAND_BY,
            Err(error) => {
                metrics.projection_failures.with_label_values(&[name]).inc();
                tracing::error!(projection = name, error = %error, "a projection could not apply its next events");
                let wait = pause;
                pause = (pause * 2).min(LONGEST_PAUSE);
                wait
            }
        };
        shutdown.run_until_cancelled(tokio::time::sleep(wait)).await;
    }
}

/// Returns when the log has grown beyond a position, the checkpoint was moved by another (a rebuild), or
/// neither can be read, which the next round reports.
/// Only reads: locking the checkpoint at every look would write twenty times a second for nothing.
async fn grown(store: &EventStore, name: &str, position: u64, wake_ups: &mut watch::Receiver<u64>) {
    loop {
        wake_ups.mark_unchanged();
        let grown: Result<bool, _> = sqlx::query_scalar(
            "SELECT EXISTS (SELECT FROM events WHERE position > $1)
                 OR EXISTS (SELECT FROM checkpoints WHERE name = $2 AND position <> $1)",
        )
        .bind(position.cast_signed())
        .bind(name)
        .fetch_one(store.pool())
        .await;
        if grown.unwrap_or(true) {
            return;
        }
        subscription::wait(wake_ups).await;
    }
}

/// The checkpoint of a projection; 0 when it has applied nothing.
///
/// # Errors
/// When the database cannot answer.
pub async fn checkpoint(connection: &mut PgConnection, name: &str) -> Result<u64, Error> {
    let position: Option<i64> =
        sqlx::query_scalar("SELECT position FROM checkpoints WHERE name = $1")
            .bind(name)
            .fetch_optional(connection)
            .await?;
    Ok(position.map_or(0, i64::unsigned_abs))
}

/// Moves a checkpoint back to the beginning, within the caller's transaction, which also empties the
/// projection's tables.
///
/// # Errors
/// When the database cannot answer.
pub async fn reset(connection: &mut PgConnection, name: &str) -> Result<(), Error> {
    sqlx::query("UPDATE checkpoints SET position = 0, updated_at = now() WHERE name = $1")
        .bind(name)
        .execute(connection)
        .await?;
    Ok(())
}

async fn round<Apply>(
    store: &EventStore,
    name: &str,
    apply: &mut Apply,
) -> Result<Round, ApplyError>
where
    Apply: for<'a> FnMut(
            &'a mut PgConnection,
            &'a [RecordedEvent],
        ) -> BoxFuture<'a, Result<(), ApplyError>>
        + Send,
{
    let mut connection = store.pool().acquire().await?;
    let mut transaction = connection.begin().await?;
    // Losing the last moments in a crash is safe: the checkpoint is lost with the rows.
    sqlx::query("SET LOCAL synchronous_commit = off")
        .execute(&mut *transaction)
        .await?;
    let Some(after) = lock_checkpoint(&mut transaction, name).await? else {
        transaction.rollback().await?;
        return Ok(Round::StandingBy);
    };
    let events = recorded::read_all(&mut transaction, after, BATCH).await?;
    let Some(last) = events.last().map(|event| event.position) else {
        transaction.rollback().await?;
        return Ok(Round::CaughtUp(after));
    };
    apply(&mut transaction, &events)
        .await
        .map_err(|source| format!("events {} to {last}: {source}", events[0].position))?;
    sqlx::query("UPDATE checkpoints SET position = $2, updated_at = now() WHERE name = $1")
        .bind(name)
        .bind(last.cast_signed())
        .execute(&mut *transaction)
        .await?;
    transaction.commit().await?;
    Ok(Round::Applied(last))
}

/// Locks the checkpoint and reads it; `None` when another runner has it.
async fn lock_checkpoint(
    connection: &mut PgConnection,
    name: &str,
) -> Result<Option<u64>, sqlx::Error> {
    const LOCK: &str = "SELECT position FROM checkpoints WHERE name = $1 FOR UPDATE SKIP LOCKED";
    let position: Option<i64> = sqlx::query_scalar(LOCK)
        .bind(name)
        .fetch_optional(&mut *connection)
        .await?;
    if position.is_some() {
        return Ok(position.map(i64::unsigned_abs));
    }
    sqlx::query("INSERT INTO checkpoints (name, position, updated_at) VALUES ($1, 0, now()) ON CONFLICT DO NOTHING")
        .bind(name)
        .execute(&mut *connection)
        .await?;
    let position: Option<i64> = sqlx::query_scalar(LOCK)
        .bind(name)
        .fetch_optional(connection)
        .await?;
    Ok(position.map(i64::unsigned_abs))
}
