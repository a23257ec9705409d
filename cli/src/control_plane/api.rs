//! The API with its health and metrics servers, and what runs beside it: the catch-up projections and the
//! re-evaluation of kinds whose rules changed.
//!
//! Order of the end: readiness says so at once, open requests finish, then the side servers stop, so that
//! whoever asks while requests finish is told the truth.

use std::sync::Arc;

use axum::Router;
use hyperfleet_api_types::BASE_PATH;
use hyperfleet_command_api::identity::Gate;
use hyperfleet_command_api::{
    BuildInfo, CommandHandler, CommandMetrics, CommandState, SpecSchemas,
};
use hyperfleet_event_store::{EventStore, partitions, receipt};
use hyperfleet_projections::audit::{self, AuditLog, AuditMetrics};
use hyperfleet_projections::routes::Exports;
use hyperfleet_projections::{QueryState, WatchHub, run_catch_up};
use hyperfleet_runtime::health::Health;
use hyperfleet_runtime::http::{self, AuditSink, HttpMetrics, HttpOptions, Limits, RequestLimits};
use sqlx::PgPool;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::metrics::ScrapedMetrics;
use super::reevaluation::{self, Reevaluation, ReevaluationMetrics};
use super::server::{Place, SIDE_DRAIN, Server};
use crate::configuration::Configuration;
use crate::{environment, openapi};

/// The role in metrics.
const COMPONENT: &str = "api";
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// What the API is made of.
pub(crate) struct ApiOptions<'a> {
    pub(crate) configuration: &'a Configuration,
    pub(crate) schemas: Arc<SpecSchemas>,
    pub(crate) store: &'a EventStore,
    pub(crate) metrics: &'a prometheus::Registry,
    pub(crate) shutdown: &'a CancellationToken,
}

/// Running servers.
pub(crate) struct Api {
    api: Server,
    health: Server,
    metrics: Server,
    beside: Vec<JoinHandle<()>>,
    refusals: AuditLog,
    /// Ends the side servers.
    side: CancellationToken,
}

impl Api {
    /// Starts the servers; when this returns, they answer.
    pub(crate) async fn start(options: ApiOptions<'_>) -> anyhow::Result<Self> {
        let (configuration, metrics) = (options.configuration, options.metrics);
        let pool = options.store.pool().clone();
        let pinged = pool.clone();
        let state = Health::new(move || ping(pinged.clone()))
            .check_timeout(configuration.health.ping_timeout);
        let command = command_state(&options)?;
        let handler = command.handler.clone();
        let watches = watches(&options)?;
        let (gate, routes) = guarded_routes(&options, command, &watches)?;
        let side = CancellationToken::new();
        let server = &configuration.server;
        let (sink, refusals, purging) = audit(&options)?;
        let (http_options, quiet) = http_options(configuration, sink);
        let place = |listen, what, shutdown: &CancellationToken, drain, options| Place {
            listen,
            what,
            shutdown: shutdown.clone(),
            drain,
            options,
        };
        let drain = configuration.health.shutdown_timeout;
        let api = place(
            &server.listen,
            "the API",
            options.shutdown,
            drain,
            &http_options,
        );
        let api = api.serve(routes).await?;
        let health = place(
            &configuration.health.listen,
            "health",
            &side,
            SIDE_DRAIN,
            &quiet,
        );
        let health = health.serve(state.clone().router()).await?;
        let scraped = ScrapedMetrics::register(metrics, COMPONENT, VERSION)?;
        let threshold = configuration.metrics.stuck_threshold;
        let router = scraped.router(metrics, &pool, threshold, watches);
        let metrics_server = place(
            &configuration.metrics.listen,
            "metrics",
            &side,
            SIDE_DRAIN,
            &quiet,
        );
        let metrics_server = metrics_server.serve(router).await?;
        let mut beside = beside(&options, handler, &state)?;
        beside.push(purging);
        beside.push(keep_keys_fresh(gate, options.shutdown.clone()));
        state.ready();
        Ok(Self {
            api,
            health,
            metrics: metrics_server,
            beside,
            refusals,
            side,
        })
    }

    pub(crate) fn url(&self) -> &str {
        &self.api.url
    }

    pub(crate) fn health_url(&self) -> &str {
        &self.health.url
    }

    pub(crate) fn metrics_url(&self) -> &str {
        &self.metrics.url
    }

    /// Waits until open requests have been answered, and ends the rest.
    pub(crate) async fn join(self) {
        self.api.join().await;
        // Every request is answered, so nothing more is refused.
        self.refusals.close().await;
        self.side.cancel();
        self.health.join().await;
        self.metrics.join().await;
        for task in self.beside {
            if let Err(error) = task.await {
                tracing::error!(error = %error, "a task beside the API ended abnormally");
            }
        }
    }
}

/// How the API is served, and how the servers beside it, which are asked all the time.
fn http_options(configuration: &Configuration, sink: AuditSink) -> (HttpOptions, HttpOptions) {
    let http_options = HttpOptions {
        request_timeout: configuration.server.write_timeout,
        masked_headers: configuration.logging.masked_headers.clone(),
        is_quiet: false,
        audit: Some(sink),
    };
    let quiet = HttpOptions {
        is_quiet: true,
        audit: None,
        ..http_options.clone()
    };
    (http_options, quiet)
}

