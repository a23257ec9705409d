//! Evaluates existing resources again after the rules of their kind changed, in the background, as recorded
//! events.
//!
//! Bounded batches; progress is stored after each, so a killed process or another replica goes on where
//! the last one was. Replicas that run by different rules at the same time (a rollout) take turns; the last
//! one to finish decides, so the configuration that stays wins.

use std::sync::Arc;
use std::time::Duration;

use hyperfleet_command_api::handler::{Reach, Target};
use hyperfleet_command_api::{CommandError, CommandHandler};
use hyperfleet_domain::Registry;
use hyperfleet_domain::metadata::EventMetadata;
use hyperfleet_domain::registry::ServedKind;
use hyperfleet_domain::resource::{Command, ReevaluateConditions};
use hyperfleet_projections::reevaluation::{self, Claim};
use hyperfleet_runtime::{IdSource, error_chain};
use prometheus::{IntCounterVec, IntGauge, Opts};
use sqlx::PgPool;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Resources that are evaluated at a time: enough to share commits, few beside the users' own commands.
const BATCH: u32 = 64;

/// How long a claim lasts without progress.
const LEASE: Duration = Duration::from_secs(30);

/// Between two looks at a kind that another process works on, or after a failure.
const PAUSE: Duration = Duration::from_secs(2);

/// What is recorded as the cause of the events.
const CAUSE: &str = "configuration";

/// What is counted.
#[derive(Clone, Debug)]
pub(super) struct ReevaluationMetrics {
    pending_kinds: IntGauge,
    resources: IntCounterVec,
}

impl ReevaluationMetrics {
    pub(super) fn register(registry: &prometheus::Registry) -> Result<Self, prometheus::Error> {
        let pending_kinds = IntGauge::new(
            "hyperfleet_reevaluation_pending_kinds",
            "Kinds whose resources this process has not yet seen evaluated by its rules",
        )?;
        let resources = IntCounterVec::new(
            Opts::new(
                "hyperfleet_reevaluated_resources_total",
                "Resources evaluated again after the rules of their kind changed",
            ),
            &["resource_type", "outcome"],
        )?;
        registry.register(Box::new(pending_kinds.clone()))?;
        registry.register(Box::new(resources.clone()))?;
        Ok(Self {
            pending_kinds,
            resources,
        })
    }
}

/// Everything that the work needs.
pub(super) struct Reevaluation {
    pub(super) handler: CommandHandler,
    pub(super) pool: PgPool,
    pub(super) registry: Arc<Registry>,
    pub(super) ids: Arc<dyn IdSource>,
    pub(super) metrics: ReevaluationMetrics,
    pub(super) shutdown: CancellationToken,
}

/// Runs until every kind is done, or shutdown.
pub(super) async fn run(work: Reevaluation) {
    let mut left: Vec<(String, String)> = work
        .registry
        .iter()
        .map(|kind| (kind.kind.clone(), kind.rules_text()))
        .collect();
    while !left.is_empty() && !work.shutdown.is_cancelled() {
        work.metrics
            .pending_kinds
            .set(i64::try_from(left.len()).unwrap_or(i64::MAX));
        let mut waiting = Vec::new();
        for (kind, rules) in left {
            match work.kind(&kind, &rules).await {
                Ok(true) => {}
                Ok(false) => waiting.push((kind, rules)),
                Err(error) => {
                    tracing::warn!(
                        kind,
                        error = error_chain(&error),
                        "a kind cannot be evaluated again now"
                    );
                    waiting.push((kind, rules));
                }
            }
        }
        left = waiting;
        if !left.is_empty() {
            work.pause().await;
        }
    }
    work.metrics
        .pending_kinds
        .set(i64::try_from(left.len()).unwrap_or(i64::MAX));
}

