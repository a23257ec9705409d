//! `hyperfleet sentinel explain|dry-run|unselected`: looking at what sentinels do, on the database itself.

mod dry_run;
mod explain;

use anyhow::{Context as _, ensure};
use hyperfleet_domain::Registry;
use hyperfleet_domain::registry::EntityDescriptor;
use hyperfleet_projections::reconcile_queue;
use serde_json::json;
use sqlx::PgPool;

use crate::arguments::{ReportFormat, SentinelCommand, UnselectedArguments};
use crate::control_plane::Database;
use crate::dispatch::Role;
use crate::{moment, output};

pub(crate) async fn run(command: &SentinelCommand, role: &Role) -> anyhow::Result<()> {
    let settings = role.configuration.database.for_maintenance();
    let database = Database::open(&settings.choice()?, &settings).await?;
    let store = database.store(&role.metrics).await?;
    let (pool, registry) = (store.pool(), role.configuration.registry.as_ref());
    let outcome = match command {
        SentinelCommand::Explain(arguments) => explain::run(arguments, pool, registry).await,
        SentinelCommand::DryRun(arguments) => dry_run::run(arguments, pool, registry).await,
        SentinelCommand::Unselected(arguments) => unselected(arguments, pool, registry).await,
    };
    drop(store);
    let stopped = database.stop().await;
    outcome?;
    stopped
}

/// The registered kind of that name, singular or plural.
fn kind<'a>(registry: &'a Registry, wanted: &str) -> anyhow::Result<&'a EntityDescriptor> {
    let found = registry.iter().find(|known| {
        known.kind.eq_ignore_ascii_case(wanted) || known.plural.eq_ignore_ascii_case(wanted)
    });
    found.with_context(|| {
        let known: Vec<&str> = registry.iter().map(|kind| kind.plural.as_str()).collect();
        format!(
            "there is no kind {wanted:?}; there are: {}",
            known.join(", ")
        )
    })
}

async fn unselected(
    arguments: &UnselectedArguments,
    pool: &PgPool,
    registry: &Registry,
) -> anyhow::Result<()> {
    let kinds: Vec<&EntityDescriptor> = match &arguments.kind {
        Some(wanted) => vec![kind(registry, wanted)?],
        None => registry
            .iter()
            .filter(|kind| !kind.required_adapters.is_empty())
            .collect(),
    };
    ensure!(!kinds.is_empty(), "no kind has adapters");
    let (mut documents, mut rows) = (Vec::new(), Vec::new());
    for kind in kinds {
        let found = reconcile_queue::unselected(pool, &kind.kind, arguments.limit).await?;
        let mut resources = Vec::new();
        for id in &found.first {
            let Some(entry) = reconcile_queue::entry(pool, id).await? else {
                continue;
            };
            let labels: Vec<String> = entry
                .resource
                .labels
                .iter()
                .map(|(key, value)| format!("{key}={value}"))
                .collect();
            rows.push(vec![
                kind.kind.clone(),
                entry.resource.name.clone(),
                id.clone(),
                labels.join(","),
                moment::written(entry.due_time),
            ]);
            resources.push(json!({
                "id": id, "name": entry.resource.name, "labels": entry.resource.labels,
                "due_time": moment::written(entry.due_time),
            }));
        }
        documents.push(json!({"kind": kind.kind, "count": found.count, "resources": resources}));
    }
    if arguments.output == ReportFormat::Json {
        println!(
            "{}",
            serde_json::to_string_pretty(&json!({"kinds": documents}))?
        );
    } else if rows.is_empty() {
        println!("every resource that was due is selected by a running sentinel");
    } else {
        let headings = ["KIND", "NAME", "ID", "LABELS", "DUE SINCE"];
        print!("{}", output::table(&headings, &rows));
    }
    Ok(())
}
