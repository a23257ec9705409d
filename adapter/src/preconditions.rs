//! Gates: evaluated in order, the first that is not met ends the list.

mod operators;

use serde_json::{Map, Value};

use crate::api::ApiClient;
use crate::calls::{self, CallError};
use crate::config::{Capture, CaptureSource, Precondition};
use crate::expression::Variables;
use crate::outcome::StepError;
use crate::state::State;

/// What the gates decided.
pub(crate) enum Gate {
    /// All are met.
    Met,
    /// One is not; why.
    NotMet(String),
    /// A called resource does not exist.
    NotFound,
}

/// Evaluates all preconditions.
///
/// A failure is an error of the phase; "not met" is not.
pub(crate) async fn evaluate(state: &mut State<'_>, api: &ApiClient) -> Result<Gate, StepError> {
    let surroundings = state.surroundings;
    for (index, precondition) in surroundings.config.task.preconditions.iter().enumerate() {
        let number = index + 1;
        if let Some(log) = &precondition.log {
            state.log(log);
        }
        if let Some(call) = &precondition.api_call {
            match calls::fetch(call, state, api).await {
                Ok(response) => {
                    capture(precondition, &response, state)
                        .map_err(|error| error.context(&precondition.name))?;
                    state.set(&precondition.name, response);
                }
                Err(CallError::NotFound(error)) => {
                    tracing::info!("Precondition[{number}] evaluated: {}", error.message);
                    return Ok(Gate::NotFound);
                }
                Err(CallError::Failed(error)) => {
                    tracing::warn!("Precondition[{number}] evaluated: FAILED");
                    return Err(error
                        .context(format!("precondition '{}'", precondition.name))
                        .at(&precondition.name));
                }
            }
        }
        let decision = decide(precondition, state).map_err(|error| {
            tracing::warn!("Precondition[{number}] evaluated: FAILED");
            error.context(format!("precondition '{}'", precondition.name))
        })?;
        if let Some(details) = decision {
            let name = &precondition.name;
            tracing::info!("Precondition[{number}] evaluated: NOT_MET");
            return Ok(Gate::NotMet(format!(
                "precondition '{name}' not met: {details}"
            )));
        }
        tracing::debug!("Precondition[{number}] evaluated: MET");
    }
    Ok(Gate::Met)
}

/// `None` when met, else why not.
fn decide(precondition: &Precondition, state: &State<'_>) -> Result<Option<String>, StepError> {
    if !precondition.conditions.is_empty() {
        // All are evaluated: a hard error in a later one wins over an earlier "not met".
        let mut unmet = Vec::new();
        for condition in &precondition.conditions {
            let context = crate::state::path_context(&condition.field, state);
            let actual = condition
                .field
                .evaluate(&context)
                .map_err(|error| StepError::terminal(error.to_string()))?;
            let met = operators::holds(condition.operator, actual.as_ref(), &condition.value)
                .map_err(|problem| {
                    StepError::terminal(format!("{}: {problem}", condition.field.source()))
                })?;
            if !met {
                unmet.push(operators::describe(condition, actual.as_ref()));
            }
        }
        return Ok((!unmet.is_empty()).then(|| unmet.join("; ")));
    }
    let Some(expression) = &precondition.expression else {
        return Ok(None);
    };
    Ok(match expression.is_met(state) {
        Ok(true) => None,
        Ok(false) => Some("no specific details available".to_owned()),
        Err(error) => Some(format!("CEL error: {error}")),
    })
}

/// What captures see: the response's keys, and the response under the precondition's name.
struct ResponseScope<'a> {
    name: &'a str,
    response: &'a Value,
    now: chrono::DateTime<chrono::Utc>,
}

impl Variables for ResponseScope<'_> {
    fn variable(&self, name: &str) -> Option<Value> {
        if name == self.name {
            return Some(self.response.clone());
        }
        self.response.get(name).cloned()
    }

    fn now(&self) -> chrono::DateTime<chrono::Utc> {
        self.now
    }
}

fn capture(
    precondition: &Precondition,
    response: &Value,
    state: &mut State<'_>,
) -> Result<(), StepError> {
    let scope = ResponseScope {
        name: &precondition.name,
        response,
        now: state.surroundings.clock.now(),
    };
    let mut captured = Vec::with_capacity(precondition.captures.len());
    for capture in &precondition.captures {
        let value = captured_value(capture, &scope)?;
        captured.push((capture.name.clone(), value));
    }
    for (name, value) in captured {
        state.set(&name, value);
    }
    Ok(())
}

fn captured_value(capture: &Capture, scope: &ResponseScope<'_>) -> Result<Value, StepError> {
    match &capture.source {
        CaptureSource::Field(path) => {
            let mut context = match scope.response {
                Value::Object(map) => map.clone(),
                _ => Map::new(),
            };
            context.insert(scope.name.to_owned(), scope.response.clone());
            let found = path
                .evaluate(&Value::Object(context))
                .map_err(|error| StepError::terminal(error.to_string()))?;
            Ok(found
                .or_else(|| capture.default.clone())
                .unwrap_or_else(|| {
                    tracing::warn!(
                        capture = %capture.name,
                        "field {:?} is missing in the response; null is captured",
                        path.source()
                    );
                    Value::Null
                }))
        }
        CaptureSource::Expression(expression) => Ok(expression
            .evaluate(scope)
            .map_or(Value::Null, crate::expression::Evaluated::into_value)),
    }
}
