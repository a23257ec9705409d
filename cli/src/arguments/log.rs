//! `hyperfleet log`: the partitions of the log.

use clap::{ArgGroup, Args, Subcommand};

use super::replay::ReportFormat;
use crate::configuration::{DatabaseOnly, SettingsArguments};

#[derive(Debug, Subcommand)]
pub(crate) enum LogCommand {
    /// List the partitions: positions, times, events, size, and whether they are archived
    Partitions(PartitionsArguments),
    /// Put old partitions aside; their events stay readable
    ///
    /// They leave the live table and its indexes for the schema `archive` of the same database. Histories, past states, proofs and
    /// exports read them as before.
    Archive(ArchiveArguments),
    /// Bring an archived partition back
    Restore(RestoreArguments),
}

impl LogCommand {
    /// Where the database is.
    pub(crate) fn settings(&self) -> &SettingsArguments<DatabaseOnly> {
        match self {
            Self::Partitions(arguments) => &arguments.settings,
            Self::Archive(arguments) => &arguments.settings,
            Self::Restore(arguments) => &arguments.settings,
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct PartitionsArguments {
    #[command(flatten)]
    pub(crate) settings: SettingsArguments<DatabaseOnly>,
    /// How to print it
    #[arg(long, short, value_enum, default_value_t = ReportFormat::Text)]
    pub(crate) output: ReportFormat,
}

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("which").required(true))]
pub(crate) struct ArchiveArguments {
    #[command(flatten)]
    pub(crate) settings: SettingsArguments<DatabaseOnly>,
    /// One partition, by its name
    #[arg(long, value_name = "NAME", group = "which")]
    pub(crate) partition: Option<String>,
    /// Every complete partition whose last event is older: RFC 3339, a day, or relative as in `90d ago`
    #[arg(long, value_name = "TIME", group = "which")]
    pub(crate) before: Option<String>,
    /// Only tell which
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[derive(Debug, Args)]
pub(crate) struct RestoreArguments {
    #[command(flatten)]
    pub(crate) settings: SettingsArguments<DatabaseOnly>,
    /// Name of the partition
    #[arg(value_name = "NAME")]
    pub(crate) partition: String,
    /// Only tell whether it could be
    #[arg(long)]
    pub(crate) dry_run: bool,
}
