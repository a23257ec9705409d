//! Reading resources and their lists.

use axum::extract::{Query, State};
use axum::http::{HeaderMap, Uri};

use hyperfleet_runtime::http::{Identity, TenantScope};

use super::KindState;
use super::answer::{self, Answer, Failure};
use super::fields::Fields;
use super::parameters::{self, Ids, Parameters};
use super::past;
use super::walk::Walk;
use super::watch::Watching;
use crate::resource_view::{self, Filter, Versioned};
use crate::time_travel;

pub(crate) async fn list(
    State(state): State<KindState>,
    caller: Identity,
    uri: Uri,
    Query(parameters): Query<Parameters>,
    watching: Watching,
) -> Answer {
    if let Some(start) = watching.asked(&parameters)? {
        let filter = list_filter(&state, caller.scope, None, &parameters)?;
        return watching.list(&state, filter, start, &parameters).await;
    }
    list_filtered(&state, caller.scope, None, &uri, &parameters).await
}

pub(crate) async fn list_nested(
    State(state): State<KindState>,
    Ids(parent_id): Ids<String>,
    caller: Identity,
    uri: Uri,
    Query(parameters): Query<Parameters>,
    watching: Watching,
) -> Answer {
    if let Some(start) = watching.asked(&parameters)? {
        watching
            .require_parent(&state, &caller.scope, &parent_id, start)
            .await?;
        let filter = list_filter(&state, caller.scope, Some(parent_id), &parameters)?;
        return watching.list(&state, filter, start, &parameters).await;
    }
    if past::time(&parameters)?.is_some() {
        past::require_parent(&state, &caller.scope, &parent_id).await?;
    } else {
        require_parent(&state, &caller.scope, &parent_id).await?;
    }
    list_filtered(&state, caller.scope, Some(parent_id), &uri, &parameters).await
}

async fn list_filtered(
    state: &KindState,
    scope: TenantScope,
    owner_id: Option<String>,
    uri: &Uri,
    parameters: &Parameters,
) -> Answer {
    if let Some(time) = past::time(parameters)? {
        let filter = time_travel::Filter {
            kind: listed_kind(state, parameters)?,
            owner_id,
            name: parameters::text(parameters, "name")?.map(str::to_owned),
            scope,
        };
        return past::list(&state.query, &filter, time, uri, parameters).await;
    }
    let walk = Walk::read(uri, parameters)?;
    let filter = list_filter(state, scope, owner_id, parameters)?;
    walk.answer(&state.query, &filter).await
}

/// What a list holds.
fn list_filter(
    state: &KindState,
    scope: TenantScope,
    owner_id: Option<String>,
    parameters: &Parameters,
) -> Result<Filter, Failure> {
    let kind = listed_kind(state, parameters)?;
    let descriptor = state
        .kind
        .one()
        .and_then(|kind| state.query.registry.by_kind(kind));
    let reference = descriptor.map(|descriptor| parameters::reference(parameters, descriptor));
    Ok(Filter {
        kind,
        owner_id,
        name: parameters::text(parameters, "name")?.map(str::to_owned),
        reference: reference.transpose()?.flatten(),
        search: parameters::search(parameters)?,
        scope,
    })
}

/// The kind that a list holds: that of the route; where every kind is served, the one asked for.
fn listed_kind(state: &KindState, parameters: &Parameters) -> Result<Option<String>, Failure> {
    if let Some(kind) = state.kind.one() {
        return Ok(Some(kind.to_owned()));
    }
    let kind = parameters::text(parameters, "kind")?;
    if let Some(kind) = kind {
        parameters::require_kind(&state.query.registry, kind)?;
    }
    Ok(kind.map(str::to_owned))
}

pub(crate) async fn read(
    State(state): State<KindState>,
    Ids(id): Ids<String>,
    caller: Identity,
    Query(parameters): Query<Parameters>,
    headers: HeaderMap,
    watching: Watching,
) -> Answer {
    if let Some(start) = watching.asked(&parameters)? {
        return watching
            .one(&state, caller.scope, (id, None), start, &parameters)
            .await;
    }
    if past::is_asked(&parameters) {
        return past::read(&state, &caller.scope, None, &id, &parameters).await;
    }
    let found = require(&state, &caller.scope, &id, None).await?;
    answer::resource(&found, &Fields::of(&parameters)?, &headers)
}

pub(crate) async fn read_nested(
    State(state): State<KindState>,
    Ids((parent_id, id)): Ids<(String, String)>,
    caller: Identity,
    Query(parameters): Query<Parameters>,
    headers: HeaderMap,
    watching: Watching,
) -> Answer {
    if let Some(start) = watching.asked(&parameters)? {
        watching
            .require_parent(&state, &caller.scope, &parent_id, start)
            .await?;
        let place = (id, Some(parent_id));
        return watching
            .one(&state, caller.scope, place, start, &parameters)
            .await;
    }
    if past::is_asked(&parameters) {
        past::require_parent(&state, &caller.scope, &parent_id).await?;
        return past::read(&state, &caller.scope, Some(&parent_id), &id, &parameters).await;
    }
    require_parent(&state, &caller.scope, &parent_id).await?;
    let found = require(&state, &caller.scope, &id, Some(&parent_id)).await?;
    answer::resource(&found, &Fields::of(&parameters)?, &headers)
}

/// The live resource of the route's kind that the scope sees, owned by `owner_id` when one is given.
pub(crate) async fn require(
    state: &KindState,
    scope: &TenantScope,
    id: &str,
    owner_id: Option<&str>,
) -> Result<Versioned, Failure> {
    let found = resource_view::get_versioned(&state.query.pool, scope, id).await?;
    let found = found.filter(|Versioned { resource, .. }| {
        let owner = resource.owner.as_ref().map(|owner| owner.id.as_str());
        state.kind.serves(&resource.kind) && owner_id.is_none_or(|expected| owner == Some(expected))
    });
    found.ok_or_else(|| answer::not_found(state.kind.name(), id).into())
}

pub(super) async fn require_parent(
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
