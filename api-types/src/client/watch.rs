//! Watching a list or a resource, beyond the end of any one connection.
//!
//! Invariants:
//! - after a break the watch goes on after the last position that it handed out, so every change is
//!   handed out once;
//! - when the server cannot go on from there, or the initial state was not complete, the watch begins
//!   anew and says so first ([`WatchEvent::Restarted`]);
//! - what cannot be mended by trying again is an error, and so is a server that was never reached.

use serde::Deserialize;

use super::event_stream::ServerEvent;
use super::history::HistoryOf;
use super::resuming::{Received, ResumingStream};
use super::{Client, Collection, Error};
use crate::{HistoryEntry, HistoryItem, Resource};

/// What happened.
#[derive(Clone, Debug, PartialEq)]
pub enum WatchEvent {
    /// A resource is there: from the beginning, or from now on.
    Added(Box<Resource>),
    /// A resource changed.
    Modified(Box<Resource>),
    /// A resource is gone, or no longer what is watched. Its last state.
    Deleted(Box<Resource>),
    /// Everything up to a position of the log was handed out.
    Bookmark {
        /// The position.
        position: u64,
        /// Whether what was handed out before is the initial state.
        initial_state_complete: bool,
    },
    /// The watch begins anew: what was handed out before is to be forgotten.
    Restarted,
}

/// What to watch of a collection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WatchOptions {
    /// Only resources of exactly this name.
    pub name: Option<String>,
    /// Only what a search finds, in the API's search language.
    pub search: Option<String>,
    /// Only changes, without the initial state.
    pub changes_only: bool,
    /// Only changes after a position.
    pub after: Option<u64>,
}

/// A watch. Ends when it is dropped.
#[derive(Debug)]
pub struct Watch(ResumingStream);

/// What a watch of a history tells.
#[derive(Clone, Debug, PartialEq)]
pub enum HistoryWatchEvent {
    /// An event that was recorded.
    Recorded(Box<HistoryEntry>),
    /// Everything up to a position of the log was handed out.
    Bookmark {
        /// The position.
        position: u64,
    },
    /// The server could not go on where the watch was: events may be missing, or come again.
    Restarted,
}

/// A watch of a history. Ends when it is dropped.
#[derive(Debug)]
pub struct HistoryWatch(ResumingStream);

#[derive(Deserialize)]
struct Bookmark {
    position: u64,
    #[serde(default)]
    initial_state_complete: bool,
}

impl Client {
    /// Watches a collection.
    pub fn watch(&self, collection: &Collection, options: &WatchOptions) -> Watch {
        let mut query = vec![("watch", "true".to_owned())];
        query.extend(options.name.clone().map(|name| ("name", name)));
        query.extend(options.search.clone().map(|search| ("search", search)));
        if options.changes_only && options.after.is_none() {
            query.push(("from", "now".to_owned()));
        }
        let url = self.url(&collection.path(&[]), &query);
        Watch(self.stream_at(url, options.after))
    }

    /// Watches one resource. After [`WatchEvent::Deleted`] the next is an error that says that there is
    /// no such resource.
    pub fn watch_one(&self, collection: &Collection, id: &str) -> Watch {
        let query = [("watch", "true".to_owned())];
        Watch(self.stream_at(self.url(&collection.path(&[id]), &query), None))
    }

    /// Watches a history: the events of a filter from its `from` on, or those after a position, or those
    /// that are recorded from now on.
    pub fn watch_history(
        &self,
        of: HistoryOf<'_>,
        query: &[(&'static str, String)],
        after: Option<u64>,
    ) -> HistoryWatch {
        let mut query = query.to_vec();
        query.push(("watch", "true".to_owned()));
        HistoryWatch(self.stream_at(self.url(&of.path(), &query), after))
    }
}

impl Watch {
    /// The position up to which everything was handed out; `None` before the initial state is complete.
    pub fn position(&self) -> Option<u64> {
        self.0.position()
    }

    /// The next event; waits for it. Cancelling loses nothing.
    ///
    /// # Errors
    /// See [`Error`]. After an error that [`Error::is_transient`] calls so, the watch can be asked again.
    pub async fn next(&mut self) -> Result<WatchEvent, Error> {
        loop {
            match self.0.next().await? {
                Received::Restarted => return Ok(WatchEvent::Restarted),
                Received::Event(event) => {
                    if let Some(told) = self.read(&event)? {
                        return Ok(told);
                    }
                }
            }
        }
    }

    /// What an event says; `None` when it is one of a later version of the API.
    fn read(&self, event: &ServerEvent) -> Result<Option<WatchEvent>, Error> {
        Ok(match event.event.as_str() {
            "ADDED" => Some(WatchEvent::Added(self.0.decode(event)?)),
            "MODIFIED" => Some(WatchEvent::Modified(self.0.decode(event)?)),
            "DELETED" => Some(WatchEvent::Deleted(self.0.decode(event)?)),
            "BOOKMARK" => {
                let bookmark: Bookmark = self.0.decode(event)?;
                Some(WatchEvent::Bookmark {
                    position: bookmark.position,
                    initial_state_complete: bookmark.initial_state_complete,
                })
            }
            _ => None,
        })
    }
}

impl HistoryWatch {
    /// The next event; waits for it. Cancelling loses nothing.
    ///
    /// # Errors
    /// See [`Error`]. After an error that [`Error::is_transient`] calls so, the watch can be asked again.
    pub async fn next(&mut self) -> Result<HistoryWatchEvent, Error> {
        loop {
            let event = match self.0.next().await? {
                Received::Restarted => return Ok(HistoryWatchEvent::Restarted),
                Received::Event(event) => event,
            };
            match event.event.as_str() {
                "RECORDED" => {
                    let item: HistoryItem = self.0.decode(&event)?;
                    if let Some(entry) = item.into_entry() {
                        return Ok(HistoryWatchEvent::Recorded(Box::new(entry)));
                    }
                }
                "BOOKMARK" => {
                    let Bookmark { position, .. } = self.0.decode(&event)?;
                    return Ok(HistoryWatchEvent::Bookmark { position });
                }
                // Of a later version of the API.
                _ => {}
            }
        }
    }
}
