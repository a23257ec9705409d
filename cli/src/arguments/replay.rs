//! `hyperfleet replay`: proofs, repairs and looks into the past, on the database itself.

use std::path::PathBuf;

use chrono::{DateTime, Utc};
use clap::{ArgGroup, Args, Subcommand, ValueEnum};

use crate::configuration::{DatabaseOnly, SettingsArguments};

#[derive(Debug, Subcommand)]
pub(crate) enum ReplayCommand {
    /// Fold the log and compare it with the read models; verify the hash chains
    ///
    /// Ends with 0 when everything is equal and whole, with 1 when something differs, with 2 when that could not be found out.
    Verify(VerifyArguments),
    /// Write a read model anew from the log, beside the live one, and put it in its place
    ///
    /// Reads and writes go on meanwhile. Interrupted, it goes on where it was when it is started again.
    Rebuild(RebuildArguments),
    /// Show a resource, or the fleet, as it was at a time
    At(AtArguments),
    /// Show what changed between two times, or two versions of a resource (RFC 6902)
    ///
    /// Ends with 1 when something changed.
    Diff(ReplayDiffArguments),
    /// Write the whole log to a file that proves itself
    Export(ExportArguments),
    /// Read a log from such a file into an empty database, and build the read models
    Import(ImportArguments),
    /// Print the heads of all streams, signed, for `replay verify --heads`
    Heads(HeadsArguments),
    /// Make a key pair for signing heads
    Keygen(KeygenArguments),
    /// Count how many pulses another sentinel policy would have sent
    Simulate(SimulateArguments),
    /// Make resources due now, so that their sentinels publish them again
    Repulse(RepulseArguments),
    /// Show how far every projection is, what is parked, and who runs it
    Status(PlainArguments),
    /// Let a projection apply nothing until it is resumed
    Pause(ProjectionArguments),
    /// Let a paused projection go on
    Resume(ProjectionArguments),
    /// Events that a projection could not apply
    #[command(subcommand)]
    Parked(ParkedCommand),
}

