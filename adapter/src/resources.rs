//! Objects: discover, decide, apply or delete, observe again.
//!
//! Invariants:
//! - resources are processed strictly in order; an apply failure ends the phase, a delete failure
//!   is remembered and the next resource is processed;
//! - nothing is written when the generation is unchanged, and never by an event that is older
//!   than the live object;
//! - after every write the object is discovered again, so that what is reported is what the
//!   cluster says.

mod decide;
mod discover;
mod maestro;
mod manifest;
mod nested;

use std::time::Duration;

use hyperfleet_runtime::error_chain;
use serde_json::Value;

use crate::cluster::{ClusterError, ClusterTarget, Deletion, ObjectId, resource_version};
use crate::config::{DeleteRule, PropagationPolicy, Resource};
use crate::outcome::{ErrorInfo, Observed, Operation, Phase, ResourceResult, StepError};
use crate::state::State;

pub use decide::{Decision, GENERATION_ANNOTATION, decide, generation};
pub use discover::matches_labels;
pub use maestro::{MANIFEST_WORK, MANIFEST_WORK_API};

/// How often a conflicting apply is decided again on the new state before the event is retried.
const APPLY_ATTEMPTS: u32 = 4;

/// How long a recreation waits for the old object to go; finalizers may take long, and the event
/// is then retried instead of blocking a worker.
const RECREATE_DEADLINE: Duration = Duration::from_mins(1);

/// How often a recreation looks whether the old object is gone.
const RECREATE_POLL: Duration = Duration::from_millis(100);

/// What the phase did, also when it failed.
#[derive(Default)]
pub(crate) struct Applied {
    pub(crate) results: Vec<ResourceResult>,
    pub(crate) observed: Vec<Observed>,
}

/// Processes all resources.
pub(crate) async fn process(
    state: &mut State<'_>,
    cluster: &dyn ClusterTarget,
    applied: &mut Applied,
) -> Result<(), StepError> {
    let surroundings = state.surroundings;
    let resources = &surroundings.config.task.resources;
    let has_lifecycle = resources.iter().any(|resource| {
        resource.lifecycle.create_when.is_some() || resource.lifecycle.delete.is_some()
    });
    if has_lifecycle {
        for resource in resources {
            let found = discover::discover(resource, state, cluster)
                .await
                .map_err(|error| {
                    error.context(format!(
                        "pre-discovery failed for resource {}",
                        resource.name
                    ))
                })?;
            if let Some(found) = found {
                remember(&found, applied);
                state.resources.insert(resource.name.clone(), found);
            }
        }
    }
    let manager = field_manager(&surroundings.config.adapter.name);
    let mut failures: Vec<StepError> = Vec::new();
    for (index, resource) in resources.iter().enumerate() {
        let number = index + 1;
        let step = one(resource, state, cluster, &manager, applied).await;
        match step {
            Ok(result) => {
                let object = result.object.as_ref();
                tracing::info!(
                    k8s_kind = %result.kind,
                    k8s_name = object.map(|object| object.name.as_str()),
                    k8s_namespace = object.map(|object| object.namespace.as_str()),
                    k8s_result = "SUCCESS",
                    "Resource[{number}] processed: operation={} reason={}",
                    result.operation.as_str(),
                    result.reason
                );
                applied.results.push(result);
            }
            Err((result, error)) => {
                tracing::warn!(
                    k8s_kind = %result.kind,
                    k8s_result = "FAILED",
                    error = %error.message,
                    "Resource[{number}] processed: FAILED"
                );
                let deleting = result.operation == Operation::Delete;
                applied.results.push(result);
                if !deleting {
                    return Err(error);
                }
                failures.push(error);
            }
        }
    }
    join(&failures)
}

/// All remembered failures as one.
fn join(failures: &[StepError]) -> Result<(), StepError> {
    let Some(first) = failures.first() else {
        return Ok(());
    };
    Err(StepError {
        step: first.step.clone(),
        transient: failures.iter().any(|failure| failure.transient),
        message: failures
            .iter()
            .map(|failure| failure.message.as_str())
            .collect::<Vec<_>>()
            .join("; "),
    })
}

/// The field manager of an adapter; API servers accept up to 128 characters.
fn field_manager(adapter: &str) -> String {
    let mut manager = format!("hyperfleet-adapter-{adapter}");
    let end = manager
        .char_indices()
        .map(|(index, character)| index + character.len_utf8())
        .take_while(|end| *end <= 128)
        .last()
        .unwrap_or_default();
    manager.truncate(end);
    manager
}

fn remember(object: &Value, applied: &mut Applied) {
    let Some(id) = ObjectId::of(object) else {
        return;
    };
    let version = resource_version(object).to_owned();
    applied.observed.retain(|observed| observed.object != id);
    applied.observed.push(Observed {
        object: id,
        resource_version: version,
    });
}

