//! The first pass: every resource is folded from its events and written once. Parts of the log are
//! worked on side by side; each keeps its progress with what it wrote.

use std::collections::BTreeMap;
use std::sync::Arc;

use hyperfleet_domain::resource::Resource;
use serde::Deserialize as _;
use serde_json::Value;
use sqlx::{Acquire as _, PgConnection, PgPool, Row as _};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::super::fold::{self, Folded};
use super::super::shadow::{Shadow, execute};
use super::{RebuildError, RebuildOptions, RebuildStep};
use crate::error::Error;
use crate::inline::{self, Change, liveness};

/// Parts of the log: more than there are cores, so that all of them stay busy to the end.
const PARTS: i32 = 16;

/// Resources that are written in one transaction: bounds memory.
pub(super) const BATCH: i64 = 250;

/// A part of the log: resources after one id, up to another.
#[derive(Debug)]
struct Part {
    number: i32,
    after: String,
    last: Option<String>,
}

/// Divides the resources into parts, within the transaction that makes the shadow.
pub(super) async fn create_parts(
    connection: &mut PgConnection,
    shadow: &Shadow,
) -> Result<(), Error> {
    let schema = &shadow.schema;
    let create = format!(
        "CREATE TABLE {schema}.parts (number integer PRIMARY KEY, after text COLLATE \"C\" NOT NULL,
             last text COLLATE \"C\", is_done boolean NOT NULL DEFAULT false)"
    );
    execute(&mut *connection, &create).await?;
    // The last part is open to the end.
    let divide = format!(
        "INSERT INTO {schema}.parts (number, after, last)
         SELECT number, coalesce(lag(last) OVER by_number, ''),
             CASE WHEN lead(last) OVER by_number IS NOT NULL THEN last END
         FROM (
             SELECT number, max(aggregate_id) AS last FROM (
                 SELECT aggregate_id, ntile($2) OVER (ORDER BY aggregate_id) AS number
                 FROM streams WHERE aggregate_type = $1
             ) AS streams GROUP BY number
             UNION ALL SELECT 1, '' WHERE NOT EXISTS (SELECT FROM streams WHERE aggregate_type = $1)
         ) AS parts
         WINDOW by_number AS (ORDER BY number)"
    );
    sqlx::query(&divide)
        .bind(crate::AGGREGATE_TYPE)
        .bind(PARTS)
        .execute(connection)
        .await?;
    Ok(())
}

/// Folds and writes what is not done yet.
pub(super) async fn load(
    pool: &PgPool,
    shadow: &Shadow,
    options: &RebuildOptions,
) -> Result<(), RebuildError> {
    let total: i64 = sqlx::query_scalar(
        "SELECT coalesce(sum(version), 0)::bigint FROM streams WHERE aggregate_type = $1",
    )
    .bind(crate::AGGREGATE_TYPE)
    .fetch_one(pool)
    .await?;
    let mut connection = pool.acquire().await?;
    let done = shadow.progress(&mut connection).await?.events;
    (options.observer)(RebuildStep::Loading {
        total: total.unsigned_abs(),
        done: done.unsigned_abs(),
    });
    let query = format!(
        "SELECT number, after, last FROM {}.parts WHERE NOT is_done ORDER BY number",
        shadow.schema
    );
    let parts = sqlx::query(&query).fetch_all(&mut *connection).await?;
    drop(connection);
    let turns = Arc::new(Semaphore::new(options.jobs.max(1)));
    let mut working = JoinSet::new();
    for row in parts {
        let part = Part {
            number: row.try_get("number")?,
            after: row.try_get("after")?,
            last: row.try_get("last")?,
        };
        let (pool, shadow, options) = (pool.clone(), shadow.clone(), options.clone());
        let turns = Arc::clone(&turns);
        working.spawn(async move {
            // The semaphore is never closed.
            let _turn = turns.acquire_owned().await;
            load_part(&pool, &shadow, part, &options).await
        });
    }
    while let Some(ended) = working.join_next().await {
        match ended {
            Ok(loaded) => loaded?,
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }
    Ok(())
}

async fn load_part(
    pool: &PgPool,
    shadow: &Shadow,
    mut part: Part,
    options: &RebuildOptions,
) -> Result<(), Error> {
    let schema = &shadow.schema;
    let advance = format!("UPDATE {schema}.parts SET after = $2 WHERE number = $1");
    let end = format!("UPDATE {schema}.parts SET is_done = true WHERE number = $1");
    let count =
        format!("UPDATE {schema}.progress SET resources = resources + $1, events = events + $2");
    loop {
        let mut connection = pool.acquire().await?;
        let mut transaction = connection.begin().await?;
        shadow.enter(&mut transaction).await?;
        let last = part.last.as_deref();
        let ids = fold::ids_between(&mut transaction, &part.after, last, BATCH).await?;
        let Some(reached) = ids.last().cloned() else {
            sqlx::query(&end)
                .bind(part.number)
                .execute(&mut *transaction)
                .await?;
            transaction.commit().await?;
            return Ok(());
        };
        let (resources, events) = write(&mut transaction, shadow, &ids).await?;
        sqlx::query(&advance)
            .bind(part.number)
            .bind(&reached)
            .execute(&mut *transaction)
            .await?;
        // Last, because the parts share the row.
        sqlx::query(&count)
            .bind(resources)
            .bind(events)
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        (options.observer)(RebuildStep::Folded(events.unsigned_abs()));
        part.after = reached;
    }
}

/// Folds resources and writes them to the shadow, which the transaction has entered. Returns how many
/// resources and events these were.
pub(super) async fn write(
    connection: &mut PgConnection,
    shadow: &Shadow,
    ids: &[String],
) -> Result<(i64, i64), Error> {
    let folded = fold::fold(&mut *connection, ids).await?;
    let known = live_states(&mut *connection, shadow, ids).await?;
    let events = folded.iter().map(|folded| folded.version).sum();
    let resources = i64::try_from(folded.len()).unwrap_or(i64::MAX);
    let changes: Vec<Change> = folded
        .into_iter()
        .map(|folded| change(folded, &known))
        .collect();
    inline::write(connection, &changes).await?;
    Ok((resources, events))
}

/// A folded resource with the liveness of the live row.
pub(super) fn change(folded: Folded, known: &BTreeMap<String, Resource>) -> Change {
    let Folded {
        mut resource,
        version,
    } = folded;
    if let Some(known) = known.get(&resource.id) {
        liveness::adopt(&mut resource, known);
    }
    Change {
        resource,
        version,
        existed: true,
        stored: None,
        is_quiet: true,
        makes_due: None,
        traceparent: None,
    }
}

/// The live states that can be read, by id. One that cannot is replaced; its liveness is lost with it.
pub(super) async fn live_states(
    connection: &mut PgConnection,
    shadow: &Shadow,
    ids: &[String],
) -> Result<BTreeMap<String, Resource>, Error> {
    let query = format!(
        "SELECT id, state FROM {}.resources WHERE id = ANY($1) AND state -> 'statuses' <> '{{}}'",
        shadow.live
    );
    let rows = sqlx::query(&query).bind(ids).fetch_all(connection).await?;
    let mut states = BTreeMap::new();
    for row in rows {
        let state: Value = row.try_get("state")?;
        if let Ok(resource) = Resource::deserialize(&state) {
            states.insert(row.try_get("id")?, resource);
        }
    }
    Ok(states)
}
