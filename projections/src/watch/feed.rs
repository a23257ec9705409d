//! The ring of the latest changes, and the one task that fills it from the log.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use super::change::Change;
use super::hub::Hub;
use super::options::WatchOptions;
use super::reader::ChangeReader;
use crate::error::Error;

/// Between two batches. Watchers are woken for each, so a hundred wake-ups a second is what a thousand
/// of them cost at most; a change waits for it by half as long on average, and not at all after a pause.
const PACE: Duration = Duration::from_millis(10);

/// After the log could not be read.
const PAUSE: Duration = Duration::from_millis(500);

/// What the reader remembers of states, in bytes of documents: those of about 20,000 resources.
const STATE_BYTES: usize = 64 * 1024 * 1024;

/// How far before the first watcher's position the ring begins: of many that come back together, such as
/// after a restart, most are a little behind or ahead of each other.
const MARGIN: u64 = 1_000;

/// The latest changes. Fills itself until it is told to stop, or nobody has watched for a while.
pub(super) struct Feed {
    ring: Mutex<Ring>,
    /// Up to where the ring is filled.
    progress: watch::Sender<u64>,
}

/// Everything after `start` and up to `end`.
#[derive(Default)]
struct Ring {
    /// `None` until the end of the log is known.
    start: Option<u64>,
    end: u64,
    changes: VecDeque<Arc<Change>>,
    bytes: usize,
    has_failed: bool,
}

/// What follows a position.
pub(super) enum Next {
    /// These, and with them everything up to a position.
    Changes(Vec<Arc<Change>>, u64),
    /// Nothing yet.
    Nothing,
    /// The ring does not yet have a beginning.
    Starting,
    /// The ring begins later; it ends there.
    Gone(u64),
    /// The log has something that this process cannot read; the feed has ended.
    Failed,
}

impl Feed {
    pub(super) fn new() -> Self {
        Self {
            ring: Mutex::default(),
            progress: watch::Sender::new(0),
        }
    }

    /// Wakes whenever the ring has moved on.
    pub(super) fn progress(&self) -> watch::Receiver<u64> {
        self.progress.subscribe()
    }

    /// Up to where the ring is filled; `None` until it begins.
    pub(super) fn end(&self) -> Option<u64> {
        let ring = self.lock();
        ring.start.map(|_| ring.end)
    }

    /// What follows a position, at most `limit` changes.
    pub(super) fn after(&self, position: u64, limit: usize) -> Next {
        let ring = self.lock();
        if ring.has_failed {
            return Next::Failed;
        }
        let Some(start) = ring.start else {
            return Next::Starting;
        };
        if position < start {
            return Next::Gone(ring.end);
        }
        if position >= ring.end {
            return Next::Nothing;
        }
        let first = ring
            .changes
            .partition_point(|change| change.position <= position);
        let changes: Vec<_> = ring.changes.range(first..).take(limit).cloned().collect();
        let is_all = first + changes.len() == ring.changes.len();
        let up_to = changes.last().filter(|_| !is_all);
        let up_to = up_to.map_or(ring.end, |change| change.position);
        Next::Changes(changes, up_to)
    }

    /// Whether the ring has everything after a position.
    pub(super) fn reaches_back_to(&self, position: u64) -> bool {
        self.lock().start.is_some_and(|start| start <= position)
    }

    fn lock(&self) -> MutexGuard<'_, Ring> {
        // Nothing that can panic happens while it is locked.
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(&self, position: u64) {
        let mut ring = self.lock();
        ring.start = Some(position);
        ring.end = position;
        drop(ring);
        self.progress.send_replace(position);
    }

    fn add(&self, changes: Vec<Change>, position: u64, options: &WatchOptions) {
        let mut ring = self.lock();
        for change in changes {
            ring.bytes += change.weight();
            ring.changes.push_back(Arc::new(change));
        }
        ring.end = position;
        while ring.changes.len() > options.ring_changes || ring.bytes > options.ring_bytes {
            let Some(oldest) = ring.changes.pop_front() else {
                break;
            };
            ring.bytes -= oldest.weight();
            ring.start = Some(oldest.position);
        }
        drop(ring);
        self.progress.send_replace(position);
    }

    fn fail(&self) {
        self.lock().has_failed = true;
        self.progress.send_modify(|_| {});
    }
}

/// Fills a feed; `from` is where its first watcher goes on.
pub(super) async fn fill(hub: Hub, feed: Arc<Feed>, from: Option<u64>) {
    let ending = Ending { hub, feed };
    let shutdown = ending.hub.shutdown().clone();
    shutdown
        .run_until_cancelled(filling(&ending.hub, &ending.feed, from))
        .await;
}

/// However a feed ends, its watchers are told, and the next one starts another.
struct Ending {
    hub: Hub,
    feed: Arc<Feed>,
}

impl Drop for Ending {
    fn drop(&mut self) {
        self.feed.fail();
        self.hub.retire(&self.feed);
    }
}

