//! The product's routes with every layer that its own server puts around them.

use std::sync::Arc;

use anyhow::Result;
use axum::Router;
use hyperfleet_api_types::BASE_PATH;
use hyperfleet_command_api::identity::{Gate, IdentityConfig};
use hyperfleet_command_api::{BuildInfo, CommandMetrics, CommandState};
use hyperfleet_domain::registry::Registry;
use hyperfleet_event_store::EventStore;
use hyperfleet_projections::routes::Exports;
use hyperfleet_projections::{QueryState, WatchHub, WatchOptions};
use hyperfleet_runtime::http::{self, HttpMetrics, Limits, RequestLimits};
use hyperfleet_runtime::{Clock, SystemClock, UuidV7Source};
use tokio_util::sync::CancellationToken;

/// What the metrics are labelled with.
const COMPONENT: &str = "api";
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The routes of the built-in kinds, with the default identity and limits.
pub(in crate::bench) fn router(store: &EventStore, shutdown: &CancellationToken) -> Result<Router> {
    let registry = Arc::new(Registry::builtin());
    let metrics = prometheus::Registry::new();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let identity = IdentityConfig::default();
    let gate = Arc::new(Gate::new(&identity, &registry, &clock, &metrics)?);
    let queries = hyperfleet_projections::routes::router(QueryState {
        pool: store.pool().clone(),
        store: store.clone(),
        registry: Arc::clone(&registry),
        watches: WatchHub::new(
            store.clone(),
            Arc::clone(&clock),
            WatchOptions::default(),
            shutdown.clone(),
        ),
        exports: Exports::default(),
    });
    let state = CommandState::new(
        store.clone(),
        Arc::clone(&registry),
        Arc::clone(&clock),
        Arc::new(UuidV7Source),
        BuildInfo {
            version: VERSION.to_owned(),
            build_time: "unknown".to_owned(),
        },
    );
    let state = state.with_metrics(CommandMetrics::register(&metrics, COMPONENT, VERSION)?);
    let limits = RequestLimits::new(Limits::default());
    let routes = queries.merge(hyperfleet_command_api::routes::router(state));
    let guarded = gate.guard(limits.around(http::compressed(routes, BASE_PATH)));
    let counted = HttpMetrics::register(&metrics, COMPONENT, VERSION)?.count(guarded);
    Ok(http::layered(counted, clock, Arc::new(UuidV7Source)))
}
