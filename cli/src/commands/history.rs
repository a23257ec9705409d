//! `hyperfleet history [KIND [NAME]] [-w]`: every event, also of what is gone, and what changed nothing.

mod follow;
mod table;

use std::io::Write as _;

use anyhow::bail;
use chrono::{DateTime, Utc};
use hyperfleet_api_types::client::{Client, Collection, HistoryOf};
use hyperfleet_api_types::{HistoryEntry, HistoryItem};
use serde_json::json;

pub(crate) use self::follow::Follow;
pub(crate) use self::table::timeline;
use crate::arguments::{HistoryArguments, HistoryFilters, HistoryFormat, OutputFormat};
use crate::target::{self, Kind};
use crate::{moment, output};

/// Items asked for at once: the API's largest page.
const PAGE_SIZE: u32 = 100;

/// Parameters of a history.
pub(crate) type Query = Vec<(&'static str, String)>;

pub(crate) async fn run(arguments: HistoryArguments, now: DateTime<Utc>) -> anyhow::Result<()> {
    let client = target::client(&arguments.server)?;
    let mut query = query(&arguments.filters, now)?;
    let Some(kind) = &arguments.kind else {
        return show(&client, HistoryOf::Fleet, query, &arguments).await;
    };
    let kind = Kind::resolve(&client, kind).await?;
    let Some(name) = &arguments.name else {
        query.push(("kind", kind.name));
        return show(&client, HistoryOf::Fleet, query, &arguments).await;
    };
    if target::is_id(name) {
        let collection = Collection::of(&kind.plural);
        let of = HistoryOf::Resource(&collection, name);
        return show(&client, of, query, &arguments).await;
    }
    if let Some(cluster) = arguments.cluster.as_deref() {
        let collection = target::collection(&client, &kind, Some(cluster)).await?;
        let resource = target::resource(&client, &kind, &collection, name).await?;
        let of = HistoryOf::Resource(&collection, &resource.id);
        return show(&client, of, query, &arguments).await;
    }
    if ids_ever_named(&client, &kind, name).await?.is_empty() {
        bail!("no {} was ever named {name:?}", kind.name);
    }
    query.push(("kind", kind.name));
    query.push(("name", name.clone()));
    show(&client, HistoryOf::Fleet, query, &arguments).await
}

/// Prints a history from its beginning.
async fn show(
    client: &Client,
    of: HistoryOf<'_>,
    query: Query,
    arguments: &HistoryArguments,
) -> anyhow::Result<()> {
    if arguments.output == HistoryFormat::Ndjson && !arguments.watch {
        return lines(client, of, &query).await;
    }
    let limit = match arguments.limit {
        0 => usize::MAX,
        _ if arguments.output == HistoryFormat::Ndjson => usize::MAX,
        limit => limit,
    };
    let shown = fetch(client, of, query.clone(), limit).await?;
    if arguments.watch {
        let mut follow = Follow::new(arguments.output);
        follow.print(&shown.items)?;
        let one = match of {
            HistoryOf::Resource(_, id) => Some(id),
            HistoryOf::Fleet => None,
        };
        let watch = client.watch_history(of, &query, Some(shown.through));
        return follow.run(watch, one).await;
    }
    print(&shown.items, arguments.output)?;
    if shown.more {
        eprintln!("there are more; --limit 0 shows all, -o ndjson streams them");
    }
    Ok(())
}

/// Prints items, and says so when there are none.
pub(crate) fn print(items: &[HistoryItem], format: HistoryFormat) -> anyhow::Result<()> {
    match format {
        HistoryFormat::Json | HistoryFormat::Yaml => {
            let format = if format == HistoryFormat::Yaml {
                OutputFormat::Yaml
            } else {
                OutputFormat::Json
            };
            print!("{}", output::structured(&json!({"items": items}), format)?);
        }
        HistoryFormat::Ndjson => {
            for item in items {
                println!("{}", serde_json::to_string(item)?);
            }
        }
        HistoryFormat::Table | HistoryFormat::Wide if items.is_empty() => {
            eprintln!("no events found");
        }
        HistoryFormat::Table | HistoryFormat::Wide => {
            print!("{}", table::items(items, format == HistoryFormat::Wide));
        }
    }
    Ok(())
}

/// Prints a whole history as it arrives.
async fn lines(client: &Client, of: HistoryOf<'_>, query: &Query) -> anyhow::Result<()> {
    let mut lines = client.history_lines(of, query).await?;
    let mut out = std::io::stdout().lock();
    while let Some(bytes) = lines.next().await? {
        match out.write_all(&bytes) {
            // Whoever read has read enough.
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => return Ok(()),
            written => written?,
        }
    }
    Ok(out.flush()?)
}

/// The filters as parameters.
pub(crate) fn query(filters: &HistoryFilters, now: DateTime<Utc>) -> anyhow::Result<Query> {
    let mut query = Query::new();
    query.extend(filters.actor.clone().map(|actor| ("actor", actor)));
    query.extend(filters.types.iter().map(|one| ("type", one.clone())));
    for (name, time) in [("from", &filters.from), ("to", &filters.to)] {
        if let Some(time) = time {
            query.push((name, moment::time(time, now)?));
        }
    }
    let outcomes: Vec<&str> = filters.outcome.iter().map(|one| one.name()).collect();
    if !outcomes.is_empty() {
        query.push(("outcome", outcomes.join(",")));
    }
    query.extend(filters.request.clone().map(|id| ("request_id", id)));
    let generation = filters.generation.map(|generation| generation.to_string());
    query.extend(generation.map(|generation| ("generation", generation)));
    query.extend(filters.labels.iter().map(|label| ("label", label.clone())));
    Ok(query)
}

/// Part of a history.
pub(crate) struct Shown {
    pub(crate) items: Vec<HistoryItem>,
    /// Whether there are more.
    pub(crate) more: bool,
    /// Everything up to this position is among the items, or was left out by their number.
    pub(crate) through: u64,
}

/// The first items of a history, at most `limit`.
pub(crate) async fn fetch(
    client: &Client,
    of: HistoryOf<'_>,
    mut query: Query,
    limit: usize,
) -> anyhow::Result<Shown> {
    let size = limit.clamp(1, PAGE_SIZE as usize);
    let is_descending = query.contains(&("order", "desc".to_owned()));
    query.push(("size", size.to_string()));
    query.push(("page_token", String::new()));
    let mut shown = Shown {
        items: Vec::new(),
        more: false,
        through: 0,
    };
    let mut is_first = true;
    loop {
        let page = client.history(of, &query).await?;
        // Pages of the newest first are of what was there at the first; others end where the last does.
        if std::mem::take(&mut is_first) || !is_descending {
            shown.through = page.through_position;
        }
        shown.items.extend(page.items);
        let is_full = shown.items.len() >= limit;
        shown.more = shown.items.len() > limit || (is_full && page.next_page_token.is_some());
        shown.items.truncate(limit);
        let Some(token) = page.next_page_token.filter(|_| !is_full) else {
            return Ok(shown);
        };
        if let Some(last) = query.last_mut() {
            last.1 = token;
        }
    }
}

/// Every event of one resource.
pub(crate) async fn of_id(
    client: &Client,
    collection: &Collection,
    id: &str,
) -> anyhow::Result<Vec<HistoryEntry>> {
    let of = HistoryOf::Resource(collection, id);
    let shown = fetch(client, of, Query::new(), usize::MAX).await?;
    let entries = shown.items.into_iter().filter_map(HistoryItem::into_entry);
    Ok(entries.collect())
}

/// The ids of the resources of a kind that ever had a name, the oldest first.
pub(crate) async fn ids_ever_named(
    client: &Client,
    kind: &Kind,
    name: &str,
) -> anyhow::Result<Vec<String>> {
    let query = vec![
        ("kind", kind.name.clone()),
        ("name", name.to_owned()),
        ("type", "created".to_owned()),
    ];
    let shown = fetch(client, HistoryOf::Fleet, query, usize::MAX).await?;
    let entries = shown.items.into_iter().filter_map(HistoryItem::into_entry);
    Ok(entries.map(|entry| entry.resource_id).collect())
}
