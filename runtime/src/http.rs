//! What every HTTP server of HyperFleet shares: request ids, problem documents, the answers for unknown
//! paths and wrong methods, entity tags, limits, deadlines, and a graceful end.
//!
//! Invariants:
//! - the request id is the server's own; an incoming one is ignored;
//! - a handler states a [`Fault`]; path, request id and time are added here, so no error answer lacks
//!   them;
//! - a panic in a handler is a 500 problem document, not a broken connection;
//! - a masked header's value is never logged.

mod audit;
mod compression;
mod effect;
mod entity_tag;
mod fair_queue;
mod identity;
mod limits;
mod listener;
mod metrics;
mod request_id;
mod request_log;
mod request_trace;
mod server;

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{ALLOW, CONTENT_TYPE, LOCATION, VARY};
use axum::http::{HeaderValue, StatusCode, Uri};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use hyperfleet_api_types::PROBLEM_MEDIA_TYPE;
use hyperfleet_api_types::problem::{Fault, codes};
use tower::Layer as _;
use tower::util::MapRequestLayer;
use tower_http::catch_panic::CatchPanicLayer;
use tracing::Instrument as _;

use self::audit::Watched;
pub use self::audit::{AuditSink, AuditedRequest, CallerSlot};
pub use self::compression::compressed;
pub use self::effect::{EFFECT_HEADER, Effect};
pub use self::entity_tag::{EntityTag, EntityTags, not_modified};
pub use self::fair_queue::QueueLimits;
pub use self::identity::{Identity, TenantScope};
pub use self::limits::{
    BODY_TIMEOUT, CallerKey, Limits, MAX_BODY_BYTES, MAX_HEADER_BYTES, MAX_TARGET_BYTES,
    RequestLimits,
};
pub use self::listener::HttpListener;
pub use self::metrics::HttpMetrics;
pub use self::request_id::RequestId;
use self::request_log::RequestLog;
pub use self::request_trace::RequestTrace;
pub use self::server::{
    ClientTimeouts, HEADER_TIMEOUT, PeerAddress, STALL_TIMEOUT, serve, serve_on,
};
use crate::clock::Clock;
use crate::ids::IdSource;

/// Header that names the request in answers and logs.
pub const REQUEST_ID_HEADER: &str = "x-request-id";

/// How long a request may take. Longer than any query should, shorter than clients wait.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// A fault as an answer. The layers of [`layered`] turn it into a problem document.
#[derive(Clone, Debug)]
pub struct FaultResponse(pub Fault);

