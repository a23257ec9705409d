//! Logs, by default on standard error: standard output belongs to what commands print. What is counted from
//! what is logged. And traces, exported to a collector when one is named.

mod fields;
mod json;
mod queries;
mod text;
pub mod trace_context;
mod traces;

use tracing_subscriber::fmt::writer::BoxMakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _};

pub use self::queries::{DatabaseMetrics, database_failed};
pub use self::traces::{
    FLUSH_TIMEOUT, TraceError, TraceMetrics, TraceOptions, TraceProtocol, TraceSampler, finish,
    is_exporting,
};

/// How lines are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Where lines go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Output {
    /// Standard error.
    #[default]
    Stderr,
    /// Standard output.
    Stdout,
}

/// How to log.
#[derive(Clone, Debug)]
pub struct TelemetryOptions {
    /// A level, or a tracing filter.
    pub level: String,
    /// How lines are written.
    pub format: Format,
    /// Where they go.
    pub output: Output,
    /// Who writes them.
    pub identity: Identity,
    /// Where database statements are counted.
    pub database: Option<DatabaseMetrics>,
    /// How traces are exported; `None` exports none.
    pub traces: Option<TraceOptions>,
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
    /// Traces cannot be exported as asked.
    #[error("cannot export traces")]
    Traces(#[from] TraceError),
    /// Logging was set up before.
    #[error("logging is set up already")]
    Twice(#[source] tracing_subscriber::util::TryInitError),
}

/// Sets up logging, and the export of traces, for the process; to be called inside the asynchronous
/// runtime. [`finish`] sends the last spans.
///
/// # Errors
/// See [`TelemetryError`].
pub fn init(options: TelemetryOptions) -> Result<(), TelemetryError> {
    let filter = EnvFilter::try_new(&options.level).map_err(|source| TelemetryError::Level {
        level: options.level.clone(),
        source,
    })?;
    let writer = match options.output {
        Output::Stderr => BoxMakeWriter::new(std::io::stderr),
        Output::Stdout => BoxMakeWriter::new(std::io::stdout),
    };
    let lines = match options.format {
        Format::Text => text::TextLines::new(options.identity, writer)
            .with_filter(filter)
            .boxed(),
        Format::Json => json::JsonLines::new(options.identity, writer)
            .with_filter(filter)
            .boxed(),
    };
    let counted = options.database.map(queries::counting);
    let exported = options.traces.as_ref().map(traces::layer).transpose()?;
    tracing_subscriber::registry()
        .with(lines)
        .with(counted)
        .with(exported)
        .try_init()
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
