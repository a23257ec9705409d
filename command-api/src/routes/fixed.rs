//! Documents that do not depend on any resource: the version, the OpenAPI documents, and the page that
//! makes the OpenAPI document a place to try the API.
//!
//! The page and everything that it loads come from this binary; a policy in its headers keeps the
//! browser from loading anything from elsewhere.

use std::sync::Arc;

use axum::extract::{OriginalUri, Path, State};
use axum::http::HeaderValue;
use axum::http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use hyperfleet_api_types::openapi::as_3_0;
use hyperfleet_api_types::problem::{Fault, codes};
use hyperfleet_api_types::{BASE_PATH, VERSION_PATH, VersionDocument};
use hyperfleet_runtime::http::FaultResponse;
use utoipa::openapi::OpenApi;
use utoipa_swagger_ui::Config;

use super::CommandState;

/// The interactive page. Its addresses are relative, so that it also works behind a proxy that adds a
/// prefix.
const PAGE: &str = r#"<!DOCTYPE html>
<html lang="en">
<head>
  <meta charset="utf-8">
  <title>HyperFleet API</title>
  <link rel="stylesheet" href="openapi/ui/swagger-ui.css">
  <link rel="stylesheet" href="openapi/ui/index.css">
  <link rel="icon" type="image/png" href="openapi/ui/favicon-32x32.png" sizes="32x32">
</head>
<body>
  <div id="swagger-ui"></div>
  <script src="openapi/ui/swagger-ui-bundle.js" charset="utf-8"></script>
  <script src="openapi/ui/swagger-ui-standalone-preset.js" charset="utf-8"></script>
  <script src="openapi/ui/swagger-initializer.js" charset="utf-8"></script>
</body>
</html>
"#;

/// Everything from here, nothing from elsewhere; the page styles elements one by one and has pictures
/// inside its style sheet.
const POLICY: (HeaderName, HeaderValue) = (
    CONTENT_SECURITY_POLICY,
    HeaderValue::from_static(
        "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:",
    ),
);

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
    let older = as_3_0(&document);
    // Without a validator: the page would ask one on the internet about the document.
    let config = Config::new(["openapi"])
        .deep_linking(true)
        .validator_url("none");
    let openapi = format!("{BASE_PATH}/openapi");
    Router::new()
        .route(&openapi, get(move || async move { Json(older) }))
        .route(
            &format!("{openapi}/v3.1"),
            get(move || async move { Json(document) }),
        )
        .route(&format!("{openapi}.html"), get(page))
        .route(&format!("{openapi}/ui/{{file}}"), get(file))
        .with_state(Arc::new(config))
}

async fn page() -> Response {
    ([POLICY], Html(PAGE)).into_response()
}

/// One of the files that the page loads.
async fn file(
    State(config): State<Arc<Config<'static>>>,
    Path(name): Path<String>,
    OriginalUri(uri): OriginalUri,
) -> Response {
    match utoipa_swagger_ui::serve(&name, config) {
        Ok(Some(file)) => {
            let bytes = file.bytes.into_owned();
            ([(CONTENT_TYPE, file.content_type)], bytes).into_response()
        }
        Ok(None) => {
            let detail = format!("The requested endpoint '{}' does not exist", uri.path());
            FaultResponse(Fault::new(codes::ENDPOINT_NOT_FOUND, detail)).into_response()
        }
        Err(error) => {
            tracing::error!(file = name, error = %error, "a file of the API page cannot be served");
            FaultResponse(Fault::new(codes::INTERNAL_ERROR, "Unspecified error")).into_response()
        }
    }
}
