//! Rebuilding the resource view with its conditions, adapter statuses and counts, and completing the
//! reconcile queue.
//!
//! The queue is not exchanged: its schedule is not in the log. Rows that are missing or left over are
//! put right after the exchange.

use sqlx::{Acquire as _, PgConnection, PgPool};

use super::super::shadow::{Shadow, execute};
use super::{
    RebuildError, RebuildOptions, RebuildStep, Rebuilt, exchange, follow, forget, load,
    may_exchange,
};
use crate::error::Error;

/// In the order in which the inline projection locks them.
pub(super) const TABLES: [&str; 3] = ["resources", "resource_conditions", "adapter_statuses"];

/// Kept beside them by a trigger on `resources`.
const COUNTS: &str = "resource_counts";

/// Changes that may be left for the exchange, while writers wait.
const LEFT_FOR_EXCHANGE: u64 = 500;

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
        let position = last_position(&mut transaction).await?;
        shadow.create(&mut transaction, position).await?;
        load::create_parts(&mut transaction, shadow).await?;
        follow::watch(&mut transaction, shadow).await?;
        transaction.commit().await?;
    }
    if shadow.progress(&mut connection).await?.is_loaded {
        // A roll-back may have been interrupted before it had done so.
        follow::adopt_liveness(&mut connection, shadow).await?;
    } else {
        load::load(pool, shadow, options).await?;
        (options.observer)(RebuildStep::Indexing);
        shadow.index(&mut connection).await?;
        let loaded = format!("UPDATE {}.progress SET is_loaded = true", shadow.schema);
        execute(&mut connection, &loaded).await?;
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
    follow::watch(&mut transaction, shadow).await?;
    transaction.commit().await?;
    shadow.index(&mut connection).await?;
    follow::adopt_liveness(&mut connection, shadow).await?;
    drop(connection);
    finish(pool, shadow, options).await
}

/// Applies what changed meanwhile, compares, exchanges.
async fn finish(
    pool: &PgPool,
    shadow: &Shadow,
    options: &RebuildOptions,
) -> Result<Rebuilt, RebuildError> {
    let mut connection = pool.acquire().await?;
    (options.observer)(RebuildStep::Following);
    while follow::follow(&mut connection, shadow).await? > LEFT_FOR_EXCHANGE {}
    (options.observer)(RebuildStep::Comparing);
    let settled = follow::settled(&mut connection, shadow).await?;
    let differences = shadow.compare(&mut connection, settled).await?;
    let progress = shadow.progress(&mut connection).await?;
    let mut rebuilt = Rebuilt {
        resources: progress.resources.unsigned_abs(),
        events: progress.events.unsigned_abs(),
        differences,
        is_live: false,
    };
    drop(connection);
    if options.is_dry_run {
        forget(pool, shadow).await?;
        return Ok(rebuilt);
    }
    (options.observer)(RebuildStep::Exchanging);
    exchange(async || try_exchange(pool, shadow).await).await?;
    rebuilt.is_live = true;
    complete_queue(pool).await?;
    Ok(rebuilt)
}

/// Whether the exchange went through; not when there is too much left to do while writers wait.
async fn try_exchange(pool: &PgPool, shadow: &Shadow) -> Result<bool, RebuildError> {
    let mut connection = pool.acquire().await?;
    while follow::follow(&mut connection, shadow).await? > LEFT_FOR_EXCHANGE {}
    let mut transaction = connection.begin().await?;
    if !may_exchange(&mut transaction).await? {
        return Ok(false);
    }
    shadow.hold_writers(&mut transaction, &[COUNTS]).await?;
    shadow.refuse_outdated(&mut transaction).await?;
    let left = follow::follow_in(&mut transaction, shadow).await?;
    if left > LEFT_FOR_EXCHANGE || follow::follow_in(&mut transaction, shadow).await? > 0 {
        transaction.rollback().await?;
        return Ok(false);
    }
    let (live, schema) = (&shadow.live, &shadow.schema);
    for statement in [
        // The changes were written under the shadow's names; from here on both are named in full.
        "SET LOCAL synchronous_commit = on".to_owned(),
        format!("SET LOCAL search_path = {live}"),
        format!("DELETE FROM {live}.{COUNTS}"),
        format!(
            "INSERT INTO {live}.{COUNTS} SELECT kind, 0, count(*) FROM {schema}.resources
             WHERE removed_time IS NULL GROUP BY kind"
        ),
    ] {
        execute(&mut transaction, &statement).await?;
    }
    let position = last_position(&mut transaction).await?;
    shadow.exchange(&mut transaction, position).await?;
    transaction.commit().await?;
    Ok(true)
}

async fn last_position(connection: &mut PgConnection) -> Result<i64, Error> {
    let position = sqlx::query_scalar("SELECT coalesce(max(position), 0) FROM live_events")
        .fetch_one(connection)
        .await?;
    Ok(position)
}

/// Live resources without a row become due; rows of others go. Resources are locked meanwhile, so that
/// none is removed or created in between.
async fn complete_queue(pool: &PgPool) -> Result<(), Error> {
    let mut connection = pool.acquire().await?;
    let mut transaction = connection.begin().await?;
    for statement in [
        "WITH missing AS (
             SELECT id, kind, labels, tenancy FROM resources WHERE removed_time IS NULL
               AND NOT EXISTS (SELECT FROM reconcile_queue WHERE resource_id = id)
             ORDER BY id FOR SHARE
         )
         INSERT INTO reconcile_queue (resource_id, kind, labels, due_time, tenant)
         SELECT id, kind, labels, now(), tenant_of(tenancy) FROM missing ON CONFLICT (resource_id) DO NOTHING",
        // A resource that is being created is not visible yet, and neither is its row.
        "DELETE FROM reconcile_queue WHERE NOT EXISTS (
             SELECT FROM resources WHERE id = resource_id AND removed_time IS NULL)",
    ] {
        sqlx::query(statement).execute(&mut *transaction).await?;
    }
    transaction.commit().await?;
    Ok(())
}
