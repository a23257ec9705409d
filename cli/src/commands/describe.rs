//! `hyperfleet describe KIND NAME`.

use std::fmt::Write as _;

use chrono::{DateTime, SecondsFormat, Utc};
use hyperfleet_api_types::client::{Collection, ListOptions};
use hyperfleet_api_types::{AdapterStatus, ObjectReference, Resource};

use crate::arguments::DescribeArguments;
use crate::commands::history;
use crate::{output, target};

/// How many of the latest events to show.
const RECENT_EVENTS: usize = 10;

pub(crate) async fn run(arguments: DescribeArguments, now: DateTime<Utc>) -> anyhow::Result<()> {
    let client = target::client(&arguments.server)?;
    let (kind, collection, resource) = target::locate(&client, &arguments.target).await?;
    let options = ListOptions {
        size: Some(100),
        ..ListOptions::default()
    };
    let statuses = client
        .statuses(&collection, &resource.id, &options)
        .await?
        .items;
    let entries = history::of_id(&client, &collection, &resource.id).await?;
    let mut text = overview(&resource, now)?;
    text.push_str(&conditions(&resource, now));
    text.push_str(&adapters(&statuses, now));
    for child in kind.children(&client).await? {
        let children = client
            .list_all(&Collection::under(
                &kind.plural,
                &resource.id,
                &child.plural,
            ))
            .await?;
        let values: Vec<_> = children
            .iter()
            .map(serde_json::to_value)
            .collect::<Result<_, _>>()?;
        section(
            &mut text,
            &child.plural,
            &output::resources(&values, false, crate::arguments::OutputFormat::Table, now)?,
            values.is_empty(),
        );
    }
    let recent = &entries[entries.len().saturating_sub(RECENT_EVENTS)..];
    section(
        &mut text,
        "recent events",
        &history::timeline(recent, false),
        recent.is_empty(),
    );
    print!("{text}");
    Ok(())
}

/// Kind and id of each.
fn named(references: &[ObjectReference]) -> Vec<String> {
    let name = |link: &ObjectReference| {
        format!("{} {}", link.kind, link.id.as_deref().unwrap_or_default())
    };
    references.iter().map(name).collect()
}

fn overview(resource: &Resource, now: DateTime<Utc>) -> anyhow::Result<String> {
    let mut text = String::new();
    let mut line = |key: &str, value: &str| {
        let _ = writeln!(text, "{:<14}{value}", format!("{key}:"));
    };
    line("Name", &resource.name);
    line("Kind", &resource.kind);
    line("Id", &resource.id);
    line("Path", &resource.href);
    if let Some(owner) = &resource.owner_references {
        line("Owner", &named(std::slice::from_ref(owner)).concat());
    }
    for (ref_type, targets) in &resource.references {
        line(
            "Refers to",
            &format!("{} ({ref_type})", named(targets).join(", ")),
        );
    }
    line("Generation", &resource.generation.to_string());
    let labels: Vec<String> = resource
        .labels
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    line(
        "Labels",
        if labels.is_empty() {
            "-".to_owned()
        } else {
            labels.join(", ")
        }
        .as_str(),
    );
    line(
        "Created",
        &format!(
            "{} by {} ({} ago)",
            moment(resource.created_time),
            resource.created_by,
            output::duration(now - resource.created_time)
        ),
    );
    line(
        "Updated",
        &format!(
            "{} by {}",
            moment(resource.updated_time),
            resource.updated_by
        ),
    );
    if let Some(deleted) = resource.deleted_time {
        line(
            "Deleted",
            &format!(
                "{} by {}; waiting for adapters to finalize",
                moment(deleted),
                resource.deleted_by.as_deref().unwrap_or("-")
            ),
        );
    }
    let _ = writeln!(text, "Spec:");
    for row in output::structured(
        &serde_json::to_value(&resource.spec)?,
        crate::arguments::OutputFormat::Yaml,
    )?
    .lines()
    {
        let _ = writeln!(text, "  {row}");
    }
    Ok(text)
}

/// A time as people read it: to the second, in UTC.
fn moment(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}

fn conditions(resource: &Resource, now: DateTime<Utc>) -> String {
    let rows: Vec<Vec<String>> = resource
        .status
        .conditions
        .iter()
        .map(|condition| {
            vec![
                condition.condition_type.clone(),
                condition.status.clone(),
                condition.observed_generation.to_string(),
                output::duration(now - condition.last_transition_time),
                condition.reason.clone().unwrap_or_default(),
                condition.message.clone().unwrap_or_default(),
            ]
        })
        .collect();
    let mut text = String::new();
    let table = output::table(
        &["TYPE", "STATUS", "GENERATION", "SINCE", "REASON", "MESSAGE"],
        &rows,
    );
    section(&mut text, "conditions", &table, rows.is_empty());
    text
}

fn adapters(statuses: &[AdapterStatus], now: DateTime<Utc>) -> String {
    let rows: Vec<Vec<String>> = statuses
        .iter()
        .map(|status| {
            let of = |name: &str| {
                status
                    .conditions
                    .iter()
                    .find(|condition| condition.condition_type == name)
                    .map(|condition| condition.status.clone())
                    .unwrap_or_default()
            };
            let message = status
                .conditions
                .iter()
                .find(|condition| condition.condition_type == "Available")
                .and_then(|condition| condition.message.clone());
            vec![
                status.adapter.clone(),
                of("Applied"),
                of("Available"),
                of("Health"),
                of("Finalized"),
                status.observed_generation.to_string(),
                output::duration(now - status.last_report_time),
                message.unwrap_or_default(),
            ]
        })
        .collect();
    let mut text = String::new();
    let table = output::table(
        &[
            "ADAPTER",
            "APPLIED",
            "AVAILABLE",
            "HEALTH",
            "FINALIZED",
            "GENERATION",
            "REPORTED",
            "MESSAGE",
        ],
        &rows,
    );
    section(&mut text, "adapters", &table, rows.is_empty());
    text
}

fn section(text: &mut String, title: &str, table: &str, empty: bool) {
    let mut heading = title.to_owned();
    if let Some(first) = heading.get_mut(0..1) {
        first.make_ascii_uppercase();
    }
    let _ = writeln!(text, "{heading}:");
    if empty {
        let _ = writeln!(text, "  none");
        return;
    }
    for row in table.lines() {
        let _ = writeln!(text, "  {row}");
    }
}
