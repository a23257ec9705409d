//! `PATCH` on a resource: replaces its spec, labels or references, each as a whole.

use axum::extract::State;
use axum::http::StatusCode;
use hyperfleet_domain::resource::{Command, PatchResource};

use super::KindState;
use super::answer::{Answer, Answered};
use super::carry_out::{Task, carry_out};
use super::create::references;
use super::request::{Body, Caller, Ids, ResourcePath, now};
use crate::decode::{self, PatchBody};
use crate::handler::conditions::Outcome;

pub(crate) async fn patch(
    State(state): State<KindState>,
    Ids(path): Ids<ResourcePath>,
    caller: Caller,
    Body(bytes): Body,
) -> Answer {
    // Only an id that can exist makes the spec be checked before the resource is looked up.
    let declares_schema = state.declares_schema && uuid::Uuid::parse_str(&path.id).is_ok();
    let body = decode::patch(&bytes, declares_schema, |spec| {
        if declares_schema {
            state.command.schemas.check(state.kind.name(), spec)
        } else {
            Ok(())
        }
    })?;
    change(&state, &path, &caller, body, &bytes).await
}

/// `PATCH` on a resource of any kind: only the resource tells whether its kind has a spec schema, so
/// the spec is checked after it was found.
pub(crate) async fn patch_of_any_kind(
    State(state): State<KindState>,
    Ids(path): Ids<ResourcePath>,
    caller: Caller,
    Body(bytes): Body,
) -> Answer {
    let mut body = decode::patch(&bytes, false, |_| Ok(()))?;
    let found = state
        .command
        .handler
        .find(&state.target(&path, true, &caller.identity))
        .await?;
    let descriptor = state.command.handler.registry().by_kind(&found.kind);
    if descriptor.is_some_and(|descriptor| descriptor.spec_schema_name.is_some()) {
        body = decode::patch(&bytes, true, |spec| {
            state.command.schemas.check(&found.kind, spec)
        })?;
    }
    change(&state, &path, &caller, body, &bytes).await
}

async fn change(
    state: &KindState,
    path: &ResourcePath,
    caller: &Caller,
    body: PatchBody,
    bytes: &[u8],
) -> Answer {
    let command = Command::Patch(PatchResource {
        spec: body.spec,
        labels: body.labels,
        references: body.references.map(references),
        now: now(state),
        actor: caller.identity.actor.clone(),
    });
    let target = state.target(path, true, &caller.identity);
    let task = Task {
        target: &target,
        command: &command,
        caller,
        body: bytes,
    };
    let answer = |outcome: &Outcome| Answered::resource(StatusCode::OK, outcome);
    Ok(carry_out(state, task, answer).await?.0)
}
