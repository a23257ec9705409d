//! An execution that reaches nothing: the API answers from a record, objects live in memory.
//!
//! Everything else is real: the checks at load, parameters, expressions, templates, URLs. Generations
//! decide nothing in a dry run: an object that is there is updated, one that is not is created.

mod cluster;
mod json;
mod text;

use std::sync::Arc;

use hyperfleet_broker::Envelope;
use hyperfleet_runtime::clock::Clock;
use hyperfleet_runtime::error_chain;
use serde_json::{Map, Value};

use crate::api::{RecordedAnswers, RecordedError, RecordedRequest};
use crate::config::Config;
use crate::event::Event;
use crate::outcome::Outcome;
use crate::pipeline::Pipeline;

use cluster::{MemoryCluster, ObjectOperation};

/// What a dry run works on, as the texts of its files.
#[derive(Debug, Clone, Copy, Default)]
pub struct Inputs<'i> {
    /// A CloudEvent in JSON.
    pub event: &'i str,
    /// Recorded answers of the API; without them every call is answered with an empty object.
    pub answers: Option<&'i str>,
    /// Objects that discoveries find, by name.
    pub discovery: Option<&'i str>,
}

/// What a dry run works on cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum InputError {
    /// The event is not one.
    #[error("the event cannot be used: {0}")]
    Event(String),
    /// The answers of the API are not understood.
    #[error("the API responses cannot be used")]
    Answers(#[source] RecordedError),
    /// The objects to discover are not understood.
    #[error("the discovery overrides cannot be used: {0}")]
    Discovery(String),
}

/// Everything that a dry run did.
pub struct Trace {
    event: (String, String),
    adapter: Value,
    config: Value,
    environment: Value,
    data: Value,
    param_names: Vec<String>,
    outcome: Outcome,
    requests: Vec<RecordedRequest>,
    operations: Vec<ObjectOperation>,
}

/// Runs one event through a configuration.
///
/// # Errors
/// When an input cannot be used. A failed execution is no error: the trace tells of it.
pub async fn run(
    config: Config,
    inputs: Inputs<'_>,
    clock: Arc<dyn Clock>,
) -> Result<Trace, InputError> {
    let envelope = envelope(inputs.event)?;
    let event =
        Event::from_envelope(&envelope).map_err(|error| InputError::Event(error.to_string()))?;
    let answers = match inputs.answers {
        Some(text) => RecordedAnswers::parse(text).map_err(InputError::Answers)?,
        None => RecordedAnswers::default(),
    };
    let overrides = match inputs.discovery {
        Some(text) => overrides(text)?,
        None => Map::new(),
    };
    let to_maestro = config.adapter.maestro.is_some();
    let cluster = Arc::new(MemoryCluster::new(
        &overrides,
        to_maestro,
        Arc::clone(&clock),
    ));
    let names = config.task.params.iter().map(|param| param.name.clone());
    let param_names = names.collect();
    let pipeline = Pipeline::dry(
        config,
        answers.clone(),
        overrides,
        Arc::clone(&cluster) as Arc<dyn crate::cluster::ClusterTarget>,
        clock,
    );
    let outcome = pipeline.execute(&event).await;
    let config = pipeline.config();
    Ok(Trace {
        event: (envelope.id.clone(), envelope.r#type.clone()),
        adapter: serde_json::json!({
            "name": config.adapter.name,
            "version": config.adapter.version,
        }),
        config: config.tree(true),
        environment: serde_json::to_value(config.environment.as_ref()).unwrap_or_default(),
        data: event.data,
        param_names,
        outcome,
        requests: answers.requests(),
        operations: cluster.operations(),
    })
}

/// The event, which must have all that a CloudEvent has to have.
fn envelope(text: &str) -> Result<Envelope, InputError> {
    let wrong = |message: String| InputError::Event(message);
    let envelope =
        Envelope::from_bytes(text.as_bytes()).map_err(|error| wrong(error_chain(&error)))?;
    for (attribute, value) in [
        ("id", &envelope.id),
        ("source", &envelope.source),
        ("type", &envelope.r#type),
    ] {
        if value.is_empty() {
            return Err(wrong(format!("attribute {attribute} is required")));
        }
    }
    Ok(envelope)
}

fn overrides(text: &str) -> Result<Map<String, Value>, InputError> {
    let wrong = |message: String| InputError::Discovery(message);
    let document: Value =
        serde_json::from_str(text).map_err(|error| wrong(format!("not JSON: {error}")))?;
    let Value::Object(overrides) = document else {
        return Err(wrong("expected an object: name to object".to_owned()));
    };
    for (name, object) in &overrides {
        for key in ["apiVersion", "kind"] {
            if object
                .get(key)
                .and_then(Value::as_str)
                .is_none_or(str::is_empty)
            {
                return Err(wrong(format!("{name:?} needs {key}")));
            }
        }
    }
    Ok(overrides)
}

impl Trace {
    /// Whether no phase failed.
    pub fn is_success(&self) -> bool {
        !self.outcome.is_failed()
    }

    /// A line for each failed phase, `Error in <phase>: …`.
    pub fn errors(&self) -> Vec<String> {
        let errors = self.outcome.errors.iter();
        errors
            .map(|(phase, message)| format!("Error in {phase}: {message}"))
            .collect()
    }

    /// The execution.
    pub fn outcome(&self) -> &Outcome {
        &self.outcome
    }

    /// The trace for people; `verbose` adds bodies and manifests.
    pub fn to_text(&self, verbose: bool) -> String {
        text::write(self, verbose)
    }

    /// The trace as JSON; `verbose` adds bodies and manifests. It holds the environment: treat it as
    /// a secret.
    pub fn to_json(&self, verbose: bool) -> Value {
        json::write(self, verbose)
    }
}

/// Who the object of an operation is, as `(kind, namespace, name)`.
fn identity(object: &crate::cluster::ObjectId) -> (&str, &str, &str) {
    (&object.kind.kind, &object.namespace, &object.name)
}

#[cfg(test)]
mod tests;
