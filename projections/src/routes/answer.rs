//! Answers of the query routes, and how a failure becomes one.

use axum::Json;
use axum::http::header::{HeaderName, VARY};
use axum::response::{IntoResponse, Response};
use hyperfleet_api_types::problem::{Fault, codes};
use hyperfleet_domain::resource::Resource;
use hyperfleet_runtime::http::FaultResponse;
use serde::Serialize;

use crate::error::Error;
use crate::resource_view::{Page, Paged};

/// What a query route answers.
pub(crate) type Answer = Result<Response, Failure>;

/// A request that could not be answered with what it asked for.
#[derive(Debug)]
pub(crate) struct Failure(Fault);

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
const VARY_BY_CALLER: [(HeaderName, &str); 1] = [(VARY, "Authorization")];

/// One page as the API shows it.
#[derive(Serialize)]
struct List<T> {
    items: Vec<T>,
    page: u32,
    size: usize,
    total: u64,
}

/// 200 with a JSON document.
pub(crate) fn document<T: Serialize>(document: &T) -> Response {
    (VARY_BY_CALLER, Json(document)).into_response()
}

/// 200 with one page.
pub(crate) fn list<T: Serialize>(page: Page, paged: Paged<T>) -> Response {
    document(&List {
        page: page.number,
        size: paged.items.len(),
        total: paged.total,
        items: paged.items,
    })
}

/// 200 with one page of resources.
pub(crate) fn resource_list(page: Page, paged: &Paged<Resource>) -> Response {
    list(
        page,
        Paged {
            items: paged.items.iter().map(Resource::document).collect(),
            total: paged.total,
        },
    )
}

/// No live resource of that kind has that id, here.
pub(crate) fn not_found(kind: &str, id: &str) -> Fault {
    Fault::new(
        codes::RESOURCE_NOT_FOUND,
        format!("{kind} with id='{id}' not found"),
    )
}
