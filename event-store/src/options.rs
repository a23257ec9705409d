//! How an event store is opened.

use std::fmt;
use std::sync::Arc;

use crate::inline::InlineProjection;
use crate::metrics::StoreMetrics;

/// Connections for reading: enough to keep two cores of a database busy, few enough for many replicas.
const DEFAULT_READ_CONNECTIONS: u32 = 16;

/// How an event store is opened.
#[derive(Clone)]
pub struct EventStoreOptions {
    /// URL of the database.
    pub database_url: String,
    /// Size of the pool for reading. Writing takes one more connection, and listening another.
    pub read_connections: u32,
    /// The read model that is written with every append.
    pub projection: Option<Arc<dyn InlineProjection>>,
    /// Where to count.
    pub metrics: StoreMetrics,
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
            projection: None,
            metrics: StoreMetrics::default(),
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
