//! Logs, on standard error: standard output belongs to what commands print.

mod json;

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// How lines are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Who writes the lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The role, e.g. `api` or `sentinel`.
    pub component: String,
    /// Version of the program.
    pub version: String,
    /// The machine.
    pub hostname: String,
}

impl Identity {
    /// A role of this version on this machine.
    pub fn new(component: impl Into<String>, version: impl Into<String>) -> Self {
        Self {
            component: component.into(),
            version: version.into(),
            hostname: hostname(),
        }
    }
}

/// Why logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The level is neither a level nor a filter.
    #[error(
        "cannot use the log level {level:?}; use error, warn, info, debug, trace, or a filter such as info,sqlx=warn"
    )]
    Level {
        /// What was given.
        level: String,
        /// What is wrong with it.
        #[source]
        source: tracing_subscriber::filter::ParseError,
    },
    /// Logging was set up before.
    #[error("logging is set up already")]
    Twice(#[source] tracing_subscriber::util::TryInitError),
}

/// Sets up logging for the process.
///
/// # Errors
/// See [`TelemetryError`].
pub fn init(level: &str, format: Format, identity: Identity) -> Result<(), TelemetryError> {
    let filter = EnvFilter::try_new(level).map_err(|source| TelemetryError::Level {
        level: level.to_owned(),
        source,
    })?;
    let registry = tracing_subscriber::registry().with(filter);
    match format {
        Format::Text => registry
            .with(
                tracing_subscriber::fmt::layer()
                    .with_writer(std::io::stderr)
                    .with_ansi(std::io::stderr().is_terminal()),
            )
            .try_init(),
        Format::Json => registry
            .with(json::JsonLines::new(identity, std::io::stderr))
            .try_init(),
    }
    .map_err(TelemetryError::Twice)
}

/// The name of this machine; containers have it in the environment, others in the kernel.
fn hostname() -> String {
    std::env::var_os("HOSTNAME")
        .map(|name| name.to_string_lossy().into_owned())
        .or_else(|| std::fs::read_to_string("/proc/sys/kernel/hostname").ok())
        .map(|name| name.trim().to_owned())
        .unwrap_or_default()
}
