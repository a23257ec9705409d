//! Reading what adapters reported. Parameters are checked before the resource is looked up.

use axum::extract::{Query, State};

use super::KindState;
use super::answer::{self, Answer};
use super::parameters::{self, Ids, Parameters};
use super::resources::require;
use crate::adapter_statuses;

pub(crate) async fn list(
    State(state): State<KindState>,
    Ids(id): Ids<String>,
    Query(parameters): Query<Parameters>,
) -> Answer {
    list_of(&state, &id, None, &parameters).await
}

pub(crate) async fn list_nested(
    State(state): State<KindState>,
    Ids((parent_id, id)): Ids<(String, String)>,
    Query(parameters): Query<Parameters>,
) -> Answer {
    list_of(&state, &id, Some(&parent_id), &parameters).await
}

async fn list_of(
    state: &KindState,
    id: &str,
    owner_id: Option<&str>,
    parameters: &Parameters,
) -> Answer {
    let page = parameters::page(parameters)?;
    require(state, id, owner_id).await?;
    let statuses = adapter_statuses::list(&state.query.pool, id, page).await?;
    Ok(answer::list(page, statuses))
}
