//! `Reconciled`: every required adapter finished the current generation.

use chrono::{DateTime, Utc};

use super::{Inputs, listed, transition};
use crate::condition::{Condition, ConditionStatus, RECONCILED};

const ALL: &str = "ReconciledAll";
const WAITING_FOR_CHILDREN: &str = "ReconciledWaitingForChildren";
const MISSING_ADAPTERS: &str = "ReconciledMissingAdapters";

/// The condition. With no required adapters it is always false.
pub(super) fn condition(inputs: &Inputs<'_>) -> Condition {
    let previous = inputs.previous(RECONCILED);
    let pending = pending(inputs);
    let all_done = !inputs.required.is_empty() && pending.is_empty();
    let held_by_child = inputs.deleting && inputs.has_active_child;
    let status = ConditionStatus::from(all_done && !held_by_child);
    let (reason, message) = match (all_done, held_by_child) {
        (true, false) => (
            ALL,
            "All required adapters reported Available=True or Finalized=True at the current generation".to_owned(),
        ),
        (true, true) => (
            WAITING_FOR_CHILDREN,
            "Deletion in progress. All required adapters reported Finalized=True but child resources still exist".to_owned(),
        ),
        (false, _) => (MISSING_ADAPTERS, missing_message(inputs, &pending)),
    };
    let updated = inputs
        .earliest_at(inputs.generation)
        .unwrap_or(inputs.updated_time);
    Condition {
        r#type: RECONCILED.to_owned(),
        status,
        reason: Some(reason.to_owned()),
        message: Some(message),
        observed_generation: inputs.generation,
        created_time: previous.map_or(inputs.updated_time, |previous| previous.created_time),
        last_updated_time: updated,
        last_transition_time: transition(
            previous,
            status,
            changed(inputs, previous, status, updated),
        ),
    }
}

/// Required adapters that have not finished the current generation.
fn pending<'a>(inputs: &Inputs<'a>) -> Vec<&'a str> {
    let is_done = |adapter: &str| {
        inputs.snapshot(adapter).is_some_and(|snapshot| {
            let done = if inputs.deleting {
                snapshot.finalized
            } else {
                snapshot.available
            };
            snapshot.generation == inputs.generation && done
        })
    };
    inputs
        .required
        .iter()
        .map(String::as_str)
        .filter(|adapter| !is_done(adapter))
        .collect()
}

fn missing_message(inputs: &Inputs<'_>, pending: &[&str]) -> String {
    let awaited = if inputs.deleting {
        "Finalized"
    } else {
        "Available"
    };
    format!(
        "Required adapters not reporting {awaited}=True: {}. Currently reporting: {}",
        listed(pending.iter().copied()),
        listed(inputs.snapshots.iter().map(|snapshot| snapshot.adapter)),
    )
}

/// The time of a status change: a new generation makes the condition false when it is asked for;
/// any other change happens when it is observed.
fn changed(
    inputs: &Inputs<'_>,
    previous: Option<&Condition>,
    status: ConditionStatus,
    updated: DateTime<Utc>,
) -> DateTime<Utc> {
    let outdated = previous.is_some_and(|previous| {
        previous.status.is_true()
            && !status.is_true()
            && inputs.generation > previous.observed_generation
    });
    if outdated {
        inputs.updated_time
    } else {
        updated
    }
}
