//! `hyperfleet sentinel`: running sentinels, and looking at what they do.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::replay::ReportFormat;
use crate::configuration::{DatabaseOfRole, SettingsArguments, WorkingRole};

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct SentinelArguments {
    #[command(subcommand)]
    pub(crate) command: Option<SentinelCommand>,
    #[command(flatten)]
    pub(crate) settings: SettingsArguments<WorkingRole>,
    /// Message broker to publish to, `amqp[s]://USER:PASSWORD@HOST[/VHOST]` or `pubsub://PROJECT[?create=true]`
    #[arg(
        long,
        env = "HYPERFLEET_BROKER",
        hide_env_values = true,
        value_name = "URL"
    )]
    pub(crate) broker: Option<String>,
    /// Sentinel configuration; repeat for several kinds; default: built-in policies for every kind
    #[arg(long, short = 'c', value_name = "FILE")]
    pub(crate) config: Vec<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum SentinelCommand {
    /// Tell which rule applies to a resource, when its next pulse is due and why
    Explain(ExplainArguments),
    /// Decide on every resource of the live fleet by a policy, without publishing anything
    DryRun(DryRunArguments),
    /// List the resources that no running sentinel selects
    Unselected(UnselectedArguments),
}

impl SentinelCommand {
    /// Where the database is.
    pub(crate) fn settings(&self) -> &SettingsArguments<DatabaseOfRole> {
        match self {
            Self::Explain(arguments) => &arguments.settings,
            Self::DryRun(arguments) => &arguments.settings,
            Self::Unselected(arguments) => &arguments.settings,
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct ExplainArguments {
    #[command(flatten)]
    pub(crate) settings: SettingsArguments<DatabaseOfRole>,
    /// Kind: cluster, nodepool, or any other that is registered, singular or plural
    pub(crate) kind: String,
    /// Name or id; the name of a child kind must be unique
    #[arg(value_name = "NAME|ID")]
    pub(crate) name: String,
    /// The sentinel's configuration; default: the built-in policy of the kind
    #[arg(long, short = 'c', value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// How many of the pulses to come to tell, as long as nothing changes
    #[arg(long, default_value_t = 8, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(0..=1_000))]
    pub(crate) pulses: u32,
    /// How to print it
    #[arg(long, short, value_enum, default_value_t = ReportFormat::Text)]
    pub(crate) output: ReportFormat,
}

#[derive(Debug, Args)]
pub(crate) struct DryRunArguments {
    #[command(flatten)]
    pub(crate) settings: SettingsArguments<DatabaseOfRole>,
    /// The sentinel's configuration
    #[arg(long, short = 'c', value_name = "FILE")]
    pub(crate) config: PathBuf,
    /// Also list this many of the resources that would be published now
    #[arg(long, default_value_t = 20, value_name = "NUMBER")]
    pub(crate) limit: usize,
    /// How to print it
    #[arg(long, short, value_enum, default_value_t = ReportFormat::Text)]
    pub(crate) output: ReportFormat,
}

#[derive(Debug, Args)]
pub(crate) struct UnselectedArguments {
    #[command(flatten)]
    pub(crate) settings: SettingsArguments<DatabaseOfRole>,
    /// Kind; default: every kind that has adapters
    pub(crate) kind: Option<String>,
    /// List at most this many of each kind, the longest waiting first
    #[arg(long, default_value_t = 100, value_name = "NUMBER")]
    pub(crate) limit: u32,
    /// How to print it
    #[arg(long, short, value_enum, default_value_t = ReportFormat::Text)]
    pub(crate) output: ReportFormat,
}
