//! Answers of the query routes, and how a failure becomes one.

use axum::Json;
use axum::http::HeaderMap;
use axum::http::header::{ETAG, HeaderName, VARY};
use axum::response::{IntoResponse, Response};
use hyperfleet_api_types::problem::{Fault, codes};
use hyperfleet_domain::resource::Resource;
use hyperfleet_runtime::http::{EntityTag, EntityTags, FaultResponse, not_modified};
use serde::Serialize;

use super::fields::Fields;
use crate::error::Error;
use crate::resource_view::{Page, Paged, Versioned};

/// What a query route answers.
pub(crate) type Answer = Result<Response, Failure>;

/// A request that could not be answered with what it asked for.
#[derive(Debug)]
pub(crate) struct Failure(Fault);

impl Failure {
    /// What the caller is told.
    pub(crate) fn into_fault(self) -> Fault {
        self.0
    }
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        Self(fault)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let cause = hyperfleet_runtime::error_chain(&error);
        error.count();
        if error.is_unavailable() {
            tracing::warn!(error = cause, "the database cannot answer a query");
            return Self(Fault::new(
                codes::SERVICE_UNAVAILABLE,
                "Database connection unavailable",
            ));
        }
        tracing::error!(error = cause, "a query failed");
        Self(Fault::new(codes::INTERNAL_ERROR, "Unspecified error"))
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        FaultResponse(self.0).into_response()
    }
}

/// Answers about resources depend on who asks, so shared caches must keep them apart.
pub(super) const VARY_BY_CALLER: [(HeaderName, &str); 1] = [(VARY, "Authorization")];

/// One page as the API shows it.
#[derive(Serialize)]
struct List<T> {
    items: Vec<T>,
    page: u32,
    size: usize,
    total: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_page_token: Option<String>,
}

/// 200 with a JSON document.
pub(crate) fn document<T: Serialize>(document: &T) -> Response {
    (VARY_BY_CALLER, Json(document)).into_response()
}

/// 200 with a resource and its entity tag; 304 when the caller has this very representation.
pub(crate) fn resource(found: &Versioned, fields: &Fields, headers: &HeaderMap) -> Answer {
    let tag = EntityTag::of(found.version, found.resource.liveness_mark());
    let known = EntityTags::if_none_match(headers)?;
    let mut response = if known.is_some_and(|known| known.include(&tag)) {
        (VARY_BY_CALLER, not_modified(&tag)).into_response()
    } else {
        document(&fields.of_resource(&found.resource))
    };
    response.headers_mut().insert(ETAG, tag.header_value());
    Ok(response)
}

/// 200 with one page.
pub(crate) fn list<T: Serialize>(page: Page, paged: Paged<T>) -> Response {
    list_with(page, paged, None)
}

pub(crate) fn list_with<T: Serialize>(
    page: Page,
    paged: Paged<T>,
    next_page_token: Option<String>,
) -> Response {
    document(&List {
        page: page.number,
        size: paged.items.len(),
        total: paged.total,
        items: paged.items,
        next_page_token,
    })
}

/// 200 with one page of resources, of each what was asked for, and how to go on for a caller that walks.
pub(crate) fn resource_list(
    page: Page,
    paged: &Paged<Resource>,
    fields: &Fields,
    next_page_token: Option<String>,
) -> Response {
    let items = paged.items.iter().map(|item| fields.of_resource(item));
    let (items, total) = (items.collect(), paged.total);
    list_with(page, Paged { items, total }, next_page_token)
}

/// No live resource of that kind has that id, here.
pub(crate) fn not_found(kind: &str, id: &str) -> Fault {
    Fault::new(
        codes::RESOURCE_NOT_FOUND,
        format!("{kind} with id='{id}' not found"),
    )
}
