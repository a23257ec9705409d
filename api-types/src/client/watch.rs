//! Watching a list or a resource, beyond the end of any one connection.
//!
//! Invariants:
//! - after a break the watch goes on after the last position that it handed out, so every change is
//!   handed out once;
//! - when the server cannot go on from there, or the initial state was not complete, the watch begins
//!   anew and says so first ([`WatchEvent::Restarted`]);
//! - what cannot be mended by trying again is an error, and so is a server that was never reached.

use std::time::Duration;

use reqwest::header::{ACCEPT, CONTENT_TYPE};
use reqwest::{Method, Response, StatusCode, Url};
use serde::Deserialize;

use super::event_stream::{EventParser, ServerEvent};
use super::{Client, Collection, Error, send};
use crate::problem::codes;
use crate::{Problem, Resource};

/// How long nothing may come: some intervals of the server's bookmarks.
pub(super) const SILENCE: Duration = Duration::from_mins(1);

/// First and longest pause before another connection; it doubles in between.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

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
pub struct Watch {
    http: reqwest::Client,
    url: Url,
    /// The last position that was handed out.
    position: Option<u64>,
    /// Whether anything was handed out that a new beginning would repeat.
    has_begun: bool,
    /// Whether to say that it begins anew.
    restarted: bool,
    connection: Option<Connection>,
    /// Whether a server was ever reached.
    is_established: bool,
    pause: Duration,
}

#[derive(Debug)]
struct Connection {
    response: Response,
    parser: EventParser,
}

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
        self.watching_at(url, options.after)
    }

    /// Watches one resource. After [`WatchEvent::Deleted`] the next is an error that says that there is
    /// no such resource.
    pub fn watch_one(&self, collection: &Collection, id: &str) -> Watch {
        let query = [("watch", "true".to_owned())];
        self.watching_at(self.url(&collection.path(&[id]), &query), None)
    }

    fn watching_at(&self, url: Url, position: Option<u64>) -> Watch {
        Watch {
            http: self.watching.clone(),
            url,
            position,
            has_begun: false,
            restarted: false,
            connection: None,
            is_established: false,
            pause: FIRST_PAUSE,
        }
    }
}

impl Watch {
    /// The position up to which everything was handed out; `None` before the initial state is complete.
    pub fn position(&self) -> Option<u64> {
        self.position
    }

    /// The next event; waits for it. Cancelling loses nothing.
    ///
    /// # Errors
    /// See [`Error`]. After an error that [`Error::is_transient`] calls so, the watch can be asked again.
    pub async fn next(&mut self) -> Result<WatchEvent, Error> {
        loop {
            if std::mem::take(&mut self.restarted) {
                return Ok(WatchEvent::Restarted);
            }
            let Some(connection) = &mut self.connection else {
                self.connect().await?;
                continue;
            };
            if let Some(event) = connection.parser.pop() {
                if let Some(event) = self.read(&event)? {
                    return Ok(event);
                }
                continue;
            }
            if let Ok(Some(piece)) = connection.response.chunk().await {
                if connection.parser.push(&piece).is_err() {
                    return Err(self.unreadable("an event has no end"));
                }
                self.pause = FIRST_PAUSE;
            } else {
                // The server ended the watch in good order, or the connection broke.
                self.connection = None;
                self.rest().await;
            }
        }
    }

    /// Connects where the watch was; when that fails for now, rests and leaves it to the next try.
    async fn connect(&mut self) -> Result<(), Error> {
        match self.request().await {
            Ok(response) => {
                if self.position.is_none() && std::mem::take(&mut self.has_begun) {
                    self.restarted = true;
                }
                self.is_established = true;
                self.connection = Some(Connection {
                    response,
                    parser: EventParser::default(),
                });
            }
            Err(error) if error.status() == Some(StatusCode::GONE.as_u16()) => self.begin_anew(),
            Err(error) if error.is_transient() && self.is_established => self.rest().await,
            Err(error) => return Err(error),
        }
        Ok(())
    }

    async fn request(&self) -> Result<Response, Error> {
        let mut request = self.http.get(self.url.clone());
        request = request.header(ACCEPT, "text/event-stream");
        if let Some(position) = self.position {
            request = request.header("Last-Event-ID", position.to_string());
        }
        let sent = request.send().await;
        let response = sent.map_err(|source| Error::Unreachable {
            method: Method::GET,
            url: self.url.to_string(),
            source,
        })?;
        let kind = response.headers().get(CONTENT_TYPE);
        let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let is_stream = kind.starts_with("text/event-stream");
        if response.status().is_success() && is_stream {
            return Ok(response);
        }
        Err(send::refusal(Method::GET, self.url.clone(), response).await)
    }

    /// What an event says; `None` when it says nothing that is handed out.
    fn read(&mut self, event: &ServerEvent) -> Result<Option<WatchEvent>, Error> {
        let position = event.id.as_deref().and_then(|id| id.parse().ok());
        let told = match event.event.as_str() {
            "ADDED" => WatchEvent::Added(self.decode(event)?),
            "MODIFIED" => WatchEvent::Modified(self.decode(event)?),
            "DELETED" => WatchEvent::Deleted(self.decode(event)?),
            "BOOKMARK" => {
                let bookmark: Bookmark = self.decode(event)?;
                WatchEvent::Bookmark {
                    position: bookmark.position,
                    initial_state_complete: bookmark.initial_state_complete,
                }
            }
            "ERROR" => {
                self.connection = None;
                let problem: Box<Problem> = self.decode(event)?;
                if problem.code == codes::WATCH_EXPIRED.code {
                    self.begin_anew();
                    return Ok(None);
                }
                return Err(Error::Refused {
                    method: Method::GET,
                    url: self.url.to_string(),
                    problem,
                });
            }
            // Of a later version of the API.
            _ => return Ok(None),
        };
        self.has_begun = true;
        self.position = position.or(self.position);
        Ok(Some(told))
    }

    /// Forgets where it was. A watch of changes alone goes on with those from now on, which is a new
    /// beginning too.
    fn begin_anew(&mut self) {
        self.connection = None;
        self.position = None;
        self.has_begun = false;
        self.restarted = true;
    }

    async fn rest(&mut self) {
        tokio::time::sleep(self.pause).await;
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
    }

    fn decode<T: serde::de::DeserializeOwned>(&self, event: &ServerEvent) -> Result<T, Error> {
        serde_json::from_str(&event.data).map_err(|source| Error::UnreadableAnswer {
            method: Method::GET,
            url: self.url.to_string(),
            source,
        })
    }

    fn unreadable(&self, reason: &str) -> Error {
        Error::UnreadableAnswer {
            method: Method::GET,
            url: self.url.to_string(),
            source: serde::de::Error::custom(reason),
        }
    }
}
