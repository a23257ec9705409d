//! `hyperfleet get KIND [NAME…] [-l SELECTOR] [--search SEARCH] [-w]`.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::bail;
use chrono::{DateTime, Utc};
use hyperfleet_api_types::Resource;
use hyperfleet_api_types::client::{Client, Collection, ListOptions};
use hyperfleet_runtime::clock::Clock;
use serde_json::Value;

use crate::arguments::{GetArguments, OutputFormat};
use crate::commands::diff;
use crate::moment;
use crate::output;
use crate::selector;
use crate::target::{self, Kind};

/// How often a watch asks. Short enough to feel live, long enough to cost nothing.
const WATCH_INTERVAL: Duration = Duration::from_millis(500);

/// Items asked for at once: the API's largest page.
const PAGE_SIZE: u32 = 100;

pub(crate) async fn run(arguments: GetArguments, clock: &dyn Clock) -> anyhow::Result<()> {
    let client = target::client(&arguments.server)?;
    let kind = Kind::resolve(&client, &arguments.kind).await?;
    let collection = target::collection(&client, &kind, arguments.cluster.as_deref()).await?;
    let format = arguments.output.output;
    let single = arguments.names.len() == 1;
    let found = if arguments.at.is_some() || arguments.version_number.is_some() {
        past(&client, &kind, &collection, &arguments, clock.now()).await?
    } else {
        fetch(&client, &kind, &collection, &arguments).await?
    };
    let mut shown = values(&found)?;
    if shown.is_empty() && format == OutputFormat::Table {
        eprintln!("no {} found", kind.plural);
    } else {
        print!(
            "{}",
            output::resources(&shown, single, format, clock.now())?
        );
    }
    if !arguments.watch {
        return Ok(());
    }
    loop {
        tokio::time::sleep(WATCH_INTERVAL).await;
        let current = values(&fetch(&client, &kind, &collection, &arguments).await?)?;
        print_changes(&shown, &current, format, clock)?;
        shown = current;
    }
}

fn print_changes(
    before: &[Value],
    after: &[Value],
    format: OutputFormat,
    clock: &dyn Clock,
) -> anyhow::Result<()> {
    let known: HashMap<&str, &Value> = before
        .iter()
        .filter_map(|item| Some((item["id"].as_str()?, item)))
        .collect();
    let changed: Vec<Value> = after
        .iter()
        .filter(|item| item["id"].as_str().and_then(|id| known.get(id)) != Some(item))
        .cloned()
        .collect();
    for gone in before
        .iter()
        .filter(|item| !after.iter().any(|other| other["id"] == item["id"]))
    {
        println!("{} removed", output::qualified_name(gone));
    }
    if !changed.is_empty() {
        let printed = output::resources(&changed, changed.len() == 1, format, clock.now())?;
        let headed =
            matches!(format, OutputFormat::Table | OutputFormat::Wide) && !before.is_empty();
        let body = if headed {
            printed.split_once('\n').map_or("", |(_, rows)| rows)
        } else {
            printed.as_str()
        };
        print!("{body}");
    }
    Ok(())
}

/// What there was at the moment that was asked for.
async fn past(
    client: &Client,
    kind: &Kind,
    collection: &Collection,
    arguments: &GetArguments,
    now: DateTime<Utc>,
) -> anyhow::Result<Vec<Resource>> {
    let mut found = Vec::new();
    let Some(at) = &arguments.at else {
        let version = arguments.version_number.unwrap_or_default().to_string();
        for name in &arguments.names {
            let id = diff::id(client, kind, collection, name).await?;
            let moment = ("version", version.clone());
            found.push(client.get_past(collection, &id, moment).await?);
        }
        return Ok(found);
    };
    let at = moment::time(at, now)?;
    let mut options = ListOptions {
        size: Some(PAGE_SIZE),
        order: arguments.sort_by.clone(),
        at: Some(at.clone()),
        ..ListOptions::default()
    };
    if arguments.names.is_empty() {
        return list(client, collection, options).await;
    }
    for name in &arguments.names {
        if target::is_id(name) {
            let moment = ("at", at.clone());
            found.push(client.get_past(collection, name, moment).await?);
            continue;
        }
        options.name = Some(name.clone());
        let named = list(client, collection, options.clone()).await?;
        if named.is_empty() {
            bail!("no {} was named {name:?} at {at}", kind.name);
        }
        found.extend(named);
    }
    Ok(found)
}

/// Every page of a list.
async fn list(
    client: &Client,
    collection: &Collection,
    mut options: ListOptions,
) -> anyhow::Result<Vec<Resource>> {
    let mut found = Vec::new();
    for page in 1.. {
        options.page = Some(page);
        let list = client.list(collection, &options).await?;
        let last = list.items.is_empty() || u64::from(page) * u64::from(PAGE_SIZE) >= list.total;
        found.extend(list.items);
        if last {
            break;
        }
    }
    Ok(found)
}

async fn fetch(
    client: &Client,
    kind: &Kind,
    collection: &Collection,
    arguments: &GetArguments,
) -> anyhow::Result<Vec<Resource>> {
    let mut found = Vec::new();
    if arguments.names.is_empty() {
        let mut options = ListOptions {
            size: Some(PAGE_SIZE),
            ..ListOptions::default()
        };
        options.order.clone_from(&arguments.sort_by);
        options.search = search(arguments)?;
        return list(client, collection, options).await;
    }
    for name in &arguments.names {
        match target::resource(client, kind, collection, name).await {
            Ok(resource) => found.push(resource),
            Err(_) if arguments.watch && !found.is_empty() => {}
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}

/// What the user searches for and the labels that the user selects, together.
fn search(arguments: &GetArguments) -> anyhow::Result<Option<String>> {
    let selected = arguments.selector.as_deref().map(selector::search);
    Ok(match (&arguments.search, selected.transpose()?) {
        (Some(search), Some(selected)) => Some(format!("({search}) and {selected}")),
        (search, selected) => search.clone().or(selected),
    })
}

fn values(resources: &[Resource]) -> anyhow::Result<Vec<Value>> {
    resources
        .iter()
        .map(|resource| Ok(serde_json::to_value(resource)?))
        .collect()
}