fn forget_version(object: &ObjectId, applied: &mut Applied) {
    for observed in &mut applied.observed {
        if observed.object == *object {
            observed.resource_version.clear();
        }
    }
}

type StepResult = Result<ResourceResult, (ResourceResult, StepError)>;

async fn one(
    resource: &Resource,
    state: &mut State<'_>,
    cluster: &dyn ClusterTarget,
    manager: &str,
    applied: &mut Applied,
) -> StepResult {
    let name = &resource.name;
    if let Some(when) = &resource.lifecycle.create_when
        && !state.resources.contains_key(name)
        && !holds(when, state)
    {
        state.metadata.skip(format!(
            "{name}: lifecycle.create.when condition evaluated to false"
        ));
        return Ok(ResourceResult {
            name: name.clone(),
            kind: resource.manifest.kind.clone(),
            object: None,
            operation: Operation::Skip,
            reason: "lifecycle.create.when condition evaluated to false".to_owned(),
            error: None,
        });
    }
    if let Some(rule) = &resource.lifecycle.delete
        && holds(&rule.when, state)
    {
        return delete(resource, rule, state, cluster, applied).await;
    }
    apply(resource, state, cluster, manager, applied)
        .await
        .map_err(|failure| {
            let result = ResourceResult {
                name: name.clone(),
                kind: resource.manifest.kind.clone(),
                object: failure.object,
                operation: failure.operation,
                reason: String::new(),
                error: Some(failure.error.message.clone()),
            };
            (result, failure.error)
        })
}

/// A lifecycle condition: a soft error is false.
fn holds(when: &crate::expression::Expression, state: &State<'_>) -> bool {
    match when.is_met(state) {
        Ok(met) => met,
        Err(error) => {
            tracing::debug!(expression = when.source(), "lifecycle condition: {error}");
            false
        }
    }
}

async fn delete(
    resource: &Resource,
    rule: &DeleteRule,
    state: &mut State<'_>,
    cluster: &dyn ClusterTarget,
    applied: &mut Applied,
) -> StepResult {
    let name = &resource.name;
    let mut result = ResourceResult {
        name: name.clone(),
        kind: resource.manifest.kind.clone(),
        object: None,
        operation: Operation::Delete,
        reason: "lifecycle.delete.when evaluated to true".to_owned(),
        error: None,
    };
    let surroundings = state.surroundings;
    let configured = surroundings.config.task.resources.iter();
    let number = 1 + configured.take_while(|other| other.name != *name).count();
    tracing::info!(
        "Resource[{number}] delete: operation=delete propagationPolicy={:?}",
        rule.propagation_policy
    );
    let adapter = &surroundings.config.adapter.name;
    let _counted = surroundings
        .metrics
        .deletion(adapter, &resource.manifest.kind);
    match try_delete(resource, rule.propagation_policy, state, cluster, applied).await {
        Ok(deleted) => {
            if !deleted.existed {
                "resource already deleted or never existed".clone_into(&mut result.reason);
            }
            result.object = deleted.object;
            Ok(result)
        }
        Err(error) => {
            state.metadata.resource_errors.insert(
                name.clone(),
                ErrorInfo {
                    phase: Phase::Resources.as_str().to_owned(),
                    step: name.clone(),
                    message: error.message.clone(),
                },
            );
            result.error = Some(error.message.clone());
            Err((
                result,
                error.context(format!("[resources] {name}")).at(name),
            ))
        }
    }
}

struct Deleted {
    object: Option<ObjectId>,
    existed: bool,
}

async fn try_delete(
    resource: &Resource,
    policy: PropagationPolicy,
    state: &mut State<'_>,
    cluster: &dyn ClusterTarget,
    applied: &mut Applied,
) -> Result<Deleted, StepError> {
    let found = discover::discover(resource, state, cluster).await?;
    let Some(id) = found.as_ref().and_then(ObjectId::of) else {
        state.resources.remove(&resource.name);
        return Ok(Deleted {
            object: None,
            existed: false,
        });
    };
    let deletion = cluster
        .delete(&id, Some(policy))
        .await
        .map_err(|error| from_cluster(&error))?;
    match discover::discover(resource, state, cluster).await {
        Ok(Some(still)) => {
            remember(&still, applied);
            state.resources.insert(resource.name.clone(), still);
        }
        Ok(None) => {
            forget_version(&id, applied);
            state.resources.remove(&resource.name);
        }
        Err(error) => {
            tracing::warn!(resource = %resource.name, "discovery after deletion: {}", error.message);
        }
    }
    Ok(Deleted {
        object: Some(id),
        existed: deletion == Deletion::Accepted,
    })
}

pub(crate) fn from_cluster(error: &ClusterError) -> StepError {
    StepError {
        step: None,
        message: error_chain(error),
        transient: error.transient,
    }
}

