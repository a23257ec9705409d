//! Reading recorded events: of one resource, live or removed, or of all that had a name.

use axum::extract::{Query, State};
use hyperfleet_api_types::FieldError;
use hyperfleet_api_types::problem::{Fault, codes, constraints};
use hyperfleet_runtime::http::Identity;

use super::answer::{self, Answer};
use super::parameters::{self, Ids, Parameters};
use super::{KindState, QueryState};
use crate::history::{self, Named};
use crate::resource_view;

pub(crate) async fn of_resource(
    State(state): State<KindState>,
    Ids(id): Ids<String>,
    caller: Identity,
    Query(parameters): Query<Parameters>,
) -> Answer {
    of(&state, &caller, &id, None, &parameters).await
}

pub(crate) async fn of_nested_resource(
    State(state): State<KindState>,
    Ids((parent_id, id)): Ids<(String, String)>,
    caller: Identity,
    Query(parameters): Query<Parameters>,
) -> Answer {
    of(&state, &caller, &id, Some(&parent_id), &parameters).await
}

async fn of(
    state: &KindState,
    caller: &Identity,
    id: &str,
    owner_id: Option<&str>,
    parameters: &Parameters,
) -> Answer {
    let page = parameters::page(parameters)?;
    let found = resource_view::identify(&state.query.pool, &caller.scope, id).await?;
    let matches = found.is_some_and(|found| {
        state.kind.serves(&found.kind)
            && owner_id.is_none_or(|owner| found.owner_id.as_deref() == Some(owner))
    });
    if !matches {
        return Err(answer::not_found(state.kind.name(), id).into());
    }
    let entries = history::of_resource(&state.query.store, id, page).await?;
    Ok(answer::list(page, entries))
}

pub(crate) async fn by_name(
    State(state): State<QueryState>,
    caller: Identity,
    Query(parameters): Query<Parameters>,
) -> Answer {
    let page = parameters::page(&parameters)?;
    let kind = required(&parameters, "kind")?;
    let name = required(&parameters, "name")?;
    parameters::require_kind(&state.registry, kind)?;
    let subject = Named {
        kind,
        name,
        scope: &caller.scope,
    };
    let entries = history::by_name(&state.pool, &state.store, subject, page).await?;
    Ok(answer::list(page, entries))
}

fn required<'a>(parameters: &'a Parameters, name: &str) -> Result<&'a str, Fault> {
    parameters::text(parameters, name)?.ok_or_else(|| {
        Fault::new(codes::VALIDATION, "Invalid query parameters").with_errors(vec![FieldError {
            field: name.to_owned(),
            message: format!("{name} is required"),
            value: None,
            constraint: Some(constraints::REQUIRED.to_owned()),
        }])
    })
}
