//! One batch of claimed rows: decide, publish, complete.

use std::time::Duration;

use futures::StreamExt as _;
use futures::stream;
use hyperfleet_broker::PublishError;
use hyperfleet_projections::reconcile_queue::{self, Claim, Completion, DueResource};
use hyperfleet_runtime::planted::{PULSE_MARKED_BEFORE_CONFIRM, planted};
use hyperfleet_runtime::telemetry::trace_context;
use serde_json::Value;
use tokio::time::Instant;
use tracing::{Instrument as _, Span};

use super::Sentinel;
use crate::event;
use crate::policy::{Decision, Schedule};

/// How long a row waits whose event could not be published.
const RETRY_IN: Duration = Duration::from_secs(1);

/// How a batch went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Every row was decided on, and every event published.
    Done,
    /// Something failed; the rows concerned come back.
    Failed,
}

/// What became of one row.
enum Row {
    Completed(Completion),
    Failed(Claim, Failure),
    /// The sentinel was shut down, or the claim is getting old.
    NotBegun(Claim),
}

/// Why a row could not be dealt with.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("event not published")]
    Publish(#[source] PublishError),
    #[error("resource has no JSON form")]
    Unreadable(#[source] serde_json::Error),
}

impl Sentinel {
    /// Deals with claimed rows and settles their claims; also, how many events were published, or may have been.
    pub(super) async fn handle(&self, due: Vec<DueResource>) -> (Outcome, u32) {
        let claimed = Instant::now();
        let parallelism = self.options.config.claims.publish_parallelism;
        let rows: Vec<Row> = stream::iter(due)
            .map(|row| self.handle_row(row, claimed))
            .buffer_unordered(parallelism)
            .collect()
            .await;
        let mut completions = Vec::with_capacity(rows.len());
        let (mut failed, mut not_begun) = (Vec::new(), Vec::new());
        let mut first_failure = None;
        let mut published: u32 = 0;
        for row in rows {
            match row {
                Row::Completed(completion) => {
                    published += u32::from(completion.published_generation.is_some());
                    completions.push(completion);
                }
                Row::Failed(claim, failure) => {
                    published += 1;
                    first_failure.get_or_insert(failure);
                    failed.push(claim);
                }
                Row::NotBegun(claim) => not_begun.push(claim),
            }
        }
        let mut outcome = Outcome::Done;
        if let Some(failure) = first_failure {
            // Once per batch: when the broker is away, every row fails for the same reason.
            tracing::error!(
                error = &failure as &dyn std::error::Error,
                topic = self.options.config.topic,
                count = failed.len(),
                "events not published; their resources stay due"
            );
            outcome = Outcome::Failed;
        }
        let pool = &self.options.pool;
        let completed = reconcile_queue::complete(pool, &completions).await;
        for settled in [
            completed.map(|fenced| self.report_fenced(fenced)),
            reconcile_queue::release(pool, &failed, RETRY_IN).await,
            reconcile_queue::release(pool, &not_begun, Duration::ZERO).await,
        ] {
            if let Err(error) = settled {
                self.options.metrics.queue_failed("complete_error");
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "claims not settled; their resources are due again after the visibility timeout"
                );
                outcome = Outcome::Failed;
            }
        }
        (outcome, published)
    }

    /// This process stood still for longer than its claims lasted. Others have taken over.
    fn report_fenced(&self, fenced: usize) {
        if fenced == 0 {
            return;
        }
        self.options.metrics.fenced(fenced);
        tracing::warn!(
            sentinel = self.options.config.name,
            count = fenced,
            "events published under claims that had run out: adapters may hear twice of the same; if this \
             process was not stopped, raise claims.visibility_timeout or lower claims.batch_size"
        );
    }

    async fn handle_row(&self, row: DueResource, claimed: Instant) -> Row {
        // Only half of the visibility timeout is used, so that a claim never ends under a publish.
        let too_old = claimed.elapsed() > self.claimer.request().visibility / 2;
        if too_old || self.options.shutdown.is_cancelled() {
            return Row::NotBegun(row.claim);
        }
        let resource = match serde_json::to_value(row.resource.document()) {
            Ok(resource) => resource,
            Err(error) => return Row::Failed(row.claim, Failure::Unreadable(error)),
        };
        let schedule = Schedule {
            attempt: u32::try_from(row.attempt).unwrap_or_default(),
            last_published_generation: row.last_published_generation.map(i64::from),
            last_published_time: row.last_published_time,
        };
        let decision = self.policy.decide(&resource, row.claimed_time, &schedule);
        if let Some(warning) = &decision.warning {
            tracing::warn!(
                resource_id = row.claim.resource_id(),
                warning,
                "policy not evaluated"
            );
        }
        let next_due_in = (decision.next_due - row.claimed_time)
            .to_std()
            .unwrap_or_default();
        if !decision.publish {
            self.options.metrics.skipped(&decision.reason);
            return Row::Completed(Completion {
                claim: row.claim,
                published_generation: None,
                attempt: row.attempt,
                next_due_in,
                next_priority: decision.next_priority,
            });
        }
        let completed = Completion {
            published_generation: Some(row.resource.generation),
            attempt: row.attempt.saturating_add(1),
            next_due_in,
            next_priority: decision.next_priority,
            claim: row.claim.clone(),
        };
        if planted(PULSE_MARKED_BEFORE_CONFIRM) {
            let early = std::slice::from_ref(&completed);
            let _ = reconcile_queue::complete(&self.options.pool, early).await;
        }
        let span = tracing::debug_span!(
            "publish", otel.name = format!("{} publish", self.options.config.topic),
            otel.kind = "producer", hyperfleet.resource_type = row.resource.kind,
            hyperfleet.resource_id = row.claim.resource_id(),
            hyperfleet.decision_reason = %decision.reason,
            messaging.operation.type = "publish",
            messaging.destination.name = self.options.config.topic,
        );
        if let Some(cause) = &row.traceparent {
            trace_context::continue_trace(&span, cause);
        }
        let published = self.publish(&row, &resource, &decision);
        if let Err(error) = published.instrument(span).await {
            self.options.metrics.publish_failed();
            return Row::Failed(row.claim, Failure::Publish(error));
        }
        let waited = (row.claimed_time - row.due_time)
            .to_std()
            .unwrap_or_default();
        self.options
            .metrics
            .published(&decision.reason, waited + claimed.elapsed());
        Row::Completed(completed)
    }

    async fn publish(
        &self,
        row: &DueResource,
        resource: &Value,
        decision: &Decision,
    ) -> Result<(), PublishError> {
        let resource_id = row.claim.resource_id();
        let built = self.payload.build(resource, &decision.reason);
        for warning in built.warnings {
            tracing::warn!(resource_id, warning, "left out of the event's data");
        }
        let ids = &self.options.ids;
        let event_id = ids.new_id().to_string();
        let mut envelope = event::reconcile_event(event_id, &row.resource.kind, built.data);
        if self.options.config.tracing_enabled {
            let exported = trace_context::traceparent(&Span::current());
            let traceparent = exported
                .or_else(|| row.traceparent.clone())
                .unwrap_or_else(|| {
                    event::traceparent(&ids.new_id().to_string(), &ids.new_id().to_string())
                });
            envelope = envelope.with_traceparent(traceparent);
        }
        let topic = &self.options.config.topic;
        let published = self.options.publisher.publish(topic, &envelope).await;
        if let Err(error) = &published {
            trace_context::failed(&Span::current(), &error.to_string());
        }
        published?;
        tracing::debug!(
            resource_id,
            topic,
            event_id = envelope.id,
            decision_reason = %decision.reason,
            traceparent = envelope.traceparent,
            "event published"
        );
        Ok(())
    }
}
