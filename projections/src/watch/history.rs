//! The steps of a watcher of a history: what was recorded, and then what is being recorded.
//!
//! The ring says when there is something new and which resources it is of; the events themselves are read
//! from the log, as pages of the history are. So a watcher reads nothing while only others' resources
//! change, one that comes back after a long time is served as well as any, and none can be too slow.

use std::sync::Arc;

use axum::body::Bytes;
use hyperfleet_api_types::HistoryItem;
use hyperfleet_api_types::problem::{Fault, codes};
use prometheus::IntCounter;
use tokio::sync::watch;
use tokio::time::{Interval, MissedTickBehavior};

use super::feed::{Feed, Next};
use super::frame;
use super::hub::WatchHub;
use super::places::Place;
use super::steps::Step;
use super::watcher::{HistoryOpening, Start};
use crate::history::{self, Folds, Part};
use crate::routes::Failure;

/// Events read at a time.
const PAGE: u32 = 100;

/// Changes that are looked at for whether any concerns the watcher.
const CHANGES: usize = 256;

/// The event that tells one that was recorded.
const RECORDED: &str = "RECORDED";

/// Where a watcher is.
pub(super) struct HistorySteps {
    hub: WatchHub,
    feed: Arc<Feed>,
    progress: watch::Receiver<u64>,
    opening: HistoryOpening,
    is_greeted: bool,
    /// Everything up to here was told, or is not to be told.
    position: u64,
    /// What is told up to here was there when the watch began.
    beginning: u64,
    /// Whether the beginning is over.
    is_complete: bool,
    folds: Folds,
    bookmarks: Interval,
    recorded: IntCounter,
    _place: Place,
}

impl HistorySteps {
    /// The steps of a watcher that was opened when the log ended at `head`.
    pub(super) fn new(hub: &WatchHub, opening: HistoryOpening, head: u64, place: Place) -> Self {
        let position = match opening.start {
            Start::Everything => 0,
            Start::Now => head,
            Start::After(position) => position,
        };
        let feed = hub.feed(Some(position));
        let interval = hub.options().bookmark_interval;
        let mut bookmarks =
            tokio::time::interval_at(tokio::time::Instant::now() + interval, interval);
        bookmarks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            hub: hub.clone(),
            progress: feed.progress(),
            feed,
            opening,
            is_greeted: false,
            position,
            beginning: head,
            is_complete: false,
            folds: Folds::default(),
            bookmarks,
            recorded: hub.metrics().delivered(RECORDED),
            _place: place,
        }
    }

    /// The next step.
    pub(super) async fn next(&mut self) -> Step {
        if !std::mem::replace(&mut self.is_greeted, true) {
            return Step::Send(Bytes::from_static(frame::RETRY));
        }
        if self.position < self.beginning {
            return self.read(self.beginning).await;
        }
        if !std::mem::replace(&mut self.is_complete, true) {
            // What is recorded from now on is later than a time that has passed.
            let now = self.hub.clock().now();
            self.opening.filter.from = self.opening.filter.from.filter(|from| *from > now);
            return Step::Send(self.bookmark());
        }
        self.progress.mark_unchanged();
        match self.feed.after(self.position, CHANGES) {
            Next::Changes(changes, up_to) => {
                let filter = &self.opening.filter;
                if changes.iter().any(|change| filter.may_have(&change.after)) {
                    return self.read(up_to).await;
                }
                self.position = up_to;
                Step::Send(Bytes::new())
            }
            Next::Gone(end) => self.read(end).await,
            Next::Starting | Next::Nothing => self.wait().await,
            Next::Failed => {
                let detail = "the server cannot follow the log; ask again";
                self.end(Fault::new(codes::INTERNAL_ERROR, detail))
            }
        }
    }

    /// The last piece of a watch that ends in good order: where to go on.
    pub(super) fn farewell(&self) -> Bytes {
        self.bookmark()
    }

    /// Tells the next events up to a position, and moves on.
    async fn read(&mut self, mark: u64) -> Step {
        let part = Part {
            descending: false,
            after: Some(self.position),
            offset: 0,
            size: PAGE,
            mark,
        };
        let page = {
            let _turn = self.hub.readers().acquire().await;
            let pool = self.hub.store().pool();
            history::page(pool, &self.opening.filter, part, &mut self.folds).await
        };
        let page = match page {
            Ok(page) => page,
            Err(error) => return self.end(Failure::from(error).into_fault()),
        };
        self.position = page.next.map_or(mark, |next| next.after);
        let mut out = Vec::new();
        for entry in page.entries {
            let position = entry.position;
            let item = HistoryItem::Accepted(Box::new(entry));
            // Items are plain data; writing them cannot fail.
            let document = serde_json::to_vec(&item).unwrap_or_default();
            frame::write(&mut out, Some(position), RECORDED, &document);
            self.recorded.inc();
        }
        if !out.is_empty() {
            self.bookmarks.reset();
        }
        Step::Send(out.into())
    }

    async fn wait(&mut self) -> Step {
        tokio::select! {
            // The feed is held here, so it does not go away.
            _ = self.progress.changed() => Step::Send(Bytes::new()),
            _ = self.bookmarks.tick() => Step::Send(self.bookmark()),
        }
    }

    fn bookmark(&self) -> Bytes {
        self.hub.metrics().delivered(frame::BOOKMARK).inc();
        frame::bookmark(self.position, false)
    }

    /// The end of a watch that cannot go on.
    fn end(&self, fault: Fault) -> Step {
        Step::End(self.opening.request.problem(&self.hub, fault))
    }
}
