//! What is asked of the server.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use anyhow::Result;
use axum::body::Bytes;
use axum::http::header::{CONTENT_TYPE, HOST};
use axum::http::{Method, Request, StatusCode};
use http_body_util::Full;
use hyperfleet_api_types::BASE_PATH;
use hyperfleet_projections::resource_view::Filter;
use serde_json::{Value, json};

use super::fleet::{self, Fleet};

/// The kind that is served.
pub(in crate::bench) const KIND: &str = "Cluster";

/// Items of a page.
pub(super) const PAGE_SIZE: u32 = 10;

/// Numbers the clusters that are created while measuring, over all rounds.
static CREATED: AtomicUsize = AtomicUsize::new(0);

/// What is asked of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scenario {
    Get,
    List,
    SearchByLabel,
    SearchByCondition,
    Report,
    Create,
}

impl Scenario {
    pub(super) const READS: [Self; 4] = [
        Self::Get,
        Self::List,
        Self::SearchByLabel,
        Self::SearchByCondition,
    ];
    pub(super) const WRITES: [Self; 2] = [Self::Report, Self::Create];

    /// Its place in the order of figures.
    pub(super) fn place(self) -> usize {
        self as usize
    }

    /// The one at a place.
    pub(super) fn at(place: usize) -> Self {
        let mut all = Self::READS.into_iter().chain(Self::WRITES);
        all.nth(place).unwrap_or(Self::Create)
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Get => "GET one",
            Self::List => "LIST",
            Self::SearchByLabel => "LIST by label",
            Self::SearchByCondition => "LIST by condition",
            Self::Report => "PUT statuses",
            Self::Create => "POST",
        }
    }

    /// Whether the baseline answers it too.
    pub(super) fn has_bare_handler(self) -> bool {
        matches!(self, Self::Get | Self::List)
    }

    /// The requests of so many connections.
    pub(super) fn requests(self, fleet: &Fleet, connections: usize) -> Arc<Requests> {
        let expected = match self {
            Self::Report | Self::Create => StatusCode::CREATED,
            _ => StatusCode::OK,
        };
        Arc::new(Requests {
            connections,
            expected,
            scenario: self,
            ids: Arc::clone(&fleet.ids),
            valid: Arc::clone(&fleet.valid),
        })
    }
}

/// The list that is read, as the projections know it.
pub(super) fn clusters() -> Filter {
    Filter {
        kind: Some(KIND.to_owned()),
        ..Filter::default()
    }
}

/// The requests of one scenario.
pub(super) struct Requests {
    /// On how many connections they are sent.
    pub(super) connections: usize,
    /// The status of every answer.
    pub(super) expected: StatusCode,
    scenario: Scenario,
    ids: Arc<[String]>,
    valid: Arc<[AtomicBool]>,
}

impl Requests {
    /// The request of that number on a connection. Connections share no cluster.
    pub(super) fn request(&self, connection: usize, number: usize) -> Result<Request<Full<Bytes>>> {
        let index = (connection + number * self.connections) % self.ids.len();
        let own = || format!("{BASE_PATH}/clusters/{}", self.ids[index]);
        let list = format!("{BASE_PATH}/clusters?size={PAGE_SIZE}");
        match self.scenario {
            Scenario::Get => request(Method::GET, &own(), None),
            Scenario::List => request(Method::GET, &list, None),
            Scenario::SearchByLabel => {
                let team = index % 500;
                let path = format!("{list}&search=labels.team%3D'team-{team}'");
                request(Method::GET, &path, None)
            }
            Scenario::SearchByCondition => {
                let condition = "status.conditions.ValidationSuccessful";
                let path = format!("{list}&search={condition}%3D'False'");
                request(Method::GET, &path, None)
            }
            Scenario::Report => {
                let was_valid = self.valid[index].fetch_not(Ordering::Relaxed);
                let path = format!("{}/statuses", own());
                request(Method::PUT, &path, Some(&report(!was_valid)))
            }
            Scenario::Create => {
                let number = CREATED.fetch_add(1, Ordering::Relaxed);
                let document = json!({
                    "kind": KIND,
                    "name": format!("created-{number}"),
                    "labels": {"env": "created"},
                    "spec": fleet::spec(number),
                });
                let path = format!("{BASE_PATH}/clusters");
                request(Method::POST, &path, Some(&document))
            }
        }
    }
}

fn report(valid: bool) -> Value {
    let available = if valid { "True" } else { "False" };
    let conditions = fleet::conditions(available)
        .map(|(condition, status)| json!({"type": condition, "status": status}));
    json!({
        "adapter": fleet::ADAPTER,
        "observed_generation": 1,
        "conditions": conditions,
    })
}

fn request(method: Method, path: &str, document: Option<&Value>) -> Result<Request<Full<Bytes>>> {
    let mut request = Request::builder()
        .method(method)
        .uri(path)
        .header(HOST, "localhost");
    if document.is_some() {
        request = request.header(CONTENT_TYPE, "application/json");
    }
    let body = document.map(Value::to_string).unwrap_or_default();
    Ok(request.body(Full::new(Bytes::from(body)))?)
}
