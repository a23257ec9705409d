//! Payloads and actions: what is reported at the end.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use crate::api::ApiClient;
use crate::calls::{self, CallError};
use crate::config::{Action, Build};
use crate::outcome::{ActionResult, StepError};
use crate::state::{Frozen, Params, State, path_context};
use crate::value::to_json;

/// The step that a payload failure is reported under.
const BUILD_STEP: &str = "build_payloads";

/// What ended the actions.
pub(crate) enum Post {
    /// All were run or skipped.
    Done,
    /// A called resource does not exist; later actions were not run.
    NotFound,
}

/// Builds all payloads, then runs the actions in order.
pub(crate) async fn run(
    state: &mut State<'_>,
    api: &ApiClient,
    results: &mut Vec<ActionResult>,
) -> Result<Post, StepError> {
    let surroundings = state.surroundings;
    let post = &surroundings.config.task.post;
    let skipped = build_payloads(state).map_err(|error| error.at(BUILD_STEP))?;
    for (index, action) in post.actions.iter().enumerate() {
        let number = index + 1;
        let mut result = ActionResult {
            name: action.name.clone(),
            skipped: None,
            error: None,
            requests: 0,
        };
        let done = one(action, state, api, &skipped).await;
        result.requests = api.recorded_count();
        match done {
            Ok(None) => tracing::debug!("PostAction[{number}] processed: SUCCESS"),
            Ok(Some(reason)) => {
                tracing::info!("PostAction[{number}] processed: SKIPPED ({reason})");
                result.skipped = Some(reason);
            }
            Err(CallError::NotFound(error)) => {
                tracing::info!(
                    "PostAction[{number}] processed: SKIPPED ({})",
                    error.message
                );
                result.skipped = Some("ResourceNotFound".to_owned());
                results.push(result);
                return Ok(Post::NotFound);
            }
            Err(CallError::Failed(error)) => {
                tracing::warn!("PostAction[{number}] processed: FAILED ({})", error.message);
                result.error = Some(error.message.clone());
                results.push(result);
                return Err(error
                    .context(format!("post action '{}'", action.name))
                    .at(&action.name));
            }
        }
        results.push(result);
    }
    Ok(Post::Done)
}

/// `Some` reason when the action was left out.
async fn one(
    action: &Action,
    state: &State<'_>,
    api: &ApiClient,
    skipped: &BTreeSet<String>,
) -> Result<Option<String>, CallError> {
    if let Some(body) = action.api_call.as_ref().and_then(|call| call.body.as_ref())
        && let Some(name) = missing_payload(body, skipped)
    {
        return Ok(Some(format!("referenced payload '{name}' was skipped")));
    }
    if let Some(when) = &action.when {
        let met = when.is_met(state).map_err(|error| {
            CallError::Failed(StepError::terminal(format!(
                "when condition evaluation error: {error}"
            )))
        })?;
        if !met {
            return Ok(Some(format!(
                "when condition evaluated to false: {}",
                when.source()
            )));
        }
    }
    if let Some(log) = &action.log {
        state.log(log);
    }
    if let Some(call) = &action.api_call {
        calls::send(call, state, api).await?;
    }
    Ok(None)
}

/// A skipped payload that the body references; a body with function calls is taken to reference
/// any skipped payload, because its accesses cannot be told.
fn missing_payload<'s>(
    body: &crate::template::Template,
    skipped: &'s BTreeSet<String>,
) -> Option<&'s String> {
    let roots = body.roots();
    let named = skipped.iter().find(|name| roots.contains(*name));
    if named.is_none() && body.calls_functions() {
        return skipped.first();
    }
    named
}

/// Builds and stores the payloads; returns the names of those whose `when` was false.
fn build_payloads(state: &mut State<'_>) -> Result<BTreeSet<String>, StepError> {
    let surroundings = state.surroundings;
    // Expressions see the variables as they were before the first payload; templates see each
    // payload that is already built.
    let frozen: Params = state.params.clone();
    let mut skipped = BTreeSet::new();
    for payload in &surroundings.config.task.post.payloads {
        let name = &payload.name;
        let text = {
            let builder = Builder {
                frozen: Frozen {
                    params: &frozen,
                    state,
                },
            };
            if let Some(when) = &payload.when {
                let met = when.is_met(&builder.frozen).map_err(|error| {
                    StepError::terminal(format!(
                        "when condition evaluation error for payload '{name}': {error}"
                    ))
                })?;
                if !met {
                    skipped.insert(name.clone());
                    continue;
                }
            }
            let built = builder
                .build(&payload.build)
                .map_err(|error| error.context(format!("payload '{name}'")))?;
            match (&payload.build, built) {
                (Build::Text(_) | Build::Literal(Value::String(_)), Value::String(text)) => text,
                (_, value) => to_json(&value),
            }
        };
        state.set(name, Value::String(text));
    }
    Ok(skipped)
}

struct Builder<'a, 's> {
    frozen: Frozen<'a, 's>,
}

impl Builder<'_, '_> {
    fn build(&self, build: &Build) -> Result<Value, StepError> {
        match build {
            Build::Literal(value) => Ok(value.clone()),
            Build::Text(template) => self.render(template).map(Value::String),
            Build::List(items) => items
                .iter()
                .map(|item| self.build(item))
                .collect::<Result<_, _>>()
                .map(Value::Array),
            Build::Object(entries) => {
                let mut object = Map::new();
                for (key, value) in entries {
                    let key = self.render(key)?;
                    let value = self
                        .build(value)
                        .map_err(|error| error.context(format!("key {key:?}")))?;
                    object.insert(key, value);
                }
                Ok(Value::Object(object))
            }
            Build::Expression {
                expression,
                default,
            } => Ok(self.expression(expression, default.as_ref())),
            Build::Field { path, default } => {
                let context = path_context(path, &self.frozen);
                let found = path
                    .evaluate(&context)
                    .map_err(|error| StepError::terminal(error.to_string()))?;
                Ok(found.or_else(|| default.clone()).unwrap_or(Value::Null))
            }
            Build::Contradiction(problem) => Err(StepError::terminal(problem.clone())),
        }
    }

    fn render(&self, template: &crate::template::Template) -> Result<String, StepError> {
        template
            .render(self.frozen.state)
            .map_err(|error| StepError::terminal(error.to_string()))
    }

    /// A soft error or no value falls back to the default, else null. A null result stays null.
    fn expression(
        &self,
        expression: &crate::expression::Expression,
        default: Option<&Value>,
    ) -> Value {
        use crate::expression::Evaluated;

        match expression.evaluate(&self.frozen) {
            Ok(Evaluated::Value(value)) => value,
            Ok(Evaluated::Nothing) => default.cloned().unwrap_or(Value::Null),
            Err(error) => {
                tracing::warn!(
                    expression = expression.source(),
                    "payload expression: {error}; the default is used"
                );
                default.cloned().unwrap_or(Value::Null)
            }
        }
    }
}