async fn filling(hub: &Hub, feed: &Arc<Feed>, from: Option<u64>) {
    let start = beginning(hub, from).await;
    feed.begin(start);
    tracing::debug!(position = start, "watches follow the log");
    let mut reader = ChangeReader::new(hub.store().clone(), start, STATE_BYTES);
    let mut idle = tokio::time::interval(hub.options().idle);
    idle.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    idle.tick().await;
    loop {
        let waited = tokio::select! {
            waited = reader.wait() => waited,
            _ = idle.tick() => {
                if hub.retire_unwatched(feed) {
                    tracing::debug!("nobody watches; the log is no longer followed");
                    return;
                }
                continue;
            }
        };
        let read = match waited {
            Ok(()) => reader.next().await,
            Err(error) => Err(error),
        };
        let pause = match read {
            Ok(changes) => {
                feed.add(changes, reader.position(), hub.options());
                PACE
            }
            Err(error) if is_lasting(&error) => {
                let error = hyperfleet_runtime::error_chain(&error);
                tracing::error!(
                    error,
                    "watches end: the log has what this version cannot read"
                );
                hub.remember_failure();
                return;
            }
            Err(error) => {
                error.count();
                let error = hyperfleet_runtime::error_chain(&error);
                tracing::warn!(error, "watches cannot follow the log now; trying again");
                PAUSE
            }
        };
        tokio::time::sleep(pause).await;
    }
}

/// Where the ring begins: at the end of the log, or a little before where the first watcher goes on.
async fn beginning(hub: &Hub, from: Option<u64>) -> u64 {
    loop {
        match hub.store().head().await {
            Ok(head) => {
                let earliest = head.saturating_sub(hub.options().catch_up);
                let wanted = from.map_or(head, |from| from.saturating_sub(MARGIN));
                return wanted.clamp(earliest, head);
            }
            Err(error) => {
                tracing::warn!(error = %error, "watches cannot find the end of the log; trying again");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// Whether trying again cannot help: what is stored is not what this version knows.
fn is_lasting(error: &Error) -> bool {
    use hyperfleet_event_store::Error as StoreError;
    matches!(
        error,
        Error::UnreadableEvent { .. }
            | Error::UnreadableState { .. }
            | Error::Log(StoreError::Damaged { .. })
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPTIONS: WatchOptions = WatchOptions {
        watchers: 1,
        watchers_per_caller: 1,
        bookmark_interval: PACE,
        lifetime: PACE,
        ring_changes: 3,
        ring_bytes: usize::MAX,
        catch_up: 10,
        idle: PACE,
    };

    fn change(position: u64) -> Change {
        Change::new(position, Arc::default(), Arc::default())
    }

    /// The positions of the changes, and up to where.
    fn told(next: Next) -> Option<(Vec<u64>, u64)> {
        match next {
            Next::Changes(changes, up_to) => {
                let positions = changes.iter().map(|change| change.position);
                Some((positions.collect(), up_to))
            }
            _ => None,
        }
    }

    #[test]
    fn what_follows_a_position_is_told_whole_and_in_order() {
        let feed = Feed::new();
        assert!(matches!(feed.after(5, 9), Next::Starting));
        feed.begin(10);
        assert!(matches!(feed.after(9, 9), Next::Gone(10)));
        assert!(matches!(feed.after(10, 9), Next::Nothing));
        feed.add(vec![change(11), change(14)], 15, &OPTIONS);
        assert_eq!(told(feed.after(10, 9)), Some((vec![11, 14], 15)));
        assert_eq!(told(feed.after(10, 1)), Some((vec![11], 11)));
        assert_eq!(told(feed.after(11, 9)), Some((vec![14], 15)));
        assert_eq!(told(feed.after(14, 9)), Some((vec![], 15)));
        assert!(matches!(feed.after(15, 9), Next::Nothing));
        assert!(matches!(feed.after(99, 9), Next::Nothing));
    }

    #[test]
    fn the_oldest_changes_are_given_up_and_nothing_before_them_is_told() {
        let feed = Feed::new();
        feed.begin(0);
        feed.add((1..=5).map(change).collect(), 6, &OPTIONS);
        assert!(matches!(feed.after(1, 9), Next::Gone(6)));
        assert_eq!(told(feed.after(2, 9)), Some((vec![3, 4, 5], 6)));
        assert!(feed.reaches_back_to(2) && !feed.reaches_back_to(1));
        let bytes = WatchOptions {
            ring_bytes: change(7).weight(),
            ..OPTIONS
        };
        feed.add(vec![change(7)], 7, &bytes);
        assert!(matches!(feed.after(4, 9), Next::Gone(7)));
        assert_eq!(told(feed.after(5, 9)), Some((vec![7], 7)));
        feed.fail();
        assert!(matches!(feed.after(7, 9), Next::Failed));
    }
}
