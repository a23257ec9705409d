//! From arguments to the command that they name.

use clap::CommandFactory as _;
use hyperfleet_runtime::telemetry;
use tokio_util::sync::CancellationToken;

use crate::arguments::{Arguments, Command, ReplayCommand};
use crate::commands::{
    adapter, config, create, delete, demo, describe, get, history, patch, replay, serve, version,
    wait,
};
use crate::{environment, openapi};

/// Sets up logging and runs the command to its end.
pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let serves = matches!(
        arguments.command,
        Command::Demo(_)
            | Command::Dev(_)
            | Command::Api(_)
            | Command::Sentinel(_)
            | Command::Adapter(_)
    );
    // User commands print their result; logs would only be in the way.
    let default_level = if matches!(arguments.command, Command::Demo(_)) || !serves {
        "warn"
    } else {
        "info"
    };
    let level = arguments.log_level.as_deref().unwrap_or(default_level);
    let identity =
        telemetry::Identity::new(component(&arguments.command), env!("CARGO_PKG_VERSION"));
    telemetry::init(level, arguments.log_format.into(), identity)?;
    let shutdown = CancellationToken::new();
    if serves {
        hyperfleet_runtime::shutdown::on_signals(shutdown.clone())?;
    }
    let clock = environment::clock();
    match arguments.command {
        Command::Demo(arguments) => demo::run(arguments, shutdown).await,
        Command::Dev(arguments) => serve::dev(arguments, shutdown).await,
        Command::Api(arguments) => serve::api(arguments, shutdown).await,
        Command::Sentinel(arguments) => serve::sentinel(arguments, shutdown).await,
        Command::Adapter(arguments) => adapter::run(arguments, shutdown).await,
        Command::Migrate(arguments) => serve::migrate(arguments).await,
        Command::Create(arguments) => create::run(arguments, clock.now()).await,
        Command::Get(arguments) => get::run(arguments, clock.as_ref()).await,
        Command::Describe(arguments) => describe::run(arguments, clock.now()).await,
        Command::Patch(arguments) => patch::run(arguments, clock.now()).await,
        Command::Delete(arguments) => delete::run(arguments).await,
        Command::Wait(arguments) => wait::run(arguments).await,
        Command::History(arguments) => history::run(arguments).await,
        Command::Replay(ReplayCommand::Verify(arguments)) => replay::verify(arguments).await,
        Command::Replay(ReplayCommand::Rebuild(arguments)) => replay::rebuild(arguments).await,
        Command::Config(command) => config::run(command),
        Command::Openapi => openapi::print(),
        Command::Version(arguments) => version::run(arguments).await,
        Command::Completions { shell } => {
            clap_complete::generate(
                shell,
                &mut Arguments::command(),
                "hyperfleet",
                &mut std::io::stdout(),
            );
            Ok(())
        }
    }
}

/// The role in the lines of the log.
fn component(command: &Command) -> &'static str {
    match command {
        Command::Api(_) => "api",
        Command::Sentinel(_) => "sentinel",
        Command::Adapter(_) => "adapter",
        _ => "hyperfleet",
    }
}
