//! Reading recorded events: of one resource, live or removed, or of the fleet; and the requests that changed nothing.

mod asked;
mod export;
mod merge;

use axum::extract::{Query, State};
use axum::http::header::LINK;
use axum::http::{HeaderMap, Uri};
use hyperfleet_api_types::History;
use hyperfleet_runtime::http::Identity;

use self::asked::Asked;
pub use self::export::Exports;
use self::merge::Cursor;
use super::answer::{self, Answer};
use super::parameters::{Ids, Parameters};
use super::walk::link_to_next;
use super::watch::Watching;
use super::{KindState, QueryState};
use crate::history::{self, Folds, Part};
use crate::resource_view;

/// What every history is asked with.
pub(super) struct Call {
    caller: Identity,
    uri: Uri,
    parameters: Parameters,
    headers: HeaderMap,
    watching: Watching,
}

pub(crate) async fn of_resource(
    State(state): State<KindState>,
    Ids(id): Ids<String>,
    caller: Identity,
    uri: Uri,
    Query(parameters): Query<Parameters>,
    headers: HeaderMap,
    watching: Watching,
) -> Answer {
    let call = Call {
        caller,
        uri,
        parameters,
        headers,
        watching,
    };
    of_one(&state, &id, None, call).await
}

pub(crate) async fn of_nested_resource(
    State(state): State<KindState>,
    Ids((parent_id, id)): Ids<(String, String)>,
    caller: Identity,
    uri: Uri,
    Query(parameters): Query<Parameters>,
    headers: HeaderMap,
    watching: Watching,
) -> Answer {
    let call = Call {
        caller,
        uri,
        parameters,
        headers,
        watching,
    };
    of_one(&state, &id, Some(&parent_id), call).await
}

pub(crate) async fn of_fleet(
    State(state): State<QueryState>,
    caller: Identity,
    uri: Uri,
    Query(parameters): Query<Parameters>,
    headers: HeaderMap,
    watching: Watching,
) -> Answer {
    let call = Call {
        caller,
        uri,
        parameters,
        headers,
        watching,
    };
    let asked = Asked::of_fleet(&state, &call)?;
    answer(&state, asked, call).await
}

async fn of_one(state: &KindState, id: &str, owner_id: Option<&str>, call: Call) -> Answer {
    let asked = Asked::of_one(&call, id)?;
    let found = resource_view::identify(&state.query.pool, &call.caller.scope, id).await?;
    let matches = found.is_some_and(|found| {
        state.kind.serves(&found.kind)
            && owner_id.is_none_or(|owner| found.owner_id.as_deref() == Some(owner))
    });
    if !matches {
        return Err(answer::not_found(state.kind.name(), id).into());
    }
    answer(&state.query, asked, call).await
}

async fn answer(state: &QueryState, asked: Asked, call: Call) -> Answer {
    if let Some(start) = call.watching.asked_of_history(&call.parameters)? {
        return call.watching.history(state, asked.events, start).await;
    }
    if export::is_wanted(&call.headers) {
        return Ok(export::answer(state, asked));
    }
    if asked.by_number {
        return numbered(state, &asked).await;
    }
    let mark = history::mark(&state.pool).await?;
    let mut folds = Folds::default();
    let (items, next) = merge::read(&state.pool, &asked, asked.cursor, mark, &mut folds).await?;
    let next = next.map(|next| asked.token(next)).transpose()?;
    let query = call.uri.query().unwrap_or_default();
    let link = next
        .as_ref()
        .and_then(|token| link_to_next(call.uri.path(), query, token));
    let mut response = answer::document(&History {
        page: None,
        size: items.len().try_into().unwrap_or(u32::MAX),
        total: None,
        items,
        through_position: mark,
        next_page_token: next,
    });
    if let Some(link) = link {
        response.headers_mut().insert(LINK, link);
    }
    Ok(response)
}

/// A page by its number, with the number of all: of one resource, and of events alone.
async fn numbered(state: &QueryState, asked: &Asked) -> Answer {
    let mark = history::mark(&state.pool).await?;
    let part = Part {
        descending: asked.descending,
        after: None,
        offset: asked.page.offset().unsigned_abs(),
        size: asked.page.size,
        mark,
    };
    let mut folds = Folds::default();
    let events = history::page(&state.pool, &asked.events, part, &mut folds).await?;
    let total = history::count(&state.pool, &asked.events, mark).await?;
    let cursor = events.next.map(|next| Cursor {
        position: Some(next.after),
        audited: None,
    });
    let token = cursor.map(|cursor| asked.token(cursor)).transpose()?;
    let items: Vec<_> = events.entries.into_iter().map(merge::accepted).collect();
    Ok(answer::document(&History {
        page: Some(asked.page.number),
        size: items.len().try_into().unwrap_or(u32::MAX),
        total: Some(total),
        items,
        through_position: mark,
        next_page_token: token,
    }))
}
