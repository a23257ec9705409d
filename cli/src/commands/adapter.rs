//! `hyperfleet adapter`: runs one adapter; `adapter lint` checks its configuration.

use std::path::PathBuf;

use anyhow::{Context as _, bail};
use tokio_util::sync::CancellationToken;

use crate::arguments::{AdapterArguments, AdapterCommand, AdapterFiles};
use crate::control_plane::{Broker, run_adapter};
use crate::environment;

/// Where an adapter's image has its configuration.
const MOUNTED_CONFIG: &str = "/etc/hyperfleet/config.yaml";

pub(crate) async fn run(
    arguments: AdapterArguments,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    if let Some(AdapterCommand::Lint(files)) = arguments.command {
        return lint(&files);
    }
    let (config, task_config) = paths(&arguments.files)?;
    let url = arguments
        .broker
        .context("say which broker to subscribe at with --broker URL")?;
    if url.starts_with("memory:") {
        bail!(
            "the broker `memory:` lives inside one process; `hyperfleet dev` runs adapters with it"
        );
    }
    let broker = Broker::connect(&url).await?;
    run_adapter(
        (&config, &task_config),
        broker.subscriber(),
        arguments.kubeconfig.as_deref(),
        shutdown,
    )
    .await
}

fn lint(files: &AdapterFiles) -> anyhow::Result<()> {
    let (config, task_config) = paths(files)?;
    let warnings = hyperfleet_adapter::lint(&config, &task_config, &environment::variables())?;
    for warning in &warnings {
        println!("warning: {warning}");
    }
    println!(
        "{} and {} are valid",
        config.display(),
        task_config.display()
    );
    Ok(())
}

fn paths(files: &AdapterFiles) -> anyhow::Result<(PathBuf, PathBuf)> {
    let config = files
        .config
        .clone()
        .or_else(|| Some(PathBuf::from(MOUNTED_CONFIG)).filter(|path| path.is_file()))
        .context("no adapter configuration: use --config or HYPERFLEET_ADAPTER_CONFIG")?;
    let task_config = files
        .task_config
        .clone()
        .context("no task configuration: use --task-config or HYPERFLEET_TASK_CONFIG")?;
    Ok((config, task_config))
}
