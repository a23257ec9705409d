//! What commands print: tables as kubectl users know them, JSON, YAML, names.

use std::fmt::Write as _;

use chrono::{DateTime, Utc};
use serde_json::Value;

use crate::arguments::OutputFormat;

/// A column: its heading, whether only `-o wide` shows it, and how to get it from a resource.
struct Column {
    heading: &'static str,
    wide: bool,
    cell: fn(&Value, DateTime<Utc>) -> String,
}

const COLUMNS: &[Column] = &[
    Column {
        heading: "NAME",
        wide: false,
        cell: |resource, _| text(resource, "name"),
    },
    Column {
        heading: "CLUSTER",
        wide: false,
        cell: |resource, _| owner(resource),
    },
    Column {
        heading: "RECONCILED",
        wide: false,
        cell: |resource, _| reconciled(resource),
    },
    Column {
        heading: "GENERATION",
        wide: false,
        cell: |resource, _| text(resource, "generation"),
    },
    Column {
        heading: "STATE",
        wide: false,
        cell: |resource, _| state(resource),
    },
    Column {
        heading: "AGE",
        wide: false,
        cell: |resource, now| age(resource, now),
    },
    Column {
        heading: "ID",
        wide: true,
        cell: |resource, _| text(resource, "id"),
    },
    Column {
        heading: "LABELS",
        wide: true,
        cell: |resource, _| labels(resource),
    },
    Column {
        heading: "MESSAGE",
        wide: true,
        cell: |resource, _| reconciled_message(resource),
    },
];

/// Renders resources. `single` prints JSON and YAML without the list around it.
pub(crate) fn resources(
    items: &[Value],
    single: bool,
    format: OutputFormat,
    now: DateTime<Utc>,
) -> anyhow::Result<String> {
    Ok(match format {
        OutputFormat::Table => resource_table(items, false, now),
        OutputFormat::Wide => resource_table(items, true, now),
        OutputFormat::Name => items.iter().fold(String::new(), |mut out, item| {
            let _ = writeln!(out, "{}", qualified_name(item));
            out
        }),
        OutputFormat::Json | OutputFormat::Yaml => {
            let document = match items {
                [item] if single => item.clone(),
                _ => serde_json::json!({ "items": items }),
            };
            structured(&document, format)?
        }
    })
}

/// JSON or YAML of any document; tables do not come here.
pub(crate) fn structured(document: &Value, format: OutputFormat) -> anyhow::Result<String> {
    Ok(match format {
        OutputFormat::Yaml => serde_saphyr::to_string(document)?,
        _ => format!("{}\n", serde_json::to_string_pretty(document)?),
    })
}

/// `cluster/demo-eu-1`, as kubectl's `-o name`.
pub(crate) fn qualified_name(resource: &Value) -> String {
    format!(
        "{}/{}",
        text(resource, "kind").to_lowercase(),
        text(resource, "name")
    )
}

fn resource_table(items: &[Value], wide: bool, now: DateTime<Utc>) -> String {
    let owned = items
        .iter()
        .any(|item| item.get("owner_references").is_some());
    let columns: Vec<&Column> = COLUMNS
        .iter()
        .filter(|column| (wide || !column.wide) && (owned || column.heading != "CLUSTER"))
        .collect();
    let headings: Vec<&str> = columns.iter().map(|column| column.heading).collect();
    let rows: Vec<Vec<String>> = items
        .iter()
        .map(|item| {
            columns
                .iter()
                .map(|column| (column.cell)(item, now))
                .collect()
        })
        .collect();
    table(&headings, &rows)
}

/// Left-aligned columns, three spaces apart. An empty cell shows as `-`.
pub(crate) fn table(headings: &[&str], rows: &[Vec<String>]) -> String {
    let shown: Vec<Vec<&str>> = std::iter::once(headings.to_vec())
        .chain(rows.iter().map(|row| {
            row.iter()
                .map(|cell| if cell.is_empty() { "-" } else { cell.as_str() })
                .collect()
        }))
        .collect();
    let widths: Vec<usize> = (0..headings.len())
        .map(|column| {
            shown
                .iter()
                .filter_map(|row| row.get(column))
                .map(|cell| cell.chars().count())
                .max()
                .unwrap_or(0)
        })
        .collect();
    let mut out = String::new();
    for row in shown {
        let line: Vec<String> = row
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:<width$}"))
            .collect();
        let _ = writeln!(out, "{}", line.join("   ").trim_end());
    }
    out
}

