//! `hyperfleet adapter`: runs one adapter; checks, rehearses and shows its configuration.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use hyperfleet_adapter::config::{self, Config, Inputs};
use hyperfleet_adapter::{dry_run, lint, schema, yaml};
use tokio_util::sync::CancellationToken;

use crate::arguments::{
    AdapterConfigArguments, AdapterDryRunArguments, AdapterFiles, LintArguments,
    RunAdapterArguments, SchemaFile, TraceFormat,
};
use crate::control_plane::{AdapterServers, Broker, BrokerChoice, run_adapter};
use crate::environment;

/// The configuration that the arguments name.
pub(crate) fn configuration(arguments: &AdapterConfigArguments) -> anyhow::Result<Config> {
    let environment = environment::variables();
    let (adapter, task) = paths(&arguments.files)?;
    Ok(config::load_with_flags(Inputs {
        adapter: &adapter,
        task: &task,
        environment: &environment,
        flags: &arguments.settings.0,
    })?)
}

/// Runs the adapter until shutdown.
pub(crate) async fn run(
    arguments: RunAdapterArguments,
    mut config: Config,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let choice = BrokerChoice::required(arguments.broker.as_deref(), "subscribe at")?;
    if choice.is_memory() {
        bail!(
            "the broker `memory:` lives inside one process; `hyperfleet dev` runs adapters with it"
        );
    }
    let broker = Broker::open(&choice).await?;
    if let Some(path) = arguments.kubeconfig {
        config.adapter.kubernetes.kube_config_path = path.display().to_string();
    }
    let servers = AdapterServers {
        health: arguments.health_listen,
        metrics: arguments.metrics_listen,
    };
    let parallelism = choice.parallelism();
    run_adapter(config, &broker, parallelism, &servers, shutdown).await
}

/// The dry run that flags of `serve` ask for, if they do.
pub(crate) fn asked_dry_run(
    arguments: &RunAdapterArguments,
) -> anyhow::Result<Option<AdapterDryRunArguments>> {
    let flags = &arguments.dry_run;
    let Some(event) = flags.event.clone() else {
        if flags.api_responses.is_some() {
            bail!("--dry-run-event is required with --dry-run-api-responses");
        }
        return Ok(None);
    };
    Ok(Some(AdapterDryRunArguments {
        configuration: arguments.configuration.clone(),
        event,
        api_responses: flags.api_responses.clone(),
        discovery: flags.discovery.clone(),
        verbose: flags.verbose,
        output: flags.output,
    }))
}

/// Rehearses one event. A failed execution is no failure of the command.
pub(crate) async fn dry_run(arguments: &AdapterDryRunArguments) -> anyhow::Result<()> {
    let config = configuration(&arguments.configuration)?;
    let event = text(&arguments.event)?;
    let optional = |path: &Option<PathBuf>| path.as_deref().map(text).transpose();
    let answers = optional(&arguments.api_responses)?;
    let discovery = optional(&arguments.discovery)?;
    let inputs = dry_run::Inputs {
        event: &event,
        answers: answers.as_deref(),
        discovery: discovery.as_deref(),
    };
    let trace = dry_run::run(config, inputs, environment::clock()).await?;
    match arguments.output {
        TraceFormat::Text => print!("{}", trace.to_text(arguments.verbose)),
        TraceFormat::Json => println!("{:#}", trace.to_json(arguments.verbose)),
    }
    for error in trace.errors() {
        eprintln!("{error}");
    }
    Ok(())
}

/// Prints the merged configuration.
pub(crate) fn dump(arguments: &AdapterConfigArguments) -> anyhow::Result<()> {
    let config = configuration(arguments)?;
    print!("{}", yaml::to_string(&config.tree(true)));
    Ok(())
}

/// Prints a JSON Schema.
pub(crate) fn print_schema(file: SchemaFile) {
    let schema = match file {
        SchemaFile::Adapter => schema::adapter(),
        SchemaFile::Task => schema::task(),
    };
    println!("{schema:#}");
}

/// Checks configurations; fails when anything is found that is more than a note.
pub(crate) fn lint(arguments: &LintArguments) -> anyhow::Result<()> {
    let adapters = match &arguments.directory {
        Some(directory) => lint::adapters_below(directory)
            .with_context(|| format!("cannot read {}", directory.display()))?,
        None => vec![paths(&arguments.files)?],
    };
    if adapters.is_empty() {
        bail!("no directory there has both adapter-config.yaml and adapter-task-config.yaml");
    }
    let environment = environment::variables();
    let (mut refused, mut findings) = (0, 0);
    for (adapter, task) in &adapters {
        let report = lint::lint(adapter, task, &environment, arguments.role.as_deref());
        for finding in &report.findings {
            println!("{finding}");
        }
        findings += report.findings.len();
        refused += usize::from(!report.is_clean());
        if arguments.print_role
            && let Some(permissions) = report.permissions.filter(|needed| !needed.is_empty())
        {
            let name = report.name.unwrap_or_default();
            print!("---\n{}", permissions.to_cluster_role(&name));
        }
    }
    if refused > 0 {
        bail!("{refused} of {} adapters are not in order", adapters.len());
    }
    if !arguments.print_role {
        println!("{} adapters are in order, {findings} notes", adapters.len());
    }
    Ok(())
}

fn text(path: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

fn paths(files: &AdapterFiles) -> anyhow::Result<(PathBuf, PathBuf)> {
    let environment = environment::variables();
    let adapter = config::adapter_config_path(files.config.as_deref(), &environment)?;
    let task = config::task_config_path(files.task_config.as_deref(), &environment)?;
    Ok((adapter, task))
}
