//! Changes at a steady rate, through the command handler.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use hyperfleet_command_api::CommandHandler;
use hyperfleet_command_api::handler::{Reach, Target};
use hyperfleet_domain::metadata::EventMetadata;
use hyperfleet_domain::registry::{Registry, ServedKind};
use hyperfleet_domain::resource::{Command, PatchResource};
use hyperfleet_event_store::EventStore;
use hyperfleet_runtime::{Clock as _, SystemClock};
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use super::{Moment, Plan, SHARDS};
use crate::bench::api::fleet::{self, Fleet};
use crate::bench::api::scenario::KIND;

/// One change that was committed.
pub(super) struct Change {
    pub(super) position: u64,
    pub(super) shard: usize,
    pub(super) committed: Moment,
}

/// Changes clusters one after the other, and returns when each change was committed. `begun` is where the log
/// ended before, so that no change says what one of an earlier run said.
pub(super) async fn write(
    store: &EventStore,
    fleet: &Fleet,
    plan: Plan,
    begun: u64,
) -> Result<Vec<Moment>> {
    let handler = CommandHandler::new(store.clone(), Arc::new(Registry::builtin()));
    let count = u64::from(plan.rate) * plan.duration.as_secs();
    let mut pace = tokio::time::interval(Duration::from_secs(1) / plan.rate);
    pace.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut writing = JoinSet::new();
    for number in 0..usize::try_from(count)? {
        pace.tick().await;
        let id = fleet.ids.get(number % fleet.ids.len());
        let id = id.context("no clusters")?.clone();
        let handler = handler.clone();
        writing.spawn(async move { (number, patch(&handler, &id, number, begun).await) });
    }
    let mut committed = Vec::new();
    while let Some(ended) = writing.join_next().await {
        let (number, moment) = ended.context("a writer stopped")?;
        committed.push((number, moment?));
    }
    committed.sort_unstable_by_key(|(number, _)| *number);
    Ok(committed.into_iter().map(|(_, moment)| moment).collect())
}

async fn patch(handler: &CommandHandler, id: &str, number: usize, begun: u64) -> Result<Moment> {
    let target = Target {
        kind: ServedKind::One(KIND.to_owned()),
        id: id.to_owned(),
        owner: None,
        reach: Reach::default(),
    };
    let mut spec = fleet::spec(number);
    spec.insert("turn".to_owned(), json!([begun, number]));
    let command = Command::Patch(PatchResource {
        spec: Some(spec),
        labels: None,
        references: None,
        now: SystemClock.now(),
        actor: "bench".to_owned(),
    });
    let metadata = EventMetadata {
        correlation_id: format!("watch-{number}"),
        command: command.name().to_owned(),
        ..EventMetadata::default()
    };
    handler.handle(&target, &command, &metadata).await?;
    Ok(Moment::now())
}

/// The changes in the order of the log, by what it says of them.
pub(super) async fn placed(
    store: &EventStore,
    begun: u64,
    committed: Vec<Moment>,
) -> Result<Vec<Change>> {
    let mut positions: HashMap<usize, u64> = HashMap::new();
    for event in store.read_all(begun, usize::MAX).await? {
        let request = event.metadata["correlation_id"].as_str();
        let number = request.and_then(|id| id.strip_prefix("watch-")?.parse().ok());
        positions.insert(number.context("an event of nobody")?, event.position);
    }
    let mut changes = Vec::new();
    for (number, committed) in committed.into_iter().enumerate() {
        changes.push(Change {
            position: *positions
                .get(&number)
                .context("a change is not in the log")?,
            shard: number % SHARDS,
            committed,
        });
    }
    changes.sort_unstable_by_key(|change| change.position);
    Ok(changes)
}
