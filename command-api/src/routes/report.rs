//! `PUT` on statuses: an adapter reports what it found.

use axum::extract::State;
use axum::http::StatusCode;
use hyperfleet_api_types::AdapterStatusMetadata;
use hyperfleet_domain::adapter_status::AdapterMetadata;
use hyperfleet_domain::resource::{Command, ReportAdapterStatus, ReportedCondition};

use super::KindState;
use super::answer::{Answer, Answered};
use super::carry_out::{Task, carry_out};
use super::request::{Body, Caller, Ids, ResourcePath, now};
use crate::decode;
use crate::handler::conditions::Outcome;

/// 201 with the status as stored; 204 when the report is outdated and dropped.
pub(crate) async fn report(
    State(state): State<KindState>,
    Ids(path): Ids<ResourcePath>,
    caller: Caller,
    Body(bytes): Body,
) -> Answer {
    let body = decode::report(&bytes)?;
    let conditions = body
        .conditions
        .into_iter()
        .map(|condition| ReportedCondition {
            r#type: condition.condition_type,
            status: condition.status,
            reason: condition.reason,
            message: condition.message,
        });
    let adapter = body.adapter.clone();
    let command = Command::Report(ReportAdapterStatus {
        adapter: body.adapter,
        observed_generation: body.observed_generation,
        observed_time: body.observed_time,
        conditions: conditions.collect(),
        data: body.data,
        metadata: body.metadata.map(metadata),
        now: now(&state),
    });
    // A nested statuses route never looks the parent up by itself.
    let target = state.target(&path, false, &caller.identity);
    let task = Task {
        target: &target,
        command: &command,
        caller: &caller,
        body: &bytes,
    };
    let answer = |outcome: &Outcome| match outcome.resource.statuses.get(&adapter) {
        Some(status) => Answered::document(StatusCode::CREATED, status),
        None => Answered::no_content(),
    };
    let (answered, outcome) = carry_out(&state, task, answer).await?;
    if let Some(outcome) = outcome.filter(|outcome| !outcome.resource.exists()) {
        tracing::info!(
            resource_type = outcome.resource.kind,
            resource_id = outcome.resource.id,
            "Hard-deleted resource after all required adapters reported Finalized=True"
        );
    }
    Ok(answered)
}

fn metadata(sent: AdapterStatusMetadata) -> AdapterMetadata {
    AdapterMetadata {
        job_name: sent.job_name,
        job_namespace: sent.job_namespace,
        attempt: sent.attempt,
        started_time: sent.started_time,
        completed_time: sent.completed_time,
        duration: sent.duration,
    }
}
