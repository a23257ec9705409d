//! What every write route reads of a request: its path, its body, who sent it, and its id.

use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use axum::http::request::Parts;
use axum::http::{Method, StatusCode};
use chrono::{DateTime, Utc};
use hyperfleet_api_types::problem::{Fault, codes};
use hyperfleet_domain::metadata::EventMetadata;
use hyperfleet_domain::resource::Command;
use hyperfleet_domain::timestamp;
use hyperfleet_runtime::http::{FaultResponse, PeerAddress, RequestId, RequestTrace};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::answer::Failure;
use super::carry_out::RequestConditions;
use super::{KindState, MAX_BODY_BYTES};
use crate::identity::Identity;

/// Ids in the path of one resource.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct ResourcePath {
    pub(crate) parent_id: Option<String>,
    pub(crate) id: String,
}

/// Ids in the path of a collection.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct CollectionPath {
    pub(crate) parent_id: Option<String>,
}

/// The ids of the path. One that is no text names no resource.
pub(crate) struct Ids<T>(pub(crate) T);

impl<T: DeserializeOwned + Send> FromRequestParts<KindState> for Ids<T> {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &KindState) -> Result<Self, Failure> {
        let Ok(Path(ids)) = Path::from_request_parts(parts, state).await else {
            let detail = format!("{} not found", state.kind.name());
            return Err(Fault::new(codes::RESOURCE_NOT_FOUND, detail).into());
        };
        Ok(Self(ids))
    }
}

/// Who sends the request, and as part of what.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    pub(crate) identity: Identity,
    request_id: String,
    traceparent: Option<String>,
    source_address: Option<String>,
    pub(crate) method: Method,
    /// Without query and trailing slash.
    pub(crate) path: String,
    pub(crate) conditions: RequestConditions,
}

impl Caller {
    /// What is recorded with the events of a command of this request.
    pub(crate) fn metadata(&self, command: &Command) -> EventMetadata {
        EventMetadata {
            actor: self.identity.actor.clone(),
            correlation_id: self.request_id.clone(),
            causation_id: self.request_id.clone(),
            traceparent: self.traceparent.clone(),
            command: command.name().to_owned(),
            idempotency_key: self.conditions.key().map(str::to_owned),
            source_address: self.source_address.clone(),
        }
    }
}

impl FromRequestParts<KindState> for Caller {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &KindState) -> Result<Self, Failure> {
        let identity = Identity::from_request_parts(parts, state).await;
        let identity = identity.map_err(|FaultResponse(fault)| fault)?;
        let peer = parts.extensions.get::<PeerAddress>();
        // Without its port, which tells nothing once the connection is gone.
        let source_address = peer.map(|PeerAddress(peer)| peer.ip().to_canonical().to_string());
        let path = parts.uri.path();
        let conditions = RequestConditions::read(&parts.headers, &parts.method, path)?;
        Ok(Self {
            identity,
            request_id: RequestId::of(&parts.extensions),
            traceparent: RequestTrace::traceparent_of(&parts.extensions),
            source_address,
            method: parts.method.clone(),
            path: path.to_owned(),
            conditions,
        })
    }
}

/// The bytes of the body, at most [`MAX_BODY_BYTES`].
pub(crate) struct Body(pub(crate) Vec<u8>);

impl FromRequest<KindState> for Body {
    type Rejection = Failure;

    async fn from_request(request: Request, state: &KindState) -> Result<Self, Failure> {
        let body = axum::body::Bytes::from_request(request, state).await;
        body.map(|bytes| Self(bytes.into()))
            .map_err(|error| unreadable(&error).into())
    }
}

fn unreadable(error: &BytesRejection) -> Fault {
    if error.status() == StatusCode::PAYLOAD_TOO_LARGE {
        let limit = format!("the body must be at most {MAX_BODY_BYTES} bytes");
        return Fault::new(codes::MALFORMED_REQUEST, limit)
            .with_status(StatusCode::PAYLOAD_TOO_LARGE.as_u16());
    }
    Fault::new(
        codes::MALFORMED_REQUEST,
        format!("Invalid request format: {}", error.body_text()),
    )
}

/// Now, at the precision that everything is stored with, so that an answer and a later read agree.
pub(crate) fn now(state: &KindState) -> DateTime<Utc> {
    timestamp::to_microseconds(state.command.clock.now())
}
