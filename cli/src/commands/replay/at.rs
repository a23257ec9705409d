//! `hyperfleet replay at` and `diff`: the past, folded from the log.

use std::collections::BTreeMap;

use anyhow::{Context as _, bail, ensure};
use chrono::{DateTime, Utc};
use hyperfleet_domain::resource::Resource;
use hyperfleet_event_store::EventStore;
use hyperfleet_projections::replay::past::{self, Moment};
use serde_json::{Value, json};

use super::{Outcome, print_json};
use crate::arguments::{AtArguments, PastResourceArguments, ReplayDiffArguments};
use crate::output;

pub(super) async fn at(arguments: &AtArguments, store: &EventStore) -> anyhow::Result<Outcome> {
    let is_json = arguments.database.is_json();
    if let Some(name) = &arguments.resource.name {
        let id = id_of(store, name, &arguments.resource).await?;
        let (resource, version) =
            past::resource_at(store.pool(), &id, Moment::Time(arguments.time))
                .await?
                .with_context(|| {
                    format!("{name} did not exist at {}", arguments.time.to_rfc3339())
                })?;
        let mut document = serde_json::to_value(resource.document())?;
        document["version"] = json!(version);
        document["removed"] = json!(!resource.exists());
        print_json(&document)?;
        return Ok(Outcome::Well);
    }
    let fleet = fleet(store, arguments.time, arguments.resource.kind.as_deref()).await?;
    if is_json {
        let items: Vec<&Value> = fleet.values().collect();
        print_json(&json!({"time": arguments.time, "items": items}))?;
        return Ok(Outcome::Well);
    }
    let headings = ["KIND", "NAME", "GENERATION", "RECONCILED", "ID"];
    let rows: Vec<Vec<String>> = fleet
        .values()
        .map(|item| {
            vec![
                output::text(item, "kind"),
                output::text(item, "name"),
                output::text(item, "generation"),
                output::condition(item, "Reconciled")
                    .map(|condition| output::text(condition, "status"))
                    .unwrap_or_default(),
                output::text(item, "id"),
            ]
        })
        .collect();
    print!("{}", output::table(&headings, &rows));
    Ok(Outcome::Well)
}

pub(super) async fn diff(
    arguments: &ReplayDiffArguments,
    store: &EventStore,
) -> anyhow::Result<Outcome> {
    let begin = moment(arguments.from, arguments.from_version);
    let end = moment(arguments.to, arguments.to_version);
    let is_json = arguments.database.is_json();
    let (before, after) = if let Some(name) = &arguments.resource.name {
        let id = id_of(store, name, &arguments.resource).await?;
        (one(store, &id, begin?).await?, one(store, &id, end?).await?)
    } else {
        let (Some(from), Some(to)) = (arguments.from, arguments.to) else {
            bail!("the fleet has no versions; give two times");
        };
        let kind = arguments.resource.kind.as_deref();
        (
            fleet(store, from, kind).await?,
            fleet(store, to, kind).await?,
        )
    };
    let changes = changes(&before, &after)?;
    let count = changes.len();
    if is_json {
        print_json(&json!({ "changes": changes }))?;
    } else {
        for change in &changes {
            print_change(change);
        }
    }
    if count == 0 {
        return Ok(Outcome::Well);
    }
    Ok(Outcome::Different(format!("{count} resource(s) changed")))
}

fn moment(time: Option<DateTime<Utc>>, version: Option<u64>) -> anyhow::Result<Moment> {
    time.map(Moment::Time)
        .or(version.map(Moment::Version))
        .context("give a time or a version")
}

/// Documents by id.
type Documents = BTreeMap<String, Value>;

async fn one(store: &EventStore, id: &str, moment: Moment) -> anyhow::Result<Documents> {
    let found = past::resource_at(store.pool(), id, moment).await?;
    let existing = found.filter(|(resource, _)| resource.exists());
    existing
        .map(|(resource, _)| document(&resource))
        .into_iter()
        .collect()
}

async fn fleet(
    store: &EventStore,
    time: DateTime<Utc>,
    kind: Option<&str>,
) -> anyhow::Result<Documents> {
    let mut documents = Documents::new();
    let mut after = String::new();
    loop {
        let (resources, last) = past::fleet_at(store.pool(), time, &after).await?;
        for resource in resources {
            if kind.is_none_or(|kind| kind.eq_ignore_ascii_case(&resource.kind)) {
                let (id, document) = document(&resource)?;
                documents.insert(id, document);
            }
        }
        let Some(last) = last else {
            return Ok(documents);
        };
        after = last;
    }
}

fn document(resource: &Resource) -> anyhow::Result<(String, Value)> {
    Ok((
        resource.id.clone(),
        serde_json::to_value(resource.document())?,
    ))
}

fn changes(before: &Documents, after: &Documents) -> anyhow::Result<Vec<Value>> {
    let mut changes = Vec::new();
    let mut ids: Vec<&String> = before.keys().chain(after.keys()).collect();
    ids.sort_unstable();
    ids.dedup();
    for id in ids {
        let (old, new) = (before.get(id), after.get(id));
        let what = match (old, new) {
            (None, _) => "created",
            (_, None) => "removed",
            (Some(_), Some(_)) if old == new => continue,
            (Some(_), Some(_)) => "changed",
        };
        let (old, new) = (old.unwrap_or(&Value::Null), new.unwrap_or(&Value::Null));
        let named = if new.is_null() { old } else { new };
        let patch = json_patch::diff(old, new);
        changes.push(
            json!({"id": id, "kind": named["kind"], "name": named["name"], "what": what,
            "patch": serde_json::to_value(patch)?}),
        );
    }
    Ok(changes)
}

fn print_change(change: &Value) {
    println!(
        "{} {} ({})",
        output::qualified_name(change),
        output::text(change, "what"),
        output::text(change, "id")
    );
    if change["what"] != "changed" {
        return;
    }
    for step in change["patch"].as_array().into_iter().flatten() {
        println!(
            "  {} {} {}",
            output::text(step, "op"),
            output::text(step, "path"),
            output::text(step, "value")
        );
    }
}

async fn id_of(
    store: &EventStore,
    name: &str,
    arguments: &PastResourceArguments,
) -> anyhow::Result<String> {
    let found = past::find(store.pool(), name, arguments.kind.as_deref()).await?;
    ensure!(
        !found.is_empty(),
        "there never was a resource with the name or id {name:?}{}",
        if arguments.kind.is_some() {
            " of that kind"
        } else {
            ""
        }
    );
    // One that lives is meant rather than those before it under the same name.
    let mut living = found.iter().filter(|known| !known.is_removed);
    match (living.next(), living.next(), &found[..]) {
        (Some(only), None, _) | (None, _, [only]) => Ok(only.id.clone()),
        _ => {
            let all: Vec<String> = found
                .iter()
                .map(|known| {
                    let gone = if known.is_removed { ", removed" } else { "" };
                    format!("{} {} ({}{gone})", known.kind, known.name, known.id)
                })
                .collect();
            bail!(
                "{name:?} is several resources; give the id: {}",
                all.join("; ")
            )
        }
    }
}
