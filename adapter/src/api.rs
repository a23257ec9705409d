//! HTTP calls of a configuration: URL rules, headers, attempts with back-off, typed errors.
//!
//! Invariants:
//! - every attempt has a timeout, and a call can only shorten the client's;
//! - a failed call says which request failed, how often it was tried, and whether trying later can
//!   help ([`ApiError::is_transient`]);
//! - response bodies are bounded.

mod recorded;
mod url;

use std::time::{Duration, Instant};

use hyperfleet_runtime::telemetry::trace_context::{self, TRACEPARENT};
use rand::Rng;
use reqwest::header::{
    AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, USER_AGENT,
};
use serde_json::Value;
use tokio::sync::Mutex;
use tracing::{Instrument as _, Span};

use crate::config::{ApiSettings, Backoff, Method, parse_duration};

pub use recorded::{RecordedAnswers, RecordedError, RecordedRequest};

/// The largest response body read, in bytes: far above any resource, far below trouble.
const BODY_LIMIT: usize = 16 * 1024 * 1024;

/// The most of a response body that an error message quotes, in bytes.
const QUOTE_LIMIT: usize = 2048;

/// The problem code of an endpoint that does not exist, as opposed to a resource.
const UNKNOWN_ENDPOINT: &str = "HYPERFLEET-NTF-000";

/// Makes the calls of one adapter.
pub struct ApiClient {
    settings: ApiSettings,
    answers: Answers,
    user_agent: String,
    token: Mutex<Option<(Instant, String)>>,
}

/// Who answers.
#[derive(Debug, Clone)]
pub enum Answers {
    /// Servers.
    Network(reqwest::Client),
    /// A record; nothing is sent, and nothing is tried again.
    Record(RecordedAnswers),
}

/// A call with everything rendered.
#[derive(Debug, Clone)]
pub struct Request {
    /// The method.
    pub method: Method,
    /// The URL as rendered, relative or absolute.
    pub url: String,
    /// The body, sent only by methods that have one.
    pub body: Option<String>,
    /// Headers, which win over the client's defaults.
    pub headers: Vec<(String, String)>,
    /// Per attempt, as configured.
    pub timeout: Option<String>,
    /// Total attempts; zero means the client's.
    pub retry_attempts: u32,
    /// The back-off's name as configured.
    pub retry_backoff: Option<String>,
    /// W3C trace context of the event.
    pub traceparent: Option<String>,
}

/// A 2xx answer.
#[derive(Debug, Clone)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// The body.
    pub body: Vec<u8>,
}

/// A call failed.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// The bearer token cannot be used.
    #[error("API request failed: {method} {url}: the token file {path} {problem}")]
    Token {
        /// The method.
        method: &'static str,
        /// The requested URL.
        url: String,
        /// The token file.
        path: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The request cannot be built.
    #[error("API request failed: {method} {url}: {problem}")]
    Malformed {
        /// The method.
        method: &'static str,
        /// The requested URL.
        url: String,
        /// What is wrong.
        problem: String,
    },
    /// No usable answer came.
    #[error("API request failed: {method} {url} got no answer after {attempts} attempt(s)")]
    Transport {
        /// The method.
        method: &'static str,
        /// The requested URL.
        url: String,
        /// How often it was tried.
        attempts: u32,
        /// The last attempt's failure.
        #[source]
        source: reqwest::Error,
    },
    /// The answer was not 2xx.
    #[error(
        "API request failed: {method} {url} returned {status} {reason} after {attempts} attempt(s): {body}"
    )]
    Status {
        /// The method.
        method: &'static str,
        /// The requested URL.
        url: String,
        /// The status code.
        status: u16,
        /// The status' name.
        reason: String,
        /// How often it was tried.
        attempts: u32,
        /// The start of the response body.
        body: String,
        /// The `code` of a problem document, possibly empty.
        code: String,
    },
    /// The answer's body is too large.
    #[error("API request failed: {method} {url} answered with more than {limit} bytes")]
    TooLarge {
        /// The method.
        method: &'static str,
        /// The requested URL.
        url: String,
        /// The limit.
        limit: usize,
    },
}

impl ApiError {
    /// Whether the same call may succeed later without anyone changing anything.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Transport { .. } => true,
            Self::Status { status, .. } => is_retried(*status) || *status == 409,
            Self::Token { .. } | Self::Malformed { .. } | Self::TooLarge { .. } => false,
        }
    }

    /// Whether the resource does not exist (an unknown endpoint is something else).
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Status { status: 404, code, .. } if code != UNKNOWN_ENDPOINT)
    }
}

fn is_retried(status: u16) -> bool {
    matches!(status, 408 | 429) || (500..600).contains(&status)
}

impl ApiClient {
    /// A client with the given settings; `user_agent` is used unless a header sets one.
    pub fn new(settings: ApiSettings, answers: Answers, user_agent: String) -> Self {
        Self {
            settings,
            answers,
            user_agent,
            token: Mutex::new(None),
        }
    }

