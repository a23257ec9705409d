//! The command line as types. Every command's help text is here; what it does is in `commands/`.

mod adapter;
mod broker;
mod dlq;
mod history;
mod log;
mod replay;
mod sentinel;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

pub(crate) use self::adapter::{
    AdapterArguments, AdapterCommand, AdapterConfigArguments, AdapterDryRunArguments, AdapterFiles,
    LintArguments, RunAdapterArguments, SchemaFile, TraceFormat,
};
pub(crate) use self::broker::{BrokerCheckArguments, BrokerCommand};
pub(crate) use self::dlq::{
    DeadLettersOf, DlqCommand, ListArguments, PurgeArguments, RequeueArguments, ShowArguments,
};
pub(crate) use self::history::{
    DiffArguments, DiffFormat, EventsArguments, HistoryArguments, HistoryFilters, HistoryFormat,
};
pub(crate) use self::log::{ArchiveArguments, LogCommand, RestoreArguments};
pub(crate) use self::replay::*;
pub(crate) use self::sentinel::{
    DryRunArguments, ExplainArguments, SentinelArguments, SentinelCommand, UnselectedArguments,
};
use crate::configuration::{DatabaseOnly, Everything, SettingsArguments};

/// Provisions and keeps fleets of `OpenShift` and Kubernetes clusters.
#[derive(Debug, Parser)]
#[command(
    name = "hyperfleet",
    version,
    propagate_version = true,
    max_term_width = 110
)]
#[command(
    after_help = "Start here: `hyperfleet demo` shows everything in one process; `hyperfleet dev` keeps it running."
)]
pub(crate) struct Arguments {
    /// How much to log: error, warn, info, debug, trace, or a tracing filter
    #[arg(
        long,
        global = true,
        env = "HYPERFLEET_LOG_LEVEL",
        value_name = "LEVEL"
    )]
    pub(crate) log_level: Option<String>,
    /// How to write logs; default: json for `api` and `sentinel`, else text
    #[arg(long, global = true, env = "HYPERFLEET_LOG_FORMAT", value_enum)]
    pub(crate) log_format: Option<LogFormat>,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    Text,
    Json,
}

impl LogFormat {
    /// The format as the settings write it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Json => "json",
        }
    }
}

impl From<LogFormat> for hyperfleet_runtime::telemetry::Format {
    fn from(format: LogFormat) -> Self {
        match format {
            LogFormat::Text => Self::Text,
            LogFormat::Json => Self::Json,
        }
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start everything, create a cluster and a node pool, and show them become reconciled
    Demo(DemoArguments),
    /// Run the whole control plane in this process
    Dev(ControlPlaneArguments),
    /// Run the REST API
    #[command(visible_alias = "serve")]
    Api(ApiArguments),
    /// Run the sentinels
    Sentinel(SentinelArguments),
    /// Run one adapter, or check and rehearse its configuration
    Adapter(Box<AdapterArguments>),
    /// Bring the database schema up to date, and exit
    Migrate(MigrateArguments),
    /// Create resources from a file
    Create(CreateArguments),
    /// Show one or many resources
    // `--version` names a version of a resource there.
    #[command(disable_version_flag = true)]
    Get(GetArguments),
    /// Show everything about a resource: spec, conditions, adapters, children, recent events
    Describe(DescribeArguments),
    /// Change a resource's spec or labels
    Patch(PatchArguments),
    /// Delete resources
    Delete(DeleteArguments),
    /// Wait until a condition holds, or until a resource is gone
    Wait(WaitArguments),
    /// Show every event of a resource, also after it was removed, or of the fleet; and what changed nothing
    History(HistoryArguments),
    /// Show the latest events of the fleet, newest last
    Events(EventsArguments),
    /// Show what changed of a resource between two times or versions
    Diff(DiffArguments),
    /// Prove, rebuild, inspect and carry what is in the event log
    #[command(subcommand)]
    Replay(ReplayCommand),
    /// Look at the partitions of the event log, put old ones aside, bring them back
    #[command(subcommand)]
    Log(LogCommand),
    /// Look after events that adapters gave up: list, show, deliver again, forget
    #[command(subcommand)]
    Dlq(DlqCommand),
    /// Look at the message broker
    #[command(subcommand)]
    Broker(BrokerCommand),
    /// Inspect configuration
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Print the `OpenAPI` document
    Openapi(OpenapiArguments),
    /// Print the version
    Version(VersionArguments),
    /// Print a shell completion script
    Completions {
        /// The shell to complete for
        shell: Shell,
    },
}

/// Where the API is, and who asks it.
#[derive(Debug, Clone, Args)]
pub(crate) struct ServerArguments {
    /// Base URL of the API
    #[arg(
        long,
        short = 's',
        env = "HYPERFLEET_SERVER",
        default_value = "http://127.0.0.1:8000",
        value_name = "URL"
    )]
    pub(crate) server: String,
    /// Token that says who you are
    #[arg(
        long,
        env = "HYPERFLEET_TOKEN",
        value_name = "TOKEN",
        hide_env_values = true,
        conflicts_with = "token_file"
    )]
    pub(crate) token: Option<String>,
    /// File with the token, read anew by every command
    #[arg(long, env = "HYPERFLEET_TOKEN_FILE", value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,
    /// Header to send with every request, such as that of a tenant; repeat for several
    #[arg(long = "header", value_name = "NAME=VALUE", value_parser = header)]
    pub(crate) headers: Vec<(String, String)>,
}

