//! The numbered cases of the adapter contract; `cargo xtask conformance adapter` counts them. Cases that
//! concern the command line are in the tests of the command.

mod language;
mod lifecycle;
mod loading;
mod maestro;
mod params;
mod post;
mod preconditions;
mod resources;
mod runtime;
mod sources;

use hyperfleet_adapter::outcome::Outcome;
use hyperfleet_runtime::clock::{Clock as _, SystemClock};
use serde_json::{Value, json};

use crate::support::{FakeApi, execute};

/// The cluster that the API answers unless a case says otherwise.
pub fn cluster() -> Value {
    let since = SystemClock.now() - chrono::TimeDelta::minutes(10);
    json!({"id": "c1", "generation": 5, "name": "n", "status": {"conditions": [
        {"type": "Reconciled", "status": "True", "last_transition_time": since.to_rfc3339()}
    ]}})
}

/// An API that answers the cluster.
pub async fn api() -> FakeApi {
    let api = FakeApi::start().await;
    api.answer("GET", "/clusters/c1", 200, cluster());
    api
}

/// A parameter `data` with the cluster.
pub const DATA: &str =
    "{name: data, source: {api_call: {method: GET, url: '/clusters/c1', retry_attempts: 1}}}";

/// Runs a task of these params.
pub async fn with_params(params: &str) -> Outcome {
    execute(&api().await, &format!("params: [{DATA}, {params}]\n")).await
}

/// The value of a parameter after a run that must succeed.
#[track_caller]
pub fn param(outcome: &Outcome, name: &str) -> Option<Value> {
    assert!(!outcome.is_failed(), "{}", outcome.error_summary());
    outcome.params.get(name).cloned()
}
