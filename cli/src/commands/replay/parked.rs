//! `hyperfleet replay parked`: events that a projection could not apply.

use anyhow::{Context as _, bail};
use hyperfleet_event_store::EventStore;
use hyperfleet_event_store::catch_up::{self, ParkedEvent, Retried};
use serde_json::{Value, json};

use super::{Outcome, print_json};
use crate::arguments::{
    ParkedCommand, ParkedEventArguments, ParkedListArguments, ParkedRetryArguments,
};
use crate::output;

/// Events shown at most; more are counted by `replay status`.
const SHOWN: usize = 10_000;

pub(super) async fn run(command: &ParkedCommand, store: &EventStore) -> anyhow::Result<Outcome> {
    match command {
        ParkedCommand::List(arguments) => list(arguments, store).await,
        ParkedCommand::Show(arguments) => show(arguments, store).await,
        ParkedCommand::Retry(arguments) => retry(arguments, store).await,
        ParkedCommand::Skip(arguments) => skip(arguments, store).await,
    }
}

async fn list(arguments: &ParkedListArguments, store: &EventStore) -> anyhow::Result<Outcome> {
    let projection = arguments.projection.as_deref();
    let parked = catch_up::parked(store.pool(), projection, 0, SHOWN).await?;
    if arguments.database.is_json() {
        let documents: Vec<Value> = parked.iter().map(document).collect();
        print_json(&json!({ "parked": documents }))?;
        return Ok(Outcome::Well);
    }
    if parked.is_empty() {
        println!("nothing is parked");
        return Ok(Outcome::Well);
    }
    let headings = [
        "PROJECTION",
        "POSITION",
        "STREAM",
        "SEQUENCE",
        "TRIES",
        "ERROR",
    ];
    let rows: Vec<Vec<String>> = parked
        .iter()
        .map(|event| {
            vec![
                event.projection.clone(),
                event.position.to_string(),
                event.stream.to_string(),
                event.sequence.to_string(),
                event.attempts.to_string(),
                event
                    .error
                    .clone()
                    .unwrap_or_else(|| "(waits behind an earlier event)".to_owned()),
            ]
        })
        .collect();
    print!("{}", output::table(&headings, &rows));
    Ok(Outcome::Well)
}

fn document(event: &ParkedEvent) -> Value {
    json!({
        "projection": event.projection,
        "position": event.position,
        "type": event.stream.aggregate_type,
        "id": event.stream.aggregate_id,
        "sequence": event.sequence,
        "error": event.error,
        "attempts": event.attempts,
        "parked_at": event.parked_at,
        "tried_at": event.tried_at,
    })
}

/// The parked event that the arguments name.
async fn named(
    arguments: &ParkedEventArguments,
    store: &EventStore,
) -> anyhow::Result<ParkedEvent> {
    let ParkedEventArguments {
        projection,
        position,
        ..
    } = arguments;
    let after = position.saturating_sub(1);
    let parked = catch_up::parked(store.pool(), Some(projection), after, 1).await?;
    parked
        .into_iter()
        .find(|event| event.position == *position)
        .with_context(|| format!("{projection} has nothing parked at position {position}"))
}

async fn show(arguments: &ParkedEventArguments, store: &EventStore) -> anyhow::Result<Outcome> {
    let event = named(arguments, store).await?;
    let mut document = document(&event);
    let recorded = store
        .read_stream(&event.stream, event.sequence.saturating_sub(1), 1)
        .await?;
    if let Some(recorded) = recorded.first() {
        document["event"] = json!({
            "event_type": recorded.event_type,
            "event_version": recorded.event_version,
            "recorded_at": recorded.recorded_at,
            "payload": recorded.payload,
            "metadata": recorded.metadata,
        });
    }
    print_json(&document)?;
    Ok(Outcome::Well)
}

async fn retry(arguments: &ParkedRetryArguments, store: &EventStore) -> anyhow::Result<Outcome> {
    let name = &arguments.projection;
    let mut apply = hyperfleet_projections::projection(name)
        .with_context(|| format!("there is no projection {name:?}"))?;
    let is_json = arguments.database.is_json();
    if arguments.dry_run {
        let parked = catch_up::parked(store.pool(), Some(name), 0, SHOWN).await?;
        let wanted = |event: &&ParkedEvent| {
            event.error.is_some()
                && arguments
                    .position
                    .is_none_or(|position| position == event.position)
        };
        let failed = parked.iter().filter(wanted).count();
        return told(
            is_json,
            &format!("would try {failed} failed events of {name}"),
            &json!({"dry_run": true, "failed": failed}),
        );
    }
    let retried = catch_up::retry(store.pool(), name, arguments.position, &mut *apply).await?;
    settled(name, is_json, &retried)
}

async fn skip(arguments: &ParkedEventArguments, store: &EventStore) -> anyhow::Result<Outcome> {
    let name = &arguments.projection;
    let mut apply = hyperfleet_projections::projection(name)
        .with_context(|| format!("there is no projection {name:?}"))?;
    let event = named(arguments, store).await?;
    if event.error.is_none() {
        bail!(
            "the event only waits behind an earlier one of {}; skip that one",
            event.stream
        );
    }
    let is_json = arguments.database.is_json();
    if arguments.dry_run {
        let what = format!(
            "would skip event {} of {} for {name}",
            event.sequence, event.stream
        );
        return told(
            is_json,
            &what,
            &json!({"dry_run": true, "event": document(&event)}),
        );
    }
    let retried = catch_up::skip(store.pool(), name, event.position, &mut *apply).await?;
    settled(name, is_json, &retried)
}

fn told(is_json: bool, text: &str, document: &Value) -> anyhow::Result<Outcome> {
    if is_json {
        print_json(document)?;
    } else {
        println!("{text}");
    }
    Ok(Outcome::Well)
}

fn settled(name: &str, is_json: bool, retried: &Retried) -> anyhow::Result<Outcome> {
    let Retried { applied, failed } = retried;
    let text = format!("{name}: {applied} events applied, {failed} failed again");
    told(
        is_json,
        &text,
        &json!({"applied": applied, "failed": failed}),
    )?;
    if *failed == 0 {
        return Ok(Outcome::Well);
    }
    Ok(Outcome::Different(format!(
        "{failed} events still cannot be applied"
    )))
}
