//! Histories as tables.

use std::fmt::Write as _;

use chrono::SecondsFormat;
use hyperfleet_api_types::{AuditEntry, FieldChange, HistoryEntry, HistoryItem};
use serde_json::Value;

use crate::output;

/// Changed values longer than this are cut in tables, in characters; `-o json` has them whole.
const VALUE_WIDTH: usize = 60;

/// A table of what happened to several resources.
pub(super) fn items(items: &[HistoryItem], wide: bool) -> String {
    let mut headings = vec!["TIME", "RESOURCE", "EVENT", "GENERATION", "ACTOR", "CHANGE"];
    if wide {
        headings.extend(["SOURCE", "POSITION", "VERSION", "REQUEST"]);
    }
    let rows: Vec<Vec<String>> = items
        .iter()
        .map(|item| match item {
            HistoryItem::Accepted(entry) => accepted(entry, wide),
            HistoryItem::Refused(entry) => audited("refused", entry, wide),
            HistoryItem::Unchanged(entry) => audited("unchanged", entry, wide),
            HistoryItem::Replayed(entry) => audited("replayed", entry, wide),
        })
        .collect();
    output::table(&headings, &rows)
}

fn accepted(entry: &HistoryEntry, wide: bool) -> Vec<String> {
    let mut row = vec![
        entry.time.to_rfc3339_opts(SecondsFormat::Millis, true),
        format!("{}/{}", entry.kind.to_lowercase(), entry.name),
        short_type(entry),
        entry.generation.to_string(),
        entry.actor.clone(),
        summary(&entry.changes),
    ];
    if wide {
        row.extend([
            entry.source_address.clone().unwrap_or_default(),
            entry.position.to_string(),
            entry.sequence.to_string(),
            entry.request_id.clone(),
        ]);
    }
    row
}

fn audited(outcome: &str, entry: &AuditEntry, wide: bool) -> Vec<String> {
    let code = entry.code.as_deref().unwrap_or_default();
    let code = code.trim_start_matches("HYPERFLEET-");
    let mut row = vec![
        entry.time.to_rfc3339_opts(SecondsFormat::Millis, true),
        entry.path.clone(),
        format!("{} {outcome}: {} {code}", entry.method, entry.status)
            .trim_end()
            .to_owned(),
        String::new(),
        entry.actor.clone(),
        cut(&entry.detail),
    ];
    if wide {
        row.extend([
            entry.source_address.clone().unwrap_or_default(),
            String::new(),
            String::new(),
            entry.request_id.clone(),
        ]);
    }
    row
}

fn short_type(entry: &HistoryEntry) -> String {
    let short = entry.event_type.trim_start_matches("hyperfleet.");
    short.to_owned()
}

/// A table of the events of one resource, each with what it changed.
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
                short_type(entry),
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
        // The first generation of something says nothing, its name does.
        Some("generation") if change.from.is_none() => 3,
        Some("generation" | "deleted_time" | "name") => 1,
        Some("message" | "reason") => 3,
        _ => 2,
    };
    let mut telling: Vec<&FieldChange> = changes
        .iter()
        .filter(|change| rank(change) < 2 || !change.path.ends_with("_time"))
        // A status without any conditions yet.
        .filter(|change| change.to.as_ref().and_then(statuses).as_deref() != Some(""))
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
    cut(&text)
}

fn cut(text: &str) -> String {
    if text.chars().count() <= VALUE_WIDTH {
        return text.to_owned();
    }
    let cut: String = text.chars().take(VALUE_WIDTH - 1).collect();
    format!("{cut}…")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn change(path: &str, from: Option<Value>, to: Option<Value>) -> FieldChange {
        FieldChange {
            path: path.to_owned(),
            from,
            to,
        }
    }

    #[test]
    fn a_creation_is_summed_up_by_its_name() {
        let created = [
            change("/created_time", None, Some(json!("2026-01-02T03:04:05Z"))),
            change("/generation", None, Some(json!(1))),
            change("/name", None, Some(json!("demo"))),
            change("/status", None, Some(json!({"conditions": []}))),
        ];
        assert_eq!(summary(&created), "name: demo (+1 more)");
    }

    #[test]
    fn a_status_that_changes_tells_the_most() {
        let changed = [
            change("/generation", Some(json!(1)), Some(json!(2))),
            change(
                "/status/conditions/Ready/status",
                Some(json!("False")),
                Some(json!("True")),
            ),
        ];
        assert_eq!(summary(&changed), "Ready.status: False → True (+1 more)");
    }
}
