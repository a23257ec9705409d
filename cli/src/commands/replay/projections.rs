//! `hyperfleet replay status`, `pause` and `resume`: the catch-up projections.

use anyhow::bail;
use hyperfleet_event_store::EventStore;
use hyperfleet_event_store::catch_up::{self, ProjectionStatus};
use serde_json::{Value, json};

use super::{Outcome, print_json};
use crate::arguments::{PlainArguments, ProjectionArguments};
use crate::output;

pub(super) async fn status(
    arguments: &PlainArguments,
    store: &EventStore,
) -> anyhow::Result<Outcome> {
    let statuses = catch_up::statuses(store.pool()).await?;
    if arguments.database.is_json() {
        let documents: Vec<Value> = statuses.iter().map(document).collect();
        print_json(&json!({ "projections": documents }))?;
        return Ok(Outcome::Well);
    }
    let headings = [
        "PROJECTION",
        "POSITION",
        "LAG",
        "BEHIND",
        "FAILED",
        "WAITING",
        "SKIPPED",
        "PAUSED",
        "RUNNER",
    ];
    let rows: Vec<Vec<String>> = statuses.iter().map(row).collect();
    print!("{}", output::table(&headings, &rows));
    Ok(Outcome::Well)
}

fn row(status: &ProjectionStatus) -> Vec<String> {
    vec![
        status.name.clone(),
        status.position.to_string(),
        status.lag_events.to_string(),
        format!("{:.1}s", status.lag_seconds),
        status.failed.to_string(),
        status.waiting.to_string(),
        status.skipped.to_string(),
        status
            .paused_at
            .map(|time| format!("since {}", time.to_rfc3339()))
            .unwrap_or_default(),
        status.runner.clone().unwrap_or_default(),
    ]
}

fn document(status: &ProjectionStatus) -> Value {
    json!({
        "name": status.name,
        "position": status.position,
        "lag_events": status.lag_events,
        "lag_seconds": status.lag_seconds,
        "failed": status.failed,
        "waiting": status.waiting,
        "skipped": status.skipped,
        "paused_at": status.paused_at,
        "runner": status.runner,
        "updated_at": status.updated_at,
    })
}

pub(super) async fn pause(
    arguments: &ProjectionArguments,
    store: &EventStore,
) -> anyhow::Result<Outcome> {
    set(arguments, store, true).await
}

pub(super) async fn resume(
    arguments: &ProjectionArguments,
    store: &EventStore,
) -> anyhow::Result<Outcome> {
    set(arguments, store, false).await
}

async fn set(
    arguments: &ProjectionArguments,
    store: &EventStore,
    paused: bool,
) -> anyhow::Result<Outcome> {
    let name = &arguments.projection;
    let statuses = catch_up::statuses(store.pool()).await?;
    let Some(status) = statuses.iter().find(|status| status.name == *name) else {
        let names: Vec<&str> = statuses.iter().map(|status| status.name.as_str()).collect();
        bail!(
            "no projection {name:?} has run yet; these have: {}",
            names.join(", ")
        );
    };
    if !arguments.dry_run {
        let mut connection = store.pool().acquire().await?;
        if paused {
            catch_up::pause(&mut connection, name).await?;
        } else {
            catch_up::resume(&mut connection, name).await?;
        }
    }
    let was_paused = status.paused_at.is_some();
    if arguments.database.is_json() {
        let document = json!({"name": name, "paused": paused, "was_paused": was_paused, "dry_run": arguments.dry_run});
        print_json(&document)?;
        return Ok(Outcome::Well);
    }
    let what = match (paused, was_paused, arguments.dry_run) {
        (true, true, _) => "is paused already",
        (true, false, false) => "is paused",
        (true, false, true) => "would be paused",
        (false, false, _) => "is not paused",
        (false, true, false) => "goes on",
        (false, true, true) => "would go on",
    };
    println!("{name} {what}");
    Ok(Outcome::Well)
}
