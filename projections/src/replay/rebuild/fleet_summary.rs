//! Rebuilding the fleet summary: the projection itself runs over the log beside the live one, under a
//! name of its own, with a checkpoint of its own, and parks what it cannot apply.

use hyperfleet_event_store::catch_up;
use sqlx::{Acquire as _, PgConnection, PgPool};

use super::super::shadow::Shadow;
use super::{RebuildError, RebuildOptions, RebuildStep, Rebuilt, exchange, may_exchange};
use crate::error::Error;
use crate::fleet_summary::PROJECTION;

pub(super) const TABLES: [&str; 2] = ["fleet_summary", "fleet_summary_members"];

/// The projection while it is built, and what it was before the exchange.
const IN_THE_MAKING: &str = "fleet_summary.rebuild";
const PREVIOUS: &str = "fleet_summary.previous";

/// Events that are applied in one transaction: nobody waits for it, so it may be longer than a live one.
const BATCH: usize = 5000;

pub(super) async fn rebuild(
    pool: &PgPool,
    shadow: &Shadow,
    options: &RebuildOptions,
) -> Result<Rebuilt, RebuildError> {
    let mut connection = pool.acquire().await?;
    if shadow.is_in_the_making(&mut connection).await? {
        shadow.refuse_outdated(&mut connection).await?;
    } else {
        let mut transaction = connection.begin().await?;
        shadow.create(&mut transaction, 0).await?;
        forget(&mut transaction).await?;
        transaction.commit().await?;
    }
    drop(connection);
    finish(pool, shadow, options).await
}

pub(super) async fn roll_back(
    pool: &PgPool,
    shadow: &Shadow,
    options: &RebuildOptions,
) -> Result<Rebuilt, RebuildError> {
    let mut connection = pool.acquire().await?;
    let mut transaction = connection.begin().await?;
    shadow.take_previous(&mut transaction).await?;
    shadow.refuse_outdated(&mut transaction).await?;
    forget(&mut transaction).await?;
    let position = shadow.progress(&mut transaction).await?.position;
    sqlx::query("INSERT INTO checkpoints (name, position, updated_at) VALUES ($1, $2, now())")
        .bind(IN_THE_MAKING)
        .bind(position)
        .execute(&mut *transaction)
        .await?;
    rename_parked(&mut transaction, PREVIOUS, IN_THE_MAKING).await?;
    transaction.commit().await?;
    drop(connection);
    finish(pool, shadow, options).await
}

