//! The reconcile queue: which resource is due, shared by any number of sentinels.
//!
//! Invariants:
//! - A row is held by at most one claim at a time. Claims are taken with `FOR UPDATE SKIP LOCKED`,
//!   so claimers never wait for each other, and return by themselves when their time passes.
//! - A change of the resource that matters makes its row due at once and ends the claim on it.
//!   Completing an ended claim records the publication but leaves the row due: no change is lost
//!   between claiming and completing.
//! - Due rows are claimed by [`Priority`], and the longest waiting first within one; in a backlog tenants
//!   take turns.
//! - A row that no sentinel selects is set aside, so that claims need not step over it, until one does.
//! - No statement reads rows that are neither due nor named by their ids.
//! - All times are the database's. Replicas with different clocks agree, and a delay is a duration
//!   from now.

mod claim;
mod look;
#[cfg(test)]
mod plans;
mod rate;
mod sentinels;
mod settle;

use sqlx::{PgPool, Row};

pub use self::claim::{Claim, ClaimRequest, Claimer, DueResource, Shard, claim};
pub use self::look::{Entry, Selecting, entries, entry, selecting};
pub use self::rate::{Rate, take};
pub use self::sentinels::{
    Registration, Unselected, register, set_unselected_aside, unregister, unselected,
};
pub use self::settle::{Completion, complete, release};
use crate::error::Error;

/// Which of the due rows goes first, the most urgent one first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Priority {
    /// A resource is new, has a new generation or is to be deleted.
    Generation,
    /// Something else about it changed, such as a condition.
    Change,
    /// It has not got where it should be.
    Retry,
    /// All is well; this is to make sure.
    Refresh,
}

impl Priority {
    /// Every one, the most urgent first.
    pub const ALL: [Self; 4] = [Self::Generation, Self::Change, Self::Retry, Self::Refresh];

    /// For people and files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Generation => "generation",
            Self::Change => "change",
            Self::Retry => "retry",
            Self::Refresh => "refresh",
        }
    }

    /// As the queue stores it.
    pub(crate) const fn stored(self) -> i16 {
        match self {
            Self::Generation => 0,
            Self::Change => 1,
            Self::Retry => 2,
            Self::Refresh => 3,
        }
    }

    /// What the queue stores; `None` for what is set aside.
    fn of_stored(stored: i16) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.stored() == stored)
    }
}

/// How much work of a kind waits.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Depth {
    /// Rows that are due and not claimed; of each priority, [`COUNTED_ROWS`] are counted at most.
    pub due: i64,
    /// How long the oldest of the due rows has been waiting, in seconds.
    pub oldest_due_seconds: f64,
}

/// Of each priority, how many due rows [`depth`] counts, so that a backlog does not make measuring it
/// expensive.
pub const COUNTED_ROWS: u32 = 10_000;

const DEPTH: &str = "
SELECT COALESCE(sum(waiting.due), 0)::bigint AS due,
       COALESCE(EXTRACT(EPOCH FROM now() - min(waiting.oldest)), 0)::float8 AS oldest_due_seconds
FROM unnest('{0,1,2,3}'::smallint[]) AS class (priority)
CROSS JOIN LATERAL (
    SELECT count(*) AS due, min(due_time) AS oldest
    FROM (
        SELECT queue.due_time FROM reconcile_queue queue
        WHERE queue.kind = $1 AND queue.priority = class.priority AND queue.due_time <= now()
          AND (queue.claimed_until IS NULL OR queue.claimed_until <= now())
        ORDER BY queue.due_time
        LIMIT $2
    ) AS first
) AS waiting";

/// How much work of a kind waits. Reads due rows only, and no more than [`COUNTED_ROWS`] of each priority
/// that no sentinel holds.
///
/// # Errors
/// When the database cannot answer.
pub async fn depth(pool: &PgPool, kind: &str) -> Result<Depth, Error> {
    let row = sqlx::query(DEPTH)
        .bind(kind)
        .bind(i64::from(COUNTED_ROWS))
        .fetch_one(pool)
        .await?;
    Ok(Depth {
        due: row.try_get("due")?,
        oldest_due_seconds: row.try_get("oldest_due_seconds")?,
    })
}
