//! One round: the next events of the log, their rows and the checkpoint, in one transaction.

use hyperfleet_runtime::planted::{CHECKPOINT_OUTSIDE_TRANSACTION, planted};
use sqlx::{Connection as _, PgConnection};

use super::failure::Failure;
use super::isolate::{self, Isolated};
use super::{Apply, ApplyError, BATCH, checkpoint, parked};
use crate::recorded;
use crate::store::EventStore;

/// How long the server keeps the transaction of a runner that does not go on, in milliseconds: a stopped
/// process holds the checkpoint no longer.
const IDLE_TIMEOUT: &str = "1500";

/// How long a statement waits for a lock, in milliseconds; then the round is tried again.
const LOCK_TIMEOUT: &str = "5000";

/// What one round did.
pub(super) enum Round {
    Applied(Progress),
    CaughtUp(u64),
    /// Another runner has the checkpoint, or the projection is paused.
    StandingBy,
}

/// Where a projection is after some events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Its checkpoint.
    pub position: u64,
    /// Events that were passed, parked ones included.
    pub events: u64,
}

pub(super) async fn round(
    store: &EventStore,
    name: &str,
    apply: &mut Apply<'_>,
    isolating: bool,
) -> Result<Round, Failure> {
    let mut connection = store.pool().acquire().await?;
    let mut transaction = connection.begin().await?;
    // Losing the last moments in a crash is safe: the checkpoint is lost with the rows.
    sqlx::query(
        "SELECT set_config('synchronous_commit', 'off', true),
             set_config('idle_in_transaction_session_timeout', $1, true),
             set_config('lock_timeout', $2, true)",
    )
    .bind(IDLE_TIMEOUT)
    .bind(LOCK_TIMEOUT)
    .execute(&mut *transaction)
    .await?;
    let held = checkpoint::take(&mut transaction, name).await?;
    let Some(held) = held.filter(|held| !held.is_paused) else {
        transaction.rollback().await?;
        return Ok(Round::StandingBy);
    };
    let plan = Plan {
        name,
        after: held.position,
        runner: store.runner_name(),
        limit: BATCH,
        isolating,
    };
    let Some(progress) = pass(&mut transaction, apply, &plan).await? else {
        transaction.rollback().await?;
        return Ok(Round::CaughtUp(held.position));
    };
    if planted(CHECKPOINT_OUTSIDE_TRANSACTION) {
        transaction.rollback().await?;
        checkpoint::advance(&mut connection, name, progress.position, plan.runner).await?;
        transaction = connection.begin().await?;
        pass(&mut transaction, apply, &plan).await?;
    }
    transaction.commit().await?;
    Ok(Round::Applied(progress))
}

/// Applies the next events after a projection's checkpoint, at most `limit`, in the caller's transaction;
/// `None` when there are none. Waits for a runner that has the checkpoint. Events that cannot be applied are
/// parked at once. Whoever builds a projection anew goes on with it as long as it is not live.
///
/// # Errors
/// When the database cannot answer, or the projection cannot work.
pub async fn advance(
    connection: &mut PgConnection,
    name: &str,
    apply: &mut Apply<'_>,
    limit: usize,
) -> Result<Option<Progress>, ApplyError> {
    sqlx::query("INSERT INTO checkpoints (name, position, updated_at) VALUES ($1, 0, now()) ON CONFLICT DO NOTHING")
        .bind(name)
        .execute(&mut *connection)
        .await?;
    let held = checkpoint::wait_for(connection, name).await?;
    let plan = Plan {
        name,
        after: held.map_or(0, |held| held.position),
        runner: "replay",
        limit,
        isolating: true,
    };
    pass(connection, apply, &plan)
        .await
        .map_err(Failure::into_error)
}

/// What to pass, and how.
struct Plan<'a> {
    name: &'a str,
    after: u64,
    runner: &'a str,
    limit: usize,
    isolating: bool,
}

async fn pass(
    connection: &mut PgConnection,
    apply: &mut Apply<'_>,
    plan: &Plan<'_>,
) -> Result<Option<Progress>, Failure> {
    let events = recorded::read_all(&mut *connection, plan.after, plan.limit).await?;
    let (Some(first), Some(last)) = (events.first(), events.last()) else {
        return Ok(None);
    };
    let (first, last) = (first.position, last.position);
    let progress = Progress {
        position: last,
        events: events.len() as u64,
    };
    let mut isolated = Isolated {
        blocked: parked::blocked_streams(&mut *connection, plan.name, &events).await?,
        ..Isolated::default()
    };
    let events = isolated.hold_back(events);
    if !events.is_empty() {
        let applied = isolate::apply_all(&mut *connection, apply, &events).await;
        match applied {
            Err(Failure::Event(_)) if plan.isolating => {
                isolate::apply_what_can_be(&mut *connection, apply, events, &mut isolated).await?;
            }
            Err(Failure::Event(error)) => {
                let error = hyperfleet_runtime::error_chain(error.as_ref());
                let error = format!("events {first} to {last}: {error}");
                return Err(Failure::Event(error.into()));
            }
            other => other?,
        }
    }
    parked::park(&mut *connection, plan.name, &isolated).await?;
    checkpoint::advance(&mut *connection, plan.name, last, plan.runner).await?;
    Ok(Some(progress))
}
