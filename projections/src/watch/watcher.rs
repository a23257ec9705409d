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

use super::hub::WatchHub;
use super::places::Full;
use super::selection::Selection;
use super::steps::{Step, Steps};
use crate::error::Error;
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

/// What a watch is opened with.
pub(crate) struct Opening {
    pub(crate) selection: Selection,
    pub(crate) fields: Fields,
    pub(crate) start: Start,
    /// Whose watch it is.
    pub(crate) caller: String,
    /// Path of the request, for a problem at the end.
    pub(crate) path: String,
    /// Its id.
    pub(crate) request_id: String,
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

/// One watcher.
pub(crate) struct Watcher {
    steps: Steps,
    lifetime: Pin<Box<Sleep>>,
    shutdown: CancellationToken,
    is_over: bool,
}

impl Watcher {
    /// Opens a watch.
    ///
    /// # Errors
    /// See [`Refused`].
    pub(crate) async fn open(hub: &WatchHub, opening: Opening) -> Result<Self, Refused> {
        let place = hub.place(&opening.caller).map_err(Refused::Full)?;
        let head = match opening.start {
            Start::Everything => 0,
            Start::Now | Start::After(_) => {
                let head = hub.store().head().await;
                head.map_err(|error| Refused::Failed(error.into()))?
            }
        };
        if let Start::After(position) = opening.start
            && let Some(fault) = expired(hub, position, head)
        {
            hub.refused("expired");
            return Err(Refused::Expired(fault));
        }
        Ok(Self {
            lifetime: Box::pin(tokio::time::sleep(hub.options().lifetime)),
            shutdown: hub.shutdown().clone(),
            steps: Steps::new(hub, opening, head, place),
            is_over: false,
        })
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
                () = self.shutdown.cancelled() => Step::End(self.steps.farewell()),
                () = self.lifetime.as_mut() => Step::End(self.steps.farewell()),
                step = self.steps.next() => step,
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

/// Why a watch cannot go on after a position, if it cannot.
fn expired(hub: &WatchHub, position: u64, head: u64) -> Option<Fault> {
    let detail = if position > head {
        format!("there is no position {position} in this log, which ends at {head}; list again")
    } else if head - position > hub.options().catch_up && !hub.ring_reaches_back_to(position) {
        format!(
            "position {position} is too old to go on from: more than {} positions before the end; list again",
            hub.options().catch_up
        )
    } else {
        return None;
    };
    Some(Fault::new(codes::WATCH_EXPIRED, detail))
}
