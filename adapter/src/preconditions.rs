//! Gates: evaluated in order, the first that is not met ends the list.

mod operators;

use serde_json::{Map, Value};

use crate::api::ApiClient;
use crate::calls::{self, CallError};
use crate::config::{Capture, CaptureSource, Precondition};
use crate::expression::Variables;
use crate::outcome::{GateResult, PreconditionResult, StepError};
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
/// A failure is an error of the phase; "not met" is not. What was evaluated is in `results`, also
/// when the phase failed.
pub(crate) async fn evaluate(
    state: &mut State<'_>,
    api: &ApiClient,
    results: &mut Vec<PreconditionResult>,
) -> Result<Gate, StepError> {
    let surroundings = state.surroundings;
    for (index, precondition) in surroundings.config.task.preconditions.iter().enumerate() {
        let number = index + 1;
        let name = &precondition.name;
        let mut captured = Vec::new();
        let decided = one(precondition, state, api, &mut captured).await;
        let (result, details) = match &decided {
            Ok(Gate::Met) => (GateResult::Met, None),
            Ok(Gate::NotMet(reason)) => (GateResult::NotMet, Some(reason.clone())),
            Ok(Gate::NotFound) => (GateResult::NotFound, None),
            Err(error) => (GateResult::Failed, Some(error.message.clone())),
        };
        match result {
            GateResult::Met => tracing::debug!("Precondition[{number}] evaluated: MET"),
            GateResult::NotMet | GateResult::NotFound => {
                tracing::info!("Precondition[{number}] evaluated: NOT_MET");
            }
            GateResult::Failed => tracing::warn!("Precondition[{number}] evaluated: FAILED"),
        }
        results.push(PreconditionResult {
            name: name.clone(),
            result,
            captured,
            details,
            requests: api.recorded_count(),
        });
        match decided? {
            Gate::Met => {}
            Gate::NotMet(details) => {
                return Ok(Gate::NotMet(format!(
                    "precondition '{name}' not met: {details}"
                )));
            }
            Gate::NotFound => return Ok(Gate::NotFound),
        }
    }
    Ok(Gate::Met)
}

async fn one(
    precondition: &Precondition,
    state: &mut State<'_>,
    api: &ApiClient,
    captured: &mut Vec<(String, Value)>,
) -> Result<Gate, StepError> {
    let context = format!("precondition '{}'", precondition.name);
    if let Some(log) = &precondition.log {
        state.log(log);
    }
    if let Some(call) = &precondition.api_call {
        match calls::fetch(call, state, api).await {
            Ok(response) => {
                *captured =
                    capture(precondition, &response, state).map_err(|e| e.context(&context))?;
                for (name, value) in captured.iter() {
                    state.set(name, value.clone());
                }
                state.set(&precondition.name, response);
            }
            Err(CallError::NotFound(error)) => {
                tracing::debug!("{context}: {}", error.message);
                return Ok(Gate::NotFound);
            }
            Err(CallError::Failed(error)) => {
                return Err(error.context(context).at(&precondition.name));
            }
        }
    }
    let unmet = decide(precondition, state).map_err(|error| error.context(context))?;
    Ok(unmet.map_or(Gate::Met, Gate::NotMet))
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
    state: &State<'_>,
) -> Result<Vec<(String, Value)>, StepError> {
    let scope = ResponseScope {
        name: &precondition.name,
        response,
        now: state.surroundings.clock.now(),
    };
    precondition
        .captures
        .iter()
        .map(|capture| Ok((capture.name.clone(), captured_value(capture, &scope)?)))
        .collect()
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
