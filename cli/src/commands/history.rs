//! `hyperfleet history KIND NAME`: every event, also of a resource that is gone.

use std::fmt::Write as _;

use anyhow::bail;
use hyperfleet_api_types::client::{Client, Collection, ListOptions};
use hyperfleet_api_types::{FieldChange, HistoryEntry};
use serde_json::Value;

use crate::arguments::{HistoryArguments, OutputFormat};
use crate::output;
use crate::target::{self, Kind};

/// Events asked for at once: the API's largest page.
const PAGE_SIZE: u32 = 100;

/// Changed values longer than this are cut in tables, in characters; `-o json` has them whole.
const VALUE_WIDTH: usize = 60;

pub(crate) async fn run(arguments: HistoryArguments) -> anyhow::Result<()> {
    let client = target::client(&arguments.server)?;
    let kind = Kind::resolve(&client, &arguments.target.kind).await?;
    let name = &arguments.target.name;
    let entries = if target::is_id(name) {
        of_id(&client, &Collection::of(&kind.plural), name).await?
    } else if let Some(cluster) = arguments.target.cluster.as_deref() {
        let collection = target::collection(&client, &kind, Some(cluster)).await?;
        let resource = target::resource(&client, &kind, &collection, name).await?;
        of_id(&client, &collection, &resource.id).await?
    } else {
        of_name(&client, &kind.name, name).await?
    };
    if entries.is_empty() {
        bail!("no {} was ever named {name:?}", kind.name);
    }
    match arguments.output.output {
        OutputFormat::Json | OutputFormat::Yaml => {
            let document = serde_json::json!({ "items": entries });
            print!(
                "{}",
                output::structured(&document, arguments.output.output)?
            );
        }
        format => print!("{}", timeline(&entries, format == OutputFormat::Wide)),
    }
    Ok(())
}

pub(crate) async fn of_id(
    client: &Client,
    collection: &Collection,
    id: &str,
) -> anyhow::Result<Vec<HistoryEntry>> {
    let mut entries = Vec::new();
    for page in 1.. {
        let options = ListOptions {
            page: Some(page),
            size: Some(PAGE_SIZE),
            ..ListOptions::default()
        };
        let history = client.history(collection, id, &options).await?;
        let last =
            history.items.is_empty() || u64::from(page) * u64::from(PAGE_SIZE) >= history.total;
        entries.extend(history.items);
        if last {
            break;
        }
    }
    Ok(entries)
}

async fn of_name(client: &Client, kind: &str, name: &str) -> anyhow::Result<Vec<HistoryEntry>> {
    let mut entries = Vec::new();
    for page in 1.. {
        let options = ListOptions {
            page: Some(page),
            size: Some(PAGE_SIZE),
            ..ListOptions::default()
        };
        let history = client.history_by_name(kind, name, &options).await?;
        let last =
            history.items.is_empty() || u64::from(page) * u64::from(PAGE_SIZE) >= history.total;
        entries.extend(history.items);
        if last {
            break;
        }
    }
    Ok(entries)
}

/// A table of events, each with what it changed.
pub(crate) fn timeline(entries: &[HistoryEntry], wide: bool) -> String {
    let mut headings = vec!["SEQUENCE", "TIME", "EVENT", "GENERATION", "ACTOR", "CHANGE"];
    if wide {
        headings.extend(["POSITION", "REQUEST"]);
    }
    let rows: Vec<Vec<String>> = entries
        .iter()
        .map(|entry| {
            let mut row = vec![
                entry.sequence.to_string(),
                entry.time.format("%H:%M:%S%.3f").to_string(),
                entry
                    .event_type
                    .trim_start_matches("hyperfleet.")
                    .to_owned(),
                entry.generation.to_string(),
                entry.actor.clone(),
                summary(&entry.changes),
            ];
            if wide {
                row.extend([entry.position.to_string(), entry.request_id.clone()]);
            }
            row
        })
        .collect();
    output::table(&headings, &rows)
}

/// The change that tells the most: a status before anything else, and no times.
fn summary(changes: &[FieldChange]) -> String {
    let rank = |change: &FieldChange| match change.path.rsplit('/').next() {
        Some("status") => 0,
        Some("generation" | "deleted_time") => 1,
        Some("message" | "reason") => 3,
        _ => 2,
    };
    let mut telling: Vec<&FieldChange> = changes
        .iter()
        .filter(|change| rank(change) < 2 || !change.path.ends_with("_time"))
        .collect();
    telling.sort_by_key(|change| rank(change));
    let Some(first) = telling.first() else {
        return String::new();
    };
    let path = first.path.trim_start_matches('/').replace('/', ".");
    let mut text = path
        .replace("status.conditions.", "")
        .replace("adapter_statuses.", "");
    match (&first.from, &first.to) {
        (Some(from), Some(to)) => {
            let _ = write!(text, ": {} → {}", short(from), short(to));
        }
        (None, Some(to)) => {
            let _ = write!(text, ": {}", short(to));
        }
        _ => text.push_str(" removed"),
    }
    if telling.len() > 1 {
        let _ = write!(text, " (+{} more)", telling.len() - 1);
    }
    text
}

/// The statuses of an adapter's report, or of a condition.
fn statuses(value: &Value) -> Option<String> {
    if let Some(status) = value["status"].as_str() {
        return Some(status.to_owned());
    }
    let of = |condition: &Value| {
        Some(format!(
            "{}={}",
            condition["type"].as_str()?,
            condition["status"].as_str()?
        ))
    };
    let shown: Vec<String> = value["conditions"]
        .as_array()?
        .iter()
        .filter_map(of)
        .collect();
    Some(shown.join(" "))
}

fn short(value: &Value) -> String {
    let text = value
        .as_str()
        .map(str::to_owned)
        .or_else(|| statuses(value))
        .unwrap_or_else(|| value.to_string());
    if text.chars().count() <= VALUE_WIDTH {
        return text;
    }
    let cut: String = text.chars().take(VALUE_WIDTH - 1).collect();
    format!("{cut}…")
}
