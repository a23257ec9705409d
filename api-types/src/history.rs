//! History: the recorded events of resources, each with what it changed.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One page of recorded events, oldest first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct History {
    /// The events of this page.
    pub items: Vec<HistoryEntry>,
    /// Number of this page, from 1.
    pub page: u32,
    /// Number of items in this page (not the size asked for).
    pub size: u32,
    /// Number of events on all pages.
    pub total: u64,
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
    /// Number of the event in the resource's own history, from 1.
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
    /// The command that caused it.
    pub cause: String,
    /// Id of the request that caused it.
    pub request_id: String,
    /// The resource's generation after the event.
    pub generation: i32,
    /// What the event changed, by path.
    pub changes: Vec<FieldChange>,
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
