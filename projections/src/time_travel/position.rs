//! From a time to a position: which part of the log was there at a time.
//!
//! The state at a time is a prefix of the log, so a state that readers really saw: everything before
//! the first event that was recorded later. Times do not quite grow with positions, because a batch
//! takes its time before it waits for its place in the order; so the first event that was recorded
//! later is looked for among those that were recorded within [`COMMIT_WINDOW`] after the earliest
//! such time. An event whose batch overtook is then part of the next moment, never of an earlier one.
//!
//! Once an event that was recorded later is there, the prefix of a time never changes.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::{PgPool, Row as _};

use crate::error::Error;
use crate::resource_view::unsigned;

/// The longest that a batch may take from reading the clock to its commit. Each of the locks that it
/// waits for in between (receipts, claims, rows of the read models, the position lock) is given up
/// after 5 s, and so is the batch.
pub const COMMIT_WINDOW: Duration = Duration::from_secs(30);

/// Where a time is in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The position of the last event that was there at that time; 0 when none was.
    pub position: u64,
    /// The time now, by the clock that events are recorded with.
    pub now: DateTime<Utc>,
}

/// `position + 0` keeps the planner from walking the whole log in the order of positions.
const PLACE: &str = "
WITH later AS MATERIALIZED (
    SELECT recorded_at FROM events WHERE recorded_at > $1 ORDER BY recorded_at, position LIMIT 1
)
SELECT clock_timestamp() AS now, coalesce(
    (SELECT min(position + 0) - 1 FROM events
     WHERE recorded_at > $1 AND recorded_at <= (SELECT recorded_at FROM later) + $2 * interval '1 second'),
    (SELECT max(position) FROM live_events),
    0
) AS position";

/// The part of the log that was there at a time.
///
/// # Errors
/// When the database cannot answer.
pub async fn at(pool: &PgPool, time: DateTime<Utc>) -> Result<Place, Error> {
    let row = sqlx::query(PLACE)
        .bind(time)
        .bind(COMMIT_WINDOW.as_secs_f64())
        .fetch_one(pool)
        .await?;
    Ok(Place {
        position: unsigned("position", row.try_get("position")?)?,
        now: row.try_get("now")?,
    })
}

/// Positions that all events recorded from `from` on and before `to` are within: after the first and
/// up to the second, as far as there are bounds. Others may be within them too.
///
/// # Errors
/// When the database cannot answer.
pub(crate) async fn bounds(
    pool: &PgPool,
    from: Option<DateTime<Utc>>,
    to: Option<DateTime<Utc>>,
) -> Result<(Option<u64>, Option<u64>), Error> {
    let after = match from {
        // Microseconds are the finest that is recorded.
        Some(from) => {
            let before = from.checked_sub_signed(chrono::TimeDelta::microseconds(1));
            Some(at(pool, before.unwrap_or(from)).await?.position)
        }
        None => None,
    };
    // What was recorded before a time is in the log at the latest when the window has passed.
    let window = chrono::TimeDelta::from_std(COMMIT_WINDOW).unwrap_or_default();
    let up_to = match to.and_then(|to| to.checked_add_signed(window)) {
        Some(to) => Some(at(pool, to).await?.position),
        None => None,
    };
    Ok((after, up_to))
}
