//! Conditions of a resource: what the fleet says about it, aggregated from its adapters' reports.
//!
//! Invariants: a resource condition is `True` or `False`, never unknown; its transition time moves
//! only together with its status.

use std::fmt;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::timestamp;

/// Type of the condition that says whether every required adapter finished the current generation.
pub const RECONCILED: &str = "Reconciled";
/// Type of the condition that remembers the last generation every required adapter agreed on.
pub const LAST_KNOWN_RECONCILED: &str = "LastKnownReconciled";

/// Status of a resource condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ConditionStatus {
    /// The statement holds.
    True,
    /// The statement does not hold, or is not known to hold.
    False,
}

impl ConditionStatus {
    /// Whether this is [`ConditionStatus::True`].
    pub fn is_true(self) -> bool {
        self == Self::True
    }
}

impl From<bool> for ConditionStatus {
    fn from(value: bool) -> Self {
        if value { Self::True } else { Self::False }
    }
}

impl fmt::Display for ConditionStatus {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(if self.is_true() { "True" } else { "False" })
    }
}

/// One aggregated condition; serialises as the API's `ResourceCondition`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Condition {
    /// What the condition states, for example [`RECONCILED`].
    #[serde(rename = "type")]
    pub r#type: String,
    /// Whether it holds.
    pub status: ConditionStatus,
    /// Machine-readable cause in `CamelCase`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The cause in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Generation of the resource that the statement is about.
    pub observed_generation: i32,
    /// When the condition first appeared.
    #[serde(with = "timestamp::rfc3339")]
    pub created_time: DateTime<Utc>,
    /// Age of the observations behind it; moves also when nothing else does.
    #[serde(with = "timestamp::rfc3339")]
    pub last_updated_time: DateTime<Utc>,
    /// When `status` last changed.
    #[serde(with = "timestamp::rfc3339")]
    pub last_transition_time: DateTime<Utc>,
}

impl Condition {
    /// This condition without liveness: what is left when "still so" reports are forgotten.
    pub fn without_liveness(mut self) -> Self {
        self.last_updated_time = self.last_transition_time;
        self
    }
}
