//! The partitions of the log: each holds a range of positions. A new one is begun before the newest is full,
//! and old ones can be put aside and brought back.
//!
//! Invariants:
//! - every position has a partition: the newest has no upper bound;
//! - positions never move between partitions, and partitions do not overlap;
//! - reads of the past (the view `events`) see the same events before, while and after a partition is put
//!   aside or brought back; reads at the head (`live_events`) never need what is put aside;
//! - whoever changes partitions does it alone, and makes writers wait for moments only.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::postgres::PgRow;
use sqlx::{Connection as _, PgConnection, PgPool, Row as _};
use tokio_util::sync::CancellationToken;

use crate::error::Error;
use crate::store::EventStore;

/// Held by who changes partitions. Among PostgreSQL's advisory locks of this database ("HFPARTIT").
const PARTITION_LOCK: i64 = 0x4846_5041_5254_4954;

/// How long a change waits for those who use the log, and makes others wait behind it.
const LOCK_TIMEOUT: &str = "1000";

/// Between two looks at whether the newest partition fills up.
const INTERVAL: Duration = Duration::from_secs(30);

/// Up to so many rows are checked against their bounds while writers wait, which takes a fraction of a
/// second; more are checked before.
const CHECKED_AT_ONCE: u64 = 200_000;

/// A partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partition {
    /// Its table.
    pub name: String,
    /// Whether it was put aside.
    pub is_archived: bool,
    /// Its first position.
    pub first: u64,
    /// The position after its last; `None` for the newest.
    pub end: Option<u64>,
    /// On disk, with its indexes.
    pub bytes: u64,
}

/// What a partition holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Contents {
    /// How many events.
    pub events: u64,
    /// When its first event was recorded.
    pub from: Option<DateTime<Utc>>,
    /// When its last event was recorded.
    pub to: Option<DateTime<Utc>>,
}

