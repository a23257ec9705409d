//! `watch=true` on lists, resources and histories: the same selection, as server-sent events.

use std::convert::Infallible;

use axum::body::Body;
use axum::extract::FromRequestParts;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName, RETRY_AFTER};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use hyperfleet_api_types::FieldError;
use hyperfleet_api_types::problem::{Fault, codes, constraints};
use hyperfleet_runtime::http::{CallerKey, FaultResponse, RequestId, TenantScope};
use serde_json::Value;

use super::answer::{Answer, Failure, VARY_BY_CALLER, not_found};
use super::fields::Fields;
use super::parameters::{self, Parameters};
use super::resources::{require, require_parent};
use super::{KindState, QueryState};
use crate::history;
use crate::resource_view::{self, Filter};
use crate::watch::{Full, HistoryOpening, Opening, Refused, Request, Selection, Start, Watcher};

const WATCH: &str = "watch";
const FROM: &str = "from";
const NOW: &str = "now";

/// Parameters that say which part of a list is shown, in which order, or of when: a watch shows all of it
/// from now on, and changes in the order of the log.
const NOT_WITH_WATCH: [&str; 6] = ["page", "size", "order", "page_token", "at", "version"];

/// The same of a history, whose `from` is a time.
const NOT_WITH_HISTORY_WATCH: [&str; 5] = ["page", "size", "order", "page_token", "to"];

/// The header by which a client of server-sent events says what it saw last.
const LAST_EVENT_ID: &str = "last-event-id";

/// When to come again when there is no place, in seconds: places come free when watches end.
const RETRY_AFTER_SECONDS: HeaderValue = HeaderValue::from_static("5");

/// What a watch needs to know of its request.
pub(crate) struct Watching {
    request: Request,
    last_event_id: Option<HeaderValue>,
}

impl<S: Sync> FromRequestParts<S> for Watching {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let caller = parts.extensions.get::<CallerKey>();
        Ok(Self {
            request: Request {
                caller: caller.map(|key| key.0.clone()).unwrap_or_default(),
                path: parts.uri.path().to_owned(),
                id: RequestId::of(&parts.extensions),
            },
            last_event_id: parts.headers.get(LAST_EVENT_ID).cloned(),
        })
    }
}

impl Watching {
    /// Where the watch of resources starts, when one is asked for.
    pub(crate) fn asked(&self, parameters: &Parameters) -> Result<Option<Start>, Fault> {
        if !is_asked(parameters, &NOT_WITH_WATCH)? {
            return Ok(None);
        }
        if let Some(start) = self.after_last_event()? {
            return Ok(Some(start));
        }
        match parameters::value(parameters, FROM) {
            None => Ok(Some(Start::Everything)),
            Some(NOW) => Ok(Some(Start::Now)),
            Some(from) => {
                let message = "must be a position of the log, or `now`";
                let position = from.parse().map_err(|_| invalid(FROM, message, from))?;
                Ok(Some(Start::After(position)))
            }
        }
    }

    /// Where the watch of a history starts, when one is asked for.
    pub(crate) fn asked_of_history(&self, parameters: &Parameters) -> Result<Option<Start>, Fault> {
        if !is_asked(parameters, &NOT_WITH_HISTORY_WATCH)? {
            return Ok(None);
        }
        if let Some(outcome) = parameters::value(parameters, "outcome")
            && outcome != "accepted"
        {
            let message = "only what was accepted can be watched; leave it out";
            return Err(invalid("outcome", message, outcome));
        }
        let start = match parameters::value(parameters, FROM) {
            None => Start::Now,
            Some(_) => Start::Everything,
        };
        Ok(Some(self.after_last_event()?.unwrap_or(start)))
    }

    /// A client that goes on sends the address that it began with, so its header counts.
    fn after_last_event(&self) -> Result<Option<Start>, Fault> {
        let Some(sent) = self.last_event_id.as_ref().filter(|sent| !sent.is_empty()) else {
            return Ok(None);
        };
        let sent = sent.to_str().unwrap_or_default();
        let position = sent.trim().parse().map_err(|_| {
            let message = "must be the id of an event of a watch";
            invalid("Last-Event-ID", message, sent)
        })?;
        Ok(Some(Start::After(position)))
    }

    /// Watches a history.
    pub(crate) async fn history(
        self,
        state: &QueryState,
        filter: history::Filter,
        start: Start,
    ) -> Answer {
        let opening = HistoryOpening {
            filter,
            start,
            request: self.request,
        };
        answer(Watcher::open_history(&state.watches, opening).await)
    }

    /// Watches a list.
    pub(crate) async fn list(
        self,
        state: &KindState,
        filter: Filter,
        start: Start,
        parameters: &Parameters,
    ) -> Answer {
        let selection = Selection { filter, id: None };
        self.open(state, selection, start, Fields::of(parameters)?)
            .await
    }

