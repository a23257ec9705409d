//! Rebuilding the read models from the log, and proving that they equal it.
//!
//! Both fold the log of every resource again. Liveness (times that moved because adapters said
//! "still so") is not in the log: rebuilding keeps what the read model has of it, and verifying
//! leaves it out of the comparison.

mod compare;
mod fold;
pub mod past;
mod rebuild;
mod shadow;

use sqlx::{Connection as _, PgPool};

use self::compare::{Counts, Stored};
use crate::error::Error;

pub use self::rebuild::{
    ReadModel, RebuildError, RebuildOptions, RebuildStep, Rebuilt, abandon, drop_previous, rebuild,
    roll_back,
};

/// Resources folded at a time: bounds memory.
const BATCH: i64 = 200;

/// Held by who verifies, shared, and by who exchanges tables: a verification sees one moment, and would
/// take tables that came later for empty ones. Among PostgreSQL's advisory locks of this database ("HFVERIFY").
const VERIFY_LOCK: i64 = 0x4846_5645_5249_4659;

/// Differences that are reported one by one; more are only counted.
const REPORTED_DIFFERENCES: usize = 100;

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
    sqlx::query("SELECT pg_advisory_xact_lock_shared($1)")
        .bind(VERIFY_LOCK)
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
    compare::lifetimes(&mut transaction, &mut report).await?;
    counts.compare(&mut transaction, &mut report).await?;
    transaction.rollback().await?;
    Ok(report)
}
