//! Puts the parts together: the one place that knows them all.
//!
//! Order of start: database, event store, management cluster, broker, API, adapters, sentinels. Adapters
//! subscribe before sentinels publish, so no pulse goes to nobody. Stopping is the reverse.

mod adapters;
mod api;
mod broker;
mod database;
mod management_cluster;
mod metrics;
mod reevaluation;
mod sentinels;
mod server;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use hyperfleet_adapter::metrics::AdapterMetrics;
use hyperfleet_command_api::SpecSchemas;
use hyperfleet_domain::Registry;
use tokio_util::sync::CancellationToken;

pub(crate) use self::adapters::{AdapterServers, run_one as run_adapter};
pub(crate) use self::api::{Api, ApiOptions};
pub(crate) use self::broker::{Broker, BrokerChoice, MEMORY, families as broker_families};
pub(crate) use self::database::Database;
pub(crate) use self::sentinels::{Sentinels, read_sentinel};
pub(crate) use self::server::SideServers;
use crate::configuration::{Configuration, DatabaseChoice};

/// The version of this command, as metrics tell it.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Where the broker inside the process keeps events, below the data directory.
const BROKER_FOLDER: &str = "broker";

/// Under which name sentinels are counted.
pub(crate) const SENTINEL: &str = "sentinel";

/// What to start, and where.
pub(crate) struct ControlPlaneOptions {
    pub(crate) configuration: Configuration,
    pub(crate) schemas: Arc<SpecSchemas>,
    pub(crate) metrics: prometheus::Registry,
    pub(crate) database: DatabaseChoice,
    pub(crate) data_dir: PathBuf,
    /// Whether the data directory goes when the control plane stops.
    pub(crate) temporary: bool,
    pub(crate) broker: BrokerChoice,
    pub(crate) kubeconfig: Option<PathBuf>,
    pub(crate) adapters: Option<PathBuf>,
    pub(crate) job_delay: Duration,
}

/// A running control plane.
pub(crate) struct ControlPlane {
    api: Api,
    adapters: adapters::Adapters,
    sentinels: Sentinels,
    management_cluster: management_cluster::ManagementCluster,
    database: Database,
    shutdown: CancellationToken,
    described: Vec<(&'static str, String)>,
    notices: Vec<String>,
    registry: Arc<Registry>,
    temporary: Option<PathBuf>,
}

impl ControlPlane {
    /// Starts everything; when this returns, the API answers and every adapter is subscribed.
    pub(crate) async fn start(
        options: ControlPlaneOptions,
        shutdown: CancellationToken,
    ) -> anyhow::Result<Self> {
        let registry = Arc::clone(&options.configuration.registry);
        let database = Database::open(&options.database, &options.configuration.database).await?;
        let management_cluster = management_cluster::start(
            options.kubeconfig.as_deref(),
            &options.data_dir,
            options.job_delay,
        )
        .await
        .context("cannot start the management cluster")?;
        let broker = if options.broker.is_memory() && !options.temporary {
            Broker::in_folder(&options.data_dir.join(BROKER_FOLDER))?
        } else {
            Broker::open(&options.broker).await?
        };
        let metrics = options.metrics;
        let families = broker::families(&metrics)?;
        let store = database.store(&metrics).await?;
        let api = Api::start(ApiOptions {
            configuration: &options.configuration,
            schemas: options.schemas,
            store: &store,
            metrics: &metrics,
            shutdown: &shutdown,
        })
        .await?;
        let adapters = adapters::start(&adapters::AdaptersOptions {
            folder: options.adapters.as_deref(),
            data_dir: &options.data_dir,
            api_url: api.url(),
            broker: &broker,
            families: &families,
            parallelism: options.broker.parallelism(),
            kube: management_cluster.client(),
            metrics: &AdapterMetrics::register(&metrics)?,
            shutdown: &shutdown,
        })
        .await?;
        let sentinels = Sentinels::start(
            &[],
            &registry,
            &store,
            &broker
                .with_metrics(families.component(SENTINEL, VERSION))
                .publisher(),
            &metrics,
            &shutdown,
        )?;
        let described = vec![
            ("API", api.url().to_owned()),
            ("health", api.health_url().to_owned()),
            ("metrics", api.metrics_url().to_owned()),
            ("database", database.described().to_owned()),
            ("broker", options.broker.described()),
            ("cluster", management_cluster.described().to_owned()),
            ("adapters", adapters.names().join(", ")),
        ];
        Ok(Self {
            api,
            adapters,
            sentinels,
            management_cluster,
            database,
            shutdown,
            described,
            notices: options.configuration.server.identity.notices(),
            registry,
            temporary: options.temporary.then_some(options.data_dir),
        })
    }

    pub(crate) fn api_url(&self) -> &str {
        self.api.url()
    }

    /// The kinds that it knows.
    pub(crate) fn registry(&self) -> &Registry {
        &self.registry
    }

    /// What was started, for people.
    pub(crate) fn described(&self) -> &[(&'static str, String)] {
        &self.described
    }

    /// What an operator should know about who may call, each in one line.
    pub(crate) fn notices(&self) -> &[String] {
        &self.notices
    }

    /// Waits until shutdown was asked for.
    pub(crate) async fn ended(&self) {
        self.shutdown.cancelled().await;
    }

    /// Stops everything and waits for it: accepted writes finish, running executions report.
    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        self.shutdown.cancel();
        self.sentinels.join().await;
        self.adapters.join().await;
        self.api.join().await;
        self.management_cluster.stop().await;
        self.database.stop().await?;
        if let Some(folder) = self.temporary {
            std::fs::remove_dir_all(&folder).with_context(|| {
                format!("cannot remove the temporary directory {}", folder.display())
            })?;
        }
        Ok(())
    }
}
