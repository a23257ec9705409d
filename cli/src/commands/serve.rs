//! The commands that run roles: `dev`, `api`, `sentinel`, `migrate`.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use hyperfleet_command_api::identity::IdentityConfig;
use hyperfleet_domain::Registry;
use tokio_util::sync::CancellationToken;

use crate::arguments::{
    ApiArguments, ControlPlaneArguments, DatabaseArguments, ListenArguments, MigrateArguments,
    SentinelArguments,
};
use crate::control_plane::{
    Api, ApiListen, Broker, ControlPlane, ControlPlaneOptions, Database, DatabaseChoice, Sentinels,
};

/// Runs the whole control plane until shutdown.
pub(crate) async fn dev(
    arguments: ControlPlaneArguments,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let control_plane = ControlPlane::start(options(&arguments)?, shutdown).await?;
    announce(&control_plane);
    control_plane.ended().await;
    control_plane.stop().await
}

/// Runs the API alone.
pub(crate) async fn api(
    arguments: ApiArguments,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let identity = IdentityConfig::default();
    let listen = listen(&arguments.listen, &identity)?;
    let database = Database::open(&database_choice(&arguments.database)?).await?;
    let metrics = prometheus::Registry::new();
    let store = database.store(&metrics).await?;
    let api = Api::start(
        &listen,
        &store,
        Arc::new(Registry::builtin()),
        &identity,
        &metrics,
        &shutdown,
    )
    .await?;
    println!("  API        {}", api.url());
    println!("  health     {}", api.health_url());
    println!("  metrics    {}", api.metrics_url());
    println!("  database   {}", database.described());
    for notice in identity.notices() {
        println!("  {notice}");
        tracing::warn!("{notice}");
    }
    shutdown.cancelled().await;
    api.join().await;
    database.stop().await
}

/// Runs the sentinels alone.
pub(crate) async fn sentinel(
    arguments: SentinelArguments,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    if arguments.broker.starts_with("memory:") {
        bail!(
            "the broker `memory:` lives inside one process; a sentinel of its own needs a broker that adapters can reach"
        );
    }
    let broker = Broker::connect(&arguments.broker)?;
    let database = Database::open(&database_choice(&arguments.database)?).await?;
    let metrics = prometheus::Registry::new();
    let store = database.store(&metrics).await?;
    let registry = Arc::new(Registry::builtin());
    let sentinels = Sentinels::start(
        &arguments.config,
        &registry,
        store.pool(),
        &broker.publisher(),
        &metrics,
        &shutdown,
    )?;
    shutdown.cancelled().await;
    sentinels.join().await;
    database.stop().await
}

/// Brings the schema up to date.
pub(crate) async fn migrate(arguments: MigrateArguments) -> anyhow::Result<()> {
    let database = Database::open(&database_choice(&arguments.database)?).await?;
    println!("the schema of {} is up to date", database.described());
    database.stop().await
}

/// The options of a control plane from its arguments. Without a data directory it lives in a temporary one.
pub(crate) fn options(arguments: &ControlPlaneArguments) -> anyhow::Result<ControlPlaneOptions> {
    let identity = IdentityConfig::default();
    let listen = listen(&arguments.listen, &identity)?;
    let folder = data_dir(arguments);
    std::fs::create_dir_all(&folder)
        .with_context(|| format!("cannot create the data directory {}", folder.display()))?;
    Ok(ControlPlaneOptions {
        listen,
        identity,
        database: control_plane_database(arguments),
        data_dir: folder,
        temporary: arguments.database.data_dir.is_none(),
        broker: arguments.broker.clone(),
        kubeconfig: arguments.kubeconfig.clone(),
        adapters: arguments.adapters.clone(),
        job_delay: Duration::from_millis(arguments.job_delay),
    })
}

/// Prints what runs where.
pub(crate) fn announce(control_plane: &ControlPlane) {
    for (what, value) in control_plane.described() {
        println!("  {what:<10} {value}");
    }
    for notice in control_plane.notices() {
        println!("  {notice}");
    }
}

/// Which database the arguments name.
pub(crate) fn database_choice(arguments: &DatabaseArguments) -> anyhow::Result<DatabaseChoice> {
    match (&arguments.database_url, &arguments.data_dir) {
        (Some(url), _) => Ok(DatabaseChoice::Url(url.clone())),
        (None, Some(folder)) => Ok(DatabaseChoice::Embedded(folder.clone())),
        (None, None) => {
            bail!("say which database: --database-url URL, or --data-dir DIR for an embedded one")
        }
    }
}

/// The database of a control plane: without a URL, the one embedded in its data directory.
pub(crate) fn control_plane_database(arguments: &ControlPlaneArguments) -> DatabaseChoice {
    match &arguments.database.database_url {
        Some(url) => DatabaseChoice::Url(url.clone()),
        None => DatabaseChoice::Embedded(data_dir(arguments)),
    }
}

/// The data directory of a control plane; without one chosen, a temporary one of this process.
pub(crate) fn data_dir(arguments: &ControlPlaneArguments) -> PathBuf {
    let temporary = || std::env::temp_dir().join(format!("hyperfleet-{}", std::process::id()));
    arguments
        .database
        .data_dir
        .clone()
        .unwrap_or_else(temporary)
}

/// Where to listen. Beyond loopback every caller has to prove who they are, unless said otherwise.
fn listen(arguments: &ListenArguments, identity: &IdentityConfig) -> anyhow::Result<ApiListen> {
    let is_guarded = identity.authenticates() || arguments.insecure;
    if !arguments.host.is_loopback() && !is_guarded {
        bail!(
            "refusing to listen on {} without authentication: anyone who can reach it could change anything; \
             enable server.jwt, listen on 127.0.0.1, or say --insecure",
            arguments.host
        );
    }
    Ok(ApiListen {
        host: arguments.host,
        port: arguments.port,
        health_port: arguments.health_port,
        metrics_port: arguments.metrics_port,
    })
}
