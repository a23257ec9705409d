//! Server-sent events, beyond the end of any one connection.
//!
//! Invariants:
//! - after a break the stream goes on after the last position that it handed out, so every event is
//!   handed out once;
//! - when the server cannot go on from there, or no position was handed out yet, the stream begins anew
//!   and says so first ([`Received::Restarted`]);
//! - what cannot be mended by trying again is an error, and so is a server that was never reached.

use std::time::Duration;

use reqwest::header::{ACCEPT, CONTENT_TYPE};
use reqwest::{Method, Response, StatusCode, Url};

use super::event_stream::{EventParser, ServerEvent};
use super::{Client, Error, send};
use crate::Problem;
use crate::problem::codes;

/// How long nothing may come: some intervals of the server's bookmarks.
pub(super) const SILENCE: Duration = Duration::from_mins(1);

/// First and longest pause before another connection; it doubles in between.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// The event that ends a stream with a problem.
const ERROR: &str = "ERROR";

/// What came.
pub(super) enum Received {
    Event(ServerEvent),
    /// The stream begins anew.
    Restarted,
}

/// A stream. Ends when it is dropped.
#[derive(Debug)]
pub(super) struct ResumingStream {
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

impl Client {
    /// The events at an address, all or those after a position.
    pub(super) fn stream_at(&self, url: Url, position: Option<u64>) -> ResumingStream {
        ResumingStream {
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

impl ResumingStream {
    /// The position up to which everything was handed out, if any was.
    pub(super) fn position(&self) -> Option<u64> {
        self.position
    }

    /// The next event; waits for it. Cancelling loses nothing.
    pub(super) async fn next(&mut self) -> Result<Received, Error> {
        loop {
            if std::mem::take(&mut self.restarted) {
                return Ok(Received::Restarted);
            }
            let Some(connection) = &mut self.connection else {
                self.connect().await?;
                continue;
            };
            if let Some(event) = connection.parser.pop() {
                if event.event == ERROR {
                    self.refused(&event)?;
                    continue;
                }
                let position = event.id.as_deref().and_then(|id| id.parse().ok());
                self.has_begun = true;
                self.position = position.or(self.position);
                return Ok(Received::Event(event));
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

    /// The server's word that it cannot go on.
    fn refused(&mut self, event: &ServerEvent) -> Result<(), Error> {
        self.connection = None;
        let problem: Box<Problem> = self.decode(event)?;
        if problem.code == codes::WATCH_EXPIRED.code {
            self.begin_anew();
            return Ok(());
        }
        Err(Error::Refused {
            method: Method::GET,
            url: self.url.to_string(),
            problem,
        })
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

    /// The data of an event.
    pub(super) fn decode<T: serde::de::DeserializeOwned>(
        &self,
        event: &ServerEvent,
    ) -> Result<T, Error> {
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