    /// Makes the call, trying again as configured.
    ///
    /// # Errors
    /// On anything but a 2xx answer.
    pub async fn call(&self, request: &Request) -> Result<Response, ApiError> {
        let method = request.method.as_str();
        let url = url::resolve(
            &self.settings.base_url,
            &self.settings.version,
            &request.url,
        );
        let http = match &self.answers {
            Answers::Network(http) => http,
            Answers::Record(answers) => return self.recorded(answers, request, &url),
        };
        let attempts = match request.retry_attempts {
            0 => self.settings.retry_attempts.max(1),
            attempts => attempts,
        };
        let timeout = self.timeout(request);
        let mut attempt = 1;
        loop {
            let span = tracing::debug_span!(
                "call",
                otel.name = format!("HTTP {method}"),
                otel.kind = "client",
                http.request.method = method,
                url.full = url,
                http.request.resend_count = attempt - 1,
            );
            let sent = self.attempt(http, request, &url, timeout, attempt);
            let error = match sent.instrument(span).await {
                Ok(response) => return Ok(response),
                Err(error) => error,
            };
            let retried = match &error {
                ApiError::Transport { .. } => true,
                ApiError::Status { status, .. } => is_retried(*status),
                _ => false,
            };
            if !retried || attempt >= attempts {
                return Err(error);
            }
            let delay = self.delay(request, attempt);
            tracing::debug!(attempt, ?delay, error = %error, "API request will be tried again");
            tokio::time::sleep(delay).await;
            attempt += 1;
        }
    }

    /// A call can only shorten the client's timeout.
    fn timeout(&self, request: &Request) -> Duration {
        let Some(text) = &request.timeout else {
            return self.settings.timeout;
        };
        match parse_duration(text) {
            Ok(own) if own.is_zero() => self.settings.timeout,
            Ok(own) if self.settings.timeout.is_zero() => own,
            Ok(own) => own.min(self.settings.timeout),
            Err(problem) => {
                tracing::warn!("timeout of an api_call is ignored: {problem}");
                self.settings.timeout
            }
        }
    }

    fn delay(&self, request: &Request, attempt: u32) -> Duration {
        let backoff = match &request.retry_backoff {
            None => self.settings.retry_backoff,
            Some(name) => Backoff::from_name(name).unwrap_or(Backoff::Constant),
        };
        let jitter = rand::rng().random_range(0.9..=1.1);
        delay(
            backoff,
            self.settings.base_delay,
            self.settings.max_delay,
            attempt,
            jitter,
        )
    }

    /// How many requests were answered from a record.
    pub(crate) fn recorded_count(&self) -> usize {
        match &self.answers {
            Answers::Network(_) => 0,
            Answers::Record(answers) => answers.count(),
        }
    }

    fn recorded(
        &self,
        answers: &RecordedAnswers,
        request: &Request,
        url: &str,
    ) -> Result<Response, ApiError> {
        let base = self.settings.base_url.trim_end_matches('/');
        let matched = url
            .strip_prefix(base)
            .filter(|rest| !base.is_empty() && rest.starts_with('/'))
            .unwrap_or(url);
        let method = request.method.as_str();
        let (code, answer) = answers.answer(method, matched, request.body.as_deref());
        let status = reqwest::StatusCode::from_u16(code).map_err(|_| ApiError::Malformed {
            method,
            url: url.to_owned(),
            problem: format!("the recorded answer has status {code}"),
        })?;
        let body = match answer {
            Value::Null => Vec::new(),
            body => body.to_string().into_bytes(),
        };
        outcome(method, url, status, body, 1)
    }

    async fn attempt(
        &self,
        http: &reqwest::Client,
        request: &Request,
        url: &str,
        timeout: Duration,
        attempt: u32,
    ) -> Result<Response, ApiError> {
        let method = request.method.as_str();
        let transport = |source: reqwest::Error| ApiError::Transport {
            method,
            url: url.to_owned(),
            attempts: attempt,
            source: source.without_url(),
        };
        let headers = self.headers(request, method, url).await?;
        let verb = match request.method {
            Method::Get => reqwest::Method::GET,
            Method::Post => reqwest::Method::POST,
            Method::Put => reqwest::Method::PUT,
            Method::Patch => reqwest::Method::PATCH,
            Method::Delete => reqwest::Method::DELETE,
        };
        let target = reqwest::Url::parse(url).map_err(|error| ApiError::Malformed {
            method,
            url: url.to_owned(),
            problem: format!("the URL is not valid: {error}"),
        })?;
        let mut builder = http.request(verb, target).headers(headers);
        if !timeout.is_zero() {
            builder = builder.timeout(timeout);
        }
        if request.method.has_body()
            && let Some(body) = &request.body
        {
            builder = builder.body(body.clone());
        }
        let mut response = builder.send().await.map_err(transport)?;
        let status = response.status();
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(transport)? {
            if body.len() + chunk.len() > BODY_LIMIT {
                return Err(ApiError::TooLarge {
                    method,
                    url: url.to_owned(),
                    limit: BODY_LIMIT,
                });
            }
            body.extend_from_slice(&chunk);
        }
        outcome(method, url, status, body, attempt)
    }

