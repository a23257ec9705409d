//! The trace as JSON.

use serde_json::{Map, Value, json};

use super::{Trace, identity};
use crate::outcome::{GateResult, ResourceResult};

pub(super) fn write(trace: &Trace, verbose: bool) -> Value {
    let outcome = &trace.outcome;
    let mut params: Map<String, Value> = outcome.params.clone().into_iter().collect();
    for (name, value) in [
        ("adapter", &trace.adapter),
        ("config", &trace.config),
        ("env", &trace.environment),
        ("event", &trace.data),
    ] {
        params.entry(name).or_insert_with(|| value.clone());
    }
    let preconditions = outcome.preconditions.iter().map(|precondition| {
        let failed = precondition.result == GateResult::Failed;
        let mut entry = json!({
            "name": precondition.name,
            "status": status(failed),
            "matched": precondition.result == GateResult::Met,
        });
        if failed {
            entry["error"] = json!(precondition.details);
        }
        entry
    });
    let actions = outcome.actions.iter().map(|action| {
        let mut entry = json!({
            "name": action.name,
            "status": status(action.error.is_some()),
            "skipped": action.skipped.is_some(),
        });
        if let Some(error) = &action.error {
            entry["error"] = json!(error);
        }
        if let Some(reason) = &action.skipped {
            entry["reason"] = json!(reason);
        }
        entry
    });
    let errors: Map<String, Value> = outcome
        .errors
        .iter()
        .map(|(phase, message)| (phase.to_string(), json!(message)))
        .collect();
    json!({
        "event": {"id": trace.event.0, "type": trace.event.1},
        "status": status(outcome.is_failed()),
        "params": params,
        "preconditions": preconditions.collect::<Vec<_>>(),
        "resources": outcome.resources.iter().map(|resource| of_resource(trace, resource)).collect::<Vec<_>>(),
        "discoveredResources": outcome.discovered,
        "postActions": actions.collect::<Vec<_>>(),
        "errors": errors,
        "apiRequests": requests(trace, verbose),
        "transportOperations": operations(trace, verbose),
    })
}

fn status(failed: bool) -> &'static str {
    if failed { "failed" } else { "success" }
}

fn of_resource(trace: &Trace, resource: &ResourceResult) -> Value {
    let (_, namespace, name) = resource.object.as_ref().map_or(("", "", ""), identity);
    let mut entry = json!({
        "name": resource.name,
        "kind": resource.kind,
        "namespace": namespace,
        "resourceName": name,
        "status": status(resource.error.is_some()),
        "operation": resource.operation.as_str(),
        "reason": resource.reason,
    });
    if let Some(error) = &resource.error {
        entry["error"] = json!(error);
    }
    if let Some(state) = trace.outcome.discovered.get(&resource.name) {
        entry["discoveredState"] = state.clone();
    }
    entry
}

fn requests(trace: &Trace, verbose: bool) -> Vec<Value> {
    let requests = trace.requests.iter().map(|request| {
        let mut entry = json!({
            "method": request.method,
            "url": request.url,
            "statusCode": request.status,
        });
        if verbose {
            if let Some(body) = &request.body {
                entry["requestBody"] = json!(body);
            }
            entry["responseBody"] = request.answer.clone();
        }
        entry
    });
    requests.collect()
}

fn operations(trace: &Trace, verbose: bool) -> Vec<Value> {
    let operations = trace.operations.iter().map(|operation| {
        let (kind, namespace, name) = identity(&operation.object);
        let mut entry = json!({
            "operation": operation.operation,
            "kind": kind,
            "namespace": namespace,
            "name": name,
            "result": operation.result,
        });
        if verbose && operation.operation == "apply" {
            entry["manifest"] = operation.value.clone().unwrap_or_default();
        }
        entry
    });
    operations.collect()
}
