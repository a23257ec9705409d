//! One HTTP server of the process.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use hyperfleet_runtime::health::Checks;
use hyperfleet_runtime::http::{self, HttpListener, HttpOptions};
use hyperfleet_runtime::tls::{self, TlsListener};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::configuration::{Configuration, Listen};
use crate::environment;

/// How long the health and metrics servers may finish requests.
pub(super) const SIDE_DRAIN: Duration = Duration::from_secs(2);

/// The health and metrics servers of a role that is asked nothing else.
pub(crate) struct SideServers {
    health: Server,
    metrics: Server,
    stop: CancellationToken,
}

impl SideServers {
    /// Starts both; when this returns, they answer.
    pub(crate) async fn start(
        configuration: &Configuration,
        checks: Checks,
        metrics: &prometheus::Registry,
        build_info: &str,
    ) -> anyhow::Result<Self> {
        let labels = [
            ("version", env!("CARGO_PKG_VERSION")),
            (
                "commit",
                option_env!("HYPERFLEET_BUILD_COMMIT").unwrap_or("unknown"),
            ),
        ];
        hyperfleet_runtime::metrics::register_process(metrics, build_info, &labels)?;
        let stop = CancellationToken::new();
        let options = HttpOptions {
            request_timeout: configuration.server.write_timeout,
            masked_headers: configuration.logging.masked_headers.clone(),
            is_quiet: true,
            audit: None,
        };
        let place = |listen, what| Place {
            listen,
            what,
            shutdown: stop.clone(),
            drain: SIDE_DRAIN,
            options: &options,
        };
        let health = place(&configuration.health.listen, "health");
        let health = health.serve(checks.router()).await?;
        let router = hyperfleet_runtime::metrics::router(metrics.clone());
        let metrics = place(&configuration.metrics.listen, "metrics");
        let metrics = metrics.serve(router).await?;
        Ok(Self {
            health,
            metrics,
            stop,
        })
    }

    /// What they are, and where.
    pub(crate) fn described(&self) -> [(&'static str, &str); 2] {
        [("health", &self.health.url), ("metrics", &self.metrics.url)]
    }

    /// Ends them.
    pub(crate) async fn stop(self) {
        self.stop.cancel();
        self.health.join().await;
        self.metrics.join().await;
    }
}

/// A running server.
pub(super) struct Server {
    pub(super) url: String,
    task: JoinHandle<std::io::Result<()>>,
}

impl Server {
    /// Waits for its end.
    pub(super) async fn join(self) {
        match self.task.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::error!(url = self.url, error = %error, "a server ended badly");
            }
            Err(error) => {
                tracing::error!(url = self.url, error = %error, "a server ended abnormally");
            }
        }
    }
}

/// Where and how one server serves.
pub(super) struct Place<'a> {
    pub(super) listen: &'a Listen,
    pub(super) what: &'a str,
    pub(super) shutdown: CancellationToken,
    pub(super) drain: Duration,
    pub(super) options: &'a HttpOptions,
}

impl Place<'_> {
    /// Binds and serves; when this returns, the server answers.
    pub(super) async fn serve(self, router: Router) -> anyhow::Result<Server> {
        let (host, port) = (self.listen.host.as_str(), self.listen.port);
        let address = match host {
            // Many systems resolve it to ::1 first, where clients of 127.0.0.1 find nobody.
            "localhost" => "127.0.0.1",
            "" => "0.0.0.0",
            host => host,
        };
        let listener = TcpListener::bind((address, port)).await.with_context(|| {
            format!(
                "cannot listen on {address}:{port} for {}; choose another port, or 0 for a free one",
                self.what
            )
        })?;
        let bound: SocketAddr = listener.local_addr()?;
        let (scheme, listener) = match &self.listen.tls {
            None => ("http", HttpListener::from(listener)),
            Some(files) => {
                let config = tls::server_config(&files.certificate, &files.key)?;
                (
                    "https",
                    HttpListener::from(TlsListener::new(listener, config)?),
                )
            }
        };
        let (clock, ids) = (environment::clock(), environment::ids());
        let router = http::layered_with(router, clock, ids, self.options);
        Ok(Server {
            url: format!("{scheme}://{bound}"),
            task: tokio::spawn(http::serve(listener, router, self.shutdown, self.drain)),
        })
    }
}
