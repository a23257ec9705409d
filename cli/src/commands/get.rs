//! `hyperfleet get KIND [NAME…] [-l SELECTOR] [--search SEARCH] [-w]`.

mod watching;

use anyhow::bail;
use chrono::{DateTime, Utc};
use hyperfleet_api_types::Resource;
use hyperfleet_api_types::client::{Client, Collection, ListOptions};
use hyperfleet_runtime::clock::Clock;
use serde_json::Value;

use self::watching::Watched;
use crate::arguments::{GetArguments, OutputFormat};
use crate::commands::diff;
use crate::moment;
use crate::output;
use crate::selector;
use crate::target::{self, Kind};

/// Items asked for at once: the API's largest page.
const PAGE_SIZE: u32 = 100;

pub(crate) async fn run(arguments: GetArguments, clock: &dyn Clock) -> anyhow::Result<()> {
    let client = target::client(&arguments.server)?;
    let kind = Kind::resolve(&client, &arguments.kind).await?;
    let collection = target::collection(&client, &kind, arguments.cluster.as_deref()).await?;
    if arguments.watch || arguments.watch_only {
        return watch(&client, &kind, &collection, &arguments, clock).await;
    }
    let format = arguments.output.output;
    let single = arguments.names.len() == 1;
    let found = if arguments.at.is_some() || arguments.version_number.is_some() {
        past(&client, &kind, &collection, &arguments, clock.now()).await?
    } else {
        fetch(&client, &kind, &collection, &arguments).await?
    };
    let shown = values(&found)?;
    if shown.is_empty() && format == OutputFormat::Table {
        eprintln!("no {} found", kind.plural);
    } else {
        print!(
            "{}",
            output::resources(&shown, single, format, clock.now())?
        );
    }
    Ok(())
}

async fn watch(
    client: &Client,
    kind: &Kind,
    collection: &Collection,
    arguments: &GetArguments,
    clock: &dyn Clock,
) -> anyhow::Result<()> {
    // A watch tells its initial state in the order of creation, so another order is asked for apart.
    let is_known = !arguments.names.is_empty() || arguments.sort_by.is_some();
    let listed = if is_known {
        fetch(client, kind, collection, arguments).await?
    } else {
        Vec::new()
    };
    let watched = Watched {
        client,
        collection,
        arguments,
        ids: listed.into_iter().map(|resource| resource.id).collect(),
        search: search(arguments)?,
    };
    watched.print(clock).await
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
        found.push(target::resource(client, kind, collection, name).await?);
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
