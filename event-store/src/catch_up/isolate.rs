//! Finding the events that cannot be applied: halves of halves, each within a savepoint, so that few tries
//! find one among many and everything else of the batch is applied.

use std::collections::BTreeSet;
use std::panic::AssertUnwindSafe;

use futures::FutureExt as _;
use sqlx::{Connection as _, PgConnection};

use super::failure::Failure;
use super::{Apply, ApplyError};
use crate::append::StreamId;
use crate::recorded::RecordedEvent;

/// What was not applied of a batch.
#[derive(Debug, Default)]
pub(super) struct Isolated {
    /// Streams whose next events have to wait.
    pub(super) blocked: BTreeSet<StreamId>,
    /// Those that cannot be applied, and why.
    pub(super) failed: Vec<(RecordedEvent, ApplyError)>,
    /// Those behind one that cannot be applied.
    pub(super) waiting: Vec<RecordedEvent>,
}

impl Isolated {
    /// Takes out what has to wait; returns the rest.
    pub(super) fn hold_back(&mut self, events: Vec<RecordedEvent>) -> Vec<RecordedEvent> {
        if self.blocked.is_empty() {
            return events;
        }
        let (waiting, free) = events
            .into_iter()
            .partition(|event| self.blocked.contains(&event.stream));
        self.waiting.extend::<Vec<_>>(waiting);
        free
    }
}

/// Applies events, all or nothing, within a savepoint. A panic of the projection is an error of the events.
pub(super) async fn apply_all(
    connection: &mut PgConnection,
    apply: &mut Apply<'_>,
    events: &[RecordedEvent],
) -> Result<(), Failure> {
    let mut savepoint = connection.begin().await?;
    let applied = AssertUnwindSafe(apply(&mut savepoint, events))
        .catch_unwind()
        .await
        .unwrap_or_else(|_| Err("the projection panicked".into()));
    match applied {
        Ok(()) => {
            savepoint.commit().await?;
            Ok(())
        }
        Err(error) => {
            let failure = Failure::of(error);
            savepoint.rollback().await?;
            Err(failure)
        }
    }
}

/// Applies what can be applied, in order.
pub(super) async fn apply_what_can_be(
    connection: &mut PgConnection,
    apply: &mut Apply<'_>,
    events: Vec<RecordedEvent>,
    isolated: &mut Isolated,
) -> Result<(), Failure> {
    let mut events = isolated.hold_back(events);
    if events.is_empty() {
        return Ok(());
    }
    match apply_all(connection, apply, &events).await {
        Ok(()) => Ok(()),
        Err(Failure::Event(error)) => {
            if events.len() == 1 {
                let event = events.remove(0);
                isolated.blocked.insert(event.stream.clone());
                isolated.failed.push((event, error));
                return Ok(());
            }
            let second = events.split_off(events.len() / 2);
            Box::pin(apply_what_can_be(connection, apply, events, isolated)).await?;
            Box::pin(apply_what_can_be(connection, apply, second, isolated)).await
        }
        Err(other) => Err(other),
    }
}
