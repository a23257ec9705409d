//! Catch-up projections: read models that follow the log behind a checkpoint.
//!
//! Invariants:
//! - Rows and checkpoint move in one transaction, so every event is applied exactly once, also across
//!   crashes.
//! - One runner per name works at a time, whoever holds the checkpoint's row; others stand by. A runner
//!   that is stopped loses the row within the server's idle-in-transaction timeout, one that is killed at
//!   once, so another takes over within [`TAKE_OVER`].
//! - An event that cannot be applied is parked, and the later ones of its stream wait in order behind it;
//!   every other stream goes on. Nothing is parked because the database was away, or because the projection
//!   itself cannot work.

mod checkpoint;
mod failure;
mod isolate;
mod parked;
mod round;
mod status;

use std::time::Duration;

use futures::future::BoxFuture;
use sqlx::PgConnection;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use self::failure::Failure;
use self::round::Round;
use crate::recorded::RecordedEvent;
use crate::store::EventStore;
use crate::subscription;

pub use self::checkpoint::{checkpoint, pause, reset, resume};
pub use self::parked::{ParkedError, ParkedEvent, Retried, parked, retry, skip};
pub use self::round::{Progress, advance};
pub use self::status::{ProjectionGauges, ProjectionStatus, statuses};

/// Events applied in one transaction.
pub const BATCH: usize = 500;

/// How often a batch is tried before the events in it that cannot be applied are looked for and parked.
pub const ATTEMPTS: u32 = 3;

/// The longest that a projection stands still when its runner was killed or stopped: what the server lets a
/// stopped one hold the checkpoint, and what another takes to look.
pub const TAKE_OVER: Duration = Duration::from_secs(3);

/// First and longest pause after a failure; it doubles in between.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// Between two looks of a runner that stands by, or whose projection is paused.
const STAND_BY: Duration = Duration::from_millis(250);

/// Why a projection could not apply a batch.
pub type ApplyError = Box<dyn std::error::Error + Send + Sync>;

/// What applies events: on the connection it is given and nothing else, so that its rows and the checkpoint
/// commit together.
pub type Apply<'f> = dyn for<'a> FnMut(
        &'a mut PgConnection,
        &'a [RecordedEvent],
    ) -> BoxFuture<'a, Result<(), ApplyError>>
    + Send
    + 'f;

/// Runs a projection until shutdown. A batch that fails is tried again with growing pauses. When the events
/// are at fault, those that cannot be applied are parked after [`ATTEMPTS`] tries; everything else is tried
/// until it succeeds.
pub async fn run<F>(store: &EventStore, name: &str, mut apply: F, shutdown: CancellationToken)
where
    F: for<'a> FnMut(
            &'a mut PgConnection,
            &'a [RecordedEvent],
        ) -> BoxFuture<'a, Result<(), ApplyError>>
        + Send,
{
    let mut wake_ups = store.commits();
    let mut pause = FIRST_PAUSE;
    let mut attempts = 0;
    let metrics = store.metrics().clone();
    while !shutdown.is_cancelled() {
        let wait = match round::round(store, name, &mut apply, attempts >= ATTEMPTS).await {
            Ok(Round::Applied(progress)) => {
                let position = metrics.projection_position.with_label_values(&[name]);
                position.set(progress.position.cast_signed());
                (pause, attempts) = (FIRST_PAUSE, 0);
                continue;
            }
            Ok(Round::CaughtUp(position)) => {
                (pause, attempts) = (FIRST_PAUSE, 0);
                let grown = grown(store, name, position, &mut wake_ups);
                shutdown.run_until_cancelled(grown).await;
                continue;
            }
            Ok(Round::StandingBy) => STAND_BY,
            Err(failure) => {
                let class = failure.class();
                metrics
                    .projection_failures
                    .with_label_values(&[name, class])
                    .inc();
                attempts += u32::from(matches!(failure, Failure::Event(_)));
                let error = hyperfleet_runtime::error_chain(failure.into_error().as_ref());
                tracing::error!(
                    projection = name,
                    class,
                    attempts,
                    error,
                    "a projection could not apply its next events"
                );
                let wait = pause;
                pause = (pause * 2).min(LONGEST_PAUSE);
                wait
            }
        };
        shutdown.run_until_cancelled(tokio::time::sleep(wait)).await;
    }
}

/// Returns when the log has grown beyond a position, the checkpoint was moved by another (a rebuild), or
/// neither can be read, which the next round reports.
/// Only reads: locking the checkpoint at every look would write twenty times a second for nothing.
async fn grown(store: &EventStore, name: &str, position: u64, wake_ups: &mut watch::Receiver<u64>) {
    loop {
        wake_ups.mark_unchanged();
        let grown: Result<bool, _> = sqlx::query_scalar(
            "SELECT EXISTS (SELECT FROM live_events WHERE position > $1)
                 OR EXISTS (SELECT FROM checkpoints WHERE name = $2 AND position <> $1)",
        )
        .bind(position.cast_signed())
        .bind(name)
        .fetch_one(store.pool())
        .await;
        if grown.unwrap_or(true) {
            return;
        }
        subscription::wait(wake_ups).await;
    }
}
