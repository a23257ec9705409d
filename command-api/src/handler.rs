//! Carrying out a command: load, decide, append; again from fresh state when a race was lost.
//!
//! The read models move in the append's transaction, so when [`CommandHandler::handle`] returns,
//! every reader sees the outcome.

pub mod conditions;
mod error;
mod family;
mod mapping;
mod queue;
mod started;

use std::sync::Arc;

use hyperfleet_domain::metadata::EventMetadata;
use hyperfleet_domain::registry::{Registry, ServedKind};
use hyperfleet_domain::resource::{Command, Effect, Refusal, Resource, StreamChange, plan};
use hyperfleet_event_store::{Append, AppendError, EventStore, NewEvent, StreamId};
use hyperfleet_runtime::http::{Identity, TenantScope};
use serde_json::Value;

use self::conditions::{Conditions, Execution, Outcome};
pub use self::error::CommandError;
use self::family::{LoadedFamily, stream};
use self::queue::ConflictQueue;
pub(crate) use self::started::Started;
use crate::metrics::CommandMetrics;

/// How often a command is decided before it gives up. Each round that loses a race means that
/// another command on the same resource was committed, so this bounds waiting, not progress. After
/// the first lost race the commands of this process queue up, so only other processes can win.
pub const MAX_ATTEMPTS: u32 = 50;

/// Where a command finds its target, and how to say that it is not there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Kinds that the target may have.
    pub kind: ServedKind,
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

impl Reach {
    /// The reach of who sends a request.
    pub(crate) fn of(caller: &Identity) -> Self {
        Self {
            scope: caller.scope.clone(),
            only_reports: caller.is_system,
        }
    }
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
    metrics: CommandMetrics,
}

/// Why one attempt did not succeed.
enum Attempt {
    /// Another command moved this stream first.
    LostRace(StreamId),
    /// The same request was carried out meanwhile.
    DoneMeanwhile,
    Failed(CommandError),
}

impl<E: Into<CommandError>> From<E> for Attempt {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

impl CommandHandler {
    /// A handler that decides by `registry` and appends to `store`.
    pub fn new(store: EventStore, registry: Arc<Registry>) -> Self {
        Self {
            store,
            registry,
            conflicts: Arc::new(ConflictQueue::default()),
            metrics: CommandMetrics::default(),
        }
    }

    /// The same handler, counting there.
    #[must_use]
    pub fn with_metrics(mut self, metrics: CommandMetrics) -> Self {
        self.metrics = metrics;
        self
    }

    /// The kinds that this handler knows.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// The target as it is now. What is decided by it must be something that never changes, such as
    /// its kind: a command looks again.
    ///
    /// # Errors
    /// [`Refusal::NotFound`] when there is no such target; a failure when it cannot be read.
    pub async fn find(&self, target: &Target) -> Result<Resource, CommandError> {
        family::target(&self.store, target).await
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
        match self
            .execute(target, command, metadata, Conditions::default())
            .await?
        {
            Execution::Done(outcome) => Ok(outcome.resource),
            // Without a key nothing is kept.
            Execution::DoneBefore(_) => Ok(Resource::default()),
        }
    }

    /// Carries out a command under conditions. A request that was carried out before under its key
    /// is not carried out again, whatever became of the target since.
    ///
    /// # Errors
    /// As [`Self::handle`]; besides, [`CommandError::Outdated`] and [`CommandError::KeyReused`] when
    /// the conditions do not hold: nothing was changed.
    pub async fn execute(
        &self,
        target: &Target,
        command: &Command,
        metadata: &EventMetadata,
        conditions: Conditions<'_>,
    ) -> Result<Execution, CommandError> {
        command.validate(&self.registry)?;
        let mut turn = None;
        for _ in 0..MAX_ATTEMPTS {
            if let Some(kept) = self.kept(conditions).await? {
                return Ok(Execution::DoneBefore(kept));
            }
            let attempt = self.attempt(target, command, metadata, conditions).await;
            match attempt {
                Ok(outcome) => {
                    self.metrics.carried_out(&conditions);
                    return Ok(Execution::Done(Box::new(outcome)));
                }
                Err(Attempt::LostRace(stream)) => {
                    tracing::debug!(
                        resource.id = stream.aggregate_id,
                        "lost a race, deciding again"
                    );
                    // The turn taken before is given up first: nobody waits while holding one.
                    drop(turn.take());
                    turn = Some(self.conflicts.turn(&stream.aggregate_id).await);
                }
                Err(Attempt::DoneMeanwhile) => {}
                Err(Attempt::Failed(error)) => {
                    // The same request, carried out meanwhile, may be why this one is refused.
                    if let Some(kept) = self.kept(conditions).await? {
                        return Ok(Execution::DoneBefore(kept));
                    }
                    self.metrics.failed(&error);
                    return Err(error);
                }
            }
        }
        Err(CommandError::TooManyConflicts {
            id: target.id.clone(),
            attempts: MAX_ATTEMPTS,
        })
    }

