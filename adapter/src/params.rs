//! Parameters: obtained in order, converted, defaulted.

mod convert;

use serde_json::Value;

use crate::api::ApiClient;
use crate::calls::{self, CallError};
use crate::config::{Param, Source};
use crate::outcome::StepError;
use crate::state::State;
use crate::value::walk;

/// The largest file a parameter may read, in bytes.
const FILE_LIMIT: usize = 1024 * 1024;

/// Extracts all parameters into the state.
///
/// Fails on the first required parameter that cannot be obtained or converted; optional ones fall
/// back to their default as written, or stay as they were.
pub(crate) async fn extract(state: &mut State<'_>, api: &ApiClient) -> Result<(), StepError> {
    let surroundings = state.surroundings;
    for param in &surroundings.config.task.params {
        match value_of(param, state, api).await {
            Ok(Some(value)) => state.set(&param.name, value),
            Ok(None) => {}
            Err(error) if param.required => return Err(error),
            Err(error) => {
                tracing::debug!(param = %param.name, "optional parameter: {}", error.message);
                if let Some(default) = &param.default {
                    state.set(&param.name, default.clone());
                }
            }
        }
    }
    Ok(())
}

async fn value_of(
    param: &Param,
    state: &State<'_>,
    api: &ApiClient,
) -> Result<Option<Value>, StepError> {
    let raw = if is_unset_variable(param, state) {
        // Required or not: the default stands in for a variable.
        Value::Null
    } else {
        obtain(param, state, api).await.map_err(|error| {
            error.context(format!(
                "failed to extract required parameter '{}' from source '{}'",
                param.name,
                describe(&param.source)
            ))
        })?
    };
    let missing = raw.is_null() || raw.as_str().is_some_and(str::is_empty);
    let value = match &param.default {
        Some(default) if missing => default.clone(),
        _ => raw,
    };
    if value.is_null() {
        return Ok(None);
    }
    let converted = match (&param.kind, &param.source) {
        (Some(kind), Source::Path(_) | Source::File { .. }) => convert::to_type(&value, kind)
            .map_err(|problem| {
                StepError::terminal(format!(
                    "failed to convert parameter '{}' to type '{kind}': {problem}",
                    param.name
                ))
            })?,
        _ => value,
    };
    Ok(Some(converted))
}

/// Whether the source is a variable of the environment that is not set, and there is a default.
fn is_unset_variable(param: &Param, state: &State<'_>) -> bool {
    match &param.source {
        Source::Path(path) if param.default.is_some() => path
            .strip_prefix("env.")
            .is_some_and(|name| !state.surroundings.config.environment.contains_key(name)),
        _ => false,
    }
}

fn describe(source: &Source) -> &str {
    match source {
        Source::Path(path) | Source::File { path, .. } => path,
        Source::ApiCall(_) => "api_call",
        Source::Expression(_) => "expression",
    }
}

async fn obtain(param: &Param, state: &State<'_>, api: &ApiClient) -> Result<Value, StepError> {
    match &param.source {
        Source::Path(path) => lookup(path, state).map_err(StepError::terminal),
        Source::ApiCall(call) => calls::fetch(call, state, api)
            .await
            .map_err(CallError::into_step_error),
        Source::Expression(expression) => expression
            .evaluate(state)
            .map(crate::expression::Evaluated::into_value)
            .map_err(|error| StepError::terminal(error.to_string())),
        Source::File { path, trim } => read_file(path, *trim, param.required).await,
    }
}

/// A string source: `env.`, `event.`, `config.`, an earlier parameter, or a bare event path.
fn lookup(path: &str, state: &State<'_>) -> Result<Value, String> {
    let (first, rest) = path.split_once('.').unwrap_or((path, ""));
    if first == "env" && !rest.is_empty() {
        return state
            .surroundings
            .config
            .environment
            .get(rest)
            .map(|value| Value::String(value.clone()))
            .ok_or_else(|| format!("environment variable {rest} is not set"));
    }
    if first == "env" {
        return Ok(state.surroundings.environment().clone());
    }
    if first == "event" {
        return walk(&state.event.data, rest).cloned();
    }
    if first == "config" {
        return walk(state.surroundings.tree(), rest).cloned();
    }
    if let Some(base) = state.params.get(first) {
        return walk(base, rest).cloned();
    }
    if first == "adapter" {
        return walk(state.surroundings.adapter(), rest).cloned();
    }
    walk(&state.event.data, path).cloned()
}

async fn read_file(path: &str, trim: bool, required: bool) -> Result<Value, StepError> {
    use tokio::io::AsyncReadExt;

    let failed = |problem: String| StepError::terminal(format!("file {path}: {problem}"));
    let file = tokio::fs::File::open(path)
        .await
        .map_err(|error| failed(error.to_string()))?;
    let mut bytes = Vec::new();
    file.take(FILE_LIMIT as u64 + 1)
        .read_to_end(&mut bytes)
        .await
        .map_err(|error| failed(error.to_string()))?;
    if bytes.len() > FILE_LIMIT {
        return Err(failed(format!("is larger than {FILE_LIMIT} bytes")));
    }
    let text = String::from_utf8(bytes).map_err(|_| failed("is not UTF-8 text".to_owned()))?;
    let content = if trim { text.trim() } else { &text };
    if required && content.trim().is_empty() {
        return Err(failed("is blank".to_owned()));
    }
    Ok(Value::String(content.to_owned()))
}
