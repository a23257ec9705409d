//! The trace that a request belongs to: what the log says of it, what the events it causes keep, and the
//! span that is exported.

use axum::extract::{MatchedPath, Request};
use axum::http::header::USER_AGENT;
use axum::http::{Extensions, HeaderMap};
use axum::response::Response;
use tracing::Span;

use super::{PeerAddress, RequestId};
use crate::telemetry;
use crate::telemetry::trace_context::{self, TRACEPARENT, is_traceparent};

/// The place of a request in its trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestTrace {
    /// What the request causes continues from here: the server's span where traces are exported, else
    /// what the caller sent, if it is a W3C `traceparent`.
    traceparent: Option<String>,
    trace_id: String,
    span_id: String,
}

impl RequestTrace {
    /// The trace context that what the request with these extensions causes belongs to.
    pub fn traceparent_of(extensions: &Extensions) -> Option<String> {
        extensions.get::<Self>()?.traceparent.clone()
    }

    /// Continues the caller's trace in the span of the request, which was not entered yet.
    pub(super) fn begin(span: &Span, request: &Request, id: &RequestId) -> Self {
        let sent = sent(request.headers());
        if let Some(sent) = sent {
            trace_context::continue_trace(span, sent);
        }
        if telemetry::is_exporting() {
            // Before anybody asks for the span's context: then its name is fixed.
            describe(span, request);
        }
        let exported = trace_context::traceparent(span);
        let (trace_id, span_id) = match exported.as_deref() {
            Some(exported) => (part(exported, 1), part(exported, 2)),
            None => own_ids(sent, id),
        };
        span.record("trace_id", &trace_id)
            .record("span_id", &span_id);
        Self {
            traceparent: exported.or_else(|| sent.map(str::to_owned)),
            trace_id,
            span_id,
        }
    }

    /// Says in the exported span how the request ended.
    pub(super) fn end(span: &Span, response: &Response) {
        let status = response.status();
        trace_context::describe(span, &[("http.response.status_code", status.as_str())]);
        if status.is_server_error() {
            trace_context::failed(span, status.canonical_reason().unwrap_or_default());
        }
    }
}

/// The name and attributes of an HTTP server's span, by the semantic conventions of OpenTelemetry.
fn describe(span: &Span, request: &Request) {
    let method = request.method().as_str();
    let route = request.extensions().get::<MatchedPath>();
    let route = route.map_or("", MatchedPath::as_str);
    span.record("otel.name", format!("{method} {route}"));
    let user_agent = request.headers().get(USER_AGENT);
    let user_agent = user_agent.and_then(|value| value.to_str().ok());
    let peer = request.extensions().get::<PeerAddress>();
    let peer = peer.map(|PeerAddress(peer)| peer.ip().to_canonical().to_string());
    trace_context::describe(
        span,
        &[
            ("http.request.method", method),
            ("http.route", route),
            ("url.path", request.uri().path()),
            ("user_agent.original", user_agent.unwrap_or_default()),
            ("client.address", peer.as_deref().unwrap_or_default()),
        ],
    );
}

/// The caller's trace context, if it sent one.
fn sent(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(TRACEPARENT)?.to_str().ok()?;
    is_traceparent(value).then_some(value)
}

/// Trace and span where none is exported: the caller's trace when it sends one, else one of the request's
/// own. The request id has enough randomness for both.
fn own_ids(sent: Option<&str>, id: &RequestId) -> (String, String) {
    let digits = id.as_str().chars();
    let digits: String = digits.filter(char::is_ascii_hexdigit).collect();
    let span_id = digits
        .get(digits.len().saturating_sub(16)..)
        .unwrap_or_default()
        .to_owned();
    let trace_id = sent.map(|sent| part(sent, 1));
    (trace_id.unwrap_or(digits), span_id)
}

/// One part of a trace context: the trace is the second, the span the third.
fn part(traceparent: &str, index: usize) -> String {
    let part = traceparent.split('-').nth(index);
    part.unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    #[test]
    fn the_callers_trace_goes_on() {
        // Given a request, and no export of traces
        let id = RequestId::new("0190b5a0-0000-7000-8000-00000000abcd".to_owned());
        let begin = |traceparent: Option<&str>| {
            let mut request = Request::new(Body::empty());
            if let Some(text) = traceparent {
                let value = text.parse().expect("a header's value");
                request.headers_mut().insert(TRACEPARENT, value);
            }
            RequestTrace::begin(&Span::none(), &request, &id)
        };
        // When it comes without a trace, or with what is none, then it gets one of its own
        let own = RequestTrace {
            traceparent: None,
            trace_id: "0190b5a000007000800000000000abcd".to_owned(),
            span_id: "800000000000abcd".to_owned(),
        };
        assert_eq!(begin(None), own);
        assert_eq!(begin(Some("00-x\"y-z-01")), own);
        // When it comes with one, then that goes on
        let sent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let continued = begin(Some(sent));
        assert_eq!(continued.trace_id, "0af7651916cd43dd8448eb211c80319c");
        assert_eq!(continued.traceparent.as_deref(), Some(sent));
    }
}
