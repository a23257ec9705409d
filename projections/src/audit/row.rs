//! A request as it is stored: cut to a bounded size.

use std::time::Instant;

use hyperfleet_api_types::AuditOutcome;
use hyperfleet_runtime::http::AuditedRequest;
use serde_json::{Value, json};

/// Who nobody proved to be.
pub(super) const ANONYMOUS: &str = "anonymous";

/// Longest path, in bytes: ids and names of parents fit many times.
const PATH_BYTES: usize = 512;

/// Longest reason, in bytes: those of the rules are a sentence or two; lists of faults are in the answer.
const DETAIL_BYTES: usize = 1024;

/// Longest actor, as the gate bounds names too, and longest id of a resource.
const NAME_BYTES: usize = 256;

/// Most bytes of tenancy; the headers that it comes from are much shorter.
const TENANCY_BYTES: usize = 2048;

/// A row, with the time of the answer.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) answered_at: Instant,
    pub(super) outcome: AuditOutcome,
    pub(super) is_anonymous: bool,
    pub(super) actor: String,
    pub(super) source_address: Option<String>,
    pub(super) tenancy: Value,
    pub(super) method: String,
    pub(super) route: Option<String>,
    pub(super) path: String,
    pub(super) resource_id: Option<String>,
    pub(super) status: i32,
    pub(super) code: Option<&'static str>,
    pub(super) detail: String,
    pub(super) request_id: String,
    pub(super) trace_id: Option<String>,
    pub(super) suppressed: i64,
}

impl Row {
    pub(super) fn of(request: AuditedRequest, suppressed: u64) -> Self {
        let tenancy = json!(request.tenancy);
        let is_small = tenancy.to_string().len() <= TENANCY_BYTES;
        let resource_id = request
            .route
            .as_deref()
            .and_then(|route| parameter(route, &request.path, "{id}"));
        Self {
            answered_at: request.answered_at,
            outcome: request.outcome,
            is_anonymous: request.actor.is_none(),
            actor: stored(request.actor.as_deref().unwrap_or(ANONYMOUS), NAME_BYTES),
            source_address: request.source_address.map(|address| address.to_string()),
            // A JSON text with NUL cannot be stored; no header value has one.
            tenancy: if is_small { tenancy } else { json!({}) },
            method: request.method,
            resource_id: resource_id.map(|id| stored(id, NAME_BYTES)),
            route: request.route,
            path: stored(&request.path, PATH_BYTES),
            status: request.status.into(),
            code: request.code,
            detail: stored(&request.detail, DETAIL_BYTES),
            request_id: request.request_id,
            trace_id: request.traceparent.as_deref().and_then(trace_id),
            suppressed: i64::try_from(suppressed).unwrap_or(i64::MAX),
        }
    }
}

/// The segment of a path that stands for a parameter of its template.
fn parameter<'a>(template: &str, path: &'a str, name: &str) -> Option<&'a str> {
    let at = template.split('/').position(|segment| segment == name)?;
    path.split('/')
        .nth(at)
        .filter(|segment| !segment.is_empty())
}

/// The trace of a `traceparent`, when it is one.
fn trace_id(traceparent: &str) -> Option<String> {
    let trace = traceparent.split('-').nth(1)?;
    let is_hex = trace
        .bytes()
        .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    (trace.len() == 32 && is_hex).then(|| trace.to_owned())
}

/// A text that PostgreSQL can store, of at most so many bytes.
fn stored(text: &str, bytes: usize) -> String {
    let mut end = text.len().min(bytes);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let mut stored = text[..end].replace('\0', "\u{fffd}");
    if end < text.len() {
        stored.push('…');
    }
    stored
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_cut_at_characters_and_say_so() {
        assert_eq!(stored("abc", 3), "abc");
        assert_eq!(stored("aéc", 2), "a…");
        assert_eq!(stored("a\0c", 3), "a\u{fffd}c");
        assert_eq!(stored("", 3), "");
    }

    #[test]
    fn the_id_of_the_resource_is_in_the_path() {
        let template = "/v1/clusters/{parent_id}/nodepools/{id}/statuses";
        let path = "/v1/clusters/a/nodepools/b/statuses";
        assert_eq!(parameter(template, path, "{id}"), Some("b"));
        assert_eq!(parameter("/v1/clusters", "/v1/clusters", "{id}"), None);
        assert_eq!(parameter("/v1/{id}", "/v1/", "{id}"), None);
    }

    #[test]
    fn only_a_trace_is_kept() {
        let trace = "0af7651916cd43dd8448eb211c80319c";
        let sent = format!("00-{trace}-b7ad6b7169203331-01");
        assert_eq!(trace_id(&sent).as_deref(), Some(trace));
        assert_eq!(trace_id("00-x-y-01"), None);
    }
}
