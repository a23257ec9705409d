//! One execution: extract → gates → objects → report.
//!
//! The phases and what each failure leads to are the adapter contract's: a required parameter
//! that cannot be had ends the execution at once; every other failure still reaches the post
//! actions, so that it is reported.

use std::sync::Arc;
use std::time::Instant;

use hyperfleet_runtime::clock::Clock;
use hyperfleet_runtime::telemetry::trace_context;
use serde_json::{Map, Value};
use tracing::Instrument as _;

use crate::api::{Answers, ApiClient, RecordedAnswers};
use crate::cluster::ClusterTarget;
use crate::config::Config;
use crate::event::Event;
use crate::metrics::AdapterMetrics;
use crate::outcome::{Outcome, Phase, StepError};
use crate::post::Post;
use crate::preconditions::Gate;
use crate::resources::{self, Applied};
use crate::state::{State, Surroundings};
use crate::{params, post, preconditions};

/// The reason of a 404 that ends an execution without being a failure.
const NOT_FOUND: &str = "ResourceNotFound";

/// Runs executions of one adapter.
pub struct Pipeline {
    surroundings: Surroundings,
    api: ApiClient,
    cluster: Arc<dyn ClusterTarget>,
}

impl Pipeline {
    /// A pipeline of a configuration.
    pub fn new(
        config: Config,
        http: reqwest::Client,
        cluster: Arc<dyn ClusterTarget>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let surroundings = Surroundings::new(config, clock);
        Self::with(surroundings, Answers::Network(http), cluster)
    }

    /// A pipeline that reaches nothing: requests are answered from a record, and nested
    /// discoveries of these names find these objects.
    pub(crate) fn dry(
        config: Config,
        answers: RecordedAnswers,
        nested: Map<String, Value>,
        cluster: Arc<dyn ClusterTarget>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let mut surroundings = Surroundings::new(config, clock);
        surroundings.dry_run = Some(nested);
        Self::with(surroundings, Answers::Record(answers), cluster)
    }

    fn with(surroundings: Surroundings, answers: Answers, cluster: Arc<dyn ClusterTarget>) -> Self {
        let config = &surroundings.config;
        let user_agent = config
            .environment
            .get("HYPERFLEET_USER_AGENT")
            .filter(|agent| !agent.is_empty())
            .cloned()
            .unwrap_or_else(|| format!("hyperfleet-adapter/{}", env!("CARGO_PKG_VERSION")));
        let api = ApiClient::new(config.adapter.api.clone(), answers, user_agent);
        Self {
            surroundings,
            api,
            cluster,
        }
    }

    /// The same pipeline, which counts deletions there.
    #[must_use]
    pub fn with_metrics(mut self, metrics: AdapterMetrics) -> Self {
        self.surroundings.metrics = metrics;
        self
    }

    /// The configuration it runs.
    pub fn config(&self) -> &Config {
        &self.surroundings.config
    }

    /// Executes one event.
    pub async fn execute(&self, event: &Event) -> Outcome {
        let mut state = State::new(&self.surroundings, event);
        let mut outcome = Outcome::default();
        if self.extract(&mut state, &mut outcome).await
            && self.gate_and_apply(&mut state, &mut outcome).await
        {
            self.report(&mut state, &mut outcome).await;
        }
        outcome.params = state
            .params
            .into_iter()
            .map(|(name, value)| (name, Arc::unwrap_or_clone(value)))
            .collect();
        outcome.metadata = state.metadata;
        outcome.discovered = state.resources;
        log_finish(&outcome);
        outcome
    }

    /// Whether the execution goes on.
    async fn extract(&self, state: &mut State<'_>, outcome: &mut Outcome) -> bool {
        let phase = Phase::ParamExtraction;
        tracing::debug!("Phase {phase}: RUNNING");
        let span = tracing::debug_span!("extract", otel.name = %phase);
        let started = Instant::now();
        let extracted = params::extract(state, &self.api).instrument(span).await;
        outcome.durations.insert(phase, started.elapsed());
        outcome.param_requests = self.api.recorded_count();
        match extracted {
            Ok(()) => {
                tracing::debug!("Phase {phase}: SUCCESS");
                true
            }
            Err(error) => {
                fail(phase, "ParameterExtractionFailed", error, state, outcome);
                false
            }
        }
    }