/// A header as `NAME=VALUE`.
fn header(text: &str) -> Result<(String, String), String> {
    let (name, value) = text
        .split_once('=')
        .ok_or("write it like X-Org=acme".to_owned())?;
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}

#[derive(Debug, Clone, Args)]
pub(crate) struct ControlPlaneArguments {
    #[command(flatten)]
    pub(crate) settings: SettingsArguments<Everything>,
    /// Message broker: `memory:` for the one in this process, `amqp[s]://USER:PASSWORD@HOST[/VHOST]`, or
    /// `pubsub://PROJECT[?create=true]`; default: the broker file, else `memory:`
    #[arg(
        long,
        env = "HYPERFLEET_BROKER",
        hide_env_values = true,
        value_name = "URL"
    )]
    pub(crate) broker: Option<String>,
    /// Manage this cluster instead of the simulated one
    #[arg(long, value_name = "FILE")]
    pub(crate) kubeconfig: Option<PathBuf>,
    /// Directory with one folder for each adapter; default: the built-in configurations
    #[arg(long, value_name = "DIR")]
    pub(crate) adapters: Option<PathBuf>,
    /// How long a Job of the simulated cluster runs, in milliseconds
    #[arg(long, default_value_t = 1000, value_name = "MILLISECONDS")]
    pub(crate) job_delay: u64,
}

#[derive(Debug, Args)]
pub(crate) struct DemoArguments {
    #[command(flatten)]
    pub(crate) control_plane: ControlPlaneArguments,
    /// Create this cluster (JSON or YAML) instead of the built-in example
    #[arg(long, short = 'f', value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// End when the cluster is reconciled instead of serving on
    #[arg(long)]
    pub(crate) exit: bool,
    /// Give up after this many seconds
    #[arg(long, default_value_t = 120, value_name = "SECONDS")]
    pub(crate) timeout: u64,
}

#[derive(Debug, Args)]
pub(crate) struct ApiArguments {
    #[command(flatten)]
    pub(crate) settings: SettingsArguments<Everything>,
    /// Short for --log-level; elsewhere it selects by labels
    #[arg(short = 'l', hide = true, value_name = "LEVEL")]
    pub(crate) short_log_level: Option<String>,
    /// Short for --log-format; elsewhere it names a file
    #[arg(short = 'f', value_enum, hide = true, value_name = "FORMAT")]
    pub(crate) short_log_format: Option<LogFormat>,
}

