//! `hyperfleet dlq`: events that subscriptions gave up.

use clap::{ArgGroup, Args, Subcommand};

use super::ReportFormat;

#[derive(Debug, Subcommand)]
pub(crate) enum DlqCommand {
    /// List the oldest dead letters of a subscription: reason, attempts, event
    List(ListArguments),
    /// Show one dead letter with its event
    Show(ShowArguments),
    /// Deliver dead letters again, to their own subscription only, with attempts counted anew
    ///
    /// Each is put back before it is taken off the dead letters, so that nothing is lost when this is interrupted; one event may then
    /// come twice, which consumers expect.
    Requeue(RequeueArguments),
    /// Forget all dead letters of a subscription
    Purge(PurgeArguments),
}

/// Which subscription's dead letters.
#[derive(Debug, Args)]
pub(crate) struct DeadLettersOf {
    /// Message broker, `amqp[s]://USER:PASSWORD@HOST[/VHOST]` or `pubsub://PROJECT`; default: the broker file
    #[arg(
        long,
        env = "HYPERFLEET_BROKER",
        hide_env_values = true,
        value_name = "URL"
    )]
    pub(crate) broker: Option<String>,
    /// Topic that the subscription receives from
    #[arg(long, value_name = "TOPIC")]
    pub(crate) topic: String,
    /// Subscription that gave the events up: the `subscription_id` of the adapter
    #[arg(long, value_name = "ID")]
    pub(crate) subscription: String,
}

/// Dead letters that one command looks at.
const AT_ONCE: u16 = 1000;

#[derive(Debug, Args)]
pub(crate) struct ListArguments {
    #[command(flatten)]
    pub(crate) of: DeadLettersOf,
    /// Only those with this text in their reason
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: Option<String>,
    /// Look at so many, the oldest
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=i64::from(AT_ONCE)))]
    pub(crate) limit: u16,
    /// How to print them
    #[arg(long, short, value_enum, default_value_t = ReportFormat::Text)]
    pub(crate) output: ReportFormat,
}

#[derive(Debug, Args)]
pub(crate) struct ShowArguments {
    #[command(flatten)]
    pub(crate) of: DeadLettersOf,
    /// The dead letter, as `dlq list` names it
    #[arg(value_name = "ID")]
    pub(crate) id: String,
    /// How to print it
    #[arg(long, short, value_enum, default_value_t = ReportFormat::Text)]
    pub(crate) output: ReportFormat,
}

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("which").required(true))]
pub(crate) struct RequeueArguments {
    #[command(flatten)]
    pub(crate) of: DeadLettersOf,
    /// The dead letters, as `dlq list` names them
    #[arg(value_name = "ID", group = "which")]
    pub(crate) ids: Vec<String>,
    /// Those with this text in their reason
    #[arg(long, value_name = "TEXT", group = "which")]
    pub(crate) reason: Option<String>,
    /// All of them, at most 1,000 in one go
    #[arg(long, group = "which")]
    pub(crate) all: bool,
    /// Only tell how many
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Do not ask
    #[arg(long, short)]
    pub(crate) yes: bool,
}

impl RequeueArguments {
    /// How many are looked at for a choice.
    pub(crate) const LOOKED_AT: usize = AT_ONCE as usize;
}

#[derive(Debug, Args)]
pub(crate) struct PurgeArguments {
    #[command(flatten)]
    pub(crate) of: DeadLettersOf,
    /// Only tell how many
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Do not ask
    #[arg(long, short)]
    pub(crate) yes: bool,
}