/// Forgets the checkpoint and the parked events of the projection in the making.
pub(super) async fn forget(connection: &mut PgConnection) -> Result<(), Error> {
    for statement in [
        "DELETE FROM checkpoints WHERE name = $1",
        "DELETE FROM parked_events WHERE projection = $1",
    ] {
        sqlx::query(statement)
            .bind(IN_THE_MAKING)
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

async fn finish(
    pool: &PgPool,
    shadow: &Shadow,
    options: &RebuildOptions,
) -> Result<Rebuilt, RebuildError> {
    let mut connection = pool.acquire().await?;
    let total: i64 = sqlx::query_scalar("SELECT count(*) FROM events")
        .fetch_one(&mut *connection)
        .await?;
    let done = shadow.progress(&mut connection).await?.events;
    (options.observer)(RebuildStep::Loading {
        total: total.unsigned_abs(),
        done: done.unsigned_abs(),
    });
    loop {
        let mut transaction = connection.begin().await?;
        let events = advance(&mut transaction, shadow).await?;
        transaction.commit().await?;
        if events == 0 {
            break;
        }
        (options.observer)(RebuildStep::Folded(events));
    }
    (options.observer)(RebuildStep::Indexing);
    shadow.index(&mut connection).await?;
    (options.observer)(RebuildStep::Comparing);
    // Comparable only where both have applied the same events.
    let live = catch_up::checkpoint(&mut connection, PROJECTION)
        .await
        .map_err(Error::from)?;
    let made = catch_up::checkpoint(&mut connection, IN_THE_MAKING)
        .await
        .map_err(Error::from)?;
    let settled = |_: &str| (live == made).to_string();
    let differences = shadow.compare(&mut connection, settled).await?;
    let mut rebuilt = Rebuilt {
        resources: 0,
        events: shadow
            .progress(&mut connection)
            .await?
            .events
            .unsigned_abs(),
        differences,
        is_live: false,
    };
    drop(connection);
    if options.is_dry_run {
        super::forget(pool, shadow).await?;
        return Ok(rebuilt);
    }
    (options.observer)(RebuildStep::Exchanging);
    exchange(async || try_exchange(pool, shadow).await).await?;
    rebuilt.is_live = true;
    Ok(rebuilt)
}

/// Applies the next events to the tables in the making; returns how many there were.
async fn advance(connection: &mut PgConnection, shadow: &Shadow) -> Result<u64, Error> {
    shadow.enter(&mut *connection).await?;
    let mut apply = crate::catch_up::apply_fleet_summary;
    let progress = catch_up::advance(&mut *connection, IN_THE_MAKING, &mut apply, BATCH)
        .await
        .map_err(Error::Projection)?;
    let Some(progress) = progress else {
        return Ok(0);
    };
    let count = format!("UPDATE {}.progress SET events = events + $1", shadow.schema);
    sqlx::query(&count)
        .bind(progress.events.cast_signed())
        .execute(connection)
        .await?;
    Ok(progress.events)
}

async fn try_exchange(pool: &PgPool, shadow: &Shadow) -> Result<bool, RebuildError> {
    let mut connection = pool.acquire().await?;
    let mut transaction = connection.begin().await?;
    // The runner works only while it holds this row, so the live tables stand still from here on.
    sqlx::query("SELECT FROM checkpoints WHERE name = $1 FOR UPDATE")
        .bind(PROJECTION)
        .execute(&mut *transaction)
        .await?;
    if !may_exchange(&mut transaction).await? {
        return Ok(false);
    }
    shadow.hold_writers(&mut transaction, &[]).await?;
    shadow.refuse_outdated(&mut transaction).await?;
    if advance(&mut transaction, shadow).await? >= BATCH as u64 {
        transaction.commit().await?;
        return Ok(false);
    }
    let live = format!("SET LOCAL search_path = {}", shadow.live);
    for statement in ["SET LOCAL synchronous_commit = on", &live] {
        sqlx::query(statement).execute(&mut *transaction).await?;
    }
    let previous = catch_up::checkpoint(&mut transaction, PROJECTION)
        .await
        .map_err(Error::from)?;
    shadow
        .exchange(&mut transaction, previous.cast_signed())
        .await?;
    sqlx::query(
        "INSERT INTO checkpoints (name, position, updated_at)
         SELECT $1, position, now() FROM checkpoints WHERE name = $2
         ON CONFLICT (name) DO UPDATE SET position = excluded.position, updated_at = now()",
    )
    .bind(PROJECTION)
    .bind(IN_THE_MAKING)
    .execute(&mut *transaction)
    .await?;
    sqlx::query("DELETE FROM parked_events WHERE projection = $1")
        .bind(PREVIOUS)
        .execute(&mut *transaction)
        .await?;
    rename_parked(&mut transaction, PROJECTION, PREVIOUS).await?;
    rename_parked(&mut transaction, IN_THE_MAKING, PROJECTION).await?;
    forget(&mut transaction).await?;
    transaction.commit().await?;
    Ok(true)
}

async fn rename_parked(connection: &mut PgConnection, from: &str, to: &str) -> Result<(), Error> {
    sqlx::query("UPDATE parked_events SET projection = $2 WHERE projection = $1")
        .bind(from)
        .bind(to)
        .execute(connection)
        .await?;
    Ok(())
}