/// Why partitions cannot be changed as asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PartitionError {
    /// There is no such partition.
    #[error("there is no partition {name:?}; `hyperfleet log partitions` lists them")]
    Unknown {
        /// What was asked for.
        name: String,
    },
    /// It is where it is asked to be.
    #[error("partition {name} is {} already", if *is_archived { "archived" } else { "live" })]
    Already {
        /// Its table.
        name: String,
        /// Where it is.
        is_archived: bool,
    },
    /// Events may still come into it.
    #[error("partition {name} is not complete: events may still come into it, so it stays live")]
    Incomplete {
        /// Its table.
        name: String,
    },
    /// A projection has not applied all of it.
    #[error(
        "projection {projection} has applied the log up to {position} only, and partition {name} goes further: \
         wait until it has caught up (`hyperfleet replay status`)"
    )]
    Needed {
        /// The partition.
        name: String,
        /// The projection.
        projection: String,
        /// Its checkpoint.
        position: u64,
    },
    /// Somebody else changes partitions, or uses the log for long.
    #[error("the log is in use for longer than a second by others; try again")]
    Busy(#[source] sqlx::Error),
    /// The database cannot answer.
    #[error("the partitions of the log could not be read or changed")]
    Failed(#[from] Error),
}

impl From<sqlx::Error> for PartitionError {
    fn from(error: sqlx::Error) -> Self {
        let code = error
            .as_database_error()
            .and_then(|error| error.code().map(String::from));
        match code.as_deref() {
            // Lock timeout, deadlock.
            Some("55P03" | "40P01") => Self::Busy(error),
            _ => Self::Failed(error.into()),
        }
    }
}

const LIST: &str = "
SELECT child.relname AS name, parent.oid = 'archive.events'::regclass AS is_archived,
    substring(pg_get_expr(child.relpartbound, child.oid) FROM 'FROM \\(''?(\\d+)''?\\)')::bigint AS first,
    substring(pg_get_expr(child.relpartbound, child.oid) FROM 'TO \\(''?(\\d+)''?\\)')::bigint AS end,
    pg_total_relation_size(child.oid) AS bytes
FROM pg_inherits
JOIN pg_class AS child ON child.oid = inhrelid
JOIN pg_class AS parent ON parent.oid = inhparent
WHERE parent.oid IN ('archive.events'::regclass, 'live_events'::regclass)
ORDER BY first";

/// All partitions, in the order of positions.
///
/// # Errors
/// When the database cannot answer.
pub async fn list(pool: &PgPool) -> Result<Vec<Partition>, PartitionError> {
    read(&mut *pool.acquire().await?).await
}

async fn read(connection: &mut PgConnection) -> Result<Vec<Partition>, PartitionError> {
    let rows = sqlx::query(LIST).fetch_all(connection).await?;
    rows.iter().map(|row| Ok(partition(row)?)).collect()
}

fn partition(row: &PgRow) -> Result<Partition, sqlx::Error> {
    let number = |column| row.try_get::<i64, _>(column).map(i64::unsigned_abs);
    Ok(Partition {
        name: row.try_get("name")?,
        is_archived: row.try_get("is_archived")?,
        first: number("first")?,
        end: row.try_get::<Option<i64>, _>("end")?.map(i64::unsigned_abs),
        bytes: number("bytes")?,
    })
}

impl Partition {
    fn table(&self) -> String {
        let schema = if self.is_archived { "archive." } else { "" };
        format!("{schema}\"{}\"", self.name)
    }

    /// Counts what it holds, which reads an index of it.
    ///
    /// # Errors
    /// When the database cannot answer.
    pub async fn contents(&self, pool: &PgPool) -> Result<Contents, PartitionError> {
        let table = self.table();
        let row = sqlx::query(&format!(
            "SELECT (SELECT count(*) FROM {table}) AS events,
                 (SELECT recorded_at FROM {table} ORDER BY position LIMIT 1) AS first,
                 (SELECT recorded_at FROM {table} ORDER BY position DESC LIMIT 1) AS last"
        ))
        .fetch_one(pool)
        .await?;
        Ok(Contents {
            events: row.try_get::<i64, _>("events")?.unsigned_abs(),
            from: row.try_get("first")?,
            to: row.try_get("last")?,
        })
    }
}

/// Begins a new partition when the newest is three quarters full; `size` is how many positions one holds.
/// Returns whether it did.
///
/// # Errors
/// [`PartitionError::Busy`] when the log is in use; any other when the database cannot answer.
pub async fn keep_room(pool: &PgPool, size: u64) -> Result<bool, PartitionError> {
    let mut connection = pool.acquire().await?;
    let partitions = read(&mut connection).await?;
    let Some(newest) = partitions.iter().find(|partition| partition.end.is_none()) else {
        return Ok(false);
    };
    let head = crate::recorded::head(&mut connection).await?;
    let filled = head.saturating_sub(newest.first);
    if filled < size / 4 * 3 {
        return Ok(false);
    }
    let bound = (filled > CHECKED_AT_ONCE).then_some(head + size / 4);
    if let Some(end) = bound {
        // Far enough ahead for what comes until the partition is bounded.
        prove(&mut connection, newest, end).await?;
    }
    let begun = begin(&mut connection, newest, size, bound).await;
    if bound.is_some() && !matches!(begun, Ok(true)) {
        // What was proven must not stand in the way of appends. Of a killed process this is left to the next
        // one that looks, which is long before a quarter of a partition has come.
        let table = newest.table();
        let forget = format!("ALTER TABLE {table} DROP CONSTRAINT IF EXISTS bounds");
        sqlx::query(&forget).execute(&mut *connection).await?;
    }
    begun
}

/// Bounds the newest partition and begins the next one.
async fn begin(
    connection: &mut PgConnection,
    newest: &Partition,
    size: u64,
    bound: Option<u64>,
) -> Result<bool, PartitionError> {
    let mut transaction = connection.begin().await?;
    alone(&mut transaction).await?;
    let is_newest = |other: &Partition| other.name == newest.name && other.end.is_none();
    if !read(&mut transaction).await?.iter().any(is_newest) {
        return Ok(false);
    }
    sqlx::query("LOCK TABLE live_events IN ACCESS EXCLUSIVE MODE")
        .execute(&mut *transaction)
        .await?;
    let head = crate::recorded::head(&mut transaction).await?;
    let end = bound.unwrap_or_else(|| (newest.first + size).max(head + 1));
    let (table, first) = (newest.table(), newest.first);
    for statement in [
        format!("ALTER TABLE live_events DETACH PARTITION {table}"),
        format!(
            "ALTER TABLE live_events ATTACH PARTITION {table} FOR VALUES FROM ({first}) TO ({end})"
        ),
        format!("ALTER TABLE {table} DROP CONSTRAINT IF EXISTS bounds"),
        format!(
            "CREATE TABLE events_from_{end} (LIKE live_events INCLUDING DEFAULTS INCLUDING CONSTRAINTS,
                 PRIMARY KEY (aggregate_type, aggregate_id, sequence))"
        ),
        format!(
            "ALTER TABLE live_events ATTACH PARTITION events_from_{end} FOR VALUES FROM ({end}) TO (MAXVALUE)"
        ),
    ] {
        sqlx::query(&statement).execute(&mut *transaction).await?;
    }
    transaction.commit().await?;
    tracing::info!(
        partition = format!("events_from_{end}"),
        "the log got a new partition"
    );
    Ok(true)
}

/// Puts a partition aside. Its events stay readable.
///
/// # Errors
/// See [`PartitionError`].
pub async fn archive(pool: &PgPool, name: &str) -> Result<Partition, PartitionError> {
    let mut connection = pool.acquire().await?;
    let (partition, end) = complete(&mut connection, name, false).await?;
    let behind = sqlx::query(&format!(
        "SELECT name, position FROM checkpoints
         WHERE position < (SELECT max(position) FROM {}) ORDER BY position LIMIT 1",
        partition.table()
    ))
    .fetch_optional(&mut *connection)
    .await?;
    if let Some(row) = behind {
        return Err(PartitionError::Needed {
            name: partition.name,
            projection: row.try_get("name")?,
            position: row.try_get::<i64, _>("position")?.unsigned_abs(),
        });
    }
    carry(
        &mut connection,
        &partition,
        end,
        "live_events",
        "archive",
        "archive.events",
    )
    .await?;
    Ok(partition)
}

