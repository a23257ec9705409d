//! What one adapter last reported about one resource, as stored.
//!
//! Invariants: condition types are unique in a status; `Available`, `Applied` and `Health` are
//! present; `created_time` never changes.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::json::JsonObject;
use crate::timestamp;

/// The adapter finished its work for the reported generation.
pub const AVAILABLE: &str = "Available";
/// The adapter's objects were applied.
pub const APPLIED: &str = "Applied";
/// The adapter itself works.
pub const HEALTH: &str = "Health";
/// The adapter has cleaned up after itself: the resource may go.
pub const FINALIZED: &str = "Finalized";
/// Condition types that every report must contain, in the order in which their absence is told.
pub const MANDATORY_CONDITIONS: [&str; 3] = [AVAILABLE, APPLIED, HEALTH];

/// Status of a condition in an adapter's report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum AdapterConditionStatus {
    /// The statement holds.
    True,
    /// The statement does not hold.
    False,
    /// The adapter cannot tell.
    Unknown,
}

impl fmt::Display for AdapterConditionStatus {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        })
    }
}

/// The text was not `True`, `False` or `Unknown`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is not a condition status: use 'True', 'False' or 'Unknown'")]
pub struct UnknownConditionStatus(pub String);

impl FromStr for AdapterConditionStatus {
    type Err = UnknownConditionStatus;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "True" => Ok(Self::True),
            "False" => Ok(Self::False),
            "Unknown" => Ok(Self::Unknown),
            other => Err(UnknownConditionStatus(other.to_owned())),
        }
    }
}

/// One condition of an adapter status.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AdapterCondition {
    /// What the condition states, for example [`AVAILABLE`].
    #[serde(rename = "type")]
    pub r#type: String,
    /// Whether it holds.
    pub status: AdapterConditionStatus,
    /// Machine-readable cause.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The cause in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Observation time of the report in which `status` last changed.
    #[serde(with = "timestamp::rfc3339")]
    pub last_transition_time: DateTime<Utc>,
}

/// Facts about the work behind a report.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AdapterMetadata {
    /// Name of the Kubernetes Job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job_name: Option<String>,
    /// Namespace of the Kubernetes Job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job_namespace: Option<String>,
    /// How often the work was tried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<i32>,
    /// When the work began.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "timestamp::rfc3339_option"
    )]
    pub started_time: Option<DateTime<Utc>>,
    /// When the work ended.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "timestamp::rfc3339_option"
    )]
    pub completed_time: Option<DateTime<Utc>>,
    /// How long the work took, as the adapter words it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration: Option<String>,
}

/// The stored report of one adapter; serialises as the API's `AdapterStatus`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AdapterStatus {
    /// Name of the adapter.
    pub adapter: String,
    /// Generation of the resource that the adapter looked at.
    pub observed_generation: i32,
    /// What it found.
    pub conditions: Vec<AdapterCondition>,
    /// Free-form findings.
    pub data: JsonObject,
    /// Facts about the work; absent when the report had none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<AdapterMetadata>,
    /// Observation time of the first accepted report.
    #[serde(with = "timestamp::rfc3339")]
    pub created_time: DateTime<Utc>,
    /// Observation time of the latest accepted report: the adapter's time, not the arrival.
    #[serde(with = "timestamp::rfc3339")]
    pub last_report_time: DateTime<Utc>,
}

impl AdapterStatus {
    /// The condition of a type, if the adapter reported it.
    pub fn condition(&self, r#type: &str) -> Option<&AdapterCondition> {
        self.conditions
            .iter()
            .find(|condition| condition.r#type == r#type)
    }

    /// Whether the adapter reported a condition of this type as `True`.
    pub fn is_true(&self, r#type: &str) -> bool {
        self.condition(r#type)
            .is_some_and(|condition| condition.status == AdapterConditionStatus::True)
    }

    /// This status without liveness: what is left when "still so" reports are forgotten.
    pub fn without_liveness(mut self) -> Self {
        self.last_report_time = self.created_time;
        self
    }
}
