//! `hyperfleet replay`: proofs, repairs and looks into the past, on the database itself.

use clap::{Args, Subcommand, ValueEnum};

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
            Self::Verify(arguments) => &arguments.database,
            Self::Rebuild(arguments) => &arguments.database,
            Self::Status(arguments) => &arguments.database,
            Self::Pause(arguments) | Self::Resume(arguments) => &arguments.database,
            Self::Parked(ParkedCommand::List(arguments)) => &arguments.database,
            Self::Parked(ParkedCommand::Show(arguments)) => &arguments.database,
            Self::Parked(ParkedCommand::Retry(arguments)) => &arguments.database,
            Self::Parked(ParkedCommand::Skip(arguments)) => &arguments.database,
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
}

#[derive(Debug, Args)]
pub(crate) struct RebuildArguments {
    #[command(flatten)]
    pub(crate) database: DatabaseArguments,
    /// Which read model: `resource_view` or `fleet_summary`; default: both
    #[arg(value_name = "READ_MODEL")]
    pub(crate) read_model: Option<String>,
    /// Parts of the log that are folded side by side
    #[arg(long, default_value_t = 2, value_name = "NUMBER", value_parser = clap::value_parser!(u8).range(1..=16))]
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
