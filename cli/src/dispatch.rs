//! From arguments to the command that they name.

use std::process::ExitCode;

use clap::CommandFactory as _;
use hyperfleet_adapter::config::AdapterSettings;
use hyperfleet_runtime::config::GivenFlag;
use hyperfleet_runtime::telemetry::{
    self, DatabaseMetrics, Format, Output, TelemetryOptions, TraceMetrics, TraceOptions,
};
use tokio_util::sync::CancellationToken;

use crate::arguments::{
    AdapterArguments, AdapterCommand, Arguments, Command, LogFormat, ReplayCommand,
    SentinelArguments,
};
use crate::commands::{
    adapter, broker, config, create, delete, demo, describe, diff, dlq, events, get, history, log,
    patch, replay, sentinel, serve, version, wait,
};
use crate::configuration::{Configuration, Scope, SettingsArguments, traces};
use crate::{environment, openapi};

/// A role with its settings: what it is to be, and where it counts.
pub(crate) struct Role {
    pub(crate) configuration: Configuration,
    pub(crate) metrics: prometheus::Registry,
}

/// The command, which is also the component of all roles together.
const PROGRAM: &str = "hyperfleet";

/// Looking for what may not exist is answered by errors, which the client logs.
const BROKER_CHECK_LEVEL: &str = "warn,lapin=off";

/// How a command logs when nothing says otherwise.
struct LogDefaults {
    component: &'static str,
    level: &'static str,
    format: Format,
}

impl LogDefaults {
    /// Name of the role in exported traces.
    fn service(&self) -> String {
        match self.component {
            PROGRAM => PROGRAM.to_owned(),
            role => format!("{PROGRAM}-{role}"),
        }
    }
}

const fn logs(component: &'static str, level: &'static str, format: Format) -> LogDefaults {
    LogDefaults {
        component,
        level,
        format,
    }
}

/// Sets up logging and runs the command to its end.
pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let given = Given {
        level: arguments.log_level,
        format: arguments.log_format,
    };
    let ended = match arguments.command {
        Command::Replay(command) => Ok(replay_command(&command, &given).await),
        command => run_command(command, given)
            .await
            .map(|()| ExitCode::SUCCESS),
    };
    telemetry::finish().await;
    ended
}

/// Commands on the log say by their exit whether they found differences or could not look.
async fn replay_command(command: &ReplayCommand, given: &Given) -> ExitCode {
    let defaults = logs(PROGRAM, "warn", Format::Text);
    let ended = async {
        let role = if let Some(settings) = command.settings() {
            Some(given.role(settings, &defaults)?)
        } else {
            given.plain(&defaults)?;
            None
        };
        replay::run(command, role.as_ref()).await
    };
    match ended.await {
        Ok(replay::Outcome::Well) => ExitCode::SUCCESS,
        Ok(replay::Outcome::Different(what)) => {
            eprintln!("error: {what}");
            ExitCode::from(1)
        }
        Err(error) => {
            print_error(&error);
            ExitCode::from(2)
        }
    }
}

/// An error and its causes, for people.
pub(crate) fn print_error(error: &anyhow::Error) {
    eprintln!("error: {error}");
    for cause in error.chain().skip(1) {
        eprintln!("  because: {cause}");
    }
}

async fn run_command(command: Command, mut given: Given) -> anyhow::Result<()> {
    match command {
        Command::Demo(arguments) => {
            let defaults = logs(PROGRAM, "warn", Format::Text);
            let role = given.role(&arguments.control_plane.settings, &defaults)?;
            demo::run(arguments, role, stoppable()?).await
        }
        Command::Dev(arguments) => {
            let role = given.role(&arguments.settings, &logs(PROGRAM, "info", Format::Text))?;
            serve::dev(arguments, role, stoppable()?).await
        }
        Command::Api(arguments) => {
            given.format = arguments.short_log_format.or(given.format);
            given.level = arguments.short_log_level.clone().or(given.level);
            let role = given.role(&arguments.settings, &logs("api", "info", Format::Json))?;
            serve::api(role, stoppable()?).await
        }
        Command::Sentinel(SentinelArguments {
            command: Some(command),
            ..
        }) => {
            let role = given.role(command.settings(), &logs(PROGRAM, "warn", Format::Text))?;
            sentinel::run(&command, &role).await
        }
        Command::Sentinel(arguments) => {
            let role = given.role(&arguments.settings, &logs("sentinel", "info", Format::Json))?;
            serve::sentinel(arguments, role, stoppable()?).await
        }
        Command::Adapter(arguments) => adapter_command(*arguments, given).await,
        Command::Migrate(arguments) => {
            let role = given.role(&arguments.settings, &logs(PROGRAM, "warn", Format::Text))?;
            serve::migrate(&role).await
        }
        Command::Log(command) => {
            let role = given.role(command.settings(), &logs(PROGRAM, "warn", Format::Text))?;
            log::run(&command, &role, environment::clock().now()).await
        }
        Command::Broker(command) => {
            given.plain(&logs(PROGRAM, BROKER_CHECK_LEVEL, Format::Text))?;
            broker::run(&command).await
        }
        Command::Config(command) => {
            let configuration = config::read(&command, &given.flags())?;
            given.plain(&logs(PROGRAM, "warn", Format::Text))?;
            config::run(&command, &configuration)
        }
        command => {
            // User commands print their result; logs would only be in the way.
            given.plain(&logs(PROGRAM, "warn", Format::Text))?;
            user_command(command).await
        }
    }
}

