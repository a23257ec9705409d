//! Reading the counts over the fleet.

use axum::extract::State;

use hyperfleet_runtime::http::Identity;

use super::QueryState;
use super::answer::{self, Answer};
use crate::fleet_summary;

pub(crate) async fn read(State(state): State<QueryState>, caller: Identity) -> Answer {
    let summary = fleet_summary::read(&state.pool, &caller.scope).await?;
    Ok(answer::document(&summary))
}
