//! Reading what adapters reported. Parameters are checked before the resource is looked up.

use axum::extract::{Query, State};

use hyperfleet_runtime::http::Identity;

use super::KindState;
use super::answer::{self, Answer};
use super::parameters::{self, Ids, Parameters};
use super::resources::require;
use crate::adapter_statuses;

pub(crate) async fn list(
    State(state): State<KindState>,
    Ids(id): Ids<String>,
    caller: Identity,
    Query(parameters): Query<Parameters>,
) -> Answer {
    list_of(&state, &caller, &id, None, &parameters).await
}

pub(crate) async fn list_nested(
    State(state): State<KindState>,
    Ids((parent_id, id)): Ids<(String, String)>,
    caller: Identity,
    Query(parameters): Query<Parameters>,
) -> Answer {
    list_of(&state, &caller, &id, Some(&parent_id), &parameters).await
}

async fn list_of(
    state: &KindState,
    caller: &Identity,
    id: &str,
    owner_id: Option<&str>,
    parameters: &Parameters,
) -> Answer {
    let page = parameters::page(parameters)?;
    require(state, &caller.scope, id, owner_id).await?;
    let statuses = adapter_statuses::list(&state.query.pool, id, page).await?;
    Ok(answer::list(page, statuses))
}
