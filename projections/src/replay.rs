//! Rebuilding the read models from the log, and proving that they equal it.
//!
//! Both fold the log of every resource again. Liveness (times that moved because adapters said
//! "still so") is not in the log: rebuilding keeps what the read model has of it, and verifying
//! leaves it out of the comparison.
//!
//! Rebuilding is safe while the API is at work: a batch locks its rows, and a row that has moved on
//! meanwhile is newer than what is written.

mod compare;
mod fold;

use std::collections::BTreeMap;

use hyperfleet_domain::resource::Resource;
use hyperfleet_event_store::catch_up;
use serde::Deserialize as _;
use serde_json::Value;
use sqlx::types::Json;
use sqlx::{Acquire as _, PgConnection, PgPool, Row};

use self::compare::{Counts, Stored};
use self::fold::Folded;
use crate::error::Error;
use crate::fleet_summary;
use crate::inline::{self, Change, liveness};

/// Resources folded in one transaction: bounds memory and how long rows stay locked.
const BATCH: i64 = 200;

/// Differences that are reported one by one; more are only counted.
const REPORTED_DIFFERENCES: usize = 100;

/// What a rebuild did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rebuilt {
    /// Resources that were folded, removed ones included.
    pub resources: u64,
    /// Events that were folded.
    pub events: u64,
    /// Rows of resources that the log does not know, now deleted.
    pub strangers: u64,
}

/// What a verification found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Resources that were folded, removed ones included.
    pub resources: u64,
    /// Events that were folded.
    pub events: u64,
    /// How many differences there are.
    pub difference_count: u64,
    /// The first of them.
    pub differences: Vec<Difference>,
}

impl Report {
    /// Whether the read models equal the log.
    pub fn is_equal(&self) -> bool {
        self.difference_count == 0
    }

    fn add(&mut self, subject: &str, what: impl Into<String>) {
        self.difference_count += 1;
        if self.differences.len() < REPORTED_DIFFERENCES {
            let difference = Difference {
                subject: subject.to_owned(),
                what: what.into(),
            };
            self.differences.push(difference);
        }
    }
}

/// One difference between a read model and the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The resource, or the read model.
    pub subject: String,
    /// What differs.
    pub what: String,
}

/// Folds the whole log again and replaces every read model with the outcome. Liveness and the
/// schedule of the reconcile queue are kept. The fleet summary starts again from the beginning of
/// the log and is complete when its projection has caught up.
///
/// # Errors
/// When the database cannot answer, or an event cannot be read. Batches before it are rebuilt.
pub async fn rebuild(pool: &PgPool) -> Result<Rebuilt, Error> {
    let mut rebuilt = Rebuilt::default();
    let mut after = String::new();
    loop {
        let mut transaction = pool.begin().await?;
        let ids = fold::ids_after(&mut transaction, &after, BATCH).await?;
        let Some(last) = ids.last().cloned() else {
            break;
        };
        let stored = lock_states(&mut transaction, &ids).await?;
        let folded = fold::fold(&mut transaction, &ids).await?;
        rebuilt.resources += folded.len() as u64;
        rebuilt.events += folded
            .iter()
            .map(|folded| folded.version.unsigned_abs())
            .sum::<u64>();
        rewrite(&mut transaction, &ids, folded, &stored).await?;
        transaction.commit().await?;
        after = last;
    }
    rebuilt.strangers = delete_strangers(pool).await?;
    recount(pool).await?;
    restart_fleet_summary(pool).await?;
    Ok(rebuilt)
}

/// The stored states that can be read, by id; locks their rows.
async fn lock_states(
    connection: &mut PgConnection,
    ids: &[String],
) -> Result<BTreeMap<String, Resource>, Error> {
    let rows =
        sqlx::query("SELECT id, state FROM resources WHERE id = ANY($1) ORDER BY id FOR UPDATE")
            .bind(ids)
            .fetch_all(connection)
            .await?;
    let mut states = BTreeMap::new();
    for row in rows {
        let state: Value = row.try_get("state")?;
        // One that cannot be read is replaced; its liveness is lost with it.
        if let Ok(resource) = Resource::deserialize(&state) {
            states.insert(row.try_get("id")?, resource);
        }
    }
    Ok(states)
}

async fn rewrite(
    connection: &mut PgConnection,
    ids: &[String],
    folded: Vec<Folded>,
    stored: &BTreeMap<String, Resource>,
) -> Result<(), Error> {
    let mut changes = Vec::with_capacity(folded.len());
    for Folded {
        mut resource,
        version,
    } in folded
    {
        if let Some(stored) = stored.get(&resource.id) {
            liveness::adopt(&mut resource, stored);
        }
        changes.push(Change {
            resource,
            version,
            existed: true,
            is_quiet: true,
            makes_due: false,
        });
    }
    // The rows are locked, so what they say of their version is damage, not progress.
    sqlx::query("UPDATE resources SET version = 0 WHERE id = ANY($1)")
        .bind(ids)
        .execute(&mut *connection)
        .await?;
    sqlx::query("DELETE FROM adapter_statuses WHERE resource_id = ANY($1)")
        .bind(ids)
        .execute(&mut *connection)
        .await?;
    inline::write(&mut *connection, &changes).await?;
    complete_queue(connection, &changes).await
}

