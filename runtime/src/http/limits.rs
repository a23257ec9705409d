//! What a request may be and take: its size, the time for sending it, and a place among those that
//! are worked on. The time for answering it is [`super::REQUEST_TIMEOUT`].
//!
//! Sizes are checked before a place is asked for, and the body is read after one was given: so the
//! bodies in memory are bounded by the number of places, and who sends slowly uses up its own share
//! of them.

use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::header::{CONTENT_LENGTH, RETRY_AFTER};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyperfleet_api_types::problem::{Fault, codes};
use prometheus::core::Collector;
use prometheus::{Histogram, HistogramOpts, IntCounterVec, IntGauge, Opts};

use super::fair_queue::{FairQueue, Rejected};
use super::{FaultResponse, PeerAddress, QueueLimits};

/// Greatest body of a request, in bytes. Specs are documents written by people, of some kilobytes;
/// the limit keeps one caller from filling the memory and the log.
pub const MAX_BODY_BYTES: usize = 1024 * 1024;

/// Longest path and query, in bytes. A search of 4096 characters fits, every one of them escaped as
/// three, beside a page token.
pub const MAX_TARGET_BYTES: usize = 20 * 1024;

/// Greatest sum of header names and values, in bytes. A token with many claims takes some
/// kilobytes; load balancers in front commonly allow 8 to 64 KiB.
pub const MAX_HEADER_BYTES: usize = 32 * 1024;

/// How long sending a body may take (the read timeout of API contract v1): a body of the greatest
/// size at 2 Mbit/s.
pub const BODY_TIMEOUT: Duration = Duration::from_secs(5);

/// When to come again after a refusal, in seconds: a full queue moves on within a second.
const RETRY_AFTER_SECONDS: &str = "1";

const REFUSED: (&str, &str) = (
    "hyperfleet_api_refused_by_limit_total",
    "Requests refused by a limit: target, headers, body_size, body_time, queue, caller_queue or wait",
);
const IN_WORK: (&str, &str) = (
    "hyperfleet_api_requests_in_work",
    "Requests that are worked on now",
);
const WAIT: (&str, &str) = (
    "hyperfleet_api_queue_wait_seconds",
    "Time that requests waited for a place, those that did not wait left out",
);

/// Bounds of the histogram, in seconds.
const BUCKETS: [f64; 9] = [0.001, 0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];

/// Who a request is counted for. The authentication layer puts it into the request's extensions;
/// without one, callers are told apart by their address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallerKey(pub String);

/// What a request may be and take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Greatest body, in bytes.
    pub body_bytes: usize,
    /// Longest path and query, in bytes.
    pub target_bytes: usize,
    /// Greatest sum of header names and values, in bytes.
    pub header_bytes: usize,
    /// How long sending the body may take.
    pub body_timeout: Duration,
    /// How many requests at a time.
    pub queue: QueueLimits,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes: MAX_BODY_BYTES,
            target_bytes: MAX_TARGET_BYTES,
            header_bytes: MAX_HEADER_BYTES,
            body_timeout: BODY_TIMEOUT,
            queue: QueueLimits::default(),
        }
    }
}

/// The limits of one server, and its queue. Clones share the queue.
#[derive(Clone)]
pub struct RequestLimits {
    limits: Limits,
    queue: FairQueue,
    refused: IntCounterVec,
    in_work: IntGauge,
    wait: Histogram,
}

impl RequestLimits {
    /// Limits with an empty queue.
    pub fn new(limits: Limits) -> Self {
        let options = HistogramOpts::new(WAIT.0, WAIT.1).buckets(BUCKETS.to_vec());
        Self {
            limits,
            queue: FairQueue::new(limits.queue),
            refused: IntCounterVec::new(Opts::new(REFUSED.0, REFUSED.1), &["limit"])
                .expect("constant options are valid"),
            in_work: IntGauge::new(IN_WORK.0, IN_WORK.1).expect("constant options are valid"),
            wait: Histogram::with_opts(options).expect("constant options are valid"),
        }
    }

    /// Every metric, to be registered where they are served.
    pub fn collectors(&self) -> Vec<Box<dyn Collector>> {
        vec![
            Box::new(self.refused.clone()),
            Box::new(self.in_work.clone()),
            Box::new(self.wait.clone()),
        ]
    }

    /// Puts the limits around the routes of a router. Authentication belongs outside of them.
    pub fn around(&self, router: Router) -> Router {
        router.route_layer(middleware::from_fn_with_state(self.clone(), limited))
    }

    fn refuse(&self, limit: &str, fault: Fault) -> Response {
        self.refused.with_label_values(&[limit]).inc();
        FaultResponse(fault).into_response()
    }