fn command_state(options: &ApiOptions<'_>) -> anyhow::Result<CommandState> {
    let build = BuildInfo {
        version: VERSION.to_owned(),
        build_time: option_env!("HYPERFLEET_BUILD_TIME")
            .unwrap_or("unknown")
            .to_owned(),
    };
    let state = CommandState::new(
        options.store.clone(),
        Arc::clone(&options.configuration.registry),
        environment::clock(),
        environment::ids(),
        build,
    );
    let metrics = CommandMetrics::register(options.metrics, COMPONENT, VERSION)?;
    Ok(state
        .with_schemas(Arc::clone(&options.schemas))
        .with_metrics(metrics))
}

/// The routes behind what every request passes: counted, then the gate, then the limits.
fn guarded_routes(
    options: &ApiOptions<'_>,
    command: CommandState,
    watches: &WatchHub,
) -> anyhow::Result<(Arc<Gate>, Router)> {
    let (configuration, metrics) = (options.configuration, options.metrics);
    let http_metrics = HttpMetrics::register(metrics, COMPONENT, VERSION)?;
    let limits = RequestLimits::new(Limits {
        body_timeout: configuration.server.read_timeout,
        ..Limits::default()
    });
    for collector in limits.collectors() {
        metrics.register(collector)?;
    }
    let (identity, registry) = (&configuration.server.identity, &configuration.registry);
    let gate = Gate::new(identity, registry, &environment::clock(), metrics)?;
    let gate = Arc::new(gate);
    let guarded = gate.guard(limits.around(routes(options, command, watches)));
    Ok((gate, http_metrics.count(guarded)))
}

/// What serves the watches; it reads nothing before somebody watches.
fn watches(options: &ApiOptions<'_>) -> anyhow::Result<WatchHub> {
    let watches = WatchHub::new(
        options.store.clone(),
        environment::clock(),
        options.configuration.server.watch,
        options.shutdown.clone(),
    );
    for collector in watches.collectors() {
        options.metrics.register(collector)?;
    }
    Ok(watches)
}

fn routes(options: &ApiOptions<'_>, command: CommandState, watches: &WatchHub) -> Router {
    let registry = &options.configuration.registry;
    let document = openapi::document(registry);
    let queries = hyperfleet_projections::routes::router(QueryState {
        pool: options.store.pool().clone(),
        store: options.store.clone(),
        registry: Arc::clone(registry),
        exports: Exports::default(),
        watches: watches.clone(),
    });
    let routes = queries
        .merge(hyperfleet_command_api::routes::router(command))
        .merge(hyperfleet_command_api::routes::openapi_router(&document));
    http::compressed(routes, BASE_PATH)
}

fn keep_keys_fresh(gate: Arc<Gate>, shutdown: CancellationToken) -> JoinHandle<()> {
    tokio::spawn(async move { gate.keep_keys_fresh(shutdown).await })
}

/// Starts writing what is refused, and removing what is too old.
fn audit(options: &ApiOptions<'_>) -> anyhow::Result<(AuditSink, AuditLog, JoinHandle<()>)> {
    let metrics = AuditMetrics::register(options.metrics)?;
    let pool = options.store.pool();
    let (sink, log) = AuditLog::start(pool.clone(), metrics.clone());
    let purging = tokio::spawn(audit::run_purge(
        pool.clone(),
        options.configuration.audit.refusal_retention,
        metrics,
        options.shutdown.clone(),
    ));
    Ok((sink, log, purging))
}

/// Starts what runs until shutdown without serving anybody.
fn beside(
    options: &ApiOptions<'_>,
    handler: CommandHandler,
    health: &Health,
) -> anyhow::Result<Vec<JoinHandle<()>>> {
    let (store, shutdown) = (options.store.clone(), options.shutdown.clone());
    let partition_positions = options.configuration.log.partition_positions;
    let catch_up = tokio::spawn(async move {
        tokio::join!(
            run_catch_up(&store, shutdown.clone()),
            receipt::run_purge(&store, shutdown.clone()),
            partitions::run_keep_room(&store, partition_positions, shutdown)
        );
    });
    let reevaluation = Reevaluation {
        handler,
        pool: options.store.pool().clone(),
        registry: Arc::clone(&options.configuration.registry),
        ids: environment::ids(),
        metrics: ReevaluationMetrics::register(options.metrics)?,
        shutdown: options.shutdown.clone(),
    };
    let reevaluation = tokio::spawn(reevaluation::run(reevaluation));
    let (health, shutdown) = (health.clone(), options.shutdown.clone());
    let telling = tokio::spawn(async move {
        shutdown.cancelled().await;
        health.shutting_down();
    });
    Ok(vec![catch_up, reevaluation, telling])
}

async fn ping(pool: PgPool) -> Result<(), String> {
    let mut connection = pool.acquire().await.map_err(|error| {
        tracing::debug!(error = %error, "there is no connection to the database");
        "Database connection not available".to_owned()
    })?;
    match sqlx::query("SELECT 1").execute(&mut *connection).await {
        Ok(_) => Ok(()),
        Err(error) => {
            tracing::debug!(error = %error, "the database does not answer");
            Err("database unavailable".to_owned())
        }
    }
}
