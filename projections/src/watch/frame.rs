//! The bytes of server-sent events (WHATWG HTML, §9.2).
//!
//! Written here and not by axum's `Sse`, so that one change is put into bytes once for all watchers
//! instead of once for each. JSON has no line breaks outside of escapes, so `data` is one line.

use axum::body::Bytes;
use serde_json::json;

/// How long a browser waits before it connects again, in milliseconds: at once, but not in a storm.
pub(super) const RETRY: &[u8] = b"retry: 1000\n\n";

/// Keeps a connection alive that has no position to tell yet.
pub(super) const COMMENT: &[u8] = b": still here\n\n";

/// Types of events beside those of changes.
pub(super) const BOOKMARK: &str = "BOOKMARK";
pub(super) const ERROR: &str = "ERROR";

/// Appends an event; without a position it is none that a client could go on from.
pub(super) fn write(out: &mut Vec<u8>, position: Option<u64>, event: &str, data: &[u8]) {
    if let Some(position) = position {
        out.extend_from_slice(b"id: ");
        out.extend_from_slice(position.to_string().as_bytes());
        out.push(b'\n');
    }
    out.extend_from_slice(b"event: ");
    out.extend_from_slice(event.as_bytes());
    out.extend_from_slice(b"\ndata: ");
    out.extend_from_slice(data);
    out.extend_from_slice(b"\n\n");
}

/// One event.
pub(super) fn event(position: Option<u64>, event: &str, data: &[u8]) -> Bytes {
    let mut out = Vec::with_capacity(data.len() + 64);
    write(&mut out, position, event, data);
    out.into()
}

/// A bookmark; the first after the initial state says that it is complete.
pub(super) fn bookmark(position: u64, completes: bool) -> Bytes {
    let data = if completes {
        json!({"position": position, "initial_state_complete": true})
    } else {
        json!({"position": position})
    };
    event(Some(position), BOOKMARK, data.to_string().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_has_its_lines_and_ends_with_an_empty_one() {
        let with = event(Some(7), "ADDED", b"{}");
        assert_eq!(with.as_ref(), b"id: 7\nevent: ADDED\ndata: {}\n\n");
        let without = event(None, ERROR, b"{}");
        assert_eq!(without.as_ref(), b"event: ERROR\ndata: {}\n\n");
    }
}