    /// Whether the post actions run.
    async fn gate_and_apply(&self, state: &mut State<'_>, outcome: &mut Outcome) -> bool {
        let phase = Phase::Preconditions;
        tracing::debug!("Phase {phase}: RUNNING");
        let span = tracing::debug_span!("gate", otel.name = %phase);
        let started = Instant::now();
        let evaluated = preconditions::evaluate(state, &self.api, &mut outcome.preconditions)
            .instrument(span)
            .await;
        outcome.durations.insert(phase, started.elapsed());
        match evaluated {
            Ok(Gate::Met) => {
                tracing::debug!("Phase {phase}: SUCCESS - MET");
                self.apply(state, outcome).await;
                true
            }
            Ok(Gate::NotMet(reason)) => {
                tracing::info!("Phase {phase}: SUCCESS - NOT_MET - {reason}");
                tracing::debug!("Phase {}: SKIPPED", Phase::Resources);
                outcome.skipped = true;
                state.metadata.skip(reason);
                true
            }
            Ok(Gate::NotFound) => {
                tracing::info!("Phase {phase}: SUCCESS - NOT_MET - {NOT_FOUND}");
                outcome.skipped = true;
                state.metadata.skip(NOT_FOUND);
                false
            }
            Err(error) => {
                state.metadata.skip(error.message.clone());
                fail(phase, "PreconditionFailed", error, state, outcome);
                true
            }
        }
    }

    async fn apply(&self, state: &mut State<'_>, outcome: &mut Outcome) {
        let phase = Phase::Resources;
        tracing::debug!("Phase {phase}: RUNNING");
        let mut applied = Applied::default();
        let span = tracing::debug_span!("apply", otel.name = %phase);
        let processed = resources::process(state, self.cluster.as_ref(), &mut applied);
        let started = Instant::now();
        let processed = processed.instrument(span).await;
        outcome.durations.insert(phase, started.elapsed());
        match processed {
            Ok(()) => tracing::debug!("Phase {phase}: SUCCESS"),
            Err(error) => {
                let error = error.context("resource execution failed");
                fail(phase, "ResourceFailed", error, state, outcome);
            }
        }
        outcome.resources = applied.results;
        outcome.observed = applied.observed;
    }

    async fn report(&self, state: &mut State<'_>, outcome: &mut Outcome) {
        let phase = Phase::PostActions;
        tracing::debug!("Phase {phase}: RUNNING");
        let span = tracing::debug_span!("report", otel.name = %phase);
        let reported = post::run(state, &self.api, &mut outcome.actions);
        let started = Instant::now();
        let reported = reported.instrument(span).await;
        outcome.durations.insert(phase, started.elapsed());
        match reported {
            Ok(Post::Done) => tracing::debug!("Phase {phase}: SUCCESS"),
            Ok(Post::NotFound) => {
                outcome.skipped = true;
                state.metadata.skip(NOT_FOUND);
            }
            Err(error) => fail(phase, "PostActionFailed", error, state, outcome),
        }
    }
}

fn fail(
    phase: Phase,
    reason: &str,
    error: StepError,
    state: &mut State<'_>,
    outcome: &mut Outcome,
) {
    tracing::warn!("Phase {phase}: FAILED: {}", error.message);
    trace_context::failed(&tracing::Span::current(), &error.message);
    outcome.transient |= error.transient;
    outcome.errors.insert(phase, error.message.clone());
    state
        .metadata
        .fail(phase, reason, error.message, error.step.as_deref());
}

fn log_finish(outcome: &Outcome) {
    if outcome.is_failed() {
        tracing::warn!(
            "Event execution finished: event_execution_status=failed {}",
            outcome.error_summary()
        );
    } else {
        tracing::info!(
            "Event execution finished: event_execution_status=success resources_skipped={} reason={}",
            outcome.metadata.resources_skipped,
            outcome.metadata.skip_reason
        );
    }
}
