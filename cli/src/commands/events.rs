//! `hyperfleet events`: what happened last in the fleet, newest last.

use chrono::{DateTime, Utc};
use hyperfleet_api_types::client::HistoryOf;

use super::history;
use crate::arguments::EventsArguments;
use crate::target::{self, Kind};

pub(crate) async fn run(arguments: EventsArguments, now: DateTime<Utc>) -> anyhow::Result<()> {
    let client = target::client(&arguments.server)?;
    let mut query = history::query(&arguments.filters, now)?;
    if let Some(kind) = &arguments.kind {
        query.push(("kind", Kind::resolve(&client, kind).await?.name));
    }
    query.push(("order", "desc".to_owned()));
    let limit = arguments.limit.max(1);
    let (mut items, _) = history::fetch(&client, HistoryOf::Fleet, query, limit).await?;
    items.reverse();
    history::print(&items, arguments.output)
}
