//! Running the catch-up projections.

use futures::FutureExt as _;
use futures::future::BoxFuture;
use hyperfleet_event_store::catch_up::{self, Apply, ApplyError};
use hyperfleet_event_store::{EventStore, RecordedEvent};
use sqlx::PgConnection;
use tokio_util::sync::CancellationToken;

use crate::fleet_summary;

/// Runs every catch-up projection of this crate until `shutdown`. Any number of processes may do
/// so; one at a time works.
pub async fn run_catch_up(store: &EventStore, shutdown: CancellationToken) {
    let apply = apply_fleet_summary;
    catch_up::run(store, fleet_summary::PROJECTION, apply, shutdown).await;
}

/// What applies events for the catch-up projection of that name; none when there is no such projection.
pub fn projection(name: &str) -> Option<Box<Apply<'static>>> {
    (name == fleet_summary::PROJECTION).then(|| Box::new(apply_fleet_summary) as _)
}

/// Applies events to the fleet summary.
pub(crate) fn apply_fleet_summary<'a>(
    connection: &'a mut PgConnection,
    events: &'a [RecordedEvent],
) -> BoxFuture<'a, Result<(), ApplyError>> {
    async move { Ok(fleet_summary::apply(connection, events).await?) }.boxed()
}
