//! How much watches may take.

use std::time::Duration;

/// How much watches may take in one process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WatchOptions {
    /// Watchers at a time.
    pub watchers: usize,
    /// Watchers of one caller at a time.
    pub watchers_per_caller: usize,
    /// Between two bookmarks when nothing else is sent.
    pub bookmark_interval: Duration,
    /// How long a watch lasts at most; its client goes on in a new one, with the rights that it has then.
    pub lifetime: Duration,
    /// Changes that the ring keeps.
    pub ring_changes: usize,
    /// About how many bytes they may take.
    pub ring_bytes: usize,
    /// How many positions of the log a watcher may be behind and still be served from the log.
    pub catch_up: u64,
    /// How long the reader of the log goes on without watchers, so that those who come back find the ring.
    pub idle: Duration,
}

impl Default for WatchOptions {
    /// Watchers: twice the thousand that one process is measured with, and half of them for one caller.
    /// Bookmarks come before proxies close silent connections (60 s, commonly). The ring holds more than
    /// a minute of 200 changes per second. What is read from the log for one watcher that comes back
    /// takes about a second.
    fn default() -> Self {
        Self {
            watchers: 2_000,
            watchers_per_caller: 1_000,
            bookmark_interval: Duration::from_secs(15),
            lifetime: Duration::from_mins(30),
            ring_changes: 16_384,
            ring_bytes: 128 * 1024 * 1024,
            catch_up: 20_000,
            idle: Duration::from_mins(1),
        }
    }
}
