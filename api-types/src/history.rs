//! History: the recorded events of resources, each with what it changed, and the requests to change something
//! that changed nothing, because they were refused or there was nothing to do.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Media type of histories as lines: one JSON document for each item, in order.
pub const NDJSON_MEDIA_TYPE: &str = "application/x-ndjson";

/// Part of a history.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct History {
    /// The items of this page.
    pub items: Vec<HistoryItem>,
    /// Number of this page, from 1; omitted where a history is walked by token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub page: Option<u32>,
    /// Number of items in this page (not the size asked for).
    pub size: u32,
    /// Number of items on all pages; omitted where a history is walked by token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<u64>,
    /// The position up to which this answer is about the log. What is at or below it never changes.
    pub through_position: u64,
    /// How to go on; omitted on the last page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_page_token: Option<String>,
}

/// Something that was done, or asked for without effect.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(tag = "outcome", rename_all = "lowercase")]
pub enum HistoryItem {
    /// A recorded event.
    Accepted(Box<HistoryEntry>),
    /// A request to change something that was refused, or failed.
    Refused(Box<AuditEntry>),
    /// A request for what was there already.
    Unchanged(Box<AuditEntry>),
    /// A request that was carried out before, under the same `Idempotency-Key`.
    Replayed(Box<AuditEntry>),
}

/// How a request to change something ended that changed nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AuditOutcome {
    /// It was refused, or failed.
    Refused,
    /// What it asked for was there already.
    Unchanged,
    /// It was carried out before, under the same `Idempotency-Key`.
    Replayed,
}

impl AuditOutcome {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Refused, Self::Unchanged, Self::Replayed];

    /// Its name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Unchanged => "unchanged",
            Self::Replayed => "replayed",
        }
    }

    /// The outcome with a name.
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|outcome| outcome.name() == name)
    }
}

impl HistoryItem {
    /// A request that changed nothing.
    pub fn audited(outcome: AuditOutcome, entry: AuditEntry) -> Self {
        let entry = Box::new(entry);
        match outcome {
            AuditOutcome::Refused => Self::Refused(entry),
            AuditOutcome::Unchanged => Self::Unchanged(entry),
            AuditOutcome::Replayed => Self::Replayed(entry),
        }
    }

    /// The event, if it is one.
    pub fn into_entry(self) -> Option<HistoryEntry> {
        match self {
            Self::Accepted(entry) => Some(*entry),
            Self::Refused(_) | Self::Unchanged(_) | Self::Replayed(_) => None,
        }
    }
}

/// One recorded event of one resource.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct HistoryEntry {
    /// Id of the resource.
    pub resource_id: String,
    /// Kind of the resource.
    pub kind: String,
    /// Name of the resource.
    pub name: String,
    /// Number of the event in the resource's own history, from 1: the resource's version after it.
    pub sequence: u64,
    /// Number of the event in the history of the whole fleet.
    pub position: u64,
    /// When the event was recorded.
    pub time: DateTime<Utc>,
    /// Stored type of the event, e.g. `hyperfleet.resource.created`.
    #[serde(rename = "type")]
    pub event_type: String,
    /// Who caused it.
    pub actor: String,
    /// The network address that the request came from, when it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_address: Option<String>,
    /// The command that caused it.
    pub cause: String,
    /// Id of the request that caused it: the correlation id.
    pub request_id: String,
    /// Id of what directly caused it.
    pub causation_id: String,
    /// Trace of the request (W3C trace context), when it had one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<String>,
    /// The resource's generation before the event; omitted on the first one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation_before: Option<i32>,
    /// The resource's generation after the event.
    pub generation: i32,
    /// What the event changed, by path; conditions by their type.
    pub changes: Vec<FieldChange>,
    /// The same as a JSON Patch (RFC 6902): it turns the resource before the event, with
    /// `adapter_statuses` by adapter, into the resource after it. The first event's starts from `{}`.
    pub patch: Vec<Value>,
}

/// One member that an event changed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct FieldChange {
    /// JSON pointer (RFC 6901) into the resource.
    pub path: String,
    /// The value before; omitted when the member did not exist.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Value>,
    /// The value after; omitted when the member is gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<Value>,
}

/// One request to change something that changed nothing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AuditEntry {
    /// When it was answered.
    pub time: DateTime<Utc>,
    /// Who sent it; `anonymous` when nobody proved to.
    pub actor: String,
    /// The network address that it came from, when it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_address: Option<String>,
    /// Method of the request.
    pub method: String,
    /// Template of the route; omitted when there is no such route.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub route: Option<String>,
    /// Path of the request, cut when it is very long.
    pub path: String,
    /// Id in the path of the resource that it was about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_id: Option<String>,
    /// Status of the answer.
    pub status: u16,
    /// Code of the problem, e.g. `HYPERFLEET-VAL-000`; omitted for answers without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// Why, as its sender was told; cut when it is very long.
    pub detail: String,
    /// Id of the request.
    pub request_id: String,
    /// Trace of the request (W3C trace context), when it had one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<String>,
    /// How many entries before this one were not recorded, because there were too many at a time;
    /// omitted when none.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub suppressed: u64,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "the signature that serde wants"
)]
fn is_zero(number: &u64) -> bool {
    *number == 0
}