impl Reevaluation {
    /// Does what there is to do for a kind. False when another process has it, or shutdown came.
    async fn kind(&self, kind: &str, rules: &str) -> Result<bool, hyperfleet_projections::Error> {
        let token = self.ids.new_id();
        let mut progress = match reevaluation::claim(&self.pool, kind, rules, token, LEASE).await? {
            Claim::Done => return Ok(true),
            Claim::Elsewhere => return Ok(false),
            Claim::Taken { progress } => progress,
        };
        let mut evaluated: usize = 0;
        tracing::debug!(kind, after = progress, "evaluating a kind by its rules");
        loop {
            let batch = reevaluation::next(&self.pool, kind, progress.as_deref(), BATCH).await?;
            let Some(last) = batch.last().cloned() else {
                break;
            };
            if !self.batch(kind, &batch, token).await {
                reevaluation::release(&self.pool, kind, token).await?;
                return Ok(false);
            }
            evaluated += batch.len();
            if !reevaluation::advance(&self.pool, kind, token, &last, LEASE).await? {
                return Ok(false);
            }
            tracing::info!(
                kind,
                evaluated,
                "resources evaluated again by the rules of the configuration"
            );
            progress = Some(last);
        }
        let finished = reevaluation::finish(&self.pool, kind, token).await?;
        if finished && evaluated > 0 {
            tracing::info!(
                kind,
                evaluated,
                "every resource of the kind was evaluated by the rules of the configuration"
            );
        }
        Ok(finished)
    }

    /// Evaluates resources, each until it succeeds or cannot. False when shutdown came before.
    async fn batch(&self, kind: &str, ids: &[String], token: Uuid) -> bool {
        let mut waiting: Vec<String> = ids.to_vec();
        while !waiting.is_empty() {
            if self.shutdown.is_cancelled() {
                return false;
            }
            let mut running = JoinSet::new();
            for id in waiting.drain(..) {
                let (handler, kind) = (self.handler.clone(), kind.to_owned());
                running.spawn(async move {
                    let outcome = evaluate(&handler, &kind, &id, token).await;
                    (id, outcome)
                });
            }
            while let Some(joined) = running.join_next().await {
                // A panic was reported by the runtime; that resource is left as it is.
                let Ok((id, outcome)) = joined else { continue };
                if self.is_to_be_tried_again(kind, &id, outcome) {
                    waiting.push(id);
                }
            }
            if !waiting.is_empty() {
                self.pause().await;
            }
        }
        true
    }

    fn is_to_be_tried_again(
        &self,
        kind: &str,
        id: &str,
        outcome: Result<(), CommandError>,
    ) -> bool {
        let outcome = match outcome {
            Ok(()) => "evaluated",
            // It was removed in between.
            Err(CommandError::Refused(_)) => "gone",
            Err(error) if error.is_unavailable() => return true,
            Err(error) => {
                tracing::error!(
                    kind,
                    resource_id = id,
                    error = error_chain(&error),
                    "a resource cannot be evaluated again"
                );
                "failed"
            }
        };
        self.metrics
            .resources
            .with_label_values(&[kind, outcome])
            .inc();
        false
    }

    async fn pause(&self) {
        // Shutdown ends the pause; what is to be done then is decided by the caller.
        let _ = tokio::time::timeout(PAUSE, self.shutdown.cancelled()).await;
    }
}

async fn evaluate(
    handler: &CommandHandler,
    kind: &str,
    id: &str,
    token: Uuid,
) -> Result<(), CommandError> {
    let target = Target {
        kind: ServedKind::One(kind.to_owned()),
        id: id.to_owned(),
        owner: None,
        reach: Reach::default(),
    };
    let metadata = EventMetadata {
        actor: hyperfleet_api_types::SYSTEM_ACTOR.to_owned(),
        correlation_id: token.to_string(),
        causation_id: CAUSE.to_owned(),
        command: CAUSE.to_owned(),
        ..EventMetadata::default()
    };
    let command = Command::Reevaluate(ReevaluateConditions);
    handler.handle(&target, &command, &metadata).await?;
    Ok(())
}
