//! `LastKnownReconciled`: the last generation that every required adapter agreed on still works.
//! It stays true while adapters move to a new generation, until one fails at the tracked one.

use chrono::{DateTime, Utc};

use super::{Inputs, transition};
use crate::condition::{Condition, ConditionStatus, LAST_KNOWN_RECONCILED};

/// How the required adapters stand together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// The kind requires none.
    NoneRequired,
    /// At least one has no usable report.
    Missing,
    /// At least one reports `Available=False`.
    SomeUnavailable,
    /// All are available, at this generation.
    Uniform(i32),
    /// All are available, at different generations.
    Mixed,
}

/// The condition.
pub(super) fn condition(inputs: &Inputs<'_>) -> Condition {
    let previous = inputs.previous(LAST_KNOWN_RECONCILED);
    let standing = standing(inputs);
    let holds = holds(inputs, previous, standing);
    let status = ConditionStatus::from(holds);
    let generation = observed_generation(inputs, previous, standing, holds);
    let updated = last_updated(inputs, previous, standing, holds, generation);
    let (reason, message) = explanation(standing, holds);
    Condition {
        r#type: LAST_KNOWN_RECONCILED.to_owned(),
        status,
        reason: Some(reason.to_owned()),
        message: Some(message.to_owned()),
        observed_generation: generation,
        created_time: previous.map_or(inputs.updated_time, |previous| previous.created_time),
        last_updated_time: updated,
        last_transition_time: transition(previous, status, updated),
    }
}

fn standing(inputs: &Inputs<'_>) -> Standing {
    let Some(first) = inputs.required.first() else {
        return Standing::NoneRequired;
    };
    if inputs.is_missing_any() {
        return Standing::Missing;
    }
    if inputs.snapshots.iter().any(|snapshot| !snapshot.available) {
        return Standing::SomeUnavailable;
    }
    let generation = inputs
        .snapshot(first)
        .map_or(1, |snapshot| snapshot.generation);
    if inputs
        .snapshots
        .iter()
        .all(|snapshot| snapshot.generation == generation)
    {
        Standing::Uniform(generation)
    } else {
        Standing::Mixed
    }
}

fn holds(inputs: &Inputs<'_>, previous: Option<&Condition>, standing: Standing) -> bool {
    let held = previous.filter(|previous| previous.status.is_true());
    match standing {
        Standing::NoneRequired | Standing::Missing => false,
        Standing::Uniform(_) => true,
        Standing::Mixed => held.is_some(),
        Standing::SomeUnavailable => {
            held.is_some_and(|held| !unavailable_at(inputs, held.observed_generation))
        }
    }
}

fn unavailable_at(inputs: &Inputs<'_>, generation: i32) -> bool {
    inputs
        .snapshots
        .iter()
        .any(|snapshot| snapshot.generation == generation && !snapshot.available)
}

fn observed_generation(
    inputs: &Inputs<'_>,
    previous: Option<&Condition>,
    standing: Standing,
    holds: bool,
) -> i32 {
    let before = previous.map_or(1, |previous| previous.observed_generation);
    match standing {
        Standing::NoneRequired => 1,
        Standing::Uniform(generation) => generation,
        Standing::Missing | Standing::Mixed | Standing::SomeUnavailable if holds => before,
        Standing::Missing | Standing::Mixed | Standing::SomeUnavailable => {
            let highest = inputs
                .snapshots
                .iter()
                .map(|snapshot| snapshot.generation)
                .max();
            highest.unwrap_or(before)
        }
    }
}

fn last_updated(
    inputs: &Inputs<'_>,
    previous: Option<&Condition>,
    standing: Standing,
    holds: bool,
    generation: i32,
) -> DateTime<Utc> {
    let before = previous.map_or(inputs.updated_time, |previous| previous.last_updated_time);
    match standing {
        Standing::NoneRequired => inputs.updated_time,
        Standing::Uniform(generation) => inputs.earliest_at(generation).unwrap_or(before),
        Standing::Missing | Standing::Mixed | Standing::SomeUnavailable
            if !holds && unavailable_at(inputs, generation) =>
        {
            inputs.earliest_at(generation).unwrap_or(before)
        }
        Standing::Missing | Standing::Mixed | Standing::SomeUnavailable => before,
    }
}

fn explanation(standing: Standing, holds: bool) -> (&'static str, &'static str) {
    if holds {
        return (
            "AllAdaptersReconciled",
            "All required adapters report Available=True for the tracked generation",
        );
    }
    match standing {
        Standing::NoneRequired | Standing::Missing => (
            "AdaptersMissingReports",
            "Required adapters have not yet reported status",
        ),
        Standing::SomeUnavailable => (
            "AdapterReportedNotAvailable",
            "One or more required adapters report Available=False",
        ),
        Standing::Uniform(_) | Standing::Mixed => (
            "AdaptersNotAtSameGeneration",
            "Required adapters do not report a consistent Available state",
        ),
    }
}
