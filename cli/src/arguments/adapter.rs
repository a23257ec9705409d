//! `hyperfleet adapter` and its subcommands.

use std::path::PathBuf;

use clap::{Arg, ArgMatches, Args, Command, FromArgMatches, Subcommand, ValueEnum};
use hyperfleet_adapter::config::{SETTINGS, Setting};

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct AdapterArguments {
    #[command(subcommand)]
    pub(crate) command: Option<AdapterCommand>,
    #[command(flatten)]
    pub(crate) run: RunAdapterArguments,
}

#[derive(Debug, Subcommand)]
pub(crate) enum AdapterCommand {
    /// Run the adapter; the same as without a subcommand
    Serve(Box<RunAdapterArguments>),
    /// Check configurations without connecting to anything
    Lint(LintArguments),
    /// Run one event without reaching anything, and show what each phase did
    DryRun(Box<AdapterDryRunArguments>),
    /// Print the merged configuration, secrets hidden
    ConfigDump(Box<AdapterConfigArguments>),
    /// Print a JSON Schema of a configuration file, for editors
    Schema {
        /// Which file
        file: SchemaFile,
    },
}

#[derive(Debug, Clone, Args)]
pub(crate) struct RunAdapterArguments {
    #[command(flatten)]
    pub(crate) configuration: AdapterConfigArguments,
    /// Message broker to subscribe at, `amqp[s]://USER:PASSWORD@HOST[/VHOST]` or `pubsub://PROJECT[?create=true]`
    #[arg(
        long,
        env = "HYPERFLEET_BROKER",
        hide_env_values = true,
        value_name = "URL"
    )]
    pub(crate) broker: Option<String>,
    /// Cluster to manage; default: the configuration's, else the pod's own
    #[arg(long, value_name = "FILE")]
    pub(crate) kubeconfig: Option<PathBuf>,
    /// Where health is answered
    #[arg(long, value_name = "ADDRESS", default_value = "0.0.0.0:8080")]
    pub(crate) health_listen: std::net::SocketAddr,
    /// Where metrics are answered
    #[arg(long, value_name = "ADDRESS", default_value = "0.0.0.0:9090")]
    pub(crate) metrics_listen: std::net::SocketAddr,
    #[command(flatten)]
    pub(crate) dry_run: DryRunFlags,
}

/// A dry run asked for by flags of `serve`, as the Go framework does it.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Dry run (see `hyperfleet adapter dry-run`)")]
pub(crate) struct DryRunFlags {
    /// `CloudEvent` in JSON; nothing is connected to
    #[arg(long = "dry-run-event", value_name = "FILE")]
    pub(crate) event: Option<PathBuf>,
    /// Recorded answers of the API
    #[arg(long = "dry-run-api-responses", value_name = "FILE")]
    pub(crate) api_responses: Option<PathBuf>,
    /// Objects that discoveries find
    #[arg(long = "dry-run-discovery", value_name = "FILE")]
    pub(crate) discovery: Option<PathBuf>,
    /// Show bodies and manifests too
    #[arg(long = "dry-run-verbose")]
    pub(crate) verbose: bool,
    /// How to print the trace
    #[arg(long = "dry-run-output", value_enum, default_value_t = TraceFormat::Text, value_name = "FORMAT")]
    pub(crate) output: TraceFormat,
}

#[derive(Debug, Args)]
pub(crate) struct AdapterDryRunArguments {
    #[command(flatten)]
    pub(crate) configuration: AdapterConfigArguments,
    /// `CloudEvent` in JSON
    #[arg(long, visible_alias = "dry-run-event", value_name = "FILE")]
    pub(crate) event: PathBuf,
    /// Recorded answers of the API; default: every call is answered 200 with an empty object
    #[arg(long, visible_alias = "dry-run-api-responses", value_name = "FILE")]
    pub(crate) api_responses: Option<PathBuf>,
    /// Objects that discoveries find, by name
    #[arg(long, visible_alias = "dry-run-discovery", value_name = "FILE")]
    pub(crate) discovery: Option<PathBuf>,
    /// Show bodies and manifests too
    #[arg(long, visible_alias = "dry-run-verbose")]
    pub(crate) verbose: bool,
    /// How to print the trace; it holds the environment, so treat it as a secret
    #[arg(long, short = 'o', visible_alias = "dry-run-output", value_enum, default_value_t = TraceFormat::Text, value_name = "FORMAT")]
    pub(crate) output: TraceFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum TraceFormat {
    Text,
    Json,
}

#[derive(Debug, Args)]
pub(crate) struct LintArguments {
    /// Directory of an adapter, or of several; without one the two files are named by flags
    pub(crate) directory: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) files: AdapterFiles,
    /// File with the roles that the adapter has; default: cluster-role.yaml or rbac.yaml beside the files
    #[arg(long, value_name = "FILE")]
    pub(crate) role: Option<PathBuf>,
    /// Print the `ClusterRole` that each adapter needs
    #[arg(long)]
    pub(crate) print_role: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum SchemaFile {
    /// Who the adapter is and how it reaches things
    Adapter,
    /// What it does for each event
    Task,
}

/// The two files of an adapter, and what is set instead of what they say.
#[derive(Debug, Clone, Args)]
pub(crate) struct AdapterConfigArguments {
    #[command(flatten)]
    pub(crate) files: AdapterFiles,
    #[command(flatten)]
    pub(crate) settings: SettingFlags,
}

/// The two files of an adapter.
#[derive(Debug, Clone, Args)]
pub(crate) struct AdapterFiles {
    /// Adapter configuration: who it is and how it reaches things; default:
    /// /etc/hyperfleet/config.yaml, ./configs/config.yaml
    #[arg(
        long,
        short = 'c',
        env = "HYPERFLEET_ADAPTER_CONFIG",
        value_name = "FILE"
    )]
    pub(crate) config: Option<PathBuf>,
    /// Task configuration: what it does for each event
    #[arg(long, short = 't', env = "HYPERFLEET_TASK_CONFIG", value_name = "FILE")]
    pub(crate) task_config: Option<PathBuf>,
}

/// Keys of the adapter configuration that were given as flags, with their values.
#[derive(Debug, Clone, Default)]
pub(crate) struct SettingFlags(pub(crate) Vec<(String, String)>);

/// Flags that every command has already.
const GLOBAL: [&str; 2] = ["log-level", "log-format"];

fn with_flags() -> impl Iterator<Item = (Setting, &'static str)> {
    SETTINGS
        .into_iter()
        .filter_map(|setting| Some((setting, setting.flag?)))
        .filter(|(_, flag)| !GLOBAL.contains(flag))
}

impl Args for SettingFlags {
    fn augment_args(command: Command) -> Command {
        with_flags().fold(command, |command, (setting, flag)| {
            let mut argument = Arg::new(flag)
                .long(flag)
                .help(format!("{}, also {}", setting.key, setting.variable))
                .help_heading("Settings (also in the configuration file and the environment)");
            argument = if setting.is_switch {
                argument
                    .num_args(0..=1)
                    .require_equals(true)
                    .default_missing_value("true")
                    .value_name("true|false")
            } else {
                argument.value_name("VALUE").num_args(1)
            };
            command.arg(argument)
        })
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for SettingFlags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let given = with_flags().filter_map(|(setting, flag)| {
            let value = matches.get_one::<String>(flag)?;
            Some((setting.key.to_owned(), value.clone()))
        });
        Ok(Self(given.collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}
