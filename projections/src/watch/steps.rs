//! What a watcher does next, and what comes of it.

use std::sync::Arc;

use axum::body::Bytes;
use hyperfleet_api_types::problem::{Fault, codes};
use hyperfleet_domain::resource::Resource;
use prometheus::IntCounter;
use tokio::sync::watch;
use tokio::time::{Interval, MissedTickBehavior};

use super::change::{Change, ChangeType};
use super::feed::{Feed, Next};
use super::frame;
use super::hub::WatchHub;
use super::metrics::WatchMetrics;
use super::places::Place;
use super::reader::ChangeReader;
use super::snapshot::{self, Pages};
use super::watcher::{Opening, Start};
use crate::routes::Failure;

/// Changes that are looked at for one piece.
const CHANGES: usize = 256;

/// What a watcher that catches up remembers of states, in bytes of documents.
const STATE_BYTES: usize = 4 * 1024 * 1024;

/// What came of one step.
pub(super) enum Step {
    /// This piece, perhaps an empty one.
    Send(Bytes),
    /// This one, and no other after it.
    End(Bytes),
}

/// What is to be done next.
enum Stage {
    Greeting,
    /// The page after this resource.
    Initial(Option<Box<Resource>>),
    Following,
}

/// Where a watcher is.
pub(super) struct Steps {
    hub: WatchHub,
    feed: Arc<Feed>,
    progress: watch::Receiver<u64>,
    opening: Opening,
    stage: Stage,
    /// Everything up to here was told, or is not to be told.
    position: u64,
    /// What is told up to here belongs to the beginning.
    beginning: u64,
    pages: Pages,
    /// Whether a client can go on from what is sent: not before the initial state is complete.
    has_positions: bool,
    /// Whether the beginning is over.
    is_complete: bool,
    /// Whether it has been within the ring: a watcher may catch up once, when it starts.
    has_kept_up: bool,
    log: Option<ChangeReader>,
    bookmarks: Interval,
    delivered: Delivered,
    _place: Place,
}

/// Counts what is delivered.
struct Delivered {
    added: IntCounter,
    modified: IntCounter,
    deleted: IntCounter,
    bookmarks: IntCounter,
}

impl Delivered {
    fn of(metrics: &WatchMetrics) -> Self {
        Self {
            added: metrics.delivered(ChangeType::Added.name()),
            modified: metrics.delivered(ChangeType::Modified.name()),
            deleted: metrics.delivered(ChangeType::Deleted.name()),
            bookmarks: metrics.delivered(frame::BOOKMARK),
        }
    }

    fn changes(&self, change_type: ChangeType) -> &IntCounter {
        match change_type {
            ChangeType::Added => &self.added,
            ChangeType::Modified => &self.modified,
            ChangeType::Deleted => &self.deleted,
        }
    }
}

