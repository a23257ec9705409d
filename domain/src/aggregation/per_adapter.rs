//! `<Adapter>Successful`: what one required adapter said about itself.

use super::{Inputs, Snapshot, transition};
use crate::condition::{Condition, ConditionStatus};

/// Type of an adapter's condition: `beta-two` gives `BetaTwoSuccessful`.
pub fn condition_type(adapter: &str) -> String {
    let capitalised = adapter.split('-').map(|part| {
        let mut characters = part.chars();
        let first = characters.next().map(char::to_uppercase);
        first
            .into_iter()
            .flatten()
            .chain(characters)
            .collect::<String>()
    });
    capitalised.chain(["Successful".to_owned()]).collect()
}

/// One condition for each required adapter that has a usable report.
pub(super) fn conditions(inputs: &Inputs<'_>) -> Vec<Condition> {
    inputs
        .snapshots
        .iter()
        .map(|snapshot| condition(inputs, snapshot))
        .collect()
}

fn condition(inputs: &Inputs<'_>, snapshot: &Snapshot<'_>) -> Condition {
    let r#type = condition_type(snapshot.adapter);
    let previous = inputs.previous(&r#type);
    let status = ConditionStatus::from(snapshot.available);
    Condition {
        r#type,
        status,
        reason: snapshot.reason.map(str::to_owned),
        message: snapshot.message.map(str::to_owned),
        observed_generation: snapshot.generation,
        created_time: previous.map_or(inputs.updated_time, |previous| previous.created_time),
        last_updated_time: snapshot.observed,
        last_transition_time: transition(previous, status, snapshot.observed),
    }
}
