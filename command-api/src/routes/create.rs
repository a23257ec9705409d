//! `POST` on a collection: creates a resource.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::http::StatusCode;
use hyperfleet_domain::registry::ServedKind;
use hyperfleet_domain::resource::{Command, CreateResource, ReferenceInput, References, Refusal};

use super::KindState;
use super::answer::{Answer, Answered};
use super::carry_out::{Task, carry_out};
use super::request::{Body, Caller, CollectionPath, Ids, ResourcePath, now};
use crate::decode::{self, CreateBody, Reference};
use crate::handler::conditions::Outcome;
use crate::handler::{Reach, Target};

pub(crate) async fn create(
    State(state): State<KindState>,
    Ids(path): Ids<CollectionPath>,
    caller: Caller,
    Body(bytes): Body,
) -> Answer {
    let body = decode::create(&bytes, state.declares_schema, |spec| {
        state.command.schemas.check(state.kind.name(), spec)
    })?;
    if body.kind.is_empty() {
        return Err(Refusal::KindRequired.into());
    }
    if !state.kind.serves(&body.kind) {
        return Err(Refusal::KindMismatch {
            expected: state.kind.name().to_owned(),
        }
        .into());
    }
    let command = command(&state, &caller, body, path.parent_id.clone());
    let target = state.target(
        &ResourcePath {
            parent_id: path.parent_id,
            id: command.id.clone(),
        },
        true,
        &caller.identity,
    );
    run(&state, &caller, &target, command, &bytes).await
}

/// `POST` of a resource of any top-level kind, which the body names.
pub(crate) async fn create_of_any_kind(
    State(state): State<KindState>,
    caller: Caller,
    Body(bytes): Body,
) -> Answer {
    let registry = state.command.handler.registry();
    let declares_schema = |kind: &str| {
        let descriptor = registry.by_kind(kind);
        descriptor.is_some_and(|descriptor| descriptor.spec_schema_name.is_some())
    };
    let body = decode::create_of_any_kind(&bytes, declares_schema, |kind, spec| {
        state.command.schemas.check(kind, spec)
    })?;
    let command = command(&state, &caller, body, None);
    command.validate_of_any_kind(registry)?;
    let target = Target {
        kind: ServedKind::One(command.kind.clone()),
        id: command.id.clone(),
        owner: None,
        reach: Reach::of(&caller.identity),
    };
    run(&state, &caller, &target, command, &bytes).await
}

fn command(
    state: &KindState,
    caller: &Caller,
    body: CreateBody,
    parent: Option<String>,
) -> CreateResource {
    CreateResource {
        id: state.command.ids.new_id().to_string(),
        kind: body.kind,
        name: body.name,
        spec: body.spec,
        labels: body.labels,
        references: references(body.references),
        tenancy: caller.identity.tenancy.clone(),
        parent,
        now: now(state),
        actor: caller.identity.actor.clone(),
    }
}

async fn run(
    state: &KindState,
    caller: &Caller,
    target: &Target,
    command: CreateResource,
    body: &[u8],
) -> Answer {
    let task = Task {
        target,
        command: &Command::Create(command),
        caller,
        body,
    };
    let answer = |outcome: &Outcome| Answered::resource(StatusCode::CREATED, outcome);
    Ok(carry_out(state, task, answer).await?.0)
}

/// References as the domain takes them. An empty id is an absent one.
pub(super) fn references(sent: BTreeMap<String, Vec<Reference>>) -> References {
    let input = |reference: Reference| ReferenceInput {
        id: Some(reference.id).filter(|id| !id.is_empty()),
        kind: reference.kind,
    };
    sent.into_iter()
        .map(|(ref_type, targets)| (ref_type, targets.into_iter().map(input).collect()))
        .collect()
}
