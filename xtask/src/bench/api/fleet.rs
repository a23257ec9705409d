//! The fleet that is served: clusters created and reported on through the command handler.
//!
//! Labels of 2 (`env`), 50 (`shard`) and 500 (`team`) values; one cluster in a hundred was reported as not valid.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use anyhow::{Context as _, Result};
use hyperfleet_command_api::CommandHandler;
use hyperfleet_command_api::handler::{Reach, Target};
use hyperfleet_domain::metadata::EventMetadata;
use hyperfleet_domain::registry::{Registry, ServedKind};
use hyperfleet_domain::resource::{
    Command, CreateResource, ReportAdapterStatus, ReportedCondition,
};
use hyperfleet_event_store::EventStore;
use hyperfleet_runtime::{Clock as _, IdSource as _, SystemClock, UuidV7Source};
use serde_json::{Map, Value, json};
use tokio::task::JoinSet;

use super::scenario::KIND;

/// Enough for full batches.
const WRITERS: usize = 128;

const ACTOR: &str = "bench";

/// The adapter that reports.
pub(super) const ADAPTER: &str = "validation";

/// One in so many was reported as not valid.
const NOT_VALID: usize = 100;

/// The clusters that there are.
pub(in crate::bench) struct Fleet {
    /// Their ids.
    pub(in crate::bench) ids: Arc<[String]>,
    /// Which of them were last reported as valid.
    pub(super) valid: Arc<[AtomicBool]>,
}

impl Fleet {
    /// Creates the clusters and reports on each.
    pub(in crate::bench) async fn seed(store: &EventStore, clusters: u32) -> Result<Self> {
        let clusters = usize::try_from(clusters)?;
        let handler = CommandHandler::new(store.clone(), Arc::new(Registry::builtin()));
        let next = Arc::new(AtomicUsize::new(0));
        let mut writers = JoinSet::new();
        for _ in 0..WRITERS {
            let (handler, next) = (handler.clone(), Arc::clone(&next));
            writers.spawn(async move {
                let mut written = Vec::new();
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= clusters {
                        return Ok::<_, anyhow::Error>(written);
                    }
                    written.push((number, write(&handler, number).await?));
                }
            });
        }
        let mut written = Vec::with_capacity(clusters);
        while let Some(ended) = writers.join_next().await {
            written.extend(ended.context("a writer stopped")??);
        }
        written.sort_unstable();
        Ok(Self {
            valid: written
                .iter()
                .map(|(number, _)| AtomicBool::new(is_valid(*number)))
                .collect(),
            ids: written.into_iter().map(|(_, id)| id).collect(),
        })
    }
}

fn is_valid(number: usize) -> bool {
    !number.is_multiple_of(NOT_VALID)
}

async fn write(handler: &CommandHandler, number: usize) -> Result<String> {
    let id = UuidV7Source.new_id().to_string();
    let target = target(&id);
    for command in [create(&id, number), report(number)] {
        handle(handler, &target, &command).await?;
    }
    Ok(id)
}

async fn handle(handler: &CommandHandler, target: &Target, command: &Command) -> Result<()> {
    let metadata = EventMetadata {
        actor: ACTOR.to_owned(),
        command: command.name().to_owned(),
        ..EventMetadata::default()
    };
    handler.handle(target, command, &metadata).await?;
    Ok(())
}

/// Reports on a cluster so often, each time the opposite of the time before.
///
/// # Errors
/// When a report is not taken.
pub(in crate::bench) async fn report_in_turns(
    store: &EventStore,
    id: &str,
    times: usize,
) -> Result<()> {
    let handler = CommandHandler::new(store.clone(), Arc::new(Registry::builtin()));
    let target = target(id);
    for time in 0..times {
        let number = if time.is_multiple_of(2) { 1 } else { NOT_VALID };
        handle(&handler, &target, &report(number)).await?;
    }
    Ok(())
}

fn target(id: &str) -> Target {
    Target {
        kind: ServedKind::One(KIND.to_owned()),
        id: id.to_owned(),
        owner: None,
        reach: Reach::default(),
    }
}

fn create(id: &str, number: usize) -> Command {
    let labels = [
        (
            "env",
            if number.is_multiple_of(2) {
                "prod"
            } else {
                "dev"
            }
            .to_owned(),
        ),
        ("shard", (number % 50).to_string()),
        ("team", format!("team-{}", number % 500)),
    ];
    let labels = labels.map(|(key, value)| (key.to_owned(), value));
    Command::Create(CreateResource {
        id: id.to_owned(),
        kind: KIND.to_owned(),
        name: format!("cluster-{number}"),
        spec: Some(spec(number)),
        labels: labels.into(),
        references: [].into(),
        tenancy: [].into(),
        parent: None,
        now: SystemClock.now(),
        actor: ACTOR.to_owned(),
    })
}

/// A spec as wide as real ones.
pub(in crate::bench) fn spec(number: usize) -> Map<String, Value> {
    let members = [
        ("region", json!(format!("region-{}", number % 20))),
        ("replicas", json!(number % 17)),
        ("pull_secret", json!(format!("{number:064x}").repeat(8))),
    ];
    let members = members.map(|(name, value)| (name.to_owned(), value));
    members.into_iter().collect()
}

fn report(number: usize) -> Command {
    let status = if is_valid(number) { "True" } else { "False" };
    let condition = |condition: (&str, &str)| ReportedCondition {
        r#type: condition.0.to_owned(),
        status: condition.1.to_owned(),
        reason: None,
        message: None,
    };
    Command::Report(ReportAdapterStatus {
        adapter: ADAPTER.to_owned(),
        observed_generation: 1,
        observed_time: None,
        conditions: conditions(status).map(condition).into(),
        data: Map::new(),
        metadata: None,
        now: SystemClock.now(),
    })
}

/// The conditions of a report, by type and status.
pub(super) fn conditions(available: &str) -> [(&str, &str); 3] {
    [
        ("Available", available),
        ("Applied", "True"),
        ("Health", "True"),
    ]
}
