//! How an event store is opened.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use log::LevelFilter;
use sqlx::ConnectOptions as _;
use sqlx::postgres::PgConnectOptions;

use crate::inline::InlineProjection;
use crate::metrics::StoreMetrics;

/// Connections for reading: enough to keep two cores of a database busy, few enough for many replicas.
const DEFAULT_READ_CONNECTIONS: u32 = 16;

/// A statement that takes longer is warned about.
const SLOW_STATEMENT: Duration = Duration::from_millis(200);

/// How connections for reading are kept.
#[derive(Clone, Debug)]
pub struct ConnectionOptions {
    /// Age at which a connection is replaced; `None` is never.
    pub max_lifetime: Option<Duration>,
    /// Idle time after which a connection is closed; `None` is never.
    pub idle_timeout: Option<Duration>,
    /// How long one statement may take; `None` is without limit.
    pub statement_timeout: Option<Duration>,
    /// Whether every statement is logged, instead of the slow ones only.
    pub logs_statements: bool,
}

impl Default for ConnectionOptions {
    fn default() -> Self {
        Self {
            max_lifetime: Some(Duration::from_mins(30)),
            idle_timeout: Some(Duration::from_mins(10)),
            statement_timeout: None,
            logs_statements: false,
        }
    }
}

impl ConnectionOptions {
    /// Applies what concerns each connection.
    pub(crate) fn apply(&self, connect: PgConnectOptions) -> PgConnectOptions {
        let level = if self.logs_statements {
            LevelFilter::Info
        } else {
            LevelFilter::Debug
        };
        connect
            .log_statements(level)
            .log_slow_statements(LevelFilter::Warn, SLOW_STATEMENT)
    }
}

/// How an event store is opened.
#[derive(Clone)]
pub struct EventStoreOptions {
    /// URL of the database.
    pub database_url: String,
    /// Size of the pool for reading. Writing takes one more connection, and listening another.
    pub read_connections: u32,
    /// How those connections are kept.
    pub connections: ConnectionOptions,
    /// The read model that is written with every append.
    pub projection: Option<Arc<dyn InlineProjection>>,
    /// Where to count.
    pub metrics: StoreMetrics,
    /// What this process is called where it runs projections, for operators.
    pub runner_name: String,
    /// Most transactions in one batch. 1 turns group commit off; only benchmarks want that.
    pub maximum_batch: usize,
    /// Draw positions without the lock. Only the test that shows why the lock is there wants that.
    #[doc(hidden)]
    pub without_position_lock: bool,
}

impl EventStoreOptions {
    /// The defaults for a database.
    pub fn new(database_url: impl Into<String>) -> Self {
        Self {
            database_url: database_url.into(),
            read_connections: DEFAULT_READ_CONNECTIONS,
            connections: ConnectionOptions::default(),
            projection: None,
            metrics: StoreMetrics::default(),
            runner_name: format!("process {}", std::process::id()),
            maximum_batch: crate::committer::MAXIMUM_BATCH,
            without_position_lock: false,
        }
    }

    /// Adds the read model that is written with every append.
    #[must_use]
    pub fn projection(mut self, projection: Arc<dyn InlineProjection>) -> Self {
        self.projection = Some(projection);
        self
    }
}

impl fmt::Debug for EventStoreOptions {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("EventStoreOptions")
            .field("read_connections", &self.read_connections)
            .field("projection", &self.projection.is_some())
            .field("maximum_batch", &self.maximum_batch)
            .finish_non_exhaustive()
    }
}
