//! GET of an object or a collection.

use std::sync::Arc;

use axum::response::Response;
use serde_json::{Value, json};

use super::{Call, Context, json_response};
use crate::selector::Selector;
use crate::status::ApiError;
use crate::store::{Target, present_in};

pub(super) fn get(context: &Context, target: &Target, call: &Call) -> Result<Response, ApiError> {
    let object = context
        .shared
        .read()
        .get(&target.key())
        .map(|stored| stored.object.clone())
        .ok_or_else(|| target.not_found())?;
    Ok(json_response(shown(&object, target, call)))
}

pub(super) fn list(context: &Context, target: &Target, call: &Call) -> Result<Response, ApiError> {
    let selector = selector(call)?;
    let (version, objects) = {
        let store = context.shared.read();
        let objects: Vec<Arc<Value>> = store
            .list(&target.kind.group, &target.kind.plural, &target.namespace)
            .filter(|(_, stored)| selector.matches(&stored.object))
            .map(|(_, stored)| stored.object.clone())
            .collect();
        (store.version(), objects)
    };
    let items: Vec<Arc<Value>> = objects
        .iter()
        .map(|object| shown(object, target, call))
        .collect();
    Ok(json_response(collection(target, call, version, &items)))
}

/// A list object around `items`.
pub(super) fn collection(
    target: &Target,
    call: &Call,
    version: u64,
    items: &[Arc<Value>],
) -> Value {
    let (kind, api_version) = if call.metadata_only() {
        (
            "PartialObjectMetadataList".to_owned(),
            "meta.k8s.io/v1".to_owned(),
        )
    } else {
        (
            format!("{}List", target.kind.kind),
            target.kind.api_version(&target.version),
        )
    };
    json!({
        "kind": kind, "apiVersion": api_version,
        "metadata": {"resourceVersion": version.to_string()}, "items": items,
    })
}

pub(super) fn selector(call: &Call) -> Result<Selector, ApiError> {
    Selector::parse(
        call.parameter("labelSelector"),
        call.parameter("fieldSelector"),
    )
}

/// The object as this request wants to see it.
pub(super) fn shown(object: &Arc<Value>, target: &Target, call: &Call) -> Arc<Value> {
    if call.metadata_only() {
        return Arc::new(json!({
            "kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1",
            "metadata": object.get("metadata").cloned().unwrap_or_default(),
        }));
    }
    present_in(object, &target.kind, &target.version)
}

/// Field selector that limits a watch of one object to it.
pub(super) fn only(target: &Target) -> String {
    format!("metadata.name={}", target.name)
}
