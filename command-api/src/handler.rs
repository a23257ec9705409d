//! Carrying out a command: load, decide, append; again from fresh state when a race was lost.
//!
//! The read models move in the append's transaction, so when [`CommandHandler::handle`] returns,
//! every reader sees the outcome.

mod error;
mod family;
mod queue;

use std::sync::Arc;

use hyperfleet_domain::metadata::EventMetadata;
use hyperfleet_domain::registry::Registry;
use hyperfleet_domain::resource::{Command, Effect, Refusal, Resource, StreamChange, plan};
use hyperfleet_event_store::{Append, AppendError, EventStore, NewEvent};
use hyperfleet_runtime::http::TenantScope;

pub use self::error::CommandError;
use self::family::{LoadedFamily, stream};
use self::queue::ConflictQueue;

/// How often a command is decided before it gives up. Each round that loses a race means that
/// another command on the same resource was committed, so this bounds waiting, not progress. After
/// the first lost race the commands of this process queue up, so only other processes can win.
pub const MAX_ATTEMPTS: u32 = 50;

/// Where a command finds its target, and how to say that it is not there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Kind that the target must have.
    pub kind: String,
    /// Id of the target.
    pub id: String,
    /// The owner that the target must have, when the route names one.
    pub owner: Option<Owner>,
    /// Who asks for it.
    pub reach: Reach,
}

/// What the sender of a command can see and touch. The default is everything, for commands of the
/// system itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reach {
    /// Which resources there are for the sender; the others are answered like missing ones.
    pub scope: TenantScope,
    /// Whether the sender may only report statuses.
    pub only_reports: bool,
}

/// The owner that a nested route names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// Kind of the owner.
    pub kind: String,
    /// Id of the owner.
    pub id: String,
    /// Whether the owner is looked up, and missed, before the target.
    pub must_exist: bool,
}

/// Carries out commands. Cheap to clone; clones share the queue of conflicting commands.
#[derive(Clone)]
pub struct CommandHandler {
    store: EventStore,
    registry: Arc<Registry>,
    conflicts: Arc<ConflictQueue>,
}

impl CommandHandler {
    /// A handler that decides by `registry` and appends to `store`.
    pub fn new(store: EventStore, registry: Arc<Registry>) -> Self {
        Self {
            store,
            registry,
            conflicts: Arc::new(ConflictQueue::default()),
        }
    }

    /// The kinds that this handler knows.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Carries out a command and returns the target's state afterwards; of a removed target its
    /// last one.
    ///
    /// # Errors
    /// [`CommandError::Refused`] when the rules refuse it: nothing was changed. Any other error is a
    /// failure: nothing was changed either, unless the connection was lost while committing.
    pub async fn handle(
        &self,
        target: &Target,
        command: &Command,
        metadata: &EventMetadata,
    ) -> Result<Resource, CommandError> {
        command.validate(&self.registry)?;
        let mut turn = None;
        for _ in 0..MAX_ATTEMPTS {
            let family = LoadedFamily::load(&self.store, target, command).await?;
            let changes = plan(command, family.family(), &self.registry)?;
            let appends = appends(&family, &changes, metadata)?;
            let outcome = changes.into_iter().next().map(|change| change.resource);
            let outcome = outcome.unwrap_or_default();
            if appends.is_empty() {
                return Ok(outcome);
            }
            match self.store.append(appends).await {
                Ok(_) => return Ok(outcome),
                Err(AppendError::Conflict { stream, .. }) => {
                    tracing::debug!(
                        resource.id = stream.aggregate_id,
                        "lost a race, deciding again"
                    );
                    // The turn taken before is given up first: nobody waits while holding one.
                    drop(turn.take());
                    turn = Some(self.conflicts.turn(&stream.aggregate_id).await);
                }
                Err(AppendError::ClaimTaken { .. }) => {
                    return Err(Refusal::AlreadyExists {
                        kind: target.kind.clone(),
                    }
                    .into());
                }
                Err(error) => return Err(error.into()),
            }
        }
        Err(CommandError::TooManyConflicts {
            id: target.id.clone(),
            attempts: MAX_ATTEMPTS,
        })
    }
}

/// What to append for the changes that have an effect.
fn appends(
    family: &LoadedFamily,
    changes: &[StreamChange],
    metadata: &EventMetadata,
) -> Result<Vec<Append>, CommandError> {
    let metadata = serde_json::to_value(metadata).map_err(CommandError::Unwritable)?;
    let mut appends = Vec::new();
    for change in changes {
        if change.effect == Effect::Unchanged {
            continue;
        }
        let events = change.events.iter().map(|event| NewEvent {
            event_type: event.event_type().to_owned(),
            event_version: event.version().to_owned(),
            payload: event.to_payload(),
            metadata: metadata.clone(),
        });
        appends.push(Append {
            stream: stream(&change.resource.id),
            expected: family.version(&change.resource.id),
            events: events.collect(),
            snapshot: Some(
                serde_json::to_value(&change.resource).map_err(CommandError::Unwritable)?,
            ),
            claims: change.claim.iter().cloned().collect(),
            releases: change.release.iter().cloned().collect(),
        });
    }
    Ok(appends)
}