impl IntoResponse for FaultResponse {
    fn into_response(self) -> Response {
        let status =
            StatusCode::from_u16(self.0.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// How a server treats requests.
#[derive(Clone, Debug)]
pub struct HttpOptions {
    /// How long a request may take.
    pub request_timeout: Duration,
    /// Headers whose values are masked in the log.
    pub masked_headers: Vec<String>,
    /// Whether requests are logged at debug only: probes and scrapes come every few seconds.
    pub is_quiet: bool,
    /// Who is told about changes that were refused or changed nothing.
    pub audit: Option<AuditSink>,
}

impl Default for HttpOptions {
    fn default() -> Self {
        let masked = ["authorization", "x-api-key", "cookie", "x-auth-token"];
        Self {
            request_timeout: REQUEST_TIMEOUT,
            masked_headers: masked.map(str::to_owned).to_vec(),
            is_quiet: false,
            audit: None,
        }
    }
}

/// What the layers need.
#[derive(Clone)]
struct Context {
    clock: Arc<dyn Clock>,
    ids: Arc<dyn IdSource>,
    request_timeout: Duration,
    masked_headers: Arc<[String]>,
    is_quiet: bool,
    audit: Option<AuditSink>,
}

/// A router with everything that all servers share, with the default options.
pub fn layered(router: Router, clock: Arc<dyn Clock>, ids: Arc<dyn IdSource>) -> Router {
    layered_with(router, clock, ids, &HttpOptions::default())
}

/// A router with everything that all servers share.
pub fn layered_with(
    router: Router,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn IdSource>,
    options: &HttpOptions,
) -> Router {
    let masked = options.masked_headers.iter();
    let context = Context {
        clock,
        ids,
        request_timeout: options.request_timeout,
        masked_headers: masked.map(|name| name.to_ascii_lowercase()).collect(),
        is_quiet: options.is_quiet,
        audit: options.audit.clone(),
    };
    let routed = router
        // Inside the request's id, so that the answer to a panic names it.
        .route_layer(CatchPanicLayer::custom(panicked))
        .route_layer(middleware::from_fn_with_state(context.clone(), identified))
        .fallback(unknown_path);
    // A path is cleaned before routing, hence around the router and not inside it.
    let routed = MapRequestLayer::new(without_trailing_slash).layer(routed);
    Router::new()
        .fallback_service(routed)
        .layer(middleware::from_fn_with_state(context, answered))
        .layer(middleware::from_fn(to_clean_path))
}

/// Gives a matched request its id, a deadline, and its lines in the log.
async fn identified(State(context): State<Context>, mut request: Request, next: Next) -> Response {
    let id = RequestId::new(context.ids.new_id().to_string());
    request.extensions_mut().insert(id.clone());
    let log = RequestLog::of(&request, &id, &context.masked_headers, context.is_quiet);
    request.extensions_mut().insert(log.trace().clone());
    if let Some(slot) = request.extensions().get::<CallerSlot>() {
        slot.routed(&request, &id);
    }
    let started = Instant::now();
    log.received();
    let span = log.span().clone();
    let answer = next.run(request).instrument(span);
    let mut response = match tokio::time::timeout(context.request_timeout, answer).await {
        Ok(response) => response,
        Err(_) => FaultResponse(Fault::new(
            codes::SERVICE_TIMEOUT,
            "The request took too long",
        ))
        .into_response(),
    };
    if response.status() == StatusCode::METHOD_NOT_ALLOWED {
        return response;
    }
    log.completed(&response, started.elapsed());
    if let Ok(value) = HeaderValue::from_str(id.as_str()) {
        response.headers_mut().insert(REQUEST_ID_HEADER, value);
    }
    response.extensions_mut().insert(id);
    response
}

/// Completes what handlers and the router leave open: problem documents and the answer to a wrong method.
async fn answered(State(context): State<Context>, mut request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    let watched = Watched::of(&mut request, context.audit.as_ref());
    let mut response = next.run(request).await;
    if let Some(watched) = watched {
        watched.answered(&response);
    }
    Effect::show(&mut response);
    if response.status() == StatusCode::METHOD_NOT_ALLOWED {
        return wrong_method(&response);
    }
    let Some(FaultResponse(fault)) = response.extensions_mut().remove::<FaultResponse>() else {
        return response;
    };
    let trace_id = response
        .extensions()
        .get::<RequestId>()
        .map(ToString::to_string)
        .unwrap_or_default();
    let problem = fault.into_problem(path, trace_id, context.clock.now());
    // A problem is plain data; writing it cannot fail.
    *response.body_mut() = Body::from(serde_json::to_vec(&problem).unwrap_or_default());
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(PROBLEM_MEDIA_TYPE));
    headers.insert(VARY, HeaderValue::from_static("Authorization"));
    headers.remove(axum::http::header::CONTENT_LENGTH);
    response
}

/// 405 as plain text, with the allowed methods sorted.
fn wrong_method(response: &Response) -> Response {
    let allow = response
        .headers()
        .get(ALLOW)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let mut methods: Vec<&str> = allow
        .split(',')
        .map(str::trim)
        .filter(|method| !method.is_empty())
        .collect();
    methods.sort_unstable();
    methods.dedup();
    (
        StatusCode::METHOD_NOT_ALLOWED,
        [(ALLOW, methods.join(", "))],
        "Method Not Allowed",
    )
        .into_response()
}

async fn unknown_path(uri: Uri) -> FaultResponse {
    let detail = format!("The requested endpoint '{}' does not exist", uri.path());
    FaultResponse(Fault::new(codes::ENDPOINT_NOT_FOUND, detail))
}

/// Sends a path with `//` to the same path without.
async fn to_clean_path(request: Request, next: Next) -> Response {
    let path = request.uri().path();
    if !path.contains("//") {
        return next.run(request).await;
    }
    let mut clean = String::with_capacity(path.len());
    for character in path.chars() {
        if character != '/' || !clean.ends_with('/') {
            clean.push(character);
        }
    }
    if let Some(query) = request.uri().query() {
        clean.push('?');
        clean.push_str(query);
    }
    (StatusCode::MOVED_PERMANENTLY, [(LOCATION, clean)]).into_response()
}

/// Strips exactly one trailing slash.
fn without_trailing_slash(mut request: Request) -> Request {
    let path = request.uri().path();
    let Some(stripped) = path
        .strip_suffix('/')
        .filter(|stripped| !stripped.is_empty())
    else {
        return request;
    };
    let rewritten = match request.uri().query() {
        Some(query) => format!("{stripped}?{query}"),
        None => stripped.to_owned(),
    };
    if let Ok(uri) = rewritten.parse() {
        *request.uri_mut() = uri;
    }
    request
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "the signature that the layer wants"
)]
fn panicked(panic: Box<dyn std::any::Any + Send>) -> Response {
    let message = panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_default();
    tracing::error!(panic = message, "a request handler panicked");
    FaultResponse(Fault::new(codes::INTERNAL_ERROR, "Unspecified error")).into_response()
}
