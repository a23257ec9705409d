//! The API with its health and metrics servers, and the catch-up projections that run beside it.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use hyperfleet_command_api::identity::{Gate, IdentityConfig};
use hyperfleet_command_api::{BuildInfo, CommandState};
use hyperfleet_domain::Registry;
use hyperfleet_event_store::EventStore;
use hyperfleet_projections::{QueryState, run_catch_up};
use hyperfleet_runtime::health::Health;
use hyperfleet_runtime::http::{self, HttpMetrics};
use sqlx::PgPool;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::{environment, openapi};

/// How long open requests may go on after shutdown was asked for.
const DRAIN: Duration = Duration::from_secs(20);

/// How long the health and metrics servers may.
const SIDE_DRAIN: Duration = Duration::from_secs(2);

/// Where the servers listen. Port 0 takes a free one.
#[derive(Debug, Clone)]
pub(crate) struct ApiListen {
    pub(crate) host: IpAddr,
    pub(crate) port: u16,
    pub(crate) health_port: u16,
    pub(crate) metrics_port: u16,
}

/// Running servers.
pub(crate) struct Api {
    api: Server,
    health: Server,
    metrics: Server,
    catch_up: JoinHandle<()>,
    keys: JoinHandle<()>,
    state: Health,
}

struct Server {
    url: String,
    task: JoinHandle<std::io::Result<()>>,
}

impl Api {
    /// Starts the servers; when this returns, they answer.
    pub(crate) async fn start(
        listen: &ApiListen,
        store: &EventStore,
        registry: Arc<Registry>,
        identity: &IdentityConfig,
        metrics: &prometheus::Registry,
        shutdown: &CancellationToken,
    ) -> anyhow::Result<Self> {
        let gate = Gate::new(identity, &registry, &environment::clock(), metrics)?;
        let gate = Arc::new(gate);
        let pool = store.pool().clone();
        let state = Health::new(move || ping(pool.clone()));
        let http_metrics = HttpMetrics::register(metrics, "api", env!("CARGO_PKG_VERSION"))?;
        let routes = http_metrics.count(gate.guard(routes(store, registry)));
        let side = shutdown.child_token();
        let api = serve(
            listen.host,
            listen.port,
            "the API",
            routes,
            shutdown.clone(),
            DRAIN,
        )
        .await?;
        let health_router = state.clone().router();
        let health = serve(
            listen.host,
            listen.health_port,
            "health",
            health_router,
            side.clone(),
            SIDE_DRAIN,
        )
        .await?;
        let metrics_router = hyperfleet_runtime::metrics::router(metrics.clone());
        let metrics = serve(
            listen.host,
            listen.metrics_port,
            "metrics",
            metrics_router,
            side,
            SIDE_DRAIN,
        )
        .await?;
        let (following, ended) = (store.clone(), shutdown.clone());
        let catch_up = tokio::spawn(async move { run_catch_up(&following, ended).await });
        let ended = shutdown.clone();
        let keys = tokio::spawn(async move { gate.keep_keys_fresh(ended).await });
        state.ready();
        Ok(Self {
            api,
            health,
            metrics,
            catch_up,
            keys,
            state,
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

    /// Waits until open requests have been answered.
    pub(crate) async fn join(self) {
        self.state.shutting_down();
        for server in [self.api, self.health, self.metrics] {
            match server.task.await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => {
                    tracing::error!(url = server.url, error = %error, "a server ended badly");
                }
                Err(error) => {
                    tracing::error!(url = server.url, error = %error, "a server ended abnormally");
                }
            }
        }
        if let Err(error) = self.catch_up.await {
            tracing::error!(error = %error, "the catch-up projections ended abnormally");
        }
        if let Err(error) = self.keys.await {
            tracing::error!(error = %error, "refreshing the keys of issuers ended abnormally");
        }
    }
}

fn routes(store: &EventStore, registry: Arc<Registry>) -> Router {
    let document = openapi::document(&registry);
    let queries = hyperfleet_projections::routes::router(QueryState {
        pool: store.pool().clone(),
        store: store.clone(),
        registry: Arc::clone(&registry),
    });
    let build = BuildInfo {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        build_time: option_env!("HYPERFLEET_BUILD_TIME")
            .unwrap_or("unknown")
            .to_owned(),
    };
    let state = CommandState::new(
        store.clone(),
        registry,
        environment::clock(),
        environment::ids(),
        build,
    );
    let commands = hyperfleet_command_api::routes::router(state);
    queries
        .merge(commands)
        .merge(hyperfleet_command_api::routes::openapi_router(&document))
}

async fn ping(pool: PgPool) -> Result<(), String> {
    match sqlx::query("SELECT 1").execute(&pool).await {
        Ok(_) => Ok(()),
        Err(error) => {
            tracing::debug!(error = %error, "the database does not answer");
            Err("database unavailable".to_owned())
        }
    }
}

async fn serve(
    host: IpAddr,
    port: u16,
    what: &str,
    router: Router,
    shutdown: CancellationToken,
    drain: Duration,
) -> anyhow::Result<Server> {
    let address = SocketAddr::new(host, port);
    let listener = TcpListener::bind(address).await.with_context(|| {
        format!("cannot listen on {address} for {what}; choose another port, or 0 for a free one")
    })?;
    let url = format!("http://{}", listener.local_addr()?);
    let router = http::layered(router, environment::clock(), environment::ids());
    Ok(Server {
        url,
        task: tokio::spawn(http::serve(listener, router, shutdown, drain)),
    })
}
