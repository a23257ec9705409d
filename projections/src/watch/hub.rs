//! What all watchers of a process share.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hyperfleet_event_store::EventStore;
use hyperfleet_runtime::Clock;
use prometheus::core::Collector;
use sqlx::Row as _;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::feed::{self, Feed};
use super::metrics::WatchMetrics;
use super::options::WatchOptions;
use super::places::{Full, Place, Places};

/// Watchers that read from the database at a time, for their initial state or for what the ring no longer
/// has: a small part of the connections, so that a thousand that come at once leave the rest to requests.
const READERS: usize = 4;

/// Serves watches: one for each process. Cheap to clone; clones are the same.
#[derive(Clone)]
pub struct WatchHub {
    inner: Arc<Inner>,
}

pub(super) type Hub = WatchHub;

struct Inner {
    store: EventStore,
    clock: Arc<dyn Clock>,
    options: WatchOptions,
    metrics: WatchMetrics,
    shutdown: CancellationToken,
    places: Places,
    readers: Semaphore,
    /// The feed that runs, while anybody watches.
    feed: Mutex<Option<Arc<Feed>>>,
    /// Whether a feed met something in the log that this process cannot read.
    has_failed: AtomicBool,
}

impl WatchHub {
    /// Watches of this log. Nothing is read before somebody watches. Every watch ends at `shutdown`.
    pub fn new(
        store: EventStore,
        clock: Arc<dyn Clock>,
        options: WatchOptions,
        shutdown: CancellationToken,
    ) -> Self {
        let metrics = WatchMetrics::default();
        Self {
            inner: Arc::new(Inner {
                store,
                clock,
                options,
                places: Places::new(
                    options.watchers,
                    options.watchers_per_caller,
                    metrics.watchers.clone(),
                ),
                metrics,
                shutdown,
                readers: Semaphore::new(READERS),
                feed: Mutex::default(),
                has_failed: AtomicBool::new(false),
            }),
        }
    }

    /// Every metric, to be registered where they are served.
    pub fn collectors(&self) -> Vec<Box<dyn Collector>> {
        self.inner.metrics.collectors()
    }

    /// Sets the gauges of how far the reader of the log is behind.
    pub async fn refresh_metrics(&self) {
        let metrics = &self.inner.metrics;
        let running = self.lock().as_ref().and_then(|feed| feed.end());
        let Some(end) = running else {
            metrics.lag_positions.set(0);
            metrics.lag_seconds.set(0.0);
            return;
        };
        let read = sqlx::query(
            "SELECT (SELECT coalesce(max(position), 0) FROM live_events) AS head,
                coalesce((SELECT extract(epoch FROM now() - recorded_at)::float8 FROM events
                    WHERE position > $1 ORDER BY position LIMIT 1), 0) AS age",
        )
        .bind(end.cast_signed())
        .fetch_one(self.inner.store.pool())
        .await;
        match read.and_then(|row| Ok((row.try_get::<i64, _>("head")?, row.try_get("age")?))) {
            Ok((head, age)) => {
                let behind = head.unsigned_abs().saturating_sub(end);
                metrics.lag_positions.set(behind.cast_signed());
                metrics.lag_seconds.set(f64::max(age, 0.0));
            }
            Err(error) => {
                tracing::debug!(error = %error, "the lag of watches cannot be read");
            }
        }
    }

    pub(super) fn store(&self) -> &EventStore {
        &self.inner.store
    }

    pub(super) fn clock(&self) -> &dyn Clock {
        self.inner.clock.as_ref()
    }

    pub(super) fn options(&self) -> &WatchOptions {
        &self.inner.options
    }

    pub(super) fn metrics(&self) -> &WatchMetrics {
        &self.inner.metrics
    }

    pub(super) fn shutdown(&self) -> &CancellationToken {
        &self.inner.shutdown
    }

    pub(super) fn readers(&self) -> &Semaphore {
        &self.inner.readers
    }

    /// A place for one more watcher of this caller.
    pub(super) fn place(&self, caller: &str) -> Result<Place, Full> {
        self.inner.places.take(caller).inspect_err(|full| {
            let reason = match full {
                Full::All => "watchers",
                Full::Caller => "caller_watchers",
            };
            self.refused(reason);
        })
    }

    pub(super) fn refused(&self, reason: &str) {
        let refused = &self.inner.metrics.refused;
        refused.with_label_values(&[reason]).inc();
    }

    /// The running feed; starts one when there is none, and reaches back to `from` with it if it may.
    pub(super) fn feed(&self, from: Option<u64>) -> Arc<Feed> {
        let mut running = self.lock();
        if let Some(feed) = running.as_ref() {
            return Arc::clone(feed);
        }
        let feed = Arc::new(Feed::new());
        *running = Some(Arc::clone(&feed));
        drop(running);
        // Then nobody takes the others back to it; whoever goes on from before reads for itself.
        let from = from.filter(|_| !self.inner.has_failed.load(Ordering::Relaxed));
        tokio::spawn(feed::fill(self.clone(), Arc::clone(&feed), from));
        feed
    }

    /// Whether a position is still in the ring, if there is one.
    pub(super) fn ring_reaches_back_to(&self, position: u64) -> bool {
        let running = self.lock();
        let feed = running.as_ref();
        feed.is_some_and(|feed| feed.reaches_back_to(position))
    }

    /// Remembers that the log has something that this process cannot read.
    pub(super) fn remember_failure(&self) {
        self.inner.has_failed.store(true, Ordering::Relaxed);
    }

    /// Forgets a feed that ended.
    pub(super) fn retire(&self, feed: &Arc<Feed>) {
        let mut running = self.lock();
        if running.as_ref().is_some_and(|one| Arc::ptr_eq(one, feed)) {
            *running = None;
        }
    }

    /// Forgets a feed that nobody but its own task holds; whether it did.
    pub(super) fn retire_unwatched(&self, feed: &Arc<Feed>) -> bool {
        // Watchers take it under the same lock, so none can come in between.
        let mut running = self.lock();
        let is_unwatched = Arc::strong_count(feed) <= 2;
        if is_unwatched {
            *running = None;
        }
        is_unwatched
    }

    fn lock(&self) -> MutexGuard<'_, Option<Arc<Feed>>> {
        let feed = &self.inner.feed;
        feed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for WatchHub {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("WatchHub")
            .field("options", &self.inner.options)
            .finish_non_exhaustive()
    }
}