impl ReplayCommand {
    /// Where the database is; none for commands that need none.
    pub(crate) fn settings(&self) -> Option<&SettingsArguments<DatabaseOnly>> {
        let database = match self {
            Self::Keygen(_) => return None,
            Self::Verify(arguments) if arguments.export.is_some() => return None,
            Self::Verify(arguments) => &arguments.database,
            Self::At(arguments) => &arguments.database,
            Self::Diff(arguments) => &arguments.database,
            Self::Export(arguments) => &arguments.database,
            Self::Import(arguments) => &arguments.database,
            Self::Heads(arguments) => &arguments.database,
            Self::Simulate(arguments) => &arguments.database,
            Self::Repulse(arguments) => &arguments.database,
            Self::Rebuild(arguments) => &arguments.database,
            Self::Status(arguments) => &arguments.database,
            Self::Pause(arguments) | Self::Resume(arguments) => &arguments.database,
            Self::Parked(ParkedCommand::List(arguments)) => &arguments.database,
            Self::Parked(ParkedCommand::Retry(arguments)) => &arguments.database,
            Self::Parked(ParkedCommand::Show(arguments) | ParkedCommand::Skip(arguments)) => {
                &arguments.database
            }
        };
        Some(&database.settings)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ReportFormat {
    Text,
    Json,
}

/// The database, and how to print.
#[derive(Debug, Args)]
pub(crate) struct DatabaseArguments {
    #[command(flatten)]
    pub(crate) settings: SettingsArguments<DatabaseOnly>,
    /// How to print
    #[arg(long, short = 'o', value_enum, default_value_t = ReportFormat::Text)]
    pub(crate) output: ReportFormat,
    /// Short for `-o json`
    #[arg(long, hide = true)]
    pub(crate) json: bool,
}

impl DatabaseArguments {
    pub(crate) fn is_json(&self) -> bool {
        self.json || self.output == ReportFormat::Json
    }
}

#[derive(Debug, Args)]
pub(crate) struct PlainArguments {
    #[command(flatten)]
    pub(crate) database: DatabaseArguments,
}

#[derive(Debug, Args)]
pub(crate) struct VerifyArguments {
    #[command(flatten)]
    pub(crate) database: DatabaseArguments,
    /// Only the hash chains
    #[arg(long)]
    pub(crate) chains: bool,
    /// Also compare with heads that were taken before
    #[arg(long, value_name = "FILE", requires = "public_key")]
    pub(crate) heads: Option<PathBuf>,
    /// The public key of who signed the heads
    #[arg(long, value_name = "FILE", requires = "heads")]
    pub(crate) public_key: Option<PathBuf>,
    /// Verify an exported log instead of a database; `-` reads standard input
    #[arg(long, value_name = "FILE", conflicts_with = "chains")]
    pub(crate) export: Option<PathBuf>,
}

/// A time of the log.
fn time(text: &str) -> Result<DateTime<Utc>, String> {
    text.parse()
        .map_err(|error| format!("write it like 2026-03-01T12:00:00Z (RFC 3339): {error}"))
}

/// A resource, by name or id.
#[derive(Debug, Args)]
pub(crate) struct PastResourceArguments {
    /// Name or id; default: the whole fleet
    #[arg(value_name = "NAME|ID")]
    pub(crate) name: Option<String>,
    /// Kind of the resource, such as Cluster, when its name is not unique
    #[arg(long)]
    pub(crate) kind: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct AtArguments {
    #[command(flatten)]
    pub(crate) database: DatabaseArguments,
    /// When, such as 2026-03-01T12:00:00Z
    #[arg(value_parser = time)]
    pub(crate) time: DateTime<Utc>,
    #[command(flatten)]
    pub(crate) resource: PastResourceArguments,
}

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("begin").args(["from", "from_version"]).required(true))]
#[command(group = ArgGroup::new("end").args(["to", "to_version"]).required(true))]
pub(crate) struct ReplayDiffArguments {
    #[command(flatten)]
    pub(crate) database: DatabaseArguments,
    #[command(flatten)]
    pub(crate) resource: PastResourceArguments,
    /// From this time
    #[arg(long, value_parser = time, value_name = "TIME")]
    pub(crate) from: Option<DateTime<Utc>>,
    /// To this time
    #[arg(long, value_parser = time, value_name = "TIME")]
    pub(crate) to: Option<DateTime<Utc>>,
    /// From after so many events of the resource
    #[arg(long, value_name = "NUMBER", requires = "name")]
    pub(crate) from_version: Option<u64>,
    /// To after so many events of the resource
    #[arg(long, value_name = "NUMBER", requires = "name")]
    pub(crate) to_version: Option<u64>,
}

#[derive(Debug, Args)]
pub(crate) struct ExportArguments {
    #[command(flatten)]
    pub(crate) database: DatabaseArguments,
    /// Where to; `-` is standard output
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Replace a file that is there
    #[arg(long)]
    pub(crate) force: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ImportArguments {
    #[command(flatten)]
    pub(crate) database: DatabaseArguments,
    /// Where from; `-` is standard input
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Only check the file
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[derive(Debug, Args)]
pub(crate) struct HeadsArguments {
    #[command(flatten)]
    pub(crate) database: DatabaseArguments,
    /// The private key to sign with, as `replay keygen` makes it
    #[arg(long, value_name = "FILE")]
    pub(crate) key: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct KeygenArguments {
    /// Where to put the private key; the public one goes beside it, with `.pub` at the end
    #[arg(long, value_name = "FILE")]
    pub(crate) key: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct SimulateArguments {
    #[command(flatten)]
    pub(crate) database: DatabaseArguments,
    /// Sentinel configuration with the policy to try
    #[arg(long, value_name = "FILE")]
    pub(crate) policy: PathBuf,
    /// Sentinel configuration in use, to compare with; default: the built-in policy
    #[arg(long, value_name = "FILE")]
    pub(crate) current: Option<PathBuf>,
    /// From this time
    #[arg(long, value_parser = time, value_name = "TIME")]
    pub(crate) from: DateTime<Utc>,
    /// To this time
    #[arg(long, value_parser = time, value_name = "TIME")]
    pub(crate) to: DateTime<Utc>,
}

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("which").args(["selector", "search", "all"]).required(true).multiple(true))]
pub(crate) struct RepulseArguments {
    #[command(flatten)]
    pub(crate) database: DatabaseArguments,
    /// Only what has these labels, as in kubectl: `env=prod,tier!=test,!old,region in (a,b)`
    #[arg(long, short = 'l', value_name = "SELECTOR")]
    pub(crate) selector: Option<String>,
    /// Only what a search finds, for example `status.conditions.Reconciled='False'`
    #[arg(long, value_name = "SEARCH")]
    pub(crate) search: Option<String>,
    /// Everything, or everything of a kind
    #[arg(long, conflicts_with_all = ["selector", "search"])]
    pub(crate) all: bool,
    /// Only this kind, such as Cluster
    #[arg(long)]
    pub(crate) kind: Option<String>,
    /// Do not ask
    #[arg(long, short = 'y')]
    pub(crate) yes: bool,
    /// Only say how many there are
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub(crate) struct RebuildArguments {
    #[command(flatten)]
    pub(crate) database: DatabaseArguments,
    /// Which read model: `resource_view` or `fleet_summary`; default: both
    #[arg(value_name = "READ_MODEL")]
    pub(crate) read_model: Option<String>,
    /// Parts of the log that are folded side by side; more are quicker, and slow down whoever reads
    #[arg(long, default_value_t = 1, value_name = "NUMBER", value_parser = clap::value_parser!(u8).range(1..=16))]
    pub(crate) jobs: u8,
    /// Build and compare, and leave the live tables as they are
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Put the tables back that were live before the last rebuild, brought up to date
    #[arg(long, conflicts_with = "dry_run")]
    pub(crate) roll_back: bool,
    /// Delete the tables that were live before the last rebuild
    #[arg(long, conflicts_with_all = ["dry_run", "roll_back"])]
    pub(crate) drop_previous: bool,
    /// Forget a rebuild that was begun
    #[arg(long, conflicts_with_all = ["dry_run", "roll_back", "drop_previous"])]
    pub(crate) abandon: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ProjectionArguments {
    #[command(flatten)]
    pub(crate) database: DatabaseArguments,
    /// Name of the projection, as `replay status` shows it
    pub(crate) projection: String,
    /// Only say what would be done
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ParkedCommand {
    /// Show what is parked: failed events, and what waits behind them
    List(ParkedListArguments),
    /// Show a parked event in full
    Show(ParkedEventArguments),
    /// Try failed events again, and what waits behind them
    Retry(ParkedRetryArguments),
    /// Give a failed event up, and apply what waits behind it
    Skip(ParkedEventArguments),
}

#[derive(Debug, Args)]
pub(crate) struct ParkedListArguments {
    #[command(flatten)]
    pub(crate) database: DatabaseArguments,
    /// Only of this projection
    pub(crate) projection: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct ParkedEventArguments {
    #[command(flatten)]
    pub(crate) database: DatabaseArguments,
    /// Name of the projection
    pub(crate) projection: String,
    /// Position of the event, as `replay parked list` shows it
    pub(crate) position: u64,
    /// Only say what would be done
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ParkedRetryArguments {
    #[command(flatten)]
    pub(crate) database: DatabaseArguments,
    /// Name of the projection
    pub(crate) projection: String,
    /// Position of the failed event; default: all
    pub(crate) position: Option<u64>,
    /// Only say what would be done
    #[arg(long)]
    pub(crate) dry_run: bool,
}
