//! The health server: `/healthz` says that the process lives, `/readyz` whether it can serve.

mod checks;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::json;
use tokio::sync::watch;

pub use self::checks::Checks;

/// How long a readiness check may take before it counts as failed, unless told otherwise.
const CHECK_TIMEOUT: Duration = Duration::from_secs(2);

/// Where the process is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Starting,
    Ready,
    ShuttingDown,
}

/// Why a process that has started cannot serve now.
pub type NotReady = String;

type Check = Arc<
    dyn Fn() -> std::pin::Pin<Box<dyn Future<Output = Result<(), NotReady>> + Send>> + Send + Sync,
>;

/// What the health server answers from. Clones share it.
#[derive(Clone)]
pub struct Health {
    phase: Arc<watch::Sender<Phase>>,
    check: Check,
    check_timeout: Duration,
}

impl Health {
    /// A starting process, ready later if `check` agrees.
    pub fn new<C, F>(check: C) -> Self
    where
        C: Fn() -> F + Send + Sync + 'static,
        F: Future<Output = Result<(), NotReady>> + Send + 'static,
    {
        Self {
            phase: Arc::new(watch::Sender::new(Phase::Starting)),
            check: Arc::new(move || Box::pin(check())),
            check_timeout: CHECK_TIMEOUT,
        }
    }

    /// The same process, whose readiness check may take that long.
    #[must_use]
    pub fn check_timeout(mut self, timeout: Duration) -> Self {
        self.check_timeout = timeout;
        self
    }

    /// Start-up is done.
    pub fn ready(&self) {
        self.phase.send_replace(Phase::Ready);
    }

    /// The process is about to end.
    pub fn shutting_down(&self) {
        self.phase.send_replace(Phase::ShuttingDown);
    }

    /// The routes of the health server.
    pub fn router(self) -> Router {
        Router::new()
            .route(
                "/healthz",
                get(|| async { axum::Json(json!({"status": "ok"})) }),
            )
            .route("/readyz", get(readiness))
            .with_state(self)
    }
}

impl fmt::Debug for Health {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Health")
            .field("phase", &*self.phase.borrow())
            .finish_non_exhaustive()
    }
}

async fn readiness(State(health): State<Health>) -> Response {
    let phase = *health.phase.borrow();
    let refused = |status: &str, reason: &str| {
        let body = axum::Json(json!({"status": status, "reason": reason}));
        (StatusCode::SERVICE_UNAVAILABLE, body).into_response()
    };
    match phase {
        Phase::Starting => return refused("not_ready", "Application is not ready"),
        Phase::ShuttingDown => return refused("shutting_down", "Application is shutting down"),
        Phase::Ready => {}
    }
    match tokio::time::timeout(health.check_timeout, (health.check)()).await {
        Ok(Ok(())) => axum::Json(json!({"status": "ok"})).into_response(),
        Ok(Err(reason)) => refused("not_ready", &reason),
        Err(_) => refused("not_ready", "database ping timeout"),
    }
}
