//! The commands that run roles: `dev`, `api`, `sentinel`, `migrate`.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, bail};
use hyperfleet_runtime::telemetry::Output;
use tokio_util::sync::CancellationToken;

use crate::arguments::{ControlPlaneArguments, SentinelArguments};
use crate::control_plane::{
    Api, ApiOptions, Broker, BrokerChoice, ControlPlane, ControlPlaneOptions, Database, MEMORY,
    SENTINEL, Sentinels, SideServers, VERSION, broker_families,
};
use crate::dispatch::Role;

/// Runs the whole control plane until shutdown.
pub(crate) async fn dev(
    arguments: ControlPlaneArguments,
    role: Role,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let control_plane = ControlPlane::start(options(&arguments, role)?, shutdown).await?;
    announce(&control_plane);
    control_plane.ended().await;
    control_plane.stop().await
}

/// Runs the API alone.
pub(crate) async fn api(role: Role, shutdown: CancellationToken) -> anyhow::Result<()> {
    let configuration = &role.configuration;
    configuration.server.require_safe()?;
    let schemas = configuration.schemas()?;
    let settings = &configuration.database;
    let database = Database::open(&settings.choice()?, settings).await?;
    let store = database.store(&role.metrics).await?;
    let api = Api::start(ApiOptions {
        configuration,
        schemas,
        store: &store,
        metrics: &role.metrics,
        shutdown: &shutdown,
    })
    .await?;
    let described = [
        ("API", api.url()),
        ("health", api.health_url()),
        ("metrics", api.metrics_url()),
        ("database", database.described()),
    ];
    let notices = configuration.server.identity.notices();
    tell(&described, &notices, configuration.logging.output);
    shutdown.cancelled().await;
    api.join().await;
    drop(store);
    database.stop().await
}

/// Runs the sentinels alone.
pub(crate) async fn sentinel(
    arguments: SentinelArguments,
    role: Role,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let choice = BrokerChoice::required(arguments.broker.as_deref(), "publish to")?;
    if choice.is_memory() {
        bail!(
            "the broker `memory:` lives inside one process; a sentinel of its own needs a broker that adapters can reach"
        );
    }
    let families = broker_families(&role.metrics)?;
    let broker = Broker::open(&choice).await?;
    let broker = broker.with_metrics(families.component(SENTINEL, VERSION));
    let settings = &role.configuration.database;
    let database = Database::open(&settings.choice()?, settings).await?;
    let store = database.store(&role.metrics).await?;
    let sentinels = Sentinels::start(
        &arguments.config,
        &role.configuration.registry,
        &store,
        &broker.publisher(),
        &role.metrics,
        &shutdown,
    )?;
    let checks = sentinels.checks(&broker.publisher(), &shutdown);
    let configuration = &role.configuration;
    let side = SideServers::start(
        configuration,
        checks,
        &role.metrics,
        "hyperfleet_sentinel_build_info",
    )
    .await?;
    tell(&side.described(), &[], configuration.logging.output);
    shutdown.cancelled().await;
    sentinels.join().await;
    side.stop().await;
    database.stop().await
}

/// Brings the schema up to date.
pub(crate) async fn migrate(role: &Role) -> anyhow::Result<()> {
    let settings = &role.configuration.database;
    let database = Database::open(&settings.choice()?, settings).await?;
    println!("the schema of {} is up to date", database.described());
    database.stop().await
}

/// The options of a control plane from its arguments. Without a data directory it lives in a temporary one.
pub(crate) fn options(
    arguments: &ControlPlaneArguments,
    role: Role,
) -> anyhow::Result<ControlPlaneOptions> {
    let Role {
        configuration,
        metrics,
    } = role;
    configuration.server.require_safe()?;
    if configuration.server.listen.tls.is_some() {
        bail!(
            "server.tls.enabled is for `hyperfleet api`: here the adapters reach the API by plain HTTP, in one process"
        );
    }
    let chosen = configuration.database.data_dir.clone();
    let temporary = chosen.is_none();
    let folder = chosen.unwrap_or_else(temporary_folder);
    let schemas = configuration.schemas()?;
    std::fs::create_dir_all(&folder)
        .with_context(|| format!("cannot create the data directory {}", folder.display()))?;
    Ok(ControlPlaneOptions {
        database: configuration.database.choice_beside(folder.clone()),
        configuration,
        schemas,
        metrics,
        data_dir: folder,
        temporary,
        broker: BrokerChoice::of(arguments.broker.as_deref())?
            .unwrap_or_else(|| BrokerChoice::Url(MEMORY.to_owned())),
        kubeconfig: arguments.kubeconfig.clone(),
        adapters: arguments.adapters.clone(),
        job_delay: Duration::from_millis(arguments.job_delay),
    })
}

/// A directory of this process.
fn temporary_folder() -> PathBuf {
    std::env::temp_dir().join(format!("hyperfleet-{}", std::process::id()))
}

/// Prints what runs where.
pub(crate) fn announce(control_plane: &ControlPlane) {
    let described = control_plane.described().iter();
    let described: Vec<(&str, &str)> = described
        .map(|(what, value)| (*what, value.as_str()))
        .collect();
    tell(&described, control_plane.notices(), Output::Stderr);
}

/// Prints what runs where; where standard output is the log, as lines of the log.
fn tell(described: &[(&str, &str)], notices: &[String], log: Output) {
    if log == Output::Stdout {
        for (what, value) in described {
            tracing::info!(what, value, "running");
        }
        for notice in notices {
            tracing::warn!("{notice}");
        }
        return;
    }
    for (what, value) in described {
        println!("  {what:<10} {value}");
    }
    for notice in notices {
        println!("  {notice}");
    }
}
