//! Reports of adapters: what is wrong with one, which are dropped, and what is stored.
//!
//! Invariants: an adapter's stored generation never falls, nor does its observation time within a
//! generation; a transition time moves only together with its status.

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};

use crate::adapter_status::{
    AVAILABLE, AdapterCondition, AdapterConditionStatus, AdapterStatus, FINALIZED,
    MANDATORY_CONDITIONS,
};
use crate::json::same_object;
use crate::resource::{Discard, Refusal, ReportAdapterStatus, ReportedCondition};
use crate::timestamp::to_microseconds;

/// How far an observation may lie ahead of now: clocks differ.
const FUTURE_MAX: TimeDelta = TimeDelta::minutes(5);
/// How far an observation may lie behind now: older ones say nothing about the present.
const PAST_MAX: TimeDelta = TimeDelta::minutes(30);
/// Greatest length of an adapter's name, in characters.
const ADAPTER_MAX: usize = 255;

impl ReportAdapterStatus {
    /// When the adapter looked, in whole microseconds.
    pub fn observed(&self) -> DateTime<Utc> {
        to_microseconds(self.observed_time.unwrap_or(self.now))
    }

    /// Whether the report says that the adapter has cleaned up.
    pub fn says_finalized(&self) -> bool {
        self.status_of(FINALIZED) == Some("True")
    }

    fn status_of(&self, r#type: &str) -> Option<&str> {
        let found = self
            .conditions
            .iter()
            .find(|condition| condition.r#type == r#type);
        found.map(|condition| condition.status.as_str())
    }
}

/// What storing a report amounts to.
#[derive(Debug, Clone, PartialEq)]
pub enum Stored {
    /// The report has the generation and the time of the stored one: the stored one stays.
    Kept,
    /// The report says nothing new: only the time of the status moves.
    Liveness(AdapterStatus),
    /// The report says something new.
    Changed(AdapterStatus),
}

/// Checks that need no state, in the contract's order: adapter, generation, conditions, time.
///
/// # Errors
/// The first fault.
pub fn validate(report: &ReportAdapterStatus) -> Result<(), Refusal> {
    if report.adapter.is_empty() {
        return Err(Refusal::AdapterRequired);
    }
    if report.adapter.chars().count() > ADAPTER_MAX {
        return Err(Refusal::AdapterTooLong { max: ADAPTER_MAX });
    }
    if report.observed_generation < 1 {
        return Err(Refusal::ObservedGeneration);
    }
    validate_conditions(&report.conditions)?;
    let ahead = report
        .observed_time
        .map_or(TimeDelta::zero(), |observed| observed - report.now);
    if ahead > FUTURE_MAX {
        return Err(Refusal::ObservedInFuture);
    }
    if -ahead > PAST_MAX {
        return Err(Refusal::ObservedInPast);
    }
    Ok(())
}

fn validate_conditions(conditions: &[ReportedCondition]) -> Result<(), Refusal> {
    let mut seen = BTreeSet::new();
    for (index, condition) in conditions.iter().enumerate() {
        let name = || condition.r#type.clone();
        if condition.r#type.is_empty() {
            return Err(Refusal::ConditionTypeEmpty { index });
        }
        if !seen.insert(condition.r#type.as_str()) {
            return Err(Refusal::ConditionTypeDuplicate {
                condition: name(),
                index,
            });
        }
        if condition.status.parse::<AdapterConditionStatus>().is_err() {
            let status = condition.status.clone();
            return Err(Refusal::ConditionStatus {
                status,
                index,
                condition: name(),
            });
        }
    }
    Ok(())
}

/// Checks that need the resource's generation and the adapter's stored status, in the contract's
/// order. That a stale report is dropped comes before what it lacks.
///
/// # Errors
/// [`Refusal::Discarded`] for a report to drop; [`Refusal::ConditionMissing`] for a wrong one.
pub fn admit(
    report: &ReportAdapterStatus,
    generation: i32,
    stored: Option<&AdapterStatus>,
) -> Result<(), Refusal> {
    if report.observed_generation > generation {
        return Err(Refusal::Discarded(Discard::FutureGeneration));
    }
    if let Some(stored) = stored {
        if report.observed_generation < stored.observed_generation {
            return Err(Refusal::Discarded(Discard::StaleGeneration));
        }
        if report.observed_generation == stored.observed_generation
            && report.observed() < stored.last_report_time
        {
            return Err(Refusal::Discarded(Discard::StaleObservation));
        }
    }
    if let Some(condition) = MANDATORY_CONDITIONS
        .into_iter()
        .find(|name| report.status_of(name).is_none())
    {
        return Err(Refusal::ConditionMissing { condition });
    }
    if stored.is_some() && report.status_of(AVAILABLE) == Some("Unknown") {
        return Err(Refusal::Discarded(Discard::UnknownAvailability));
    }
    Ok(())
}

/// What an admitted report makes of the adapter's stored status.
pub fn store(report: &ReportAdapterStatus, stored: Option<&AdapterStatus>) -> Stored {
    let observed = report.observed();
    let Some(stored) = stored else {
        return Stored::Changed(status(report, observed, None));
    };
    if report.observed_generation == stored.observed_generation
        && observed == stored.last_report_time
    {
        return Stored::Kept;
    }
    if says_the_same(report, stored) {
        return Stored::Liveness(AdapterStatus {
            last_report_time: observed,
            ..stored.clone()
        });
    }
    Stored::Changed(status(report, observed, Some(stored)))
}

fn status(
    report: &ReportAdapterStatus,
    observed: DateTime<Utc>,
    stored: Option<&AdapterStatus>,
) -> AdapterStatus {
    let conditions = report.conditions.iter().map(|reported| {
        let status = reported
            .status
            .parse()
            .unwrap_or(AdapterConditionStatus::Unknown);
        let before = stored.and_then(|stored| stored.condition(&reported.r#type));
        AdapterCondition {
            r#type: reported.r#type.clone(),
            status,
            reason: reported.reason.clone(),
            message: reported.message.clone(),
            last_transition_time: before
                .filter(|before| before.status == status)
                .map_or(observed, |before| before.last_transition_time),
        }
    });
    AdapterStatus {
        adapter: report.adapter.clone(),
        observed_generation: report.observed_generation,
        conditions: conditions.collect(),
        data: report.data.clone(),
        metadata: report.metadata.clone(),
        created_time: stored.map_or(observed, |stored| stored.created_time),
        last_report_time: observed,
    }
}

/// Whether a report differs from the stored one in its time at most. The order of conditions does
/// not count, because some adapters report them in a random one.
fn says_the_same(report: &ReportAdapterStatus, stored: &AdapterStatus) -> bool {
    let same_condition = |reported: &ReportedCondition| {
        stored.condition(&reported.r#type).is_some_and(|condition| {
            reported.status == condition.status.to_string()
                && reported.reason == condition.reason
                && reported.message == condition.message
        })
    };
    report.observed_generation == stored.observed_generation
        && report.conditions.len() == stored.conditions.len()
        && report.conditions.iter().all(same_condition)
        && same_object(&report.data, &stored.data)
        && report.metadata == stored.metadata
}
