//! The checkpoint: how far a projection is, who may move it, and whether it is paused.

use sqlx::PgConnection;

use crate::error::Error;

/// A checkpoint that the transaction holds.
pub(super) struct Held {
    pub(super) position: u64,
    pub(super) is_paused: bool,
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

/// Moves a checkpoint back to the beginning and forgets what was parked, within the caller's transaction,
/// which also empties the projection's tables.
///
/// # Errors
/// When the database cannot answer.
pub async fn reset(connection: &mut PgConnection, name: &str) -> Result<(), Error> {
    sqlx::query("UPDATE checkpoints SET position = 0, updated_at = now() WHERE name = $1")
        .bind(name)
        .execute(&mut *connection)
        .await?;
    sqlx::query("DELETE FROM parked_events WHERE projection = $1")
        .bind(name)
        .execute(connection)
        .await?;
    Ok(())
}

/// Pauses a projection: once this returned, it applies nothing until it is resumed. Returns whether there
/// is such a projection.
///
/// # Errors
/// When the database cannot answer.
pub async fn pause(connection: &mut PgConnection, name: &str) -> Result<bool, Error> {
    // Waits for the batch that is being applied, if one is.
    let paused = sqlx::query(
        "UPDATE checkpoints SET paused_at = coalesce(paused_at, now()) WHERE name = $1",
    )
    .bind(name)
    .execute(connection)
    .await?;
    Ok(paused.rows_affected() > 0)
}

/// Lets a paused projection go on. Returns whether there is such a projection.
///
/// # Errors
/// When the database cannot answer.
pub async fn resume(connection: &mut PgConnection, name: &str) -> Result<bool, Error> {
    let resumed = sqlx::query("UPDATE checkpoints SET paused_at = NULL WHERE name = $1")
        .bind(name)
        .execute(connection)
        .await?;
    Ok(resumed.rows_affected() > 0)
}

/// Locks the checkpoint and reads it; `None` when another runner has it. A checkpoint that is not there yet
/// is made.
pub(super) async fn take(
    connection: &mut PgConnection,
    name: &str,
) -> Result<Option<Held>, sqlx::Error> {
    if let Some(held) = lock(connection, name, "FOR UPDATE SKIP LOCKED").await? {
        return Ok(Some(held));
    }
    sqlx::query("INSERT INTO checkpoints (name, position, updated_at) VALUES ($1, 0, now()) ON CONFLICT DO NOTHING")
        .bind(name)
        .execute(&mut *connection)
        .await?;
    lock(connection, name, "FOR UPDATE SKIP LOCKED").await
}

/// Locks the checkpoint, waiting for who has it; `None` when there is none.
pub(super) async fn wait_for(
    connection: &mut PgConnection,
    name: &str,
) -> Result<Option<Held>, sqlx::Error> {
    lock(connection, name, "FOR UPDATE").await
}

async fn lock(
    connection: &mut PgConnection,
    name: &str,
    how: &str,
) -> Result<Option<Held>, sqlx::Error> {
    let query =
        format!("SELECT position, paused_at IS NOT NULL FROM checkpoints WHERE name = $1 {how}");
    let held: Option<(i64, bool)> = sqlx::query_as(&query)
        .bind(name)
        .fetch_optional(connection)
        .await?;
    Ok(held.map(|(position, is_paused)| Held {
        position: position.unsigned_abs(),
        is_paused,
    }))
}

/// Moves a locked checkpoint.
pub(super) async fn advance(
    connection: &mut PgConnection,
    name: &str,
    position: u64,
    runner: &str,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "UPDATE checkpoints SET position = $2, updated_at = now(), runner = $3 WHERE name = $1",
    )
    .bind(name)
    .bind(position.cast_signed())
    .bind(runner)
    .execute(connection)
    .await?;
    Ok(())
}
