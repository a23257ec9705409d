//! A whole history as lines of JSON, for `Accept: application/x-ndjson`.
//!
//! The lines are made page by page while they are sent, so that the memory for an export does not grow
//! with its length. An export ends at the mark that it began with. One that fails midway breaks off
//! without the end of the transfer, so that nobody takes a part for the whole.

use std::collections::VecDeque;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER, VARY};
use axum::http::{HeaderMap, HeaderValue};
use axum::response::{IntoResponse as _, Response};
use futures::stream;
use hyperfleet_api_types::NDJSON_MEDIA_TYPE;
use hyperfleet_api_types::problem::{Fault, codes};
use hyperfleet_runtime::http::FaultResponse;
use sqlx::PgPool;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::asked::Asked;
use super::merge::{self, Cursor};
use crate::error::Error;
use crate::history::{self, Folds};
use crate::routes::QueryState;

/// Exports at a time: each keeps a connection of the pool busy most of the time.
const MAX_EXPORTS: usize = 4;

/// Items read at a time.
const PAGE_SIZE: u32 = 200;

/// When to come again when there are too many, in seconds: exports take seconds to minutes.
const RETRY_AFTER_SECONDS: HeaderValue = HeaderValue::from_static("10");

/// How many histories may be exported at a time. Clones share the places.
#[derive(Clone, Debug)]
pub struct Exports(Arc<Semaphore>);

impl Default for Exports {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(MAX_EXPORTS)))
    }
}

/// Whether lines are wanted.
pub(super) fn is_wanted(headers: &HeaderMap) -> bool {
    let values = headers.get_all(axum::http::header::ACCEPT).iter();
    values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|range| range.split(';').next())
        .any(|range| range.trim().eq_ignore_ascii_case(NDJSON_MEDIA_TYPE))
}

/// 200 with every item, one for each line.
pub(super) fn answer(state: &QueryState, mut asked: Asked) -> Response {
    let Ok(place) = Arc::clone(&state.exports.0).try_acquire_owned() else {
        return too_many();
    };
    asked.page.size = PAGE_SIZE;
    let export = Export {
        pool: state.pool.clone(),
        cursor: Some(asked.cursor),
        asked,
        mark: None,
        folds: Folds::default(),
        lines: VecDeque::new(),
        _place: place,
    };
    let lines = stream::try_unfold(export, |mut export| async {
        match export.next().await {
            Ok(Some(line)) => Ok(Some((line, export))),
            Ok(None) => Ok(None),
            Err(error) => {
                let cause = hyperfleet_runtime::error_chain(&error);
                tracing::error!(error = cause, "an export of a history broke off");
                Err(error)
            }
        }
    });
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static(NDJSON_MEDIA_TYPE)),
        (VARY, HeaderValue::from_static("Authorization, Accept")),
    ];
    (headers, Body::from_stream(lines)).into_response()
}

fn too_many() -> Response {
    let detail = format!("{MAX_EXPORTS} histories are being exported; try again later");
    let fault = Fault::new(codes::SERVICE_UNAVAILABLE, detail);
    let mut response = FaultResponse(fault).into_response();
    response
        .headers_mut()
        .insert(RETRY_AFTER, RETRY_AFTER_SECONDS);
    response
}

/// An export under way.
struct Export {
    pool: PgPool,
    asked: Asked,
    /// Where to go on; `None` at the end.
    cursor: Option<Cursor>,
    mark: Option<u64>,
    folds: Folds,
    /// Read and not yet sent.
    lines: VecDeque<Bytes>,
    _place: OwnedSemaphorePermit,
}

impl Export {
    async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        loop {
            if let Some(line) = self.lines.pop_front() {
                return Ok(Some(line));
            }
            let Some(cursor) = self.cursor else {
                return Ok(None);
            };
            let mark = match self.mark {
                Some(mark) => mark,
                None => history::mark(&self.pool).await?,
            };
            self.mark = Some(mark);
            let folds = &mut self.folds;
            let (items, next) = merge::read(&self.pool, &self.asked, cursor, mark, folds).await?;
            self.cursor = next;
            self.lines = items
                .iter()
                .map(|item| {
                    // Items are plain data; writing them cannot fail.
                    let mut line = serde_json::to_vec(item).unwrap_or_default();
                    line.push(b'\n');
                    Bytes::from(line)
                })
                .collect();
        }
    }
}
