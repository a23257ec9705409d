//! Health of a process that works without being asked: sentinels, adapters. Each check is named in the answer.

use std::collections::BTreeMap;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::NotReady;

/// How long one check may take before it counts as failed.
const CHECK_TIMEOUT: Duration = Duration::from_secs(2);

type Check =
    Arc<dyn Fn() -> Pin<Box<dyn Future<Output = Result<(), NotReady>> + Send>> + Send + Sync>;

/// What the health server of such a process answers from. Clones share it.
#[derive(Clone)]
pub struct Checks {
    alive: Check,
    ready: Vec<(&'static str, Check)>,
    shutdown: CancellationToken,
}

impl Checks {
    /// A process that lives until `shutdown`, and whose readiness nothing is asked for yet.
    pub fn new(shutdown: CancellationToken) -> Self {
        Self {
            alive: boxed(|| async { Ok(()) }),
            ready: Vec::new(),
            shutdown,
        }
    }

    /// What must hold for the process to live: where it does not, the process should be started anew.
    #[must_use]
    pub fn alive<C, F>(mut self, check: C) -> Self
    where
        C: Fn() -> F + Send + Sync + 'static,
        F: Future<Output = Result<(), NotReady>> + Send + 'static,
    {
        self.alive = boxed(check);
        self
    }

    /// What must hold for the process to be ready, by name.
    #[must_use]
    pub fn ready<C, F>(mut self, name: &'static str, check: C) -> Self
    where
        C: Fn() -> F + Send + Sync + 'static,
        F: Future<Output = Result<(), NotReady>> + Send + 'static,
    {
        self.ready.push((name, boxed(check)));
        self
    }

    /// The routes of the health server: `/healthz` and `/readyz`.
    pub fn router(self) -> Router {
        Router::new()
            .route("/healthz", get(liveness))
            .route("/readyz", get(readiness))
            .with_state(self)
    }
}

impl fmt::Debug for Checks {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.ready.iter().map(|(name, _)| *name).collect();
        formatter
            .debug_struct("Checks")
            .field("ready", &names)
            .finish_non_exhaustive()
    }
}

fn boxed<C, F>(check: C) -> Check
where
    C: Fn() -> F + Send + Sync + 'static,
    F: Future<Output = Result<(), NotReady>> + Send + 'static,
{
    Arc::new(move || Box::pin(check()))
}

async fn outcome(check: &Check) -> Result<(), NotReady> {
    let in_time = tokio::time::timeout(CHECK_TIMEOUT, check()).await;
    in_time.unwrap_or_else(|_| Err(format!("no answer within {CHECK_TIMEOUT:?}")))
}

async fn liveness(State(checks): State<Checks>) -> Response {
    match outcome(&checks.alive).await {
        Ok(()) => axum::Json(json!({"status": "ok"})).into_response(),
        Err(reason) => {
            tracing::warn!(reason, "the process does not live");
            let body = axum::Json(json!({"status": reason}));
            (StatusCode::SERVICE_UNAVAILABLE, body).into_response()
        }
    }
}

async fn readiness(State(checks): State<Checks>) -> Response {
    let is_ending = checks.shutdown.is_cancelled();
    let running = checks.ready.iter().map(|(name, check)| async move {
        let outcome = if is_ending {
            Err("unavailable".to_owned())
        } else {
            outcome(check).await
        };
        (*name, outcome)
    });
    let outcomes = futures::future::join_all(running).await;
    let is_ready = !is_ending && outcomes.iter().all(|(_, outcome)| outcome.is_ok());
    let told: BTreeMap<&str, String> = outcomes
        .into_iter()
        .map(|(name, outcome)| (name, outcome.err().unwrap_or_else(|| "ok".to_owned())))
        .collect();
    let (status, word) = if is_ready {
        (StatusCode::OK, "ok")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "error")
    };
    (status, axum::Json(json!({"checks": told, "status": word}))).into_response()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use axum::body::Body;
    use axum::http::Request;
    use http_body_util::BodyExt as _;
    use serde_json::Value;
    use tower::ServiceExt as _;

    use super::*;

    async fn ask(checks: &Checks, path: &str) -> (u16, Value) {
        let request = Request::get(path).body(Body::empty()).unwrap();
        let response = checks.clone().router().oneshot(request).await.unwrap();
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice(&body).unwrap())
    }

    #[tokio::test]
    async fn every_check_is_named_and_any_failure_is_told() {
        let shutdown = CancellationToken::new();
        let broker = Arc::new(AtomicBool::new(false));
        let asked = Arc::clone(&broker);
        let checks = Checks::new(shutdown.clone())
            .ready("poll", || async { Ok(()) })
            .ready("broker", move || {
                let is_there = asked.load(Ordering::Relaxed);
                async move { is_there.then_some(()).ok_or("not there".to_owned()) }
            })
            .alive(|| async { Ok(()) });
        let expected = json!({"checks": {"poll": "ok", "broker": "not there"}, "status": "error"});
        assert_eq!(ask(&checks, "/readyz").await, (503, expected));
        broker.store(true, Ordering::Relaxed);
        let expected = json!({"checks": {"poll": "ok", "broker": "ok"}, "status": "ok"});
        assert_eq!(ask(&checks, "/readyz").await, (200, expected));
        shutdown.cancel();
        let ending =
            json!({"checks": {"poll": "unavailable", "broker": "unavailable"}, "status": "error"});
        assert_eq!(ask(&checks, "/readyz").await, (503, ending));
        let alive = json!({"status": "ok"});
        assert_eq!(ask(&checks, "/healthz").await, (200, alive));
    }

    #[tokio::test]
    async fn a_check_that_hangs_fails_and_a_dead_process_says_why() {
        let checks = Checks::new(CancellationToken::new())
            .ready("broker", std::future::pending)
            .alive(|| async { Err("poll stale".to_owned()) });
        let (status, body) = ask(&checks, "/readyz").await;
        assert_eq!(status, 503);
        assert_eq!(body["checks"]["broker"], "no answer within 2s");
        let stale = json!({"status": "poll stale"});
        assert_eq!(ask(&checks, "/healthz").await, (503, stale));
    }
}