    fn refuse_for_now(&self, limit: &str, detail: &str) -> Response {
        let mut response = self.refuse(limit, Fault::new(codes::SERVICE_UNAVAILABLE, detail));
        let retry = HeaderValue::from_static(RETRY_AFTER_SECONDS);
        response.headers_mut().insert(RETRY_AFTER, retry);
        response
    }

    /// Why a request is too large to be looked at, if it is.
    fn too_large(&self, request: &Request) -> Option<Response> {
        let limits = &self.limits;
        let target = request.uri().path_and_query();
        if target.is_some_and(|target| target.as_str().len() > limits.target_bytes) {
            let detail = format!(
                "the path and query must be at most {} bytes",
                limits.target_bytes
            );
            let fault = Fault::new(codes::BAD_REQUEST, detail);
            return Some(self.refuse("target", with_status(fault, StatusCode::URI_TOO_LONG)));
        }
        if header_bytes(request.headers()) > limits.header_bytes {
            let detail = format!(
                "the header fields must be at most {} bytes together",
                limits.header_bytes
            );
            let fault = Fault::new(codes::BAD_REQUEST, detail);
            let status = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
            return Some(self.refuse("headers", with_status(fault, status)));
        }
        let announced = request.headers().get(CONTENT_LENGTH);
        let announced = announced.and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
        if announced.is_some_and(|length| length > limits.body_bytes as u64) {
            return Some(self.body_too_large());
        }
        None
    }

    fn body_too_large(&self) -> Response {
        let detail = format!("the body must be at most {} bytes", self.limits.body_bytes);
        let fault = Fault::new(codes::MALFORMED_REQUEST, detail);
        self.refuse(
            "body_size",
            with_status(fault, StatusCode::PAYLOAD_TOO_LARGE),
        )
    }

    /// The whole body, within its size and time.
    async fn read(&self, body: Body) -> Result<Bytes, Response> {
        let whole = Limited::new(body, self.limits.body_bytes).collect();
        let Ok(read) = tokio::time::timeout(self.limits.body_timeout, whole).await else {
            let detail = format!(
                "the body did not arrive within {} s",
                self.limits.body_timeout.as_secs_f64()
            );
            let fault = Fault::new(codes::MALFORMED_REQUEST, detail);
            return Err(self.refuse("body_time", with_status(fault, StatusCode::REQUEST_TIMEOUT)));
        };
        match read {
            Ok(body) => Ok(body.to_bytes()),
            Err(error) if error.is::<LengthLimitError>() => Err(self.body_too_large()),
            Err(error) => {
                let detail = format!("Invalid request format: {error}");
                Err(FaultResponse(Fault::new(codes::MALFORMED_REQUEST, detail)).into_response())
            }
        }
    }
}

async fn limited(State(limits): State<RequestLimits>, request: Request, next: Next) -> Response {
    if let Some(refused) = limits.too_large(&request) {
        return refused;
    }
    let started = Instant::now();
    let place = match limits.queue.enter(&caller(&request)).await {
        Ok(place) => place,
        Err(Rejected::QueueFull) => {
            return limits.refuse_for_now("queue", "too many requests are waiting; try again");
        }
        Err(Rejected::CallerQueueFull) => {
            let detail = "too many requests of this caller are waiting; try again";
            return limits.refuse_for_now("caller_queue", detail);
        }
        Err(Rejected::WaitedTooLong) => {
            return limits.refuse_for_now("wait", "the request waited too long; try again");
        }
    };
    if place.waited {
        limits.wait.observe(started.elapsed().as_secs_f64());
    }
    let _in_work = InWork::new(limits.in_work.clone());
    let (parts, body) = request.into_parts();
    match limits.read(body).await {
        // The place is given back when the answer begins: a stream does not hold it.
        Ok(body) => next.run(Request::from_parts(parts, Body::from(body))).await,
        Err(refused) => refused,
    }
}

/// Whose request it is.
fn caller(request: &Request) -> String {
    let extensions = request.extensions();
    if let Some(CallerKey(key)) = extensions.get() {
        return key.clone();
    }
    let peer: Option<&PeerAddress> = extensions.get();
    peer.map(|peer| peer.0.ip().to_string()).unwrap_or_default()
}

fn with_status(fault: Fault, status: StatusCode) -> Fault {
    fault.with_status(status.as_u16())
}

fn header_bytes(headers: &HeaderMap) -> usize {
    let sizes = headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len());
    sizes.sum()
}

/// Counts a request while it is worked on, also when its caller goes away.
struct InWork(IntGauge);

impl InWork {
    fn new(gauge: IntGauge) -> Self {
        gauge.inc();
        Self(gauge)
    }
}

impl Drop for InWork {
    fn drop(&mut self) {
        self.0.dec();
    }
}