struct ApplyFailure {
    operation: Operation,
    object: Option<ObjectId>,
    error: StepError,
}

async fn apply(
    resource: &Resource,
    state: &mut State<'_>,
    cluster: &dyn ClusterTarget,
    manager: &str,
    applied: &mut Applied,
) -> Result<ResourceResult, ApplyFailure> {
    let name = &resource.name;
    // Rendering names no step: the metadata then carries the reason instead of a phase.
    let unrendered = |error: StepError| ApplyFailure {
        operation: Operation::Skip,
        object: None,
        error: error.context(format!("[resources] {name}")),
    };
    let consumer = maestro::consumer(resource, state).map_err(unrendered)?;
    let manifest =
        manifest::render(&resource.manifest, consumer.as_deref(), state).map_err(unrendered)?;
    let failed = |operation, error: StepError| ApplyFailure {
        operation,
        object: Some(manifest.object.clone()),
        error: error.context(format!("[resources] {name}")).at(name),
    };
    let mode = Mode {
        to_maestro: consumer.is_some(),
        dry_run: state.surroundings.dry_run.is_some(),
    };
    let decision = write(resource, &manifest, cluster, manager, mode)
        .await
        .map_err(|(operation, error)| failed(operation, error))?;
    let found = discover::discover(resource, state, cluster)
        .await
        .map_err(|error| {
            failed(
                decision.operation,
                error.context("failed to discover resource after apply"),
            )
        })?;
    let Some(found) = found else {
        return Err(failed(
            decision.operation,
            StepError::terminal(
                "failed to discover resource after apply: nothing matches the discovery; \
                 compare its name, namespace and labels with the manifest",
            ),
        ));
    };
    remember(&found, applied);
    state.resources.insert(name.clone(), found);
    nested::discover_all(resource, state).map_err(|error| failed(decision.operation, error))?;
    Ok(ResourceResult {
        name: name.clone(),
        kind: resource.manifest.kind.clone(),
        object: Some(manifest.object.clone()),
        operation: decision.operation,
        reason: decision.reason,
        error: None,
    })
}

/// What changes how an object is written.
#[derive(Clone, Copy)]
struct Mode {
    to_maestro: bool,
    dry_run: bool,
}

/// Reads, decides and writes; a concurrent change is decided again on the new state. Maestro does
/// not know recreation.
async fn write(
    resource: &Resource,
    manifest: &manifest::Rendered,
    cluster: &dyn ClusterTarget,
    manager: &str,
    mode: Mode,
) -> Result<Decision, (Operation, StepError)> {
    let mut attempt = 1;
    loop {
        let live = cluster
            .get(&manifest.object)
            .await
            .map_err(|error| (Operation::Skip, from_cluster(&error)))?;
        let recreate = resource.recreate_on_change && !mode.to_maestro;
        let decision = if mode.dry_run {
            decide::decide_dry(live.is_some(), recreate)
        } else {
            decide(live.as_ref(), &manifest.value, recreate)
        };
        let written = match decision.operation {
            Operation::Skip | Operation::Delete => return Ok(decision),
            Operation::Create => cluster.apply(&manifest.value, manager).await,
            Operation::Update => {
                let mut guarded = manifest.value.clone();
                if let Some(live) = &live {
                    guarded["metadata"]["resourceVersion"] = resource_version(live).into();
                }
                cluster.apply(&guarded, manager).await
            }
            Operation::Recreate => {
                remove_and_wait(&manifest.object, cluster)
                    .await
                    .map_err(|error| (decision.operation, error))?;
                cluster.apply(&manifest.value, manager).await
            }
        };
        match written {
            Ok(_) => return Ok(decision),
            Err(error) if error.conflict && attempt < APPLY_ATTEMPTS => attempt += 1,
            Err(mut error) => {
                // What was meant, not how it is done, is what operators search for.
                error.operation = match decision.operation {
                    Operation::Update => "update",
                    _ => "create",
                };
                return Err((decision.operation, from_cluster(&error)));
            }
        }
    }
}

/// Deletes an object and waits until it is gone.
async fn remove_and_wait(object: &ObjectId, cluster: &dyn ClusterTarget) -> Result<(), StepError> {
    let gone = async {
        cluster.delete(object, None).await?;
        while cluster.get(object).await?.is_some() {
            tokio::time::sleep(RECREATE_POLL).await;
        }
        Ok(())
    };
    match tokio::time::timeout(RECREATE_DEADLINE, gone).await {
        Ok(result) => result.map_err(|error: ClusterError| from_cluster(&error)),
        Err(_) => Err(StepError {
            step: None,
            message: format!(
                "{object} is still being deleted; it is created again when it is gone"
            ),
            transient: true,
        }),
    }
}
