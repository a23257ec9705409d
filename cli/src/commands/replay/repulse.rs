//! `hyperfleet replay repulse`: resources made due now.

use anyhow::{Context as _, bail};
use hyperfleet_domain::Registry;
use hyperfleet_event_store::EventStore;
use hyperfleet_projections::resource_view::{self, Filter};
use hyperfleet_projections::search;
use serde_json::json;

use super::{Outcome, print_json};
use crate::arguments::RepulseArguments;
use crate::confirm::confirmed;
use crate::selector;

pub(super) async fn run(
    arguments: &RepulseArguments,
    store: &EventStore,
    registry: &Registry,
) -> anyhow::Result<Outcome> {
    let filter = filter(arguments, registry)?;
    let count = resource_view::count(store.pool(), &filter).await?;
    let is_json = arguments.database.is_json();
    let goes_on = !arguments.dry_run && count > 0;
    if goes_on && !arguments.yes && !confirmed(&format!("{count} resources would be made due"))? {
        bail!("nothing was made due");
    }
    let due = if goes_on {
        resource_view::make_due(store.pool(), &filter).await?
    } else {
        0
    };
    if is_json {
        print_json(&json!({"selected": count, "made_due": due, "dry_run": arguments.dry_run}))?;
    } else if arguments.dry_run {
        println!("{count} resources would be made due");
    } else {
        println!("{due} of {count} resources are due now");
    }
    Ok(Outcome::Well)
}

fn filter(arguments: &RepulseArguments, registry: &Registry) -> anyhow::Result<Filter> {
    let kind = arguments
        .kind
        .as_ref()
        .map(|wanted| {
            let mut kinds = registry.iter();
            let found = kinds.find(|known| {
                known.kind.eq_ignore_ascii_case(wanted) || known.plural.eq_ignore_ascii_case(wanted)
            });
            let names = || {
                registry
                    .iter()
                    .map(|known| known.kind.as_str())
                    .collect::<Vec<_>>()
            };
            found.map(|known| known.kind.clone()).with_context(|| {
                format!(
                    "there is no kind {wanted:?}; there are: {}",
                    names().join(", ")
                )
            })
        })
        .transpose()?;
    let selected = arguments
        .selector
        .as_deref()
        .map(selector::search)
        .transpose()?;
    let parts = [selected, arguments.search.clone()];
    let parts: Vec<String> = parts
        .into_iter()
        .flatten()
        .map(|part| format!("({part})"))
        .collect();
    let search = if parts.is_empty() {
        None
    } else {
        Some(search::parse(&parts.join(" and ")).context("the search cannot be used")?)
    };
    Ok(Filter {
        kind,
        search,
        ..Filter::default()
    })
}
