//! A watch as a client sees it, event by event.

use std::time::Duration;

use axum::http::HeaderMap;
use axum::response::Response;
use futures::StreamExt as _;
use futures::stream::BoxStream;
use hyperfleet_api_types::client::event_stream::{EventParser, ServerEvent};
use serde_json::Value;

/// How long a test waits for an event that must come.
const PATIENCE: Duration = Duration::from_secs(20);

/// An open watch.
pub struct WatchStream {
    /// Headers of the answer.
    pub headers: HeaderMap,
    body: BoxStream<'static, Vec<u8>>,
    parser: EventParser,
}

/// One event of a watch.
#[derive(Clone, Debug, PartialEq)]
pub struct Told {
    /// Its position, when it has one.
    pub position: Option<u64>,
    /// Its type.
    pub event: String,
    /// Its data.
    pub data: Value,
}

impl Told {
    fn of(event: ServerEvent) -> Self {
        Self {
            position: event.id.map(|id| id.parse().expect("a position")),
            event: event.event,
            data: serde_json::from_str(&event.data).expect("JSON"),
        }
    }

    /// `ADDED name`, for comparing.
    pub fn short(&self) -> String {
        match self.data["name"].as_str() {
            Some(name) => format!("{} {name}", self.event),
            None => self.event.clone(),
        }
    }

    /// Whether it is the bookmark that ends the initial state.
    pub fn completes(&self) -> bool {
        self.event == "BOOKMARK" && self.data["initial_state_complete"] == true
    }
}

impl WatchStream {
    pub(crate) fn of(response: Response) -> Self {
        let (parts, body) = response.into_parts();
        let body = body.into_data_stream();
        Self {
            headers: parts.headers,
            body: body
                .map(|piece| piece.expect("a stream that ends well").to_vec())
                .boxed(),
            parser: EventParser::default(),
        }
    }

    /// The next event, bookmarks included; `None` at the end of the stream.
    pub async fn next(&mut self) -> Option<Told> {
        let next = async {
            loop {
                if let Some(event) = self.parser.pop() {
                    return Some(Told::of(event));
                }
                let piece = self.body.next().await?;
                self.parser.push(&piece).expect("events of usual size");
            }
        };
        let next = tokio::time::timeout(PATIENCE, next).await;
        next.expect("an event in time")
    }

    /// The next event that is no bookmark.
    pub async fn next_change(&mut self) -> Told {
        loop {
            let told = self.next().await.expect("the stream goes on");
            if told.event != "BOOKMARK" {
                return told;
            }
        }
    }

    /// The initial state, and the position that it is of.
    pub async fn initial(&mut self) -> (Vec<Told>, u64) {
        let mut all = Vec::new();
        loop {
            let told = self.next().await.expect("the stream goes on");
            if told.completes() {
                return (all, told.position.expect("bookmarks have positions"));
            }
            assert_eq!(
                told.position, None,
                "nobody can go on from within the initial state"
            );
            all.push(told);
        }
    }

    /// Everything up to a bookmark or change at or after a position.
    pub async fn until(&mut self, position: u64) -> Vec<Told> {
        let mut all = Vec::new();
        loop {
            let told = self.next().await.expect("the stream goes on");
            let is_reached = told.position.is_some_and(|reached| reached >= position);
            all.push(told);
            if is_reached {
                return all;
            }
        }
    }
}
