//! Live progress: a line for each resource and adapter on a terminal, a line for each change in a pipe.

use std::collections::BTreeMap;
use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use anyhow::bail;
use hyperfleet_api_types::client::{Client, Collection, ListOptions};
use hyperfleet_api_types::{AdapterStatus, Resource};
use hyperfleet_domain::Registry;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

/// How often to ask. The demo shows steps of a second, so a tenth is live enough.
const INTERVAL: Duration = Duration::from_millis(100);

/// How often a spinner turns.
const TICK: Duration = Duration::from_millis(120);

/// A resource to follow.
pub(super) struct Followed {
    pub(super) collection: Collection,
    pub(super) id: String,
    pub(super) kind: String,
    pub(super) name: String,
}

/// What is shown about one adapter or resource.
#[derive(Clone, PartialEq, Eq)]
struct Step {
    done: bool,
    text: String,
}

/// Follows resources until each is reconciled at its generation.
pub(super) async fn follow(
    client: &Client,
    resources: &[Followed],
    registry: &Registry,
    patience: Duration,
) -> anyhow::Result<()> {
    let started = Instant::now();
    let mut display = Display::new(started);
    let options = ListOptions {
        size: Some(100),
        ..ListOptions::default()
    };
    let mut reconciled = vec![false; resources.len()];
    while started.elapsed() < patience {
        for (followed, reconciled) in resources.iter().zip(&mut reconciled) {
            let resource = client.get(&followed.collection, &followed.id).await?;
            let statuses = client
                .statuses(&followed.collection, &followed.id, &options)
                .await?
                .items;
            let shown = format!("{}/{}", followed.kind.to_lowercase(), followed.name);
            for adapter in required_adapters(registry, &followed.kind, &statuses) {
                let step = adapter_step(statuses.iter().find(|status| status.adapter == adapter));
                display.show(&shown, &adapter, step);
            }
            let step = resource_step(&resource);
            *reconciled = step.done;
            display.show(&shown, "Reconciled", step);
        }
        if reconciled.iter().all(|done| *done) {
            return Ok(());
        }
        tokio::time::sleep(INTERVAL).await;
    }
    bail!(
        "not reconciled after {} s; `hyperfleet describe` shows what is missing, and the log above says why",
        patience.as_secs()
    )
}

fn required_adapters(registry: &Registry, kind: &str, statuses: &[AdapterStatus]) -> Vec<String> {
    let mut adapters: Vec<String> = registry
        .by_kind(kind)
        .map(|descriptor| descriptor.required_adapters.clone())
        .unwrap_or_default();
    for status in statuses {
        if !adapters.contains(&status.adapter) {
            adapters.push(status.adapter.clone());
        }
    }
    adapters
}

fn adapter_step(status: Option<&AdapterStatus>) -> Step {
    let Some(status) = status else {
        return Step {
            done: false,
            text: "waiting".to_owned(),
        };
    };
    let conditions: Vec<String> = status
        .conditions
        .iter()
        .filter(|condition| condition.condition_type != "Finalized")
        .map(|condition| format!("{}={}", condition.condition_type, condition.status))
        .collect();
    let available = status
        .conditions
        .iter()
        .find(|condition| condition.condition_type == "Available");
    let message = available
        .and_then(|condition| condition.message.clone())
        .unwrap_or_default();
    Step {
        done: available.is_some_and(|condition| condition.status == "True"),
        text: format!("{}  {message}", conditions.join(" ")),
    }
}

fn resource_step(resource: &Resource) -> Step {
    let condition = resource.condition("Reconciled");
    let done = condition.is_some_and(|condition| {
        condition.status == "True" && condition.observed_generation == resource.generation
    });
    let message = condition
        .and_then(|condition| condition.message.clone())
        .unwrap_or_default();
    Step {
        done,
        text: if done { "True".to_owned() } else { message },
    }
}

/// Where progress goes: bars on a terminal, lines elsewhere.
struct Display {
    started: Instant,
    bars: Option<MultiProgress>,
    shown: BTreeMap<(String, String), (Step, Option<ProgressBar>)>,
}

impl Display {
    fn new(started: Instant) -> Self {
        let bars = std::io::stdout().is_terminal().then(MultiProgress::new);
        Self {
            started,
            bars,
            shown: BTreeMap::new(),
        }
    }

    fn show(&mut self, resource: &str, part: &str, step: Step) {
        let key = (resource.to_owned(), part.to_owned());
        let elapsed = self.started.elapsed().as_secs_f64();
        let line = format!("{resource:<22} {part:<14} {}", step.text);
        let (known, bar) = match self.shown.remove(&key) {
            Some((known, bar)) => (Some(known), bar),
            None => (None, self.bars.as_ref().map(|bars| bars.add(spinner()))),
        };
        if known.as_ref() != Some(&step) {
            match &bar {
                Some(bar) if step.done => {
                    bar.finish_with_message(format!("✓ {elapsed:6.2}s {line}"));
                }
                Some(bar) => bar.set_message(format!("  {elapsed:6.2}s {line}")),
                None => {
                    println!(
                        "{elapsed:7.2}s  {} {line}",
                        if step.done { "✓" } else { "·" }
                    );
                }
            }
        }
        self.shown.insert(key, (step, bar));
    }
}

fn spinner() -> ProgressBar {
    let style = ProgressStyle::with_template("{spinner:.cyan} {wide_msg}")
        .unwrap_or_else(|_| ProgressStyle::default_spinner());
    let bar = ProgressBar::new_spinner().with_style(style);
    bar.enable_steady_tick(TICK);
    bar
}
