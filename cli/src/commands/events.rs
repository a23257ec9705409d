//! `hyperfleet events [-w]`: what happened last in the fleet, newest last, and what happens now.

use chrono::{DateTime, Utc};
use hyperfleet_api_types::client::HistoryOf;

use super::history::{self, Follow};
use crate::arguments::EventsArguments;
use crate::target::{self, Kind};

pub(crate) async fn run(arguments: EventsArguments, now: DateTime<Utc>) -> anyhow::Result<()> {
    let client = target::client(&arguments.server)?;
    let mut query = history::query(&arguments.filters, now)?;
    if let Some(kind) = &arguments.kind {
        query.push(("kind", Kind::resolve(&client, kind).await?.name));
    }
    let limit = arguments.limit;
    let mut latest = query.clone();
    latest.push(("order", "desc".to_owned()));
    let mut shown = history::fetch(&client, HistoryOf::Fleet, latest, limit.max(1)).await?;
    shown.items.truncate(limit);
    shown.items.reverse();
    if !arguments.watch {
        return history::print(&shown.items, arguments.output);
    }
    let mut follow = Follow::new(arguments.output);
    follow.print(&shown.items)?;
    let watch = client.watch_history(HistoryOf::Fleet, &query, Some(shown.through));
    follow.run(watch, None).await
}