/// What an adapter says goes where its configuration wants it; its other commands print.
async fn adapter_command(arguments: AdapterArguments, given: Given) -> anyhow::Result<()> {
    let quiet = logs("adapter", "warn", Format::Text);
    let run = match arguments.command {
        None => arguments.run,
        Some(AdapterCommand::Serve(run)) => *run,
        Some(AdapterCommand::Lint(lint)) => {
            given.plain(&quiet)?;
            return adapter::lint(&lint);
        }
        Some(AdapterCommand::DryRun(dry_run)) => {
            given.plain(&quiet)?;
            return adapter::dry_run(&dry_run).await;
        }
        Some(AdapterCommand::ConfigDump(files)) => {
            given.plain(&quiet)?;
            return adapter::dump(&files);
        }
        Some(AdapterCommand::Schema { file }) => {
            adapter::print_schema(file);
            return Ok(());
        }
    };
    if let Some(dry_run) = adapter::asked_dry_run(&run)? {
        given.plain(&quiet)?;
        return adapter::dry_run(&dry_run).await;
    }
    let config = adapter::configuration(&run.configuration)?;
    given.adapter(&config.adapter)?;
    adapter::run(run, config, stoppable()?).await
}

async fn user_command(command: Command) -> anyhow::Result<()> {
    let clock = environment::clock();
    match command {
        Command::Create(arguments) => create::run(arguments, clock.now()).await,
        Command::Get(arguments) => get::run(arguments, clock.as_ref()).await,
        Command::Describe(arguments) => describe::run(arguments, clock.now()).await,
        Command::Patch(arguments) => patch::run(arguments, clock.now()).await,
        Command::Delete(arguments) => delete::run(arguments).await,
        Command::Wait(arguments) => wait::run(arguments).await,
        Command::History(arguments) => history::run(arguments, clock.now()).await,
        Command::Events(arguments) => events::run(arguments, clock.now()).await,
        Command::Diff(arguments) => diff::run(arguments, clock.now()).await,
        Command::Openapi(arguments) => openapi::print(arguments.config),
        Command::Dlq(command) => dlq::run(&command).await,
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
        Command::Demo(_)
        | Command::Dev(_)
        | Command::Api(_)
        | Command::Sentinel(_)
        | Command::Adapter(_)
        | Command::Migrate(_)
        | Command::Replay(_)
        | Command::Log(_)
        | Command::Broker(_)
        | Command::Config(_) => anyhow::bail!("this command runs a role"),
    }
}

/// A token that signals cancel.
fn stoppable() -> anyhow::Result<CancellationToken> {
    let shutdown = CancellationToken::new();
    hyperfleet_runtime::shutdown::on_signals(shutdown.clone())?;
    Ok(shutdown)
}

/// What the flags of every command say.
struct Given {
    level: Option<String>,
    format: Option<LogFormat>,
}

impl Given {
    fn flags(&self) -> Vec<GivenFlag> {
        let flag = |path, name: &str, value: String| GivenFlag {
            path,
            name: name.to_owned(),
            values: vec![value],
        };
        let level = self.level.clone();
        let format = self.format.map(|format| format.name().to_owned());
        let level = level.map(|value| flag("logging.level", "log-level", value));
        let format = format.map(|value| flag("logging.format", "log-format", value));
        level.into_iter().chain(format).collect()
    }

    /// Reads the settings of a role and sets up its logs.
    fn role<S: Scope>(
        &self,
        arguments: &SettingsArguments<S>,
        defaults: &LogDefaults,
    ) -> anyhow::Result<Role> {
        let configuration = Configuration::read(arguments, &self.flags())?;
        let metrics = prometheus::Registry::new();
        let version = env!("CARGO_PKG_VERSION");
        let logging = &configuration.logging;
        let level = if logging.level_is_set {
            logging.level.clone()
        } else {
            defaults.level.to_owned()
        };
        telemetry::init(TelemetryOptions {
            level,
            format: if logging.format_is_set {
                logging.format
            } else {
                defaults.format
            },
            output: logging.output,
            identity: telemetry::Identity::new(defaults.component, version),
            database: Some(DatabaseMetrics::register(
                &metrics,
                defaults.component,
                version,
            )?),
            traces: traces::options(
                &configuration.settings,
                &defaults.service(),
                Some(TraceMetrics::register(&metrics)?),
            )?,
        })?;
        configuration.announce();
        Ok(Role {
            configuration,
            metrics,
        })
    }

    /// Sets up the logs of an adapter: what its configuration says, unless a flag does.
    fn adapter(&self, settings: &AdapterSettings) -> anyhow::Result<()> {
        let log = &settings.log;
        let format = match log.format.as_str() {
            "text" => Format::Text,
            _ => Format::Json,
        };
        let output = match log.output.as_str() {
            "stderr" => Output::Stderr,
            _ => Output::Stdout,
        };
        let traced = traces::of_environment(environment::variables())?;
        telemetry::init(TelemetryOptions {
            level: self.level.clone().unwrap_or_else(|| log.level.clone()),
            format: self.format.map_or(format, Into::into),
            output,
            identity: telemetry::Identity::new(&settings.name, env!("CARGO_PKG_VERSION")),
            database: None,
            traces: traces::options(&traced, &format!("{PROGRAM}-adapter"), None)?,
        })?;
        Ok(())
    }

    /// Sets up the logs of a command without settings.
    fn plain(&self, defaults: &LogDefaults) -> anyhow::Result<()> {
        self.start(defaults, None)
    }

    fn start(&self, defaults: &LogDefaults, traces: Option<TraceOptions>) -> anyhow::Result<()> {
        let level = self.level.as_deref().unwrap_or(defaults.level);
        telemetry::init(TelemetryOptions {
            level: level.to_owned(),
            format: self.format.map_or(defaults.format, Into::into),
            output: Output::Stderr,
            identity: telemetry::Identity::new(defaults.component, env!("CARGO_PKG_VERSION")),
            database: None,
            traces,
        })?;
        Ok(())
    }
}
