//! Arguments of the commands that look at the past.

use clap::{Args, ValueEnum};

use super::{ServerArguments, TargetArguments};

/// How to print a history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum HistoryFormat {
    Table,
    Wide,
    Json,
    Yaml,
    /// One JSON document a line, everything, as it arrives
    Ndjson,
}

/// Which outcomes to show.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Outcome {
    /// Recorded events
    Accepted,
    /// Requests that were refused; for operators
    Refused,
    /// Requests for what was there already; for operators
    Unchanged,
    /// Requests that were carried out before, under the same key; for operators
    Replayed,
    /// Everything, by time
    All,
}

impl Outcome {
    /// The outcome as the API names it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Refused => "refused",
            Self::Unchanged => "unchanged",
            Self::Replayed => "replayed",
            Self::All => "all",
        }
    }
}

/// What of a history to show.
#[derive(Debug, Clone, Args)]
pub(crate) struct HistoryFilters {
    /// Only what this actor caused, or tried
    #[arg(long, value_name = "NAME")]
    pub(crate) actor: Option<String>,
    /// Only events of this type, such as `created` or `spec_changed`; repeat for several
    #[arg(long = "type", value_name = "TYPE")]
    pub(crate) types: Vec<String>,
    /// Only from this time on: RFC 3339, or relative as in `10m ago` or `-10m`
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub(crate) from: Option<String>,
    /// Only before this time
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub(crate) to: Option<String>,
    /// Which outcomes to show, separated by commas
    #[arg(long, value_enum, value_delimiter = ',')]
    pub(crate) outcome: Vec<Outcome>,
    /// Only what this request caused, or tried
    #[arg(long, value_name = "ID")]
    pub(crate) request: Option<String>,
    /// Only events after which the resource had this generation
    #[arg(long, value_name = "NUMBER")]
    pub(crate) generation: Option<i32>,
    /// Only events of resources with this label now, or when they were removed; repeat for several
    #[arg(long = "label", short = 'l', value_name = "KEY=VALUE")]
    pub(crate) labels: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct HistoryArguments {
    #[command(flatten)]
    pub(crate) server: ServerArguments,
    /// Kind: cluster, nodepool, or any other that the server has, singular or plural; none shows the fleet
    pub(crate) kind: Option<String>,
    /// Name or id; none shows every resource of the kind
    #[arg(value_name = "NAME|ID")]
    pub(crate) name: Option<String>,
    /// Parent that the resource belongs to, by name or id; needed when its name is not unique
    #[arg(
        long,
        visible_alias = "parent",
        value_name = "NAME|ID",
        requires = "name"
    )]
    pub(crate) cluster: Option<String>,
    #[command(flatten)]
    pub(crate) filters: HistoryFilters,
    /// Show at most this many, the oldest ones first; 0 shows all
    #[arg(long, default_value_t = 1000, value_name = "NUMBER")]
    pub(crate) limit: usize,
    /// Then show what is recorded from now on, until interrupted or the one resource is removed
    #[arg(long, short = 'w', conflicts_with_all = ["to", "outcome"])]
    pub(crate) watch: bool,
    /// How to print
    #[arg(long, short = 'o', value_enum, default_value_t = HistoryFormat::Table)]
    pub(crate) output: HistoryFormat,
}

#[derive(Debug, Args)]
pub(crate) struct EventsArguments {
    #[command(flatten)]
    pub(crate) server: ServerArguments,
    /// Only events of this kind
    #[arg(long, value_name = "KIND")]
    pub(crate) kind: Option<String>,
    #[command(flatten)]
    pub(crate) filters: HistoryFilters,
    /// How many of the latest to show
    #[arg(long, short = 'n', default_value_t = 50, value_name = "NUMBER")]
    pub(crate) limit: usize,
    /// Then show what is recorded from now on, until interrupted
    #[arg(long, short = 'w', conflicts_with_all = ["to", "outcome"])]
    pub(crate) watch: bool,
    /// How to print
    #[arg(long, short = 'o', value_enum, default_value_t = HistoryFormat::Table)]
    pub(crate) output: HistoryFormat,
}

/// How to print a difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum DiffFormat {
    /// What changed, member by member
    Text,
    /// A JSON Patch (RFC 6902) from the first to the second
    Json,
}

#[derive(Debug, Args)]
pub(crate) struct DiffArguments {
    #[command(flatten)]
    pub(crate) server: ServerArguments,
    #[command(flatten)]
    pub(crate) target: TargetArguments,
    /// Before: a time (RFC 3339, `10m ago`, `-10m`) or a version
    #[arg(long, value_name = "TIME|VERSION", allow_hyphen_values = true)]
    pub(crate) from: String,
    /// After: a time or a version; default: as it is now
    #[arg(long, value_name = "TIME|VERSION", allow_hyphen_values = true)]
    pub(crate) to: Option<String>,
    /// How to print
    #[arg(long, short = 'o', value_enum, default_value_t = DiffFormat::Text)]
    pub(crate) output: DiffFormat,
}
