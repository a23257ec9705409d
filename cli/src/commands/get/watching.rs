//! `-w`: what there is, then every change, until interrupted.

use std::collections::{BTreeMap, BTreeSet};

use hyperfleet_api_types::Resource;
use hyperfleet_api_types::client::{Client, Collection, Watch, WatchEvent, WatchOptions};
use hyperfleet_runtime::clock::Clock;
use serde_json::Value;

use crate::arguments::{GetArguments, OutputFormat};
use crate::output;

/// What is watched.
pub(super) struct Watched<'a> {
    pub(super) client: &'a Client,
    pub(super) collection: &'a Collection,
    pub(super) arguments: &'a GetArguments,
    /// Only these, when the user named some; in the order of the list that the user asked for.
    pub(super) ids: Vec<String>,
    pub(super) search: Option<String>,
}

/// What was printed, and what is known of what is watched.
struct Screen<'a> {
    format: OutputFormat,
    clock: &'a dyn Clock,
    is_headed: bool,
    known: BTreeMap<String, Value>,
}

impl Watched<'_> {
    fn is_one(&self) -> bool {
        self.arguments.names.len() == 1
    }

    fn open(&self) -> Watch {
        match self.ids.as_slice() {
            [id] if self.is_one() => self.client.watch_one(self.collection, id),
            _ => {
                let options = WatchOptions {
                    search: self.search.clone(),
                    changes_only: self.arguments.watch_only,
                    ..WatchOptions::default()
                };
                self.client.watch(self.collection, &options)
            }
        }
    }

    /// Prints until the one resource that is watched is gone, or for ever.
    pub(super) async fn print(&self, clock: &dyn Clock) -> anyhow::Result<()> {
        let named: BTreeSet<&str> = self.ids.iter().map(String::as_str).collect();
        let is_wanted = |id: &str| self.arguments.names.is_empty() || named.contains(id);
        let mut screen = Screen {
            format: self.arguments.output.output,
            clock,
            is_headed: false,
            known: BTreeMap::new(),
        };
        // Collected until it is complete, so that it can be printed as one table.
        let follows = self.arguments.watch_only && !self.is_one();
        let mut initial = (!follows).then(Vec::new);
        let mut is_quiet = self.arguments.watch_only;
        let mut watch = self.open();
        loop {
            match watch.next().await? {
                WatchEvent::Added(resource) | WatchEvent::Modified(resource) => {
                    let value = is_wanted(&resource.id).then(|| value(&resource));
                    let Some(value) = value.transpose()? else {
                        continue;
                    };
                    match &mut initial {
                        Some(initial) => initial.push(value),
                        None => screen.changed(resource.id, value)?,
                    }
                }
                WatchEvent::Deleted(resource) => {
                    if let Some(initial) = &mut initial {
                        initial.retain(|item| item["id"] != resource.id.as_str());
                    } else if is_wanted(&resource.id) {
                        screen.gone(&resource.id, &value(&resource)?);
                    }
                    if self.is_one() {
                        return Ok(());
                    }
                }
                WatchEvent::Bookmark { .. } => {
                    if let Some(initial) = initial.take() {
                        screen.listed(self.sorted(initial), std::mem::take(&mut is_quiet))?;
                    }
                }
                WatchEvent::Restarted if follows => {
                    eprintln!("the server could not go on from there; some changes may be missing");
                }
                WatchEvent::Restarted => initial = Some(Vec::new()),
            }
        }
    }

    /// In the order that the user asked for; what came since then last.
    fn sorted(&self, mut items: Vec<Value>) -> Vec<Value> {
        if self.arguments.sort_by.is_some() {
            let places: BTreeMap<&str, usize> =
                self.ids.iter().map(String::as_str).zip(0..).collect();
            let place = |item: &Value| item["id"].as_str().and_then(|id| places.get(id)).copied();
            items.sort_by_key(|item| place(item).unwrap_or(usize::MAX));
        }
        items
    }
}

impl Screen<'_> {
    /// Prints an initial state, or what is different in another one.
    fn listed(&mut self, items: Vec<Value>, is_quiet: bool) -> anyhow::Result<()> {
        let id = |item: &Value| item["id"].as_str().unwrap_or_default().to_owned();
        let before = std::mem::take(&mut self.known);
        self.known = items.iter().map(|item| (id(item), item.clone())).collect();
        for (id, gone) in &before {
            if !self.known.contains_key(id) {
                println!("{} removed", output::qualified_name(gone));
            }
        }
        let changed: Vec<Value> = items
            .into_iter()
            .filter(|item| before.get(&id(item)) != Some(item))
            .collect();
        if !is_quiet && !changed.is_empty() {
            self.rows(&changed)?;
        }
        Ok(())
    }

    fn changed(&mut self, id: String, item: Value) -> anyhow::Result<()> {
        self.rows(std::slice::from_ref(&item))?;
        self.known.insert(id, item);
        Ok(())
    }

    fn gone(&mut self, id: &str, item: &Value) {
        self.known.remove(id);
        println!("{} removed", output::qualified_name(item));
    }

    fn rows(&mut self, items: &[Value]) -> anyhow::Result<()> {
        let printed = output::resources(items, items.len() == 1, self.format, self.clock.now())?;
        let is_table = matches!(self.format, OutputFormat::Table | OutputFormat::Wide);
        let body = if is_table && self.is_headed {
            printed.split_once('\n').map_or("", |(_, rows)| rows)
        } else {
            printed.as_str()
        };
        self.is_headed = true;
        print!("{body}");
        Ok(())
    }
}

fn value(resource: &Resource) -> anyhow::Result<Value> {
    Ok(serde_json::to_value(resource)?)
}