/// Live resources without a row become due; others lose theirs; the schedule of the rest stays.
async fn complete_queue(connection: &mut PgConnection, changes: &[Change]) -> Result<(), Error> {
    let (live, gone): (Vec<_>, Vec<_>) =
        changes.iter().partition(|change| change.resource.exists());
    let ids: Vec<&str> = live
        .iter()
        .map(|change| change.resource.id.as_str())
        .collect();
    let kinds: Vec<&str> = live
        .iter()
        .map(|change| change.resource.kind.as_str())
        .collect();
    let labels: Vec<_> = live
        .iter()
        .map(|change| Json(&change.resource.labels))
        .collect();
    sqlx::query(
        "INSERT INTO reconcile_queue (resource_id, kind, labels, due_time)
         SELECT id, kind, labels, now() FROM UNNEST($1::text[], $2::text[], $3::jsonb[])
             AS live (id, kind, labels)
         ON CONFLICT (resource_id) DO UPDATE SET kind = excluded.kind, labels = excluded.labels",
    )
    .bind(ids)
    .bind(kinds)
    .bind(labels)
    .execute(&mut *connection)
    .await?;
    let gone: Vec<&str> = gone
        .iter()
        .map(|change| change.resource.id.as_str())
        .collect();
    sqlx::query("DELETE FROM reconcile_queue WHERE resource_id = ANY($1)")
        .bind(gone)
        .execute(connection)
        .await?;
    Ok(())
}

/// Deletes what belongs to resources that have no events.
async fn delete_strangers(pool: &PgPool) -> Result<u64, Error> {
    let mut transaction = pool.begin().await?;
    let deleted = sqlx::query(
        "DELETE FROM resources WHERE NOT EXISTS (
             SELECT FROM events WHERE aggregate_type = $1 AND aggregate_id = resources.id)",
    )
    .bind(crate::AGGREGATE_TYPE)
    .execute(&mut *transaction)
    .await?
    .rows_affected();
    for table in ["adapter_statuses", "resource_conditions", "reconcile_queue"] {
        let sql = format!(
            "DELETE FROM {table} WHERE NOT EXISTS (
                 SELECT FROM resources WHERE id = resource_id AND removed_time IS NULL)"
        );
        sqlx::query(&sql).execute(&mut *transaction).await?;
    }
    transaction.commit().await?;
    Ok(deleted)
}

/// Counts the live resources again. Writers wait meanwhile, so that none is missed.
async fn recount(pool: &PgPool) -> Result<(), Error> {
    let mut transaction = pool.begin().await?;
    for sql in [
        "LOCK TABLE resources IN SHARE MODE",
        "DELETE FROM resource_counts",
        "INSERT INTO resource_counts
         SELECT kind, 0, count(*) FROM resources WHERE removed_time IS NULL GROUP BY kind",
    ] {
        sqlx::query(sql).execute(&mut *transaction).await?;
    }
    transaction.commit().await?;
    Ok(())
}

async fn restart_fleet_summary(pool: &PgPool) -> Result<(), Error> {
    let mut transaction = pool.begin().await?;
    catch_up::reset(&mut transaction, fleet_summary::PROJECTION).await?;
    for table in ["fleet_summary", "fleet_summary_members"] {
        sqlx::query(&format!("DELETE FROM {table}"))
            .execute(&mut *transaction)
            .await?;
    }
    transaction.commit().await?;
    Ok(())
}

/// Folds the whole log, as of one moment, and compares every read model with the outcome. The hash
/// chains are the event store's to verify (`EventStore::verify_stream`).
///
/// # Errors
/// When the database cannot answer, or an event cannot be read.
pub async fn verify(pool: &PgPool) -> Result<Report, Error> {
    let mut connection = pool.acquire().await?;
    let mut transaction = connection.begin().await?;
    sqlx::query("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        .execute(&mut *transaction)
        .await?;
    let mut report = Report::default();
    let mut counts = Counts::default();
    let mut after = String::new();
    loop {
        let ids = fold::ids_after(&mut transaction, &after, BATCH).await?;
        let Some(last) = ids.last().cloned() else {
            break;
        };
        let folded = fold::fold(&mut transaction, &ids).await?;
        let mut stored = Stored::read(&mut transaction, &ids).await?;
        report.resources += folded.len() as u64;
        for folded in &folded {
            report.events += folded.version.unsigned_abs();
            counts.add(&folded.resource);
            stored.compare(folded, &mut report);
        }
        after = last;
    }
    compare::strangers(&mut transaction, &mut report).await?;
    counts.compare(&mut transaction, &mut report).await?;
    transaction.rollback().await?;
    Ok(report)
}
