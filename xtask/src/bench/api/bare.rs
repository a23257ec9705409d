//! The baseline: the product's statements and nothing around them.

use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use hyperfleet_api_types::BASE_PATH;
use hyperfleet_projections::resource_view::{self, Order, Page};
use sqlx::postgres::{PgPool, PgRow};
use sqlx::types::Json;
use sqlx::{Row as _, ValueRef as _};

use super::scenario::{KIND, PAGE_SIZE, clusters};

#[derive(Clone)]
struct Bare {
    pool: PgPool,
    get: String,
    list: String,
}

/// Routes on the paths of the product's.
pub(super) fn router(pool: PgPool) -> Router {
    let page = Page {
        number: 1,
        size: PAGE_SIZE,
    };
    let state = Bare {
        pool,
        get: resource_view::get_statement(),
        list: resource_view::list_statement(&clusters(), &Order::default(), page),
    };
    Router::new()
        .route(&format!("{BASE_PATH}/clusters/{{id}}"), get(read))
        .route(&format!("{BASE_PATH}/clusters"), get(list))
        .with_state(state)
}

async fn read(State(state): State<Bare>, Path(id): Path<String>) -> Result<Response, StatusCode> {
    let row = sqlx::query(&state.get)
        .bind(id)
        .bind(Json(serde_json::Map::new()))
        .fetch_one(&state.pool)
        .await
        .map_err(failed)?;
    let stored = stored(&row)?.to_vec();
    Ok(answer(stored))
}

async fn list(State(state): State<Bare>) -> Result<Response, StatusCode> {
    let rows = sqlx::query(&state.list)
        .bind(KIND)
        .bind(i64::from(PAGE_SIZE))
        .bind(0_i64)
        .bind(KIND)
        .fetch_all(&state.pool)
        .await
        .map_err(failed)?;
    let mut body = b"{\"items\":[".to_vec();
    let mut total: i64 = 0;
    for (index, row) in rows.iter().enumerate() {
        if index > 0 {
            body.push(b',');
        }
        body.extend_from_slice(stored(row)?);
        total = row.try_get("total").map_err(failed)?;
    }
    body.extend_from_slice(format!("],\"total\":{total}}}").as_bytes());
    Ok(answer(body))
}

/// The stored state as the database sent it: one byte for the version of the format, and the text.
fn stored(row: &PgRow) -> Result<&[u8], StatusCode> {
    let value = row.try_get_raw("state").map_err(failed)?;
    if value.is_null() {
        return Err(StatusCode::NOT_FOUND);
    }
    let bytes = value.as_bytes().map_err(|_| StatusCode::BAD_GATEWAY)?;
    Ok(bytes.strip_prefix(&[1]).unwrap_or(bytes))
}

fn answer(body: Vec<u8>) -> Response {
    ([(CONTENT_TYPE, "application/json")], body).into_response()
}

#[expect(clippy::needless_pass_by_value, reason = "the signature of map_err")]
fn failed(error: sqlx::Error) -> StatusCode {
    println!("the bare handler failed: {error}");
    StatusCode::BAD_GATEWAY
}
