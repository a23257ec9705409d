//! The health server of an adapter: `/healthz`, `/readyz`, and `/config` when it may be shown.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::yaml;

/// Whether the adapter can work. Clones share it.
#[derive(Debug, Clone)]
pub struct AdapterHealth {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    subscribed: AtomicBool,
    shutdown: CancellationToken,
    /// The merged configuration as YAML, when it may be shown.
    config: Option<String>,
}

impl AdapterHealth {
    /// An adapter of this configuration that is about to subscribe; it ends with the token.
    pub fn new(config: &Config, shutdown: CancellationToken) -> Self {
        let shown = config.adapter.debug_config;
        let shared = Shared {
            subscribed: AtomicBool::new(false),
            shutdown,
            config: shown.then(|| yaml::to_string(&config.tree(true))),
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// Events are received from now on.
    pub fn subscribed(&self) {
        self.shared.subscribed.store(true, Ordering::Relaxed);
    }

    /// The routes of the health server.
    pub fn router(self) -> Router {
        Router::new()
            .route(
                "/healthz",
                get(|| async { axum::Json(json!({"status": "ok"})) }),
            )
            .route("/readyz", get(readiness))
            .route("/config", get(config))
            .with_state(self)
    }
}

async fn readiness(State(health): State<AdapterHealth>) -> Response {
    let refused = |body| (StatusCode::SERVICE_UNAVAILABLE, axum::Json(body)).into_response();
    if health.shared.shutdown.is_cancelled() {
        return refused(json!({"status": "error", "message": "server is shutting down"}));
    }
    if !health.shared.subscribed.load(Ordering::Relaxed) {
        return refused(json!({
            "status": "error",
            "message": "not ready",
            "checks": {"config": "ok", "broker": "error"},
        }));
    }
    axum::Json(json!({"status": "ok", "checks": {"config": "ok", "broker": "ok"}})).into_response()
}

async fn config(State(health): State<AdapterHealth>) -> Response {
    match &health.shared.config {
        Some(text) => ([(CONTENT_TYPE, "application/yaml")], text.clone()).into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}
