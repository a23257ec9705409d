//! `POST` on a collection: creates a resource.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::http::StatusCode;
use hyperfleet_domain::resource::{Command, CreateResource, ReferenceInput, References, Refusal};

use super::KindState;
use super::answer::{self, Answer};
use super::request::{Body, Caller, CollectionPath, Ids, ResourcePath, now};
use crate::decode::{self, Reference};

pub(crate) async fn create(
    State(state): State<KindState>,
    Ids(path): Ids<CollectionPath>,
    caller: Caller,
    Body(bytes): Body,
) -> Answer {
    let body = decode::create(&bytes, state.declares_schema)?;
    if body.kind.is_empty() {
        return Err(Refusal::KindRequired.into());
    }
    if body.kind != state.kind {
        return Err(Refusal::KindMismatch {
            expected: state.kind.clone(),
        }
        .into());
    }
    let id = state.command.ids.new_id().to_string();
    let references = references(body.references);
    let command = Command::Create(CreateResource {
        id: id.clone(),
        kind: body.kind,
        name: body.name,
        spec: body.spec,
        labels: body.labels,
        targets: BTreeMap::new(),
        references,
        tenancy: caller.identity.tenancy.clone(),
        parent: path.parent_id.clone(),
        now: now(&state),
        actor: caller.identity.actor.clone(),
    });
    let target = state.target(
        &ResourcePath {
            parent_id: path.parent_id,
            id,
        },
        true,
        &caller.identity,
    );
    let metadata = caller.metadata(&command);
    let resource = state
        .command
        .handler
        .handle(&target, &command, &metadata)
        .await?;
    Ok(answer::document(StatusCode::CREATED, &resource.document()))
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
