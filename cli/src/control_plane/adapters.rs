//! Adapters inside this process, each with its own configuration.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};
use hyperfleet_adapter::health::AdapterHealth;
use hyperfleet_adapter::metrics::AdapterMetrics;
use hyperfleet_adapter::{Adapter, AdapterOptions, Config, config};
use hyperfleet_broker::MetricFamilies;
use include_dir::{Dir, include_dir};
use tokio_util::sync::CancellationToken;

use super::broker::families;
use super::{Broker, VERSION};
use crate::environment;

/// The configurations that the command carries, so that it runs anywhere.
static BUILT_IN: Dir<'static> = include_dir!("$CARGO_MANIFEST_DIR/../deploy/adapters");

/// Executions at a time in one adapter: enough to overlap waiting, few enough for a laptop.
const PARALLELISM: usize = 8;

const ADAPTER_CONFIG: &str = "adapter-config.yaml";
const TASK_CONFIG: &str = "adapter-task-config.yaml";

/// How to start the adapters of a control plane.
pub(super) struct AdaptersOptions<'a> {
    pub(super) folder: Option<&'a Path>,
    pub(super) data_dir: &'a Path,
    pub(super) api_url: &'a str,
    pub(super) broker: &'a Broker,
    pub(super) families: &'a MetricFamilies,
    /// Executions at a time in one adapter, where that was said.
    pub(super) parallelism: Option<usize>,
    pub(super) kube: kube::Client,
    pub(super) metrics: &'a AdapterMetrics,
    pub(super) shutdown: &'a CancellationToken,
}

/// Running adapters, each with the folder of its configuration.
pub(super) struct Adapters {
    running: Vec<(String, Adapter)>,
}

impl Adapters {
    pub(super) fn names(&self) -> Vec<String> {
        self.running
            .iter()
            .map(|(folder, _)| folder.clone())
            .collect()
    }

    pub(super) async fn join(self) {
        for (folder, adapter) in self.running {
            if let Err(error) = adapter.join().await {
                tracing::error!(adapter = %folder, error = %hyperfleet_runtime::error_chain(&error), "an adapter ended badly");
            }
        }
    }
}

/// Starts every adapter that has a folder, wherever below it the two files lie.
pub(super) async fn start(options: &AdaptersOptions<'_>) -> anyhow::Result<Adapters> {
    let folder = match options.folder {
        Some(folder) => folder.to_path_buf(),
        None => unpack(options.data_dir)?,
    };
    let mut running = Vec::new();
    for adapter_folder in adapter_folders(&folder)? {
        let name = adapter_folder
            .strip_prefix(&folder)
            .unwrap_or(&adapter_folder)
            .display()
            .to_string();
        let mut config = load(
            &adapter_folder.join(ADAPTER_CONFIG),
            &adapter_folder.join(TASK_CONFIG),
        )?;
        options.api_url.clone_into(&mut config.adapter.api.base_url);
        let broker = counted(options.broker, options.families, &config, options.shutdown);
        let adapter = Adapter::start(AdapterOptions {
            config,
            broker: broker.subscriber(),
            kube: Some(options.kube.clone()),
            http: reqwest::Client::new(),
            clock: environment::clock(),
            parallelism: options.parallelism.unwrap_or(PARALLELISM),
            metrics: options.metrics.clone(),
            shutdown: options.shutdown.clone(),
        })
        .await
        .with_context(|| format!("cannot start adapter {name}"))?;
        running.push((name, adapter));
    }
    Ok(Adapters { running })
}

/// The broker, which counts for this adapter from now on, its dead letters too.
fn counted(
    broker: &Broker,
    families: &MetricFamilies,
    config: &Config,
    shutdown: &CancellationToken,
) -> Broker {
    let metrics = families.component(&config.adapter.name, VERSION);
    let subscribed = &config.adapter.broker;
    if let (Some(topic), Some(id)) = (&subscribed.topic, &subscribed.subscription_id) {
        broker.watch(metrics.clone(), topic, id, shutdown);
    }
    broker.with_metrics(metrics)
}

/// Where an adapter by itself answers about itself.
pub(crate) struct AdapterServers {
    pub(crate) health: SocketAddr,
    pub(crate) metrics: SocketAddr,
}

/// How long the side servers may finish requests after the adapter ended.
const SIDE_DRAIN: Duration = Duration::from_secs(5);

/// Runs one adapter, as in production, until shutdown. Its health and metrics are answered from
/// before it connects to anything until after its last execution.
pub(crate) async fn run_one(
    config: Config,
    broker: &Broker,
    parallelism: Option<usize>,
    servers: &AdapterServers,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let registry = prometheus::Registry::new();
    let broker = counted(broker, &families(&registry)?, &config, &shutdown);
    let health = AdapterHealth::new(&config, shutdown.clone());
    let ended = CancellationToken::new();
    let routers = [
        ("health", servers.health, health.clone().router()),
        (
            "metrics",
            servers.metrics,
            hyperfleet_runtime::metrics::router(registry.clone()),
        ),
    ];
    let mut running = Vec::new();
    for (what, address, router) in routers {
        let listener = tokio::net::TcpListener::bind(address)
            .await
            .with_context(|| {
                format!("cannot listen on {address} for {what}; see --{what}-listen")
            })?;
        tracing::info!(what, address = %listener.local_addr()?, "listening");
        let served = hyperfleet_runtime::http::serve(listener, router, ended.clone(), SIDE_DRAIN);
        running.push(tokio::spawn(served));
    }
    let adapter = Adapter::start(AdapterOptions {
        config,
        broker: broker.subscriber(),
        kube: None,
        http: reqwest::Client::new(),
        clock: environment::clock(),
        parallelism: parallelism.unwrap_or(PARALLELISM),
        metrics: AdapterMetrics::register(&registry)?,
        shutdown,
    })
    .await?;
    health.subscribed();
    let joined = adapter.join().await;
    ended.cancel();
    for server in running {
        server.await??;
    }
    Ok(joined?)
}

fn load(adapter_config: &Path, task_config: &Path) -> anyhow::Result<Config> {
    Ok(config::load(
        adapter_config,
        task_config,
        &environment::variables(),
    )?)
}

/// Writes the built-in configurations below the data directory, where they can be read.
fn unpack(data_dir: &Path) -> anyhow::Result<PathBuf> {
    let folder = data_dir.join("adapters");
    std::fs::create_dir_all(&folder)
        .and_then(|()| BUILT_IN.extract(&folder))
        .with_context(|| {
            format!(
                "cannot write the adapter configurations to {}",
                folder.display()
            )
        })?;
    Ok(folder)
}

/// Every folder that has both files, in order of path.
fn adapter_folders(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut waiting = vec![folder.to_path_buf()];
    while let Some(next) = waiting.pop() {
        if next.join(ADAPTER_CONFIG).is_file() && next.join(TASK_CONFIG).is_file() {
            found.push(next);
            continue;
        }
        let entries =
            std::fs::read_dir(&next).with_context(|| format!("cannot read {}", next.display()))?;
        for entry in entries {
            let path = entry?.path();
            if path.is_dir() {
                waiting.push(path);
            }
        }
    }
    if found.is_empty() {
        bail!(
            "no folder below {} has both {ADAPTER_CONFIG} and {TASK_CONFIG}",
            folder.display()
        );
    }
    found.sort();
    Ok(found)
}
