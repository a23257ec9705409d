//! `PATCH` on a resource: replaces its spec, labels or references, each as a whole.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::http::StatusCode;
use hyperfleet_domain::resource::{Command, PatchResource};

use super::KindState;
use super::answer::{self, Answer};
use super::create::references;
use super::request::{Body, Caller, Ids, ResourcePath, now};
use crate::decode;

pub(crate) async fn patch(
    State(state): State<KindState>,
    Ids(path): Ids<ResourcePath>,
    caller: Caller,
    Body(bytes): Body,
) -> Answer {
    // Only an id that can exist makes the spec be checked before the resource is looked up.
    let declares_schema = state.declares_schema && uuid::Uuid::parse_str(&path.id).is_ok();
    let body = decode::patch(&bytes, declares_schema)?;
    let command = Command::Patch(PatchResource {
        spec: body.spec,
        labels: body.labels,
        references: body.references.map(references),
        targets: BTreeMap::new(),
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
    Ok(answer::document(StatusCode::OK, &resource.document()))
}
