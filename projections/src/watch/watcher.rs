//! One watcher: from where it starts to its end.
//!
//! A piece of its answer is made only when the client has taken the one before, so whoever does not read
//! costs nothing but its place.

use std::convert::Infallible;
use std::pin::Pin;

use axum::body::Bytes;
use futures::Stream;
use hyperfleet_api_types::problem::{Fault, codes};
use tokio::time::Sleep;
use tokio_util::sync::CancellationToken;

use super::frame;
use super::history::HistorySteps;
use super::hub::WatchHub;
use super::places::{Full, Place};
use super::selection::Selection;
use super::steps::{Step, Steps};
use crate::error::Error;
use crate::history;
use crate::routes::Fields;

/// Where a watch starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Start {
    /// With what there is.
    Everything,
    /// With the next change.
    Now,
    /// With the first change after a position.
    After(u64),
}

/// The request that opens a watch.
pub(crate) struct Request {
    /// Whose watch it is.
    pub(crate) caller: String,
    /// Path of the request, for a problem at the end.
    pub(crate) path: String,
    /// Its id.
    pub(crate) id: String,
}

impl Request {
    /// The event that says why a watch cannot go on.
    pub(super) fn problem(&self, hub: &WatchHub, fault: Fault) -> Bytes {
        hub.metrics().delivered(frame::ERROR).inc();
        let problem = fault.into_problem(&self.path, &self.id, hub.clock().now());
        let document = serde_json::to_vec(&problem).unwrap_or_default();
        frame::event(None, frame::ERROR, &document)
    }
}

/// What a watch of resources is opened with.
pub(crate) struct Opening {
    pub(crate) selection: Selection,
    pub(crate) fields: Fields,
    pub(crate) start: Start,
    pub(crate) request: Request,
}

/// What a watch of a history is opened with.
pub(crate) struct HistoryOpening {
    pub(crate) filter: history::Filter,
    pub(crate) start: Start,
    pub(crate) request: Request,
}

/// Why a watch cannot be opened.
#[derive(Debug)]
pub(crate) enum Refused {
    /// There is no place.
    Full(Full),
    /// It cannot start there.
    Expired(Fault),
    /// The database cannot answer.
    Failed(Error),
}

/// What a watcher is told of.
enum Told {
    Resources(Box<Steps>),
    History(Box<HistorySteps>),
}

impl Told {
    async fn next(&mut self) -> Step {
        match self {
            Self::Resources(steps) => steps.next().await,
            Self::History(steps) => steps.next().await,
        }
    }

    fn farewell(&self) -> Bytes {
        match self {
            Self::Resources(steps) => steps.farewell(),
            Self::History(steps) => steps.farewell(),
        }
    }
}

/// One watcher.
pub(crate) struct Watcher {
    told: Told,
    lifetime: Pin<Box<Sleep>>,
    shutdown: CancellationToken,
    is_over: bool,
}

impl Watcher {
    /// Opens a watch of resources.
    ///
    /// # Errors
    /// See [`Refused`].
    pub(crate) async fn open(hub: &WatchHub, opening: Opening) -> Result<Self, Refused> {
        let (place, head) = admit(hub, &opening.request.caller, opening.start).await?;
        if let Start::After(position) = opening.start
            && let Some(fault) = expired(hub, position, head)
        {
            return Err(Refused::Expired(fault));
        }
        let steps = Steps::new(hub, opening, head, place);
        Ok(Self::new(hub, Told::Resources(Box::new(steps))))
    }

    /// Opens a watch of a history.
    ///
    /// # Errors
    /// See [`Refused`].
    pub(crate) async fn open_history(
        hub: &WatchHub,
        opening: HistoryOpening,
    ) -> Result<Self, Refused> {
        let (place, head) = admit(hub, &opening.request.caller, opening.start).await?;
        let steps = HistorySteps::new(hub, opening, head, place);
        Ok(Self::new(hub, Told::History(Box::new(steps))))
    }

    fn new(hub: &WatchHub, told: Told) -> Self {
        Self {
            lifetime: Box::pin(tokio::time::sleep(hub.options().lifetime)),
            shutdown: hub.shutdown().clone(),
            told,
            is_over: false,
        }
    }

    /// The answer's body. It ends at shutdown, at the end of its lifetime, and after an `ERROR`.
    pub(crate) fn into_stream(self) -> impl Stream<Item = Result<Bytes, Infallible>> + Send {
        futures::stream::unfold(self, |mut watcher| async move {
            let piece = watcher.next().await?;
            Some((Ok(piece), watcher))
        })
    }

    async fn next(&mut self) -> Option<Bytes> {
        while !self.is_over {
            // A step that is given up has told nothing: it waits before it makes its piece.
            let step = tokio::select! {
                biased;
                () = self.shutdown.cancelled() => Step::End(self.told.farewell()),
                () = self.lifetime.as_mut() => Step::End(self.told.farewell()),
                step = self.told.next() => step,
            };
            let piece = match step {
                Step::Send(piece) => piece,
                Step::End(piece) => {
                    self.is_over = true;
                    piece
                }
            };
            if !piece.is_empty() {
                return Some(piece);
            }
        }
        None
    }
}

/// A place for a watcher, and where the log ends.
async fn admit(hub: &WatchHub, caller: &str, start: Start) -> Result<(Place, u64), Refused> {
    let place = hub.place(caller).map_err(Refused::Full)?;
    let head = hub.store().head().await;
    let head = head.map_err(|error| Refused::Failed(error.into()))?;
    match start {
        Start::After(position) if position > head => {
            hub.refused("expired");
            let detail = format!(
                "there is no position {position} in this log, which ends at {head}; list again"
            );
            let fault = Fault::new(codes::WATCH_EXPIRED, detail);
            Err(Refused::Expired(fault))
        }
        _ => Ok((place, head)),
    }
}

/// Why a watch of resources cannot go on after a position, if it cannot.
fn expired(hub: &WatchHub, position: u64, head: u64) -> Option<Fault> {
    let catch_up = hub.options().catch_up;
    if head.saturating_sub(position) <= catch_up || hub.ring_reaches_back_to(position) {
        return None;
    }
    hub.refused("expired");
    let detail = format!(
        "position {position} is too old to go on from: more than {catch_up} positions before the end; list again"
    );
    Some(Fault::new(codes::WATCH_EXPIRED, detail))
}
