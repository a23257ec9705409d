//! Reading the counts over the fleet.

use axum::extract::State;

use super::QueryState;
use super::answer::{self, Answer};
use crate::fleet_summary;

pub(crate) async fn read(State(state): State<QueryState>) -> Answer {
    let summary = fleet_summary::read(&state.pool).await?;
    Ok(answer::document(&summary))
}
