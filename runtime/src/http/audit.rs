//! Telling somebody about requests to change something that changed nothing: what was asked, by whom,
//! and how it was answered.
//!
//! Told is every answer of 400 and above to a request with a method that changes something, wherever
//! in the server it comes from: the router, the gate, a limit, a handler, the deadline, a panic. And
//! every accepted one without an [`Effect`] of its own. A caller that goes away before its answer is
//! answered nothing.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use axum::extract::{MatchedPath, Request};
use axum::http::Method;
use axum::response::Response;
use hyperfleet_api_types::AuditOutcome;
use hyperfleet_api_types::problem::Fault;

use super::{Effect, FaultResponse, Identity, PeerAddress, RequestId, RequestTrace};

/// A request to change something that changed nothing.
#[derive(Clone, Debug)]
pub struct AuditedRequest {
    /// How it ended.
    pub outcome: AuditOutcome,
    /// Method of the request.
    pub method: String,
    /// Template of the route; `None` when there is none for the path and method.
    pub route: Option<String>,
    /// Path of the request, without its query.
    pub path: String,
    /// Where it came from.
    pub source_address: Option<IpAddr>,
    /// Who sent it; `None` when nobody proved to.
    pub actor: Option<String>,
    /// The tenant dimensions of who sent it.
    pub tenancy: BTreeMap<String, String>,
    /// Status of the answer.
    pub status: u16,
    /// Code of the problem document; `None` for an answer without one.
    pub code: Option<&'static str>,
    /// Why it changed nothing; of a refusal, what its sender was told.
    pub detail: String,
    /// The server's id of the request; empty for a path that is not served.
    pub request_id: String,
    /// Trace context of the request; as it was sent, for a path that is not served.
    pub traceparent: Option<String>,
    /// When it was answered.
    pub answered_at: Instant,
}

/// Where they are told. It is called before the answer goes out, so it must not wait.
#[derive(Clone)]
pub struct AuditSink(Arc<dyn Fn(AuditedRequest) + Send + Sync>);

impl AuditSink {
    /// Tells `sink`.
    pub fn new(sink: impl Fn(AuditedRequest) + Send + Sync + 'static) -> Self {
        Self(Arc::new(sink))
    }
}

impl fmt::Debug for AuditSink {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("AuditSink")
    }
}

/// What is found out about a request on its way inward, for whoever answers it further out. In the
/// request's extensions.
#[derive(Clone, Debug, Default)]
pub struct CallerSlot(Arc<Facts>);

#[derive(Debug, Default)]
struct Facts {
    caller: OnceLock<Identity>,
    request_id: OnceLock<String>,
    route: OnceLock<String>,
    traceparent: OnceLock<String>,
}

impl CallerSlot {
    /// Says who sends the request. Who says so first is believed.
    pub fn identified(&self, caller: &Identity) {
        let _ = self.0.caller.set(caller.clone());
    }

    /// Says that the request reached a route.
    pub(super) fn routed(&self, request: &Request, id: &RequestId) {
        let _ = self.0.request_id.set(id.to_string());
        if let Some(route) = request.extensions().get::<MatchedPath>() {
            let _ = self.0.route.set(route.as_str().to_owned());
        }
        if let Some(traceparent) = RequestTrace::traceparent_of(request.extensions()) {
            let _ = self.0.traceparent.set(traceparent);
        }
    }
}

/// A request that somebody is told about when it changes nothing.
pub(super) struct Watched {
    sink: AuditSink,
    slot: CallerSlot,
    method: Method,
    path: String,
    source_address: Option<IpAddr>,
    traceparent: Option<String>,
}

impl Watched {
    /// The request, if it would change something and there is somebody to tell.
    pub(super) fn of(request: &mut Request, sink: Option<&AuditSink>) -> Option<Self> {
        let method = request.method().clone();
        let changes = [Method::POST, Method::PUT, Method::PATCH, Method::DELETE];
        let sink = sink.filter(|_| changes.contains(&method))?.clone();
        let slot = CallerSlot::default();
        let peer = request.extensions().get::<PeerAddress>();
        let source_address = peer.map(|PeerAddress(address)| address.ip().to_canonical());
        let traceparent = request.headers().get("traceparent");
        let traceparent = traceparent.and_then(|value| value.to_str().ok());
        let traceparent = traceparent.map(str::to_owned);
        let path = request.uri().path().to_owned();
        request.extensions_mut().insert(slot.clone());
        Some(Self {
            sink,
            slot,
            method,
            path,
            source_address,
            traceparent,
        })
    }

    /// Tells about the answer, if it says that nothing was changed.
    pub(super) fn answered(self, response: &Response) {
        let status = response.status();
        let fault: Option<&Fault> = response
            .extensions()
            .get()
            .map(|FaultResponse(fault)| fault);
        let effect = response.extensions().get::<Effect>();
        let (outcome, detail) = if status.is_client_error() || status.is_server_error() {
            let reason = status.canonical_reason().unwrap_or_default();
            let detail = fault.map_or(reason, |fault| fault.detail.as_str());
            (AuditOutcome::Refused, detail)
        } else if let Some(audited) = effect.and_then(|effect| effect.audited()) {
            audited
        } else {
            return;
        };
        let facts = &self.slot.0;
        let caller = facts.caller.get();
        (self.sink.0)(AuditedRequest {
            outcome,
            method: self.method.to_string(),
            route: facts.route.get().cloned(),
            path: self.path,
            source_address: self.source_address,
            actor: caller
                .map(|caller| caller.actor.clone())
                .filter(|actor| !actor.is_empty()),
            tenancy: caller.map_or_else(BTreeMap::new, |caller| caller.tenancy.clone()),
            status: status.as_u16(),
            code: fault.map(|fault| fault.code.code),
            detail: detail.to_owned(),
            request_id: facts.request_id.get().cloned().unwrap_or_default(),
            traceparent: facts.traceparent.get().cloned().or(self.traceparent),
            answered_at: Instant::now(),
        });
    }
}
