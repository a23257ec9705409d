//! Looking at the queue without taking anything from it.

use chrono::{DateTime, Utc};
use hyperfleet_domain::resource::Resource;
use sqlx::postgres::PgRow;
use sqlx::types::Json;
use sqlx::{PgPool, Row as _};

use super::Priority;
use super::sentinels::SEEN_WITHIN;
use crate::error::Error;
use crate::resource_view::read_state;

/// A resource and its row.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The resource.
    pub resource: Resource,
    /// Publications since the resource last made progress.
    pub attempt: i32,
    /// The generation that was last published, if any was.
    pub last_published_generation: Option<i32>,
    /// When it was last published, if it was.
    pub last_published_time: Option<DateTime<Utc>>,
    /// When it is, or was, to be looked at.
    pub due_time: DateTime<Utc>,
    /// How urgently; `None` when it was set aside because no sentinel selects it.
    pub priority: Option<Priority>,
    /// Until when a sentinel holds it.
    pub claimed_until: Option<DateTime<Utc>>,
    /// The database's time.
    pub now: DateTime<Utc>,
}

/// A running sentinel that selects a resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selecting {
    /// Its name.
    pub name: String,
    /// When it last said that it runs.
    pub seen_time: DateTime<Utc>,
}

const COLUMNS: &str = "
SELECT resource.id, resource.state, queue.attempt, queue.last_published_generation, queue.last_published_time,
       queue.due_time, queue.priority, queue.claimed_until, now() AS now
FROM reconcile_queue queue JOIN resources resource ON resource.id = queue.resource_id";

/// The row of a resource; `None` when it has none because it is removed, or never was.
///
/// # Errors
/// When the database cannot answer, or the resource cannot be read.
pub async fn entry(pool: &PgPool, resource_id: &str) -> Result<Option<Entry>, Error> {
    let sql = format!("{COLUMNS} WHERE queue.resource_id = $1");
    let row = sqlx::query(&sql)
        .bind(resource_id)
        .fetch_optional(pool)
        .await?;
    row.as_ref().map(read).transpose()
}

/// Rows of a kind in the order of resource ids, after one of them. For looking at a whole fleet.
///
/// # Errors
/// When the database cannot answer, or a resource cannot be read.
pub async fn entries(
    pool: &PgPool,
    kind: &str,
    after: &str,
    limit: u32,
) -> Result<Vec<Entry>, Error> {
    let sql = format!(
        "{COLUMNS} WHERE queue.kind = $1 AND queue.resource_id > $2 ORDER BY queue.resource_id LIMIT $3"
    );
    let rows = sqlx::query(&sql)
        .bind(kind)
        .bind(after)
        .bind(i64::from(limit))
        .fetch_all(pool)
        .await?;
    rows.iter().map(read).collect()
}

/// The running sentinels that select a resource.
///
/// # Errors
/// When the database cannot answer.
pub async fn selecting(pool: &PgPool, resource: &Resource) -> Result<Vec<Selecting>, Error> {
    let rows = sqlx::query(
        "SELECT name, max(seen_time) AS seen_time FROM sentinels
         WHERE kind = $1 AND $2 @> labels AND seen_time > now() - make_interval(secs => $3)
             AND (shard_count = 1 OR abs(hashtextextended($4, 0) % shard_count) = shard)
         GROUP BY name ORDER BY name",
    )
    .bind(&resource.kind)
    .bind(Json(&resource.labels))
    .bind(SEEN_WITHIN.as_secs_f64())
    .bind(&resource.id)
    .fetch_all(pool)
    .await?;
    let read = |row: &PgRow| {
        Ok(Selecting {
            name: row.try_get("name")?,
            seen_time: row.try_get("seen_time")?,
        })
    };
    rows.iter().map(read).collect()
}

fn read(row: &PgRow) -> Result<Entry, Error> {
    let id: String = row.try_get("id")?;
    Ok(Entry {
        resource: read_state(&id, row)?,
        attempt: row.try_get("attempt")?,
        last_published_generation: row.try_get("last_published_generation")?,
        last_published_time: row.try_get("last_published_time")?,
        due_time: row.try_get("due_time")?,
        priority: Priority::of_stored(row.try_get("priority")?),
        claimed_until: row.try_get("claimed_until")?,
        now: row.try_get("now")?,
    })
}
