//! The metrics server: `/metrics` in Prometheus text form.
//!
//! Some gauges are read from elsewhere when they are asked for. Invariant: a source that is slow or fails
//! costs its own gauges, never the answer.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use prometheus::{Encoder as _, Opts, Registry, TextEncoder};

/// How long gauges may take to be read: the contract's limit for one scrape.
pub const REFRESH_TIMEOUT: Duration = Duration::from_secs(30);

type Refresh = Arc<dyn Fn() -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync>;

#[derive(Clone)]
struct Metrics {
    registry: Registry,
    refresh: Refresh,
    /// Two scrapes at once would clear each other's gauges.
    turn: Arc<tokio::sync::Mutex<()>>,
}

/// The routes of the metrics server.
pub fn router(registry: Registry) -> Router {
    refreshed_router(registry, || async {})
}

/// The routes of the metrics server; `refresh` sets gauges before each answer.
pub fn refreshed_router<R, F>(registry: Registry, refresh: R) -> Router
where
    R: Fn() -> F + Send + Sync + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    let state = Metrics {
        registry,
        refresh: Arc::new(move || Box::pin(refresh())),
        turn: Arc::default(),
    };
    Router::new()
        .route("/metrics", get(metrics))
        .with_state(state)
}

/// Registers what every process shows: the build, and `process_*` where the system tells.
///
/// # Errors
/// When they are registered there already.
pub fn register_process(
    registry: &Registry,
    name: &str,
    labels: &[(&str, &str)],
) -> Result<(), prometheus::Error> {
    let mut options = Opts::new(name, "The running build; always 1");
    for (label, value) in labels {
        options = options.const_label(*label, *value);
    }
    let build = prometheus::IntGauge::with_opts(options)?;
    build.set(1);
    registry.register(Box::new(build))?;
    #[cfg(target_os = "linux")]
    registry.register(Box::new(
        prometheus::process_collector::ProcessCollector::for_self(),
    ))?;
    Ok(())
}

async fn metrics(State(state): State<Metrics>) -> Response {
    let _turn = state.turn.lock().await;
    if tokio::time::timeout(REFRESH_TIMEOUT, (state.refresh)())
        .await
        .is_err()
    {
        tracing::warn!("the gauges that are read at a scrape took too long");
    }
    let encoder = TextEncoder::new();
    let mut text = Vec::new();
    match encoder.encode(&state.registry.gather(), &mut text) {
        Ok(()) => ([(CONTENT_TYPE, encoder.format_type().to_owned())], text).into_response(),
        Err(error) => {
            tracing::error!(error = %error, "the metrics cannot be written");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}
