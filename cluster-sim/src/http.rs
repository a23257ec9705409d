//! The Kubernetes API over HTTP: addresses, parameters, bodies.

mod address;
mod reading;
mod watching;
mod writing;

use std::collections::HashMap;

use axum::Router;
use axum::body::Body;
use axum::extract::{Query, Request, State};
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::status::ApiError;
use crate::store::{Shared, Target};
use address::{Address, Resource};

/// Largest request body; Kubernetes' own limit.
const BODY_LIMIT: usize = 3 * 1024 * 1024;

/// What every request handler needs.
#[derive(Clone, Debug)]
pub(crate) struct Context {
    pub(crate) shared: Shared,
    /// Ends open watches.
    pub(crate) stop: CancellationToken,
}

/// A request taken apart.
struct Call {
    method: Method,
    parameters: HashMap<String, String>,
    headers: HeaderMap,
    body: Body,
}

impl Call {
    fn parameter(&self, name: &str) -> &str {
        self.parameters.get(name).map_or("", String::as_str)
    }

    fn header(&self, name: header::HeaderName) -> &str {
        self.headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }

    fn flag(&self, name: &str) -> bool {
        matches!(self.parameter(name), "true" | "1")
    }

    /// Metadata only, as the client asked in its `Accept` header.
    fn metadata_only(&self) -> bool {
        self.header(header::ACCEPT)
            .split(',')
            .next()
            .is_some_and(|first| first.contains("as=PartialObjectMetadata"))
    }

    async fn bytes(&mut self) -> Result<axum::body::Bytes, ApiError> {
        let body = std::mem::take(&mut self.body);
        axum::body::to_bytes(body, BODY_LIMIT)
            .await
            .map_err(|_| ApiError::too_large(BODY_LIMIT))
    }

    /// The body as JSON, or YAML where that is allowed.
    async fn value(&mut self) -> Result<Value, ApiError> {
        let bytes = self.bytes().await?;
        let yaml = self.header(header::CONTENT_TYPE).contains("yaml");
        match serde_json::from_slice(&bytes) {
            Ok(value) => Ok(value),
            Err(_) if yaml => {
                let text = std::str::from_utf8(&bytes).map_err(|error| {
                    ApiError::bad_request(format!("body is not UTF-8: {error}"))
                })?;
                serde_saphyr::from_str(text)
                    .map_err(|error| ApiError::bad_request(format!("error decoding YAML: {error}")))
            }
            Err(error) => Err(ApiError::bad_request(format!(
                "error decoding JSON: {error}"
            ))),
        }
    }
}

/// The whole API as one router.
pub(crate) fn router(context: Context) -> Router {
    Router::new().fallback(handle).with_state(context)
}

async fn handle(State(context): State<Context>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let call = Call {
        parameters: parameters(&parts.uri),
        method: parts.method,
        headers: parts.headers,
        body,
    };
    answer(&context, parts.uri.path(), call)
        .await
        .unwrap_or_else(IntoResponse::into_response)
}

fn parameters(uri: &Uri) -> HashMap<String, String> {
    Query::<HashMap<String, String>>::try_from_uri(uri)
        .map(|query| query.0)
        .unwrap_or_default()
}

async fn answer(context: &Context, path: &str, call: Call) -> Result<Response, ApiError> {
    match Address::parse(path).ok_or_else(ApiError::no_such_path)? {
        Address::Healthy => Ok("ok".into_response()),
        Address::Resource(resource) => dispatch(context, resource, call).await,
        discovery if call.method == Method::GET => discover(context, &discovery)
            .map(json_response)
            .ok_or_else(ApiError::no_such_path),
        _ => Err(ApiError::method_not_allowed()),
    }
}

fn discover(context: &Context, address: &Address) -> Option<Value> {
    let store = context.shared.read();
    match address {
        Address::Version => Some(json!({
            "major": "1", "minor": "34", "gitVersion": "v1.34.0+cluster-sim",
            "gitCommit": "", "gitTreeState": "clean", "buildDate": "1970-01-01T00:00:00Z",
            "goVersion": "none", "compiler": "rustc", "platform": "simulated",
        })),
        Address::Core => Some(json!({
            "kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": [],
        })),
        Address::Groups => Some(store.kinds.group_list()),
        Address::Group(group) => store.kinds.group(group),
        Address::GroupVersion(group, version) => store.kinds.resource_list(group, version),
        Address::Healthy | Address::Resource(_) => None,
    }
}

async fn dispatch(context: &Context, resource: Resource, call: Call) -> Result<Response, ApiError> {
    let target = target(context, &resource)?;
    if target.name.is_empty() {
        return match call.method {
            Method::GET if call.flag("watch") => watching::watch(context, &target, &call),
            Method::GET => reading::list(context, &target, &call),
            Method::POST => writing::create(context, &target, call).await,
            Method::DELETE => writing::delete_collection(context, &target, call).await,
            _ => Err(ApiError::method_not_allowed()),
        };
    }
    match call.method {
        Method::GET if call.flag("watch") => watching::watch(context, &target, &call),
        Method::GET => reading::get(context, &target, &call),
        Method::PUT => writing::update(context, &target, call).await,
        Method::PATCH => writing::patch(context, &target, call).await,
        Method::DELETE if !target.status => writing::delete(context, &target, call).await,
        _ => Err(ApiError::method_not_allowed()),
    }
}

/// Finds the kind that an address names and checks the address against it.
fn target(context: &Context, resource: &Resource) -> Result<Target, ApiError> {
    let kind = context
        .shared
        .read()
        .kinds
        .get(&resource.group, &resource.plural)
        .filter(|kind| kind.versions.contains(&resource.version))
        .cloned()
        .ok_or_else(ApiError::no_such_path)?;
    let scoped = !resource.namespace.is_empty();
    let whole = resource.name.is_empty();
    if (scoped && !kind.namespaced) || (!scoped && kind.namespaced && !whole) {
        return Err(ApiError::no_such_path());
    }
    let status = match resource.subresource.as_str() {
        "" => false,
        "status" if kind.status => true,
        _ => return Err(ApiError::no_such_path()),
    };
    Ok(Target {
        version: resource.version.clone(),
        namespace: resource.namespace.clone(),
        name: resource.name.clone(),
        status,
        kind,
    })
}

fn json_response(value: impl serde::Serialize) -> Response {
    axum::Json(value).into_response()
}

fn created(value: impl serde::Serialize) -> Response {
    (StatusCode::CREATED, axum::Json(value)).into_response()
}
