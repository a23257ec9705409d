//! Running the catch-up projections.

use futures::FutureExt as _;
use hyperfleet_event_store::{EventStore, catch_up};
use tokio_util::sync::CancellationToken;

use crate::fleet_summary;

/// Runs every catch-up projection of this crate until `shutdown`. Any number of processes may do
/// so; one at a time works.
pub async fn run_catch_up(store: &EventStore, shutdown: CancellationToken) {
    catch_up::run(
        store,
        fleet_summary::PROJECTION,
        |connection, events| {
            async move { Ok(fleet_summary::apply(connection, events).await?) }.boxed()
        },
        shutdown,
    )
    .await;
}