impl Steps {
    /// The steps of a watcher that was opened when the log ended at `head`.
    pub(super) fn new(hub: &WatchHub, opening: Opening, head: u64, place: Place) -> Self {
        let position = match opening.start {
            Start::Everything => None,
            Start::Now => Some(head),
            Start::After(position) => Some(position),
        };
        let feed = hub.feed(position);
        let interval = hub.options().bookmark_interval;
        let mut bookmarks =
            tokio::time::interval_at(tokio::time::Instant::now() + interval, interval);
        bookmarks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            hub: hub.clone(),
            progress: feed.progress(),
            feed,
            opening,
            stage: Stage::Greeting,
            position: position.unwrap_or_default(),
            beginning: head,
            pages: Pages::default(),
            has_positions: position.is_some(),
            is_complete: false,
            has_kept_up: false,
            log: None,
            bookmarks,
            delivered: Delivered::of(hub.metrics()),
            _place: place,
        }
    }

    /// The next step.
    pub(super) async fn next(&mut self) -> Step {
        match std::mem::replace(&mut self.stage, Stage::Following) {
            Stage::Greeting => {
                if !self.has_positions {
                    self.stage = Stage::Initial(None);
                }
                Step::Send(Bytes::from_static(frame::RETRY))
            }
            Stage::Initial(after) => self.initial(after.as_deref()).await,
            Stage::Following => self.follow().await,
        }
    }

    /// The last piece of a watch that ends in good order: where to go on.
    pub(super) fn farewell(&self) -> Bytes {
        if !self.is_complete {
            return Bytes::new();
        }
        self.delivered.bookmarks.inc();
        frame::bookmark(self.position, false)
    }

    async fn initial(&mut self, after: Option<&Resource>) -> Step {
        let page = {
            let _turn = self.hub.readers().acquire().await;
            snapshot::page(self.hub.store().pool(), &self.opening.selection, after).await
        };
        let mut page = match page {
            Ok(page) => page,
            Err(error) => return self.end(Failure::from(error).into_fault()),
        };
        if after.is_none() {
            self.position = page.position;
        }
        self.pages.add(&page);
        let mut out = Vec::new();
        for resource in &page.resources {
            let shown = self.opening.fields.of_resource(resource);
            let document = serde_json::to_vec(&shown).unwrap_or_default();
            frame::write(&mut out, None, ChangeType::Added.name(), &document);
            self.delivered.changes(ChangeType::Added).inc();
        }
        if page.is_last {
            self.beginning = self.pages.position();
            // Between the look that its route took and this one it was removed.
            if self.opening.selection.id.is_some() && page.resources.is_empty() {
                return Step::End(Bytes::new());
            }
        } else {
            self.stage = Stage::Initial(page.resources.pop().map(Box::new));
        }
        Step::Send(out.into())
    }

    async fn follow(&mut self) -> Step {
        if !self.is_complete && self.position >= self.beginning {
            return Step::Send(self.complete());
        }
        self.progress.mark_unchanged();
        match self.feed.after(self.position, CHANGES) {
            Next::Changes(changes, up_to) => {
                self.has_kept_up = true;
                self.log = None;
                self.tell(&changes, up_to)
            }
            Next::Nothing => {
                self.has_kept_up = true;
                self.wait().await
            }
            Next::Starting => self.wait().await,
            Next::Gone(end) => self.catch_up(end).await,
            Next::Failed => self.end(Fault::new(
                codes::INTERNAL_ERROR,
                "the server cannot follow the log; list again",
            )),
        }
    }

    /// The bookmark that says that the beginning is over.
    fn complete(&mut self) -> Bytes {
        let is_initial = !self.has_positions;
        self.is_complete = true;
        self.has_positions = true;
        self.pages = Pages::default();
        self.bookmarks.reset();
        self.delivered.bookmarks.inc();
        frame::bookmark(self.position, is_initial)
    }

    async fn wait(&mut self) -> Step {
        tokio::select! {
            // The feed is held here, so it does not go away.
            _ = self.progress.changed() => return Step::Send(Bytes::new()),
            _ = self.bookmarks.tick() => {}
        }
        if !self.has_positions {
            return Step::Send(Bytes::from_static(frame::COMMENT));
        }
        self.delivered.bookmarks.inc();
        Step::Send(frame::bookmark(self.position, false))
    }

    /// Reads from the log what the ring no longer has.
    async fn catch_up(&mut self, end: u64) -> Step {
        let is_too_far = end.saturating_sub(self.position) > self.hub.options().catch_up;
        if self.has_kept_up || is_too_far {
            self.hub.metrics().fell_behind.inc();
            let detail = format!(
                "this watcher did not keep up: what follows position {} is no longer at hand; list again",
                self.position
            );
            return self.end(Fault::new(codes::WATCH_EXPIRED, detail));
        }
        let store = self.hub.store();
        let reader = self
            .log
            .get_or_insert_with(|| ChangeReader::new(store.clone(), self.position, STATE_BYTES));
        let read = {
            let _turn = self.hub.readers().acquire().await;
            self.hub.metrics().log_reads.inc();
            reader.next().await
        };
        let up_to = reader.position();
        match read {
            Ok(changes) if up_to > self.position => {
                let changes: Vec<_> = changes.into_iter().map(Arc::new).collect();
                self.tell(&changes, up_to)
            }
            // The log ends where the ring begins.
            Ok(_) => self.wait().await,
            Err(error) => self.end(Failure::from(error).into_fault()),
        }
    }

    /// Tells what of these changes concerns the watcher, and moves on.
    fn tell(&mut self, changes: &[Arc<Change>], up_to: u64) -> Step {
        let mut told: Vec<Bytes> = Vec::new();
        let mut is_over = false;
        for change in changes {
            let selection = &self.opening.selection;
            let Some(change_type) = selection.concerns(change) else {
                continue;
            };
            if self.pages.have(change) {
                continue;
            }
            // Ids are never used again.
            is_over |= selection.id.is_some() && !change.after.exists();
            told.push(self.event(change, change_type));
            self.delivered.changes(change_type).inc();
        }
        self.position = up_to;
        let piece = match told.as_slice() {
            [] => Bytes::new(),
            [one] => one.clone(),
            several => several.concat().into(),
        };
        if !piece.is_empty() {
            self.bookmarks.reset();
        }
        if is_over {
            return Step::End(piece);
        }
        Step::Send(piece)
    }

    fn event(&self, change: &Change, change_type: ChangeType) -> Bytes {
        let fields = &self.opening.fields;
        if fields.are_all() && self.has_positions {
            return change.event(change_type).clone();
        }
        let position = self.has_positions.then_some(change.position);
        if fields.are_all() {
            return frame::event(position, change_type.name(), change.document());
        }
        let shown = fields.of_resource(&change.after);
        let document = serde_json::to_vec(&shown).unwrap_or_default();
        frame::event(position, change_type.name(), &document)
    }

    /// The end of a watch that cannot go on.
    fn end(&self, fault: Fault) -> Step {
        Step::End(self.opening.request.problem(&self.hub, fault))
    }
}
