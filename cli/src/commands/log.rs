//! `hyperfleet log`: looking at the partitions of the log, putting old ones aside and bringing them back.

use anyhow::{Context as _, bail};
use chrono::{DateTime, SecondsFormat, Utc};
use hyperfleet_event_store::partitions::{self, Contents, Partition};
use serde_json::json;
use sqlx::PgPool;

use crate::arguments::{ArchiveArguments, LogCommand, ReportFormat, RestoreArguments};
use crate::control_plane::Database;
use crate::dispatch::Role;
use crate::{moment, output};

pub(crate) async fn run(
    command: &LogCommand,
    role: &Role,
    now: DateTime<Utc>,
) -> anyhow::Result<()> {
    let settings = role.configuration.database.for_maintenance();
    let database = Database::open(&settings.choice()?, &settings).await?;
    let store = database.store(&role.metrics).await?;
    let outcome = match command {
        LogCommand::Partitions(arguments) => list(store.pool(), arguments.output).await,
        LogCommand::Archive(arguments) => archive(store.pool(), arguments, now).await,
        LogCommand::Restore(arguments) => restore(store.pool(), arguments).await,
    };
    drop(store);
    let stopped = database.stop().await;
    outcome?;
    stopped
}

async fn list(pool: &PgPool, format: ReportFormat) -> anyhow::Result<()> {
    let mut all = Vec::new();
    for partition in partitions::list(pool).await? {
        let contents = partition.contents(pool).await?;
        all.push((partition, contents));
    }
    if format == ReportFormat::Json {
        let documents: Vec<_> = all.iter().map(document).collect();
        println!(
            "{}",
            serde_json::to_string_pretty(&json!({"partitions": documents}))?
        );
        return Ok(());
    }
    let headings = [
        "PARTITION",
        "STATE",
        "FROM",
        "TO",
        "EVENTS",
        "SIZE",
        "FIRST EVENT",
        "LAST EVENT",
    ];
    print!(
        "{}",
        output::table(&headings, &all.iter().map(row).collect::<Vec<_>>())
    );
    Ok(())
}

fn document((partition, contents): &(Partition, Contents)) -> serde_json::Value {
    json!({
        "name": partition.name, "state": state(partition), "first_position": partition.first,
        "end_position": partition.end, "events": contents.events, "bytes": partition.bytes,
        "first_event_at": contents.from, "last_event_at": contents.to,
    })
}

fn row((partition, contents): &(Partition, Contents)) -> Vec<String> {
    let time = |time: Option<DateTime<Utc>>| {
        time.map_or_else(String::new, |time| {
            time.to_rfc3339_opts(SecondsFormat::Secs, true)
        })
    };
    vec![
        partition.name.clone(),
        state(partition).to_owned(),
        partition.first.to_string(),
        partition
            .end
            .map_or_else(|| "(open)".to_owned(), |end| (end - 1).to_string()),
        contents.events.to_string(),
        size(partition.bytes),
        time(contents.from),
        time(contents.to),
    ]
}

fn state(partition: &Partition) -> &'static str {
    if partition.is_archived {
        "archived"
    } else {
        "live"
    }
}

/// Bytes for people.
fn size(bytes: u64) -> String {
    let units = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    let unit = units.into_iter().find(|(unit, _)| bytes >= *unit);
    let (unit, name) = unit.unwrap_or((1, "B"));
    format!("{} {name}", bytes / unit)
}

async fn archive(
    pool: &PgPool,
    arguments: &ArchiveArguments,
    now: DateTime<Utc>,
) -> anyhow::Result<()> {
    let mut chosen = Vec::new();
    let before: Option<DateTime<Utc>> = arguments
        .before
        .as_deref()
        .map(|text| moment::time(text, now)?.parse().context("no time"))
        .transpose()?;
    let all = partitions::list(pool).await?;
    for partition in &all {
        if let Some(before) = before {
            let contents = partition.contents(pool).await?;
            let is_old = contents.to.is_some_and(|last| last < before);
            if !partition.is_archived && partition.end.is_some() && is_old {
                chosen.push(partition.name.clone());
            }
        } else if Some(&partition.name) == arguments.partition.as_ref() {
            chosen.push(partition.name.clone());
        }
    }
    if let (true, Some(name)) = (chosen.is_empty(), &arguments.partition) {
        bail!("there is no partition {name:?}; `hyperfleet log partitions` lists them");
    }
    if chosen.is_empty() {
        println!("no complete partition is that old");
        return Ok(());
    }
    for name in chosen {
        if arguments.dry_run {
            println!("{name} would be archived");
            continue;
        }
        partitions::archive(pool, &name).await?;
        println!("{name} is archived; its events stay readable");
    }
    Ok(())
}

async fn restore(pool: &PgPool, arguments: &RestoreArguments) -> anyhow::Result<()> {
    let name = &arguments.partition;
    if arguments.dry_run {
        let all = partitions::list(pool).await?;
        if !all
            .iter()
            .any(|partition| partition.is_archived && partition.name == *name)
        {
            bail!(
                "no archived partition is called {name:?}; `hyperfleet log partitions` lists them"
            );
        }
        println!("{name} would be brought back");
        return Ok(());
    }
    partitions::restore(pool, name).await?;
    println!("{name} is live again");
    Ok(())
}
