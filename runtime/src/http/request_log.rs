//! The lines in the log about one request, and the span around everything that it causes.

use std::time::Duration;

use axum::extract::Request;
use axum::http::HeaderMap;
use axum::http::header::USER_AGENT;
use axum::response::Response;
use hyperfleet_api_types::problem::Fault;
use serde_json::{Map, Value};
use tracing::field::Empty;
use tracing::{Level, Span};

use super::{FaultResponse, PeerAddress, RequestId, RequestTrace};

/// What stands in the log instead of a masked value.
const MASKED: &str = "***";

/// What the log says of one request.
pub(super) struct RequestLog {
    span: Span,
    trace: RequestTrace,
    is_quiet: bool,
    remote_addr: String,
    user_agent: String,
    headers: String,
}

impl RequestLog {
    /// Reads what is to be logged. Texts are only made when somebody will read them.
    pub(super) fn of(request: &Request, id: &RequestId, masked: &[String], is_quiet: bool) -> Self {
        let method = request.method().as_str();
        let path = request.uri().path();
        let span = if is_quiet {
            tracing::info_span!("probe", request_id = %id, trace_id = Empty, span_id = Empty, method, path, caller = Empty)
        } else {
            tracing::info_span!(
                "request", otel.name = Empty, otel.kind = "server", request_id = %id, trace_id = Empty,
                span_id = Empty, method, path, caller = Empty
            )
        };
        let trace = RequestTrace::begin(&span, request, id);
        if is_quiet || !tracing::enabled!(Level::INFO) {
            return Self {
                span,
                trace,
                is_quiet,
                remote_addr: String::new(),
                user_agent: String::new(),
                headers: String::new(),
            };
        }
        let remote = request.extensions().get::<PeerAddress>();
        let user_agent = request.headers().get(USER_AGENT);
        Self {
            span,
            trace,
            is_quiet,
            remote_addr: remote.map_or_else(String::new, |remote| remote.0.to_string()),
            user_agent: user_agent.map_or_else(String::new, |value| lossy(value.as_bytes())),
            headers: headers(request.headers(), masked),
        }
    }

    pub(super) fn span(&self) -> &Span {
        &self.span
    }

    pub(super) fn trace(&self) -> &RequestTrace {
        &self.trace
    }

    pub(super) fn received(&self) {
        let Self {
            span,
            is_quiet,
            remote_addr,
            user_agent,
            headers,
            ..
        } = self;
        if *is_quiet {
            tracing::debug!(parent: span, "HTTP request received");
            return;
        }
        tracing::info!(parent: span, remote_addr, user_agent, headers, "HTTP request received");
    }

    pub(super) fn completed(&self, response: &Response, duration: Duration) {
        let status_code = response.status().as_u16();
        RequestTrace::end(&self.span, response);
        if let Some(FaultResponse(fault)) = response.extensions().get::<FaultResponse>() {
            self.refused(fault);
        }
        let Self {
            span,
            remote_addr,
            user_agent,
            ..
        } = self;
        let duration_ms = duration.as_millis();
        if self.is_quiet {
            tracing::debug!(parent: span, status_code, duration_ms, "HTTP request completed");
            return;
        }
        tracing::info!(
            parent: span, status_code, duration_ms, remote_addr, user_agent,
            "HTTP request completed"
        );
    }

    fn refused(&self, fault: &Fault) {
        let (span, code, http_code) = (&self.span, fault.code.code, fault.status);
        let reason = fault.detail.as_str();
        if http_code < 500 {
            tracing::info!(parent: span, code, http_code, reason, "Client error response");
        } else {
            tracing::error!(parent: span, code, http_code, reason, error = reason, "Server error response");
        }
    }
}

/// The headers as a JSON object; several values of one header are joined.
fn headers(headers: &HeaderMap, masked: &[String]) -> String {
    let mut shown = Map::new();
    for name in headers.keys() {
        let text = if masked.iter().any(|masked| masked == name.as_str()) {
            MASKED.to_owned()
        } else {
            let values = headers.get_all(name).iter();
            let values: Vec<String> = values.map(|value| lossy(value.as_bytes())).collect();
            values.join(", ")
        };
        shown.insert(name.as_str().to_owned(), Value::String(text));
    }
    Value::Object(shown).to_string()
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn masked_headers_show_no_value() {
        let mut sent = HeaderMap::new();
        sent.insert("authorization", HeaderValue::from_static("Bearer secret"));
        sent.append("accept", HeaderValue::from_static("a"));
        sent.append("accept", HeaderValue::from_static("b"));
        let text = headers(&sent, &["authorization".to_owned()]);
        assert_eq!(text, r#"{"accept":"a, b","authorization":"***"}"#);
    }
}