/// Brings a partition back that was put aside.
///
/// # Errors
/// See [`PartitionError`].
pub async fn restore(pool: &PgPool, name: &str) -> Result<Partition, PartitionError> {
    let mut connection = pool.acquire().await?;
    let (partition, end) = complete(&mut connection, name, true).await?;
    let schema: String = sqlx::query_scalar(
        "SELECT relnamespace::regnamespace::text FROM pg_class WHERE oid = 'live_events'::regclass",
    )
    .fetch_one(&mut *connection)
    .await?;
    carry(
        &mut connection,
        &partition,
        end,
        "archive.events",
        &schema,
        "live_events",
    )
    .await?;
    Ok(partition)
}

/// The partition of that name, when nothing can come into it any more and it is where it is expected.
async fn complete(
    connection: &mut PgConnection,
    name: &str,
    is_archived: bool,
) -> Result<(Partition, u64), PartitionError> {
    let all = read(connection).await?;
    let found = all.into_iter().find(|partition| partition.name == name);
    let Some(partition) = found else {
        return Err(PartitionError::Unknown {
            name: name.to_owned(),
        });
    };
    if partition.is_archived != is_archived {
        return Err(PartitionError::Already {
            name: partition.name,
            is_archived: partition.is_archived,
        });
    }
    let head = crate::recorded::head(connection).await?;
    match partition.end {
        Some(end) if end <= head => Ok((partition, end)),
        _ => Err(PartitionError::Incomplete {
            name: partition.name,
        }),
    }
}

/// Moves a partition from one parent to the other, in one transaction.
async fn carry(
    connection: &mut PgConnection,
    partition: &Partition,
    end: u64,
    from: &str,
    schema: &str,
    to: &str,
) -> Result<(), PartitionError> {
    prove(connection, partition, end).await?;
    let mut transaction = connection.begin().await?;
    alone(&mut transaction).await?;
    let (name, first, table) = (&partition.name, partition.first, partition.table());
    for statement in [
        format!("ALTER TABLE {from} DETACH PARTITION {table}"),
        format!("ALTER TABLE {table} SET SCHEMA {schema}"),
        format!(
            "ALTER TABLE {to} ATTACH PARTITION {schema}.\"{name}\" FOR VALUES FROM ({first}) TO ({end})"
        ),
        format!("ALTER TABLE {schema}.\"{name}\" DROP CONSTRAINT bounds"),
    ] {
        sqlx::query(&statement).execute(&mut *transaction).await?;
    }
    transaction.commit().await?;
    Ok(())
}

/// Proves the bounds of a partition while others go on, so that attaching it needs no look at its rows.
async fn prove(
    connection: &mut PgConnection,
    partition: &Partition,
    end: u64,
) -> Result<(), PartitionError> {
    let (table, first) = (partition.table(), partition.first);
    let mut transaction = connection.begin().await?;
    alone(&mut transaction).await?;
    for statement in [
        // Left by somebody who was killed.
        format!("ALTER TABLE {table} DROP CONSTRAINT IF EXISTS bounds"),
        format!(
            "ALTER TABLE {table} ADD CONSTRAINT bounds CHECK (position >= {first} AND position < {end}) NOT VALID"
        ),
    ] {
        sqlx::query(&statement).execute(&mut *transaction).await?;
    }
    transaction.commit().await?;
    sqlx::query(&format!("ALTER TABLE {table} VALIDATE CONSTRAINT bounds"))
        .execute(connection)
        .await?;
    Ok(())
}

/// Makes the rest of a transaction the only one that changes partitions, and impatient.
async fn alone(connection: &mut PgConnection) -> Result<(), PartitionError> {
    sqlx::query("SELECT set_config('lock_timeout', $1, true)")
        .bind(LOCK_TIMEOUT)
        .execute(&mut *connection)
        .await?;
    sqlx::query("SELECT pg_advisory_xact_lock($1)")
        .bind(PARTITION_LOCK)
        .execute(connection)
        .await?;
    Ok(())
}

/// Keeps room until shutdown, and counts. Several processes may do so.
pub async fn run_keep_room(store: &EventStore, size: u64, shutdown: CancellationToken) {
    let pool = store.pool();
    loop {
        match keep_room(pool, size).await {
            // The next look comes soon enough.
            Ok(_) | Err(PartitionError::Busy(_)) => {}
            Err(error) => {
                let error = hyperfleet_runtime::error_chain(&error);
                tracing::warn!(
                    error,
                    "the partitions of the log are left as they are for now"
                );
            }
        }
        if let Ok(partitions) = list(pool).await {
            let archived = partitions
                .iter()
                .filter(|partition| partition.is_archived)
                .count();
            let metrics = store.metrics();
            metrics.tell_partitions(partitions.len() - archived, archived);
        }
        let pause = tokio::time::sleep(INTERVAL);
        if shutdown.run_until_cancelled(pause).await.is_none() {
            return;
        }
    }
}
