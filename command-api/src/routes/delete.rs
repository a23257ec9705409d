//! `DELETE` on a resource requests its deletion; `force-delete` removes it without waiting for its
//! adapters.

use axum::extract::State;
use axum::http::StatusCode;
use hyperfleet_api_types::problem::{Fault, codes};
use hyperfleet_domain::registry::ServedKind;
use hyperfleet_domain::resource::{Command, DeleteResource, ForceDeleteResource, Refusal};

use super::KindState;
use super::answer::{Answer, Answered, Failure};
use super::carry_out::{Task, carry_out};
use super::request::{Body, Caller, Ids, ResourcePath, now};
use crate::decode;
use crate::handler::CommandError;
use crate::handler::conditions::Outcome;

pub(crate) async fn delete(
    State(state): State<KindState>,
    Ids(path): Ids<ResourcePath>,
    caller: Caller,
) -> Answer {
    let command = Command::Delete(DeleteResource {
        now: now(&state),
        actor: caller.identity.actor.clone(),
    });
    let target = state.target(&path, true, &caller.identity);
    let task = Task {
        target: &target,
        command: &command,
        caller: &caller,
        body: &[],
    };
    let answer = |outcome: &Outcome| Answered::resource(StatusCode::ACCEPTED, outcome);
    let carried_out = carry_out(&state, task, answer).await;
    let (response, _) = carried_out.map_err(|error| missing(&state, error))?;
    Ok(response)
}

/// A deletion on a kind's flat route that finds nothing names no id (API contract v1).
fn missing(state: &KindState, error: CommandError) -> Failure {
    let is_flat = state.parent_kind.is_none() && state.kind != ServedKind::Any;
    match error {
        CommandError::Refused(Refusal::NotFound { kind, .. }) if is_flat => {
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
    let task = Task {
        target: &target,
        command: &command,
        caller: &caller,
        body: &bytes,
    };
    let (response, outcome) = carry_out(&state, task, |_| Answered::no_content()).await?;
    if let Some(outcome) = outcome {
        let resource = outcome.resource;
        let children: Vec<&str> = resource.children.keys().map(String::as_str).collect();
        tracing::info!(
            resource_kind = resource.kind,
            resource_id = resource.id,
            caller = caller.identity.actor,
            reason,
            child_resource_ids = children.join(","),
            "Force-deleting resource"
        );
    }
    Ok(response)
}
