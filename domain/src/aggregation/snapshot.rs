//! What of an adapter's stored report counts for aggregation.

use chrono::{DateTime, Utc};

use crate::adapter_status::{AVAILABLE, AdapterConditionStatus, AdapterStatus, FINALIZED};

/// The usable part of one required adapter's stored report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot<'a> {
    /// Name of the adapter.
    pub adapter: &'a str,
    /// Generation that it looked at.
    pub generation: i32,
    /// Whether it reported `Available` as `True`; else it was `False`.
    pub available: bool,
    /// Whether it reported `Finalized` as `True`.
    pub finalized: bool,
    /// Reason of its `Available`.
    pub reason: Option<&'a str>,
    /// Message of its `Available`.
    pub message: Option<&'a str>,
    /// When it looked.
    pub observed: DateTime<Utc>,
}

impl<'a> Snapshot<'a> {
    /// The snapshot of a status; none while `Available` is unknown, or when the report is about a
    /// generation that the resource has not reached.
    pub fn of(status: &'a AdapterStatus, generation: i32) -> Option<Self> {
        let available = status.condition(AVAILABLE)?;
        let unusable = available.status == AdapterConditionStatus::Unknown
            || status.observed_generation > generation;
        (!unusable).then(|| Self {
            adapter: &status.adapter,
            generation: status.observed_generation,
            available: available.status == AdapterConditionStatus::True,
            finalized: status.is_true(FINALIZED),
            reason: available.reason.as_deref(),
            message: available.message.as_deref(),
            observed: status.last_report_time,
        })
    }
}
