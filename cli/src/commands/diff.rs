//! `hyperfleet diff KIND NAME --from MOMENT [--to MOMENT]`: what changed in between.

use std::fmt::Write as _;
use std::io::IsTerminal as _;

use anyhow::{Context as _, bail};
use chrono::{DateTime, Utc};
use hyperfleet_api_types::FieldChange;
use hyperfleet_api_types::client::{Client, Collection};
use hyperfleet_projections::history::difference;
use serde_json::{Value, json};

use super::history;
use crate::arguments::{DiffArguments, DiffFormat};
use crate::target::{self, Kind};
use crate::{environment, moment};

/// What a part of the text is painted with: ANSI colours of terminals.
const RED: &str = "\u{1b}[31m";
const GREEN: &str = "\u{1b}[32m";
const YELLOW: &str = "\u{1b}[33m";
const PLAIN: &str = "\u{1b}[0m";

pub(crate) async fn run(arguments: DiffArguments, now: DateTime<Utc>) -> anyhow::Result<()> {
    let client = target::client(&arguments.server)?;
    let target = &arguments.target;
    let kind = Kind::resolve(&client, &target.kind).await?;
    let collection = target::collection(&client, &kind, target.cluster.as_deref()).await?;
    let id = id(&client, &kind, &collection, &target.name).await?;
    let from = moment::time_or_version(&arguments.from, now)?;
    let to = arguments.to.as_deref();
    let to = to.map(|to| moment::time_or_version(to, now)).transpose()?;
    let before = state(&client, &collection, &id, Some(from)).await?;
    let after = state(&client, &collection, &id, to).await?;
    let (before, after) = match (before, after) {
        (Err(why), Err(_)) => return Err(why).context("it existed at neither moment"),
        (before, after) => (before.ok(), after.ok()),
    };
    let nothing = json!({});
    let (before, after) = (
        before.as_ref().unwrap_or(&nothing),
        after.as_ref().unwrap_or(&nothing),
    );
    match arguments.output {
        DiffFormat::Json => {
            let patch = json_patch::diff(before, after);
            println!("{}", serde_json::to_string_pretty(&patch)?);
        }
        DiffFormat::Text => {
            let changes = difference(before, after);
            if changes.is_empty() {
                eprintln!("no difference");
            }
            print!("{}", text(&changes, is_coloured()));
        }
    }
    Ok(())
}

/// The id of the resource of that name: the one that lives, else the only one that ever had it.
pub(crate) async fn id(
    client: &Client,
    kind: &Kind,
    collection: &Collection,
    name: &str,
) -> anyhow::Result<String> {
    if target::is_id(name) {
        return Ok(name.to_owned());
    }
    let alive = target::resource(client, kind, collection, name).await;
    let missing = match alive {
        Ok(resource) => return Ok(resource.id),
        Err(missing) => missing,
    };
    let mut ids = history::ids_ever_named(client, kind, name).await?;
    match ids.len() {
        0 => Err(missing),
        1 => Ok(ids.swap_remove(0)),
        _ => bail!(
            "several {} that are gone were named {name:?}; name one by id ({})",
            kind.plural,
            ids.join(", ")
        ),
    }
}

/// The resource at a moment; inside, why there was none.
async fn state(
    client: &Client,
    collection: &Collection,
    id: &str,
    moment: Option<moment::Parameter>,
) -> anyhow::Result<anyhow::Result<Value>> {
    let found = match moment {
        Some(moment) => client.get_past(collection, id, moment).await,
        None => client.get(collection, id).await,
    };
    match found {
        Ok(resource) => Ok(Ok(serde_json::to_value(resource)?)),
        Err(error) if error.is_not_found() => Ok(Err(error.into())),
        Err(error) => Err(error.into()),
    }
}

/// Whether people read it, who did not ask for no colours (`NO_COLOR`).
fn is_coloured() -> bool {
    let plain = environment::variables().get("NO_COLOR").cloned();
    std::io::stdout().is_terminal() && plain.is_none_or(|value| value.is_empty())
}

/// One line for each member: `+` came, `-` went, `~` changed.
fn text(changes: &[FieldChange], coloured: bool) -> String {
    let mut text = String::new();
    for change in changes {
        let path = change.path.trim_start_matches('/').replace('/', ".");
        let path = path.replace("~1", "/").replace("~0", "~");
        let (colour, line) = match (&change.from, &change.to) {
            (None, Some(to)) => (GREEN, format!("+ {path}: {}", value(to))),
            (Some(from), None) => (RED, format!("- {path}: {}", value(from))),
            (Some(from), Some(to)) => {
                let (from, to) = (value(from), value(to));
                (YELLOW, format!("~ {path}: {from} → {to}"))
            }
            (None, None) => continue,
        };
        let _ = if coloured {
            writeln!(text, "{colour}{line}{PLAIN}")
        } else {
            writeln!(text, "{line}")
        };
    }
    text
}

/// A value, for people: of a condition what it says, of anything else its JSON.
fn value(value: &Value) -> String {
    let (Some(_), Some(status)) = (value["type"].as_str(), value["status"].as_str()) else {
        return value.to_string();
    };
    let told = ["reason", "message"].map(|member| value[member].as_str().unwrap_or_default());
    let told: Vec<&str> = told.into_iter().filter(|text| !text.is_empty()).collect();
    if told.is_empty() {
        return status.to_owned();
    }
    format!("{status} ({})", told.join(": "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_change_is_a_line() {
        let changes = difference(
            &json!({"spec": {"a": 1, "gone": true}}),
            &json!({"spec": {"a": 2, "x/y": "new"}}),
        );
        let lines = "~ spec.a: 1 → 2\n- spec.gone: true\n+ spec.x/y: \"new\"\n";
        assert_eq!(text(&changes, false), lines);
        assert!(text(&changes, true).starts_with("\u{1b}[33m~ spec.a"));
    }

    #[test]
    fn a_condition_says_its_status_and_why() {
        let condition = |status: &str| {
            json!({"type": "Ready", "status": status, "reason": "Waiting", "message": "for DNS",
                "last_updated_time": "2026-01-02T03:04:05Z"})
        };
        let changes = difference(
            &json!({"status": {"conditions": []}}),
            &json!({"status": {"conditions": [condition("False")]}}),
        );
        let line = "+ status.conditions.Ready: False (Waiting: for DNS)\n";
        assert_eq!(text(&changes, false), line);
    }
}