    async fn headers(
        &self,
        request: &Request,
        method: &'static str,
        url: &str,
    ) -> Result<HeaderMap, ApiError> {
        let malformed = |problem: String| ApiError::Malformed {
            method,
            url: url.to_owned(),
            problem,
        };
        let mut headers = HeaderMap::new();
        let mut insert = |name: &str, value: &str| -> Result<(), ApiError> {
            let name = HeaderName::from_bytes(name.as_bytes())
                .map_err(|_| malformed(format!("{name:?} is not a header name")))?;
            let value = HeaderValue::from_str(value)
                .map_err(|_| malformed(format!("the value of header {name} is not valid")))?;
            headers.insert(name, value);
            Ok(())
        };
        insert(USER_AGENT.as_str(), &self.user_agent)?;
        if request.method.has_body() && request.body.is_some() {
            insert(CONTENT_TYPE.as_str(), "application/json")?;
        }
        for (name, value) in &self.settings.default_headers {
            insert(name, value)?;
        }
        for (name, value) in &request.headers {
            insert(name, value)?;
        }
        let exported = trace_context::traceparent(&Span::current());
        if let Some(traceparent) = exported.as_ref().or(request.traceparent.as_ref()) {
            insert(TRACEPARENT, traceparent)?;
        }
        if let Some(token) = self.token(method, url).await? {
            insert(AUTHORIZATION.as_str(), &format!("Bearer {token}"))?;
        }
        Ok(headers)
    }

    async fn token(&self, method: &'static str, url: &str) -> Result<Option<String>, ApiError> {
        let Some(auth) = &self.settings.auth else {
            return Ok(None);
        };
        let failure = |problem: String| ApiError::Token {
            method,
            url: url.to_owned(),
            path: auth.token_path.display().to_string(),
            problem,
        };
        let mut cached = self.token.lock().await;
        if let Some((read, token)) = cached.as_ref()
            && read.elapsed() < auth.token_cache_ttl
        {
            return Ok(Some(token.clone()));
        }
        let text = tokio::fs::read_to_string(&auth.token_path)
            .await
            .map_err(|error| failure(format!("cannot be read: {error}")))?;
        let token = text.trim();
        if token.is_empty() {
            return Err(failure("is empty".to_owned()));
        }
        *cached = Some((Instant::now(), token.to_owned()));
        Ok(Some(token.to_owned()))
    }
}

/// What an answer means.
fn outcome(
    method: &'static str,
    url: &str,
    status: reqwest::StatusCode,
    body: Vec<u8>,
    attempts: u32,
) -> Result<Response, ApiError> {
    if status.is_success() {
        return Ok(Response {
            status: status.as_u16(),
            body,
        });
    }
    let code = serde_json::from_slice::<Value>(&body)
        .ok()
        .and_then(|problem| Some(problem.get("code")?.as_str()?.to_owned()))
        .unwrap_or_default();
    Err(ApiError::Status {
        method,
        url: url.to_owned(),
        status: status.as_u16(),
        reason: status.canonical_reason().unwrap_or_default().to_owned(),
        attempts,
        body: quote(&body),
        code,
    })
}

/// The wait after attempt number `attempt`, jittered, then capped.
fn delay(
    backoff: Backoff,
    base: Duration,
    ceiling: Duration,
    attempt: u32,
    jitter: f64,
) -> Duration {
    let factor = match backoff {
        Backoff::Exponential => 2_u32.saturating_pow(attempt.saturating_sub(1).min(30)),
        Backoff::Linear => attempt,
        Backoff::Constant => 1,
    };
    let seconds = base.as_secs_f64() * f64::from(factor) * jitter;
    Duration::try_from_secs_f64(seconds).map_or(ceiling, |delay| delay.min(ceiling))
}

/// The start of a body as text.
fn quote(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let text = text.trim();
    match text.char_indices().nth(QUOTE_LIMIT) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_follow_the_strategy_and_the_ceiling() {
        let seconds = |backoff, attempt| {
            delay(
                backoff,
                Duration::from_secs(1),
                Duration::from_secs(5),
                attempt,
                1.0,
            )
            .as_secs()
        };
        assert_eq!(
            [1, 2, 3, 4, 40].map(|n| seconds(Backoff::Exponential, n)),
            [1, 2, 4, 5, 5]
        );
        assert_eq!([1, 2, 9].map(|n| seconds(Backoff::Linear, n)), [1, 2, 5]);
        assert_eq!([1, 2, 9].map(|n| seconds(Backoff::Constant, n)), [1, 1, 1]);
    }
}
