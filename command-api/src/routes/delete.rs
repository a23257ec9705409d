//! `DELETE` on a resource requests its deletion; `force-delete` removes it without waiting for its
//! adapters.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::http::StatusCode;
use hyperfleet_api_types::problem::{Fault, codes};
use hyperfleet_domain::resource::{Command, DeleteResource, ForceDeleteResource, Refusal};

use super::KindState;
use super::answer::{self, Answer, Failure};
use super::request::{Body, Caller, Ids, ResourcePath, now};
use crate::decode;
use crate::handler::CommandError;

pub(crate) async fn delete(
    State(state): State<KindState>,
    Ids(path): Ids<ResourcePath>,
    caller: Caller,
) -> Answer {
    let command = Command::Delete(DeleteResource {
        inbound: BTreeMap::new(),
        now: now(&state),
        actor: caller.identity.actor.clone(),
    });
    let target = state.target(&path, true, &caller.identity);
    let metadata = caller.metadata(&command);
    let outcome = state
        .command
        .handler
        .handle(&target, &command, &metadata)
        .await;
    let resource = outcome.map_err(|error| missing(&state, error))?;
    Ok(answer::document(StatusCode::ACCEPTED, &resource.document()))
}

/// A deletion on a flat route that finds nothing names no id (API contract v1).
fn missing(state: &KindState, error: CommandError) -> Failure {
    match error {
        CommandError::Refused(Refusal::NotFound { kind, .. }) if state.parent_kind.is_none() => {
            Fault::new(codes::RESOURCE_NOT_FOUND, format!("{kind} not found")).into()
        }
        error => error.into(),
    }
}

pub(crate) async fn force_delete(
    State(state): State<KindState>,
    Ids(path): Ids<ResourcePath>,
    caller: Caller,
    Body(bytes): Body,
) -> Answer {
    let reason = decode::force_delete(&bytes)?;
    let command = Command::ForceDelete(ForceDeleteResource {
        reason: reason.clone(),
        now: now(&state),
        actor: caller.identity.actor.clone(),
    });
    let target = state.target(&path, true, &caller.identity);
    let metadata = caller.metadata(&command);
    let resource = state
        .command
        .handler
        .handle(&target, &command, &metadata)
        .await?;
    let children: Vec<&str> = resource.children.keys().map(String::as_str).collect();
    tracing::info!(
        resource_kind = resource.kind,
        resource_id = resource.id,
        caller = caller.identity.actor,
        reason,
        child_resource_ids = children.join(","),
        "Force-deleting resource"
    );
    Ok(answer::no_content())
}