    /// Watches one resource, by its id and, on nested routes, that of its owner. Where a watch begins
    /// it must exist; where one goes on it may have been removed since.
    pub(crate) async fn one(
        self,
        state: &KindState,
        scope: TenantScope,
        (id, owner_id): (String, Option<String>),
        start: Start,
        parameters: &Parameters,
    ) -> Answer {
        let fields = Fields::of(parameters)?;
        if let Start::After(position) = start {
            let found = resource_view::identify(&state.query.pool, &scope, &id).await?;
            let matches = found.is_some_and(|found| {
                let is_owned = owner_id.is_none() || owner_id == found.owner_id;
                state.kind.serves(&found.kind) && is_owned
            });
            if !matches || is_over(state, &id, position).await? {
                return Err(not_found(state.kind.name(), &id).into());
            }
        } else {
            require(state, &scope, &id, owner_id.as_deref()).await?;
        }
        let filter = Filter {
            scope,
            ..Filter::default()
        };
        let selection = Selection {
            filter,
            id: Some(id),
        };
        self.open(state, selection, start, fields).await
    }

    /// The parent in the path, which may have been removed since, where a watch goes on.
    pub(crate) async fn require_parent(
        &self,
        state: &KindState,
        scope: &TenantScope,
        parent_id: &str,
        start: Start,
    ) -> Result<(), Failure> {
        let (Start::After(_), Some(kind)) = (start, &state.parent_kind) else {
            return require_parent(state, scope, parent_id).await;
        };
        let found = resource_view::identify(&state.query.pool, scope, parent_id).await?;
        if found.is_some_and(|found| found.kind == *kind) {
            return Ok(());
        }
        Err(not_found(kind, parent_id).into())
    }

    async fn open(
        self,
        state: &KindState,
        selection: Selection,
        start: Start,
        fields: Fields,
    ) -> Answer {
        let opening = Opening {
            selection,
            fields,
            start,
            request: self.request,
        };
        answer(Watcher::open(&state.query.watches, opening).await)
    }
}

/// Whether a watch is asked for, with nothing that it cannot be asked with.
fn is_asked(parameters: &Parameters, not_with: &[&str]) -> Result<bool, Fault> {
    let Some(watch) = parameters::value(parameters, WATCH) else {
        return Ok(false);
    };
    match watch {
        "true" => {}
        "false" => return Ok(false),
        _ => return Err(invalid(WATCH, "must be true or false", watch)),
    }
    let errors: Vec<FieldError> = not_with
        .iter()
        .filter_map(|name| {
            let value = parameters::value(parameters, name)?;
            Some(field_error(name, "cannot be used with watch", value))
        })
        .collect();
    if errors.is_empty() {
        return Ok(true);
    }
    let fault = Fault::new(codes::VALIDATION, "Invalid query parameters");
    Err(fault.with_errors(errors))
}

fn answer(opened: Result<Watcher, Refused>) -> Answer {
    match opened {
        Ok(watcher) => Ok(streamed(watcher)),
        Err(Refused::Full(full)) => Ok(refused(full)),
        Err(Refused::Expired(fault)) => Err(fault.into()),
        Err(Refused::Failed(error)) => Err(error.into()),
    }
}

/// Whether nothing can follow a position: the resource was removed before.
async fn is_over(state: &KindState, id: &str, position: u64) -> Result<bool, Failure> {
    let removal = resource_view::removal(&state.query.pool, id).await?;
    Ok(removal.is_some_and(|removal| removal <= position))
}

fn streamed(watcher: Watcher) -> Response {
    let headers = [
        (CONTENT_TYPE, "text/event-stream"),
        (CACHE_CONTROL, "no-store"),
        // nginx, and what follows it, would collect the answer first.
        (HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    let body = Body::from_stream(watcher.into_stream());
    (StatusCode::OK, VARY_BY_CALLER, headers, body).into_response()
}

fn refused(full: Full) -> Response {
    let fault = match full {
        Full::All => Fault::new(
            codes::SERVICE_UNAVAILABLE,
            "too many watches are open; try again",
        ),
        Full::Caller => Fault::new(
            codes::RATE_LIMIT,
            "this caller has too many watches open; end some of them",
        ),
    };
    let mut response = FaultResponse(fault).into_response();
    let headers = response.headers_mut();
    headers.insert(RETRY_AFTER, RETRY_AFTER_SECONDS);
    response
}

fn invalid(name: &str, message: &str, value: &str) -> Fault {
    Fault::new(codes::VALIDATION, "Invalid query parameters")
        .with_errors(vec![field_error(name, message, value)])
}

fn field_error(name: &str, message: &str, value: &str) -> FieldError {
    FieldError {
        field: name.to_owned(),
        message: message.to_owned(),
        value: Some(Value::from(value)),
        constraint: Some(constraints::FORMAT.to_owned()),
    }
}
