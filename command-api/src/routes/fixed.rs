//! Documents that do not depend on any resource: the version and the OpenAPI document.

use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use hyperfleet_api_types::{BASE_PATH, VERSION_PATH, VersionDocument};
use utoipa::openapi::OpenApi;

use super::CommandState;

pub(super) async fn version(State(state): State<CommandState>) -> Json<VersionDocument> {
    Json(VersionDocument {
        id: "hyperfleet".to_owned(),
        kind: "API".to_owned(),
        href: VERSION_PATH.to_owned(),
        version: state.build.version,
        build_time: state.build.build_time,
    })
}

pub(super) fn openapi_router(document: &OpenApi) -> Router {
    let document = serde_json::to_value(document).unwrap_or_default();
    Router::new().route(
        &format!("{BASE_PATH}/openapi"),
        get(move || async move { Json(document) }),
    )
}