    /// What was kept of the same request.
    async fn kept(&self, conditions: Conditions<'_>) -> Result<Option<Value>, CommandError> {
        let Some(key) = conditions.key else {
            return Ok(None);
        };
        let Some(receipt) = self.store.receipt(key.key).await? else {
            return Ok(None);
        };
        let kept = key
            .read(receipt)
            .inspect_err(|error| self.metrics.failed(error))?;
        self.metrics.replayed();
        Ok(Some(kept))
    }

    async fn attempt(
        &self,
        target: &Target,
        command: &Command,
        metadata: &EventMetadata,
        conditions: Conditions<'_>,
    ) -> Result<Outcome, Attempt> {
        let family = LoadedFamily::load(&self.store, target, command).await?;
        require_expected(&family, target, conditions)?;
        let changes = plan(command, family.family(), &self.registry)?;
        let mut appends = appends(&family, &changes, metadata)?;
        let started = started::started(family.family(), &changes);
        let outcome = outcome(&family, &changes);
        let receipt = conditions
            .key
            .map(|key| key.receipt(&outcome))
            .transpose()?;
        if appends.is_empty() {
            if receipt.is_none() {
                self.tell_of_mapping(&changes);
                return Ok(outcome);
            }
            appends.push(unchanged(&outcome));
        }
        match self.store.append_with_receipt(appends, receipt).await {
            Ok(_) => {
                self.metrics.started(&started);
                self.tell_of_mapping(&changes);
                Ok(outcome)
            }
            Err(AppendError::Conflict { stream, .. }) => Err(Attempt::LostRace(stream)),
            Err(AppendError::ReceiptTaken { .. }) => Err(Attempt::DoneMeanwhile),
            Err(AppendError::ClaimTaken { .. }) => Err(Refusal::AlreadyExists {
                kind: target.kind.name().to_owned(),
            }
            .into()),
            Err(error) => Err(error.into()),
        }
    }

    /// What this handler counts.
    pub fn metrics(&self) -> &CommandMetrics {
        &self.metrics
    }
}

/// The target is at a version that the caller expects. What does not exist yet has no version.
fn require_expected(
    family: &LoadedFamily,
    target: &Target,
    conditions: Conditions<'_>,
) -> Result<(), CommandError> {
    let resource = &family.family().target;
    let version = family.version(&target.id);
    let holds = conditions
        .expected
        .is_none_or(|expected| expected.name_version(version));
    if holds || !resource.exists() {
        return Ok(());
    }
    Err(CommandError::Outdated {
        id: target.id.clone(),
        current: Box::new(Outcome {
            resource: resource.clone(),
            version,
            effect: Effect::Unchanged,
        }),
    })
}

/// The target afterwards: the first change is always its own.
fn outcome(family: &LoadedFamily, changes: &[StreamChange]) -> Outcome {
    let Some(change) = changes.first() else {
        return Outcome {
            resource: Resource::default(),
            version: 0,
            effect: Effect::Unchanged,
        };
    };
    Outcome {
        version: family.version(&change.resource.id) + change.events.len() as u64,
        resource: change.resource.clone(),
        effect: effect(changes),
    }
}

/// The greatest effect on any stream: a deletion that finds its target deleted may still reach a child.
fn effect(changes: &[StreamChange]) -> Effect {
    let is = |effect| changes.iter().any(|change| change.effect == effect);
    if is(Effect::Recorded) {
        Effect::Recorded
    } else if is(Effect::Liveness) {
        Effect::Liveness
    } else {
        Effect::Unchanged
    }
}

/// Appends nothing, and requires that the target is still as it was when it had nothing to change.
fn unchanged(outcome: &Outcome) -> Append {
    Append::events(stream(&outcome.resource.id), outcome.version, Vec::new())
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
