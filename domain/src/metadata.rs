//! Who caused an event, why, and as part of which request.

use serde::{Deserialize, Serialize};

/// Metadata stored with every event. All members are strings, so that readers which know only
/// string maps can read it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventMetadata {
    /// The resolved caller.
    pub actor: String,
    /// Id of the request at the edge of the system.
    pub correlation_id: String,
    /// Id of what directly caused the event: the request, or the event or message reacted to.
    pub causation_id: String,
    /// W3C trace context, when the request had one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
    /// Name of the command, as in [`crate::Command::name`].
    pub command: String,
    /// The caller's idempotency key, when it sent one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<String>,
    /// The network address that the request came from. Events that the system caused by itself, and
    /// those recorded before addresses were, have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_address: Option<String>,
}

impl EventMetadata {
    /// The trace id of the W3C trace context, when there was one.
    pub fn trace_id(&self) -> Option<&str> {
        self.traceparent.as_deref()?.split('-').nth(1)
    }
}
