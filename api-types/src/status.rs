//! Adapter statuses: what one adapter last reported about one resource, and the report itself.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// What one adapter last reported about a resource.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AdapterStatus {
    /// Name of the adapter.
    pub adapter: String,
    /// The generation that the adapter worked on.
    pub observed_generation: i32,
    /// The conditions it reported.
    pub conditions: Vec<AdapterCondition>,
    /// Whatever else it reported; `{}` when nothing.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(value_type = Object))]
    pub data: Map<String, Value>,
    /// About the job that did the work; omitted when not sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<AdapterStatusMetadata>,
    /// Observation time of the first accepted report.
    pub created_time: DateTime<Utc>,
    /// Observation time of the latest accepted report.
    pub last_report_time: DateTime<Utc>,
}

/// One condition of an adapter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AdapterCondition {
    /// Type, e.g. `Available`.
    #[serde(rename = "type")]
    pub condition_type: String,
    /// `True`, `False` or `Unknown`.
    pub status: String,
    /// Why, as one word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Why, for a human.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Observation time of the report in which the status last changed.
    pub last_transition_time: DateTime<Utc>,
}

/// About the job that did an adapter's work.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AdapterStatusMetadata {
    /// Name of the job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job_name: Option<String>,
    /// Namespace of the job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job_namespace: Option<String>,
    /// Which attempt this was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<i32>,
    /// When the work began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_time: Option<DateTime<Utc>>,
    /// When the work ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completed_time: Option<DateTime<Utc>>,
    /// How long the work took.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration: Option<String>,
}

/// One page of adapter statuses.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AdapterStatusList {
    /// The statuses of this page.
    pub items: Vec<AdapterStatus>,
    /// Number of this page, from 1.
    pub page: u32,
    /// Number of items in this page (not the size asked for).
    pub size: u32,
    /// Number of statuses on all pages.
    pub total: u64,
}

/// Body of a status report.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AdapterStatusCreateRequest {
    /// Name of the reporting adapter.
    pub adapter: String,
    /// The generation that the adapter worked on, at least 1.
    pub observed_generation: i32,
    /// When the adapter observed this; the server's time when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_time: Option<DateTime<Utc>>,
    /// What it observed; `Available`, `Applied` and `Health` must be among them.
    pub conditions: Vec<AdapterConditionRequest>,
    /// Whatever else it wants to publish.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Object>))]
    pub data: Option<Map<String, Value>>,
    /// About the job that did the work.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<AdapterStatusMetadata>,
}

/// One condition in a status report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AdapterConditionRequest {
    /// Type, e.g. `Available`.
    #[serde(rename = "type")]
    pub condition_type: String,
    /// `True`, `False` or `Unknown`.
    pub status: String,
    /// Why, as one word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Why, for a human.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}
