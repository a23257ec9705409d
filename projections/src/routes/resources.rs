//! Reading resources and their lists.

use axum::extract::{Query, State};
use hyperfleet_domain::resource::Resource;

use hyperfleet_runtime::http::{Identity, TenantScope};

use super::KindState;
use super::answer::{self, Answer, Failure};
use super::parameters::{self, Ids, Parameters};
use crate::resource_view::{self, Filter};

pub(crate) async fn list(
    State(state): State<KindState>,
    caller: Identity,
    Query(parameters): Query<Parameters>,
) -> Answer {
    list_filtered(&state, caller.scope, None, &parameters).await
}

pub(crate) async fn list_nested(
    State(state): State<KindState>,
    Ids(parent_id): Ids<String>,
    caller: Identity,
    Query(parameters): Query<Parameters>,
) -> Answer {
    require_parent(&state, &caller.scope, &parent_id).await?;
    list_filtered(&state, caller.scope, Some(parent_id), &parameters).await
}

async fn list_filtered(
    state: &KindState,
    scope: TenantScope,
    owner_id: Option<String>,
    parameters: &Parameters,
) -> Answer {
    let page = parameters::page(parameters)?;
    let order = parameters::order(parameters)?;
    parameters::refuse_unsupported_filters(parameters)?;
    let filter = Filter {
        kind: Some(state.kind.clone()),
        owner_id,
        name: parameters::text(parameters, "name")?.map(str::to_owned),
        scope,
    };
    let found = resource_view::list(&state.query.pool, &filter, &order, page).await?;
    Ok(answer::resource_list(page, &found))
}

pub(crate) async fn read(
    State(state): State<KindState>,
    Ids(id): Ids<String>,
    caller: Identity,
) -> Answer {
    let resource = require(&state, &caller.scope, &id, None).await?;
    Ok(answer::document(&resource.document()))
}

pub(crate) async fn read_nested(
    State(state): State<KindState>,
    Ids((parent_id, id)): Ids<(String, String)>,
    caller: Identity,
) -> Answer {
    require_parent(&state, &caller.scope, &parent_id).await?;
    let resource = require(&state, &caller.scope, &id, Some(&parent_id)).await?;
    Ok(answer::document(&resource.document()))
}

/// The live resource of the route's kind that the scope sees, owned by `owner_id` when one is given.
pub(crate) async fn require(
    state: &KindState,
    scope: &TenantScope,
    id: &str,
    owner_id: Option<&str>,
) -> Result<Resource, Failure> {
    let found = resource_view::get(&state.query.pool, scope, id).await?;
    let found = found.filter(|resource| {
        let owner = resource.owner.as_ref().map(|owner| owner.id.as_str());
        resource.kind == state.kind && owner_id.is_none_or(|expected| owner == Some(expected))
    });
    found.ok_or_else(|| answer::not_found(&state.kind, id).into())
}

async fn require_parent(
    state: &KindState,
    scope: &TenantScope,
    parent_id: &str,
) -> Result<(), Failure> {
    let Some(kind) = &state.parent_kind else {
        return Ok(());
    };
    let parent = resource_view::get(&state.query.pool, scope, parent_id).await?;
    match parent {
        Some(parent) if parent.kind == *kind => Ok(()),
        _ => Err(answer::not_found(kind, parent_id).into()),
    }
}