#[derive(Debug, Args)]
pub(crate) struct OpenapiArguments {
    /// Describe the kinds of this configuration of the API instead of the built-in ones
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct MigrateArguments {
    #[command(flatten)]
    pub(crate) settings: SettingsArguments<DatabaseOnly>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum OutputFormat {
    Table,
    Wide,
    Json,
    Yaml,
    Name,
}

/// How to print.
#[derive(Debug, Clone, Args)]
pub(crate) struct OutputArguments {
    /// How to print
    #[arg(long, short = 'o', value_enum, default_value_t = OutputFormat::Table)]
    pub(crate) output: OutputFormat,
}

#[derive(Debug, Args)]
pub(crate) struct CreateArguments {
    #[command(flatten)]
    pub(crate) server: ServerArguments,
    /// File with one or more resources, JSON or YAML; `-` reads standard input
    #[arg(long, short = 'f', required = true, value_name = "FILE")]
    pub(crate) file: Vec<PathBuf>,
    /// Parent of the resources in the file, such as the cluster of node pools, by name or id
    #[arg(long, visible_alias = "parent", value_name = "NAME|ID")]
    pub(crate) cluster: Option<String>,
    #[command(flatten)]
    pub(crate) output: OutputArguments,
}

/// Which resource: a kind, and a name or id.
#[derive(Debug, Clone, Args)]
pub(crate) struct TargetArguments {
    /// Kind: cluster, nodepool, or any other that the server has, singular or plural
    pub(crate) kind: String,
    /// Name or id
    #[arg(value_name = "NAME|ID")]
    pub(crate) name: String,
    /// Parent that the resource belongs to, such as the cluster of a node pool, by name or id; needed when its name is not unique
    #[arg(long, visible_alias = "parent", value_name = "NAME|ID")]
    pub(crate) cluster: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct GetArguments {
    #[command(flatten)]
    pub(crate) server: ServerArguments,
    /// Kind: clusters, nodepools, or any other that the server has, singular or plural
    pub(crate) kind: String,
    /// Names or ids; none lists all
    #[arg(value_name = "NAME|ID")]
    pub(crate) names: Vec<String>,
    /// Only resources of this parent, such as node pools of a cluster, by name or id
    #[arg(long, visible_alias = "parent", value_name = "NAME|ID")]
    pub(crate) cluster: Option<String>,
    /// Go on and print what changes
    #[arg(long, short = 'w')]
    pub(crate) watch: bool,
    /// Print only what changes from now on
    #[arg(long)]
    pub(crate) watch_only: bool,
    /// Sort by a field, for example `name` or `created_time desc`
    #[arg(long, value_name = "FIELD [asc|desc]")]
    pub(crate) sort_by: Option<String>,
    /// Only what a search finds, for example `status.conditions.Reconciled='False' and generation > 1`
    #[arg(long, value_name = "SEARCH", conflicts_with = "names")]
    pub(crate) search: Option<String>,
    /// Only what has these labels, as in kubectl: `env=prod,tier!=test,!old,region in (a,b)`
    #[arg(long, short = 'l', value_name = "SELECTOR", conflicts_with = "names")]
    pub(crate) selector: Option<String>,
    /// As it was at this time: RFC 3339, or relative as in `10m ago` or `-10m`
    #[arg(long, value_name = "TIME", allow_hyphen_values = true, conflicts_with_all = ["watch", "search", "selector"])]
    pub(crate) at: Option<String>,
    /// As it was after this many of its events (with one name)
    #[arg(long = "version", value_name = "NUMBER", conflicts_with_all = ["watch", "at"], requires = "names")]
    pub(crate) version_number: Option<u64>,
    #[command(flatten)]
    pub(crate) output: OutputArguments,
}

#[derive(Debug, Args)]
pub(crate) struct DescribeArguments {
    #[command(flatten)]
    pub(crate) server: ServerArguments,
    #[command(flatten)]
    pub(crate) target: TargetArguments,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum PatchType {
    /// Merge into what is stored now (RFC 7386)
    Merge,
    /// Send as it is: `spec` and `labels` replace the stored ones as a whole
    Replace,
}

#[derive(Debug, Args)]
pub(crate) struct PatchArguments {
    #[command(flatten)]
    pub(crate) server: ServerArguments,
    #[command(flatten)]
    pub(crate) target: TargetArguments,
    /// The change, JSON or YAML, for example '{"labels":{"tier":"gold"}}'
    #[arg(
        long,
        short = 'p',
        value_name = "PATCH",
        required_unless_present = "patch_file",
        conflicts_with = "patch_file"
    )]
    pub(crate) patch: Option<String>,
    /// File with the change
    #[arg(long, value_name = "FILE")]
    pub(crate) patch_file: Option<PathBuf>,
    /// How to apply it. A merge reads first, and reads again when somebody else changed it in between
    #[arg(long = "type", value_enum, default_value_t = PatchType::Merge)]
    pub(crate) patch_type: PatchType,
    /// Only while the resource has this entity tag, for example '"12-0"'
    #[arg(long, value_name = "TAG")]
    pub(crate) if_match: Option<String>,
    #[command(flatten)]
    pub(crate) output: OutputArguments,
}

#[derive(Debug, Args)]
pub(crate) struct DeleteArguments {
    #[command(flatten)]
    pub(crate) server: ServerArguments,
    /// Kind: cluster, nodepool, or any other that the server has, singular or plural
    pub(crate) kind: String,
    /// Names or ids
    #[arg(required = true, value_name = "NAME|ID")]
    pub(crate) names: Vec<String>,
    /// Cluster that the node pools belong to, by name or id
    #[arg(long, visible_alias = "parent", value_name = "NAME|ID")]
    pub(crate) cluster: Option<String>,
    /// Wait until they are gone
    #[arg(long)]
    pub(crate) wait: bool,
    /// Only while the resource has this entity tag, for example '"12-0"' (with one name)
    #[arg(long, value_name = "TAG")]
    pub(crate) if_match: Option<String>,
    /// Remove the record now, though outside systems were not cleaned up; needs --reason
    #[arg(long, requires = "reason")]
    pub(crate) force: bool,
    /// Why, for the audit history (with --force)
    #[arg(long, requires = "force")]
    pub(crate) reason: Option<String>,
    /// With --wait: give up after this many seconds
    #[arg(long, default_value_t = 300, value_name = "SECONDS")]
    pub(crate) timeout: u64,
}

#[derive(Debug, Args)]
pub(crate) struct WaitArguments {
    #[command(flatten)]
    pub(crate) server: ServerArguments,
    #[command(flatten)]
    pub(crate) target: TargetArguments,
    /// `condition=TYPE`, `condition=TYPE=STATUS` or `delete`
    #[arg(
        long = "for",
        value_name = "WHAT",
        default_value = "condition=Reconciled"
    )]
    pub(crate) until: String,
    /// Give up after this many seconds
    #[arg(long, default_value_t = 120, value_name = "SECONDS")]
    pub(crate) timeout: u64,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Print the configuration in force, secrets redacted
    Dump(DumpArguments),
}

#[derive(Debug, Args)]
pub(crate) struct DumpArguments {
    #[command(flatten)]
    pub(crate) control_plane: ControlPlaneArguments,
    /// Say of each value where it comes from
    #[arg(long)]
    pub(crate) origin: bool,
}

#[derive(Debug, Args)]
pub(crate) struct VersionArguments {
    /// Also ask this API for its version
    #[arg(long, short = 's', env = "HYPERFLEET_SERVER", value_name = "URL")]
    pub(crate) server: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory as _;
        Arguments::command().debug_assert();
    }
}