/// A member of a JSON object as text; absent and null are empty.
pub(crate) fn text(value: &Value, member: &str) -> String {
    match value.get(member) {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

/// The condition of a type, if the resource has it.
pub(crate) fn condition<'a>(resource: &'a Value, kind: &str) -> Option<&'a Value> {
    resource
        .pointer("/status/conditions")?
        .as_array()?
        .iter()
        .find(|condition| condition["type"] == kind)
}

fn owner(resource: &Value) -> String {
    resource
        .pointer("/owner_references/id")
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned()
}

fn reconciled(resource: &Value) -> String {
    condition(resource, "Reconciled")
        .map(|condition| text(condition, "status"))
        .unwrap_or_default()
}

fn reconciled_message(resource: &Value) -> String {
    condition(resource, "Reconciled")
        .map(|condition| text(condition, "message"))
        .unwrap_or_default()
}

fn state(resource: &Value) -> String {
    if resource.get("deleted_time").is_some() {
        return "Finalizing".to_owned();
    }
    match reconciled(resource).as_str() {
        "True" => "Ready".to_owned(),
        _ => condition(resource, "LastKnownReconciled")
            .filter(|condition| condition["status"] == "True")
            .map_or_else(|| "Provisioning".to_owned(), |_| "Updating".to_owned()),
    }
}

fn labels(resource: &Value) -> String {
    resource
        .get("labels")
        .and_then(Value::as_object)
        .map(|labels| {
            let pairs: Vec<String> = labels
                .iter()
                .map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()))
                .collect();
            pairs.join(",")
        })
        .unwrap_or_default()
}

fn age(resource: &Value, now: DateTime<Utc>) -> String {
    time(resource, "created_time")
        .map(|created| duration(now - created))
        .unwrap_or_default()
}

/// A member as a time.
pub(crate) fn time(value: &Value, member: &str) -> Option<DateTime<Utc>> {
    value.get(member)?.as_str()?.parse().ok()
}

/// A span in the two largest units that fit, as kubectl shows ages.
pub(crate) fn duration(span: chrono::TimeDelta) -> String {
    let seconds = span.num_seconds().max(0);
    match seconds {
        0..=119 => format!("{seconds}s"),
        120..=7_199 => format!("{}m{}s", seconds / 60, seconds % 60),
        7_200..=172_799 => format!("{}h{}m", seconds / 3_600, seconds % 3_600 / 60),
        _ => format!("{}d{}h", seconds / 86_400, seconds % 86_400 / 3_600),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn now() -> DateTime<Utc> {
        "2026-03-01T12:01:30Z".parse().unwrap()
    }

    fn cluster() -> Value {
        json!({"id": "0190", "kind": "Cluster", "name": "demo", "generation": 2, "labels": {"tier": "gold"},
            "created_time": "2026-03-01T12:00:00Z",
            "status": {"conditions": [{"type": "Reconciled", "status": "True", "message": "all"}]}})
    }

    #[test]
    fn a_table_shows_what_an_operator_asks_first() {
        let printed = resources(&[cluster()], false, OutputFormat::Table, now()).unwrap();
        assert_eq!(
            printed,
            "NAME   RECONCILED   GENERATION   STATE   AGE\ndemo   True         2            Ready   90s\n"
        );
    }

    #[test]
    fn a_finalizing_resource_says_so() {
        let mut deleted = cluster();
        deleted["deleted_time"] = json!("2026-03-01T12:01:00Z");
        let printed = resources(&[deleted], false, OutputFormat::Table, now()).unwrap();
        assert!(printed.contains("Finalizing"), "{printed}");
    }

    #[test]
    fn names_are_qualified_by_kind() {
        assert_eq!(
            resources(&[cluster()], false, OutputFormat::Name, now()).unwrap(),
            "cluster/demo\n"
        );
    }

    #[test]
    fn one_resource_prints_bare_and_several_as_a_list() {
        let one = resources(&[cluster()], true, OutputFormat::Json, now()).unwrap();
        assert_eq!(serde_json::from_str::<Value>(&one).unwrap(), cluster());
        let many = resources(&[cluster()], false, OutputFormat::Json, now()).unwrap();
        assert_eq!(
            serde_json::from_str::<Value>(&many).unwrap(),
            json!({"items": [cluster()]})
        );
    }

    #[test]
    fn durations_show_two_units() {
        let shown = |seconds| duration(chrono::TimeDelta::seconds(seconds));
        assert_eq!(
            [
                shown(-1),
                shown(119),
                shown(120),
                shown(7_200),
                shown(180_000)
            ],
            ["0s", "119s", "2m0s", "2h0m", "2d2h"]
        );
    }
}
