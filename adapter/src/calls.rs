//! Rendering a configured call and making it.

use hyperfleet_runtime::error_chain;
use serde_json::Value;

use crate::api::{ApiClient, ApiError, Request};
use crate::config::ApiCall;
use crate::outcome::StepError;
use crate::state::State;
use crate::value::from_http;

/// Why a configured call gave nothing.
pub(crate) enum CallError {
    /// The resource does not exist.
    NotFound(StepError),
    /// Anything else.
    Failed(StepError),
}

impl CallError {
    pub(crate) fn into_step_error(self) -> StepError {
        match self {
            Self::NotFound(error) | Self::Failed(error) => error,
        }
    }
}

fn render(call: &ApiCall, state: &State<'_>) -> Result<Request, StepError> {
    let part = |what: &str, template: &crate::template::Template| {
        template
            .render(state)
            .map_err(|error| StepError::terminal(format!("{what}: {error}")))
    };
    let mut headers = Vec::with_capacity(call.headers.len());
    for (name, value) in &call.headers {
        headers.push((name.clone(), part(&format!("header {name}"), value)?));
    }
    Ok(Request {
        method: call.method,
        url: part("url", &call.url)?,
        body: match &call.body {
            Some(body) if call.method.has_body() => Some(part("body", body)?),
            _ => None,
        },
        headers,
        timeout: call.timeout.clone(),
        retry_attempts: call.retry_attempts,
        retry_backoff: call.retry_backoff.clone(),
        traceparent: state.event.traceparent.clone(),
    })
}

/// Makes the call; the body is returned as bytes.
pub(crate) async fn send(
    call: &ApiCall,
    state: &State<'_>,
    api: &ApiClient,
) -> Result<Vec<u8>, CallError> {
    let request = render(call, state).map_err(CallError::Failed)?;
    match api.call(&request).await {
        Ok(response) => Ok(response.body),
        Err(error) => {
            let step = StepError {
                step: None,
                message: error_chain(&error),
                transient: error.is_transient(),
            };
            Err(classify(&error, step))
        }
    }
}

fn classify(error: &ApiError, step: StepError) -> CallError {
    if error.is_not_found() {
        CallError::NotFound(step)
    } else {
        CallError::Failed(step)
    }
}

/// Makes the call; the answer must be a JSON object.
pub(crate) async fn fetch(
    call: &ApiCall,
    state: &State<'_>,
    api: &ApiClient,
) -> Result<Value, CallError> {
    let body = send(call, state, api).await?;
    match serde_json::from_slice(&body) {
        Ok(object @ Value::Object(_)) => Ok(from_http(object)),
        Ok(_) => Err(CallError::Failed(StepError::terminal(
            "the response body is not a JSON object",
        ))),
        Err(error) => Err(CallError::Failed(StepError::terminal(format!(
            "the response body is not JSON: {error}"
        )))),
    }
}
