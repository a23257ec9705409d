//! `hyperfleet broker`: the message broker, looked at.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::ReportFormat;

#[derive(Debug, Subcommand)]
pub(crate) enum BrokerCommand {
    /// Tell what exists at the broker, what is missing, and which permission fails; changes nothing
    ///
    /// Ends with 1 when events would not flow before somebody does something.
    Check(BrokerCheckArguments),
}

#[derive(Debug, Args)]
pub(crate) struct BrokerCheckArguments {
    /// Message broker, `amqp[s]://USER:PASSWORD@HOST[/VHOST]` or `pubsub://PROJECT`; default: the broker file
    #[arg(
        long,
        env = "HYPERFLEET_BROKER",
        hide_env_values = true,
        value_name = "URL"
    )]
    pub(crate) broker: Option<String>,
    /// Broker file to look at instead of the one that `BROKER_CONFIG_FILE` names
    #[arg(long, value_name = "FILE", conflicts_with = "broker")]
    pub(crate) broker_file: Option<PathBuf>,
    /// Topic to publish to
    #[arg(long, value_name = "TOPIC")]
    pub(crate) topic: String,
    /// Subscription of the topic: the `subscription_id` of an adapter; repeat for several
    #[arg(long, value_name = "ID")]
    pub(crate) subscription: Vec<String>,
    /// How to print what was found
    #[arg(long, short, value_enum, default_value_t = ReportFormat::Text)]
    pub(crate) output: ReportFormat,
}
