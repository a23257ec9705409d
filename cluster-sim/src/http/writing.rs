//! POST, PUT, PATCH and DELETE.

use std::sync::Arc;

use axum::http::header;
use axum::response::Response;
use serde_json::Value;

use super::reading::{collection, selector, shown};
use super::{Call, Context, created, json_response};
use crate::kind::Propagation;
use crate::object::{self, text};
use crate::status::{self, ApiError};
use crate::store::{DeleteOptions, Deleted, PatchKind, Target, WriteOptions};

const PATCH_TYPES: &str = "application/json-patch+json, application/merge-patch+json, application/strategic-merge-patch+json, application/apply-patch+yaml";

fn options(call: &Call) -> Result<WriteOptions, ApiError> {
    let manager = match call.parameter("fieldManager") {
        "" => {
            let agent = call.header(header::USER_AGENT);
            let name = agent.split('/').next().unwrap_or_default();
            if name.is_empty() { "unknown" } else { name }
        }
        manager => manager,
    };
    if manager.len() > 128 {
        return Err(ApiError::bad_request(
            "fieldManager: may not be more than 128 bytes",
        ));
    }
    Ok(WriteOptions {
        manager: manager.to_owned(),
        force: call.flag("force"),
        dry_run: dry_run(call.parameter("dryRun"))?,
    })
}

fn dry_run(value: &str) -> Result<bool, ApiError> {
    match value {
        "" => Ok(false),
        "All" => Ok(true),
        other => Err(ApiError::bad_request(format!(
            "dryRun: Unsupported value: {other:?}: supported values: \"All\""
        ))),
    }
}

pub(super) async fn create(
    context: &Context,
    target: &Target,
    mut call: Call,
) -> Result<Response, ApiError> {
    if target.kind.namespaced && target.namespace.is_empty() {
        return Err(ApiError::method_not_allowed());
    }
    let options = options(&call)?;
    let given = call.value().await?;
    let object = context
        .shared
        .transact(|store| store.create(target, given, &options))?;
    Ok(created(shown(&object, target, &call)))
}

pub(super) async fn update(
    context: &Context,
    target: &Target,
    mut call: Call,
) -> Result<Response, ApiError> {
    let options = options(&call)?;
    let given = call.value().await?;
    let object = context
        .shared
        .transact(|store| store.update(target, given, &options))?;
    Ok(json_response(shown(&object, target, &call)))
}

pub(super) async fn patch(
    context: &Context,
    target: &Target,
    mut call: Call,
) -> Result<Response, ApiError> {
    let content_type = call.header(header::CONTENT_TYPE).to_owned();
    let kind = match content_type.split(';').next().unwrap_or_default().trim() {
        "application/apply-patch+yaml" => PatchKind::Apply,
        "application/merge-patch+json" => PatchKind::Merge,
        "application/json-patch+json" => PatchKind::Json,
        "application/strategic-merge-patch+json" if !target.kind.custom => PatchKind::Strategic,
        other => return Err(ApiError::unsupported_media_type(other, PATCH_TYPES)),
    };
    let mut options = options(&call)?;
    if kind == PatchKind::Apply {
        // No guessing here: ownership must be claimed by name.
        call.parameter("fieldManager")
            .clone_into(&mut options.manager);
    }
    let given = call.value().await?;
    let (existed, object) = context.shared.transact(|store| {
        let existed = store.get(&target.key()).is_some();
        Ok((existed, store.patch(target, kind, given, &options)?))
    })?;
    let shown = shown(&object, target, &call);
    Ok(if existed {
        json_response(shown)
    } else {
        created(shown)
    })
}

async fn delete_options(call: &mut Call) -> Result<DeleteOptions, ApiError> {
    let bytes = call.bytes().await?;
    let body: Value = if bytes.is_empty() {
        Value::Null
    } else {
        serde_json::from_slice(&bytes).map_err(|error| {
            ApiError::bad_request(format!("error decoding delete options: {error}"))
        })?
    };
    let named = match text(&body, "/propagationPolicy") {
        "" => call.parameter("propagationPolicy"),
        named => named,
    };
    let propagation = match named {
        "" => None,
        "Background" => Some(Propagation::Background),
        "Foreground" => Some(Propagation::Foreground),
        "Orphan" => Some(Propagation::Orphan),
        other => {
            return Err(ApiError::bad_request(format!(
                "propagationPolicy: Unsupported value: {other:?}: supported values: \"Foreground\", \"Background\", \"Orphan\""
            )));
        }
    };
    let precondition = |field: &str| match text(&body, &format!("/preconditions/{field}")) {
        "" => None,
        value => Some(value.to_owned()),
    };
    let in_body = match text(&body, "/dryRun/0") {
        "" => call.parameter("dryRun"),
        value => value,
    };
    Ok(DeleteOptions {
        propagation,
        uid: precondition("uid"),
        resource_version: precondition("resourceVersion"),
        dry_run: dry_run(in_body)?,
    })
}

pub(super) async fn delete(
    context: &Context,
    target: &Target,
    mut call: Call,
) -> Result<Response, ApiError> {
    let options = delete_options(&mut call).await?;
    let deleted = context
        .shared
        .transact(|store| store.delete(target, &options))?;
    Ok(match deleted {
        Deleted::Terminating(object) => json_response(shown(&object, target, &call)),
        Deleted::Gone(object) => {
            let kind = &target.kind;
            let uid = object::uid(&object);
            json_response(status::deleted(
                &kind.group,
                &kind.plural,
                &target.name,
                uid,
            ))
        }
    })
}

pub(super) async fn delete_collection(
    context: &Context,
    target: &Target,
    mut call: Call,
) -> Result<Response, ApiError> {
    if target.kind.namespaced && target.namespace.is_empty() {
        return Err(ApiError::method_not_allowed());
    }
    let options = delete_options(&mut call).await?;
    let selector = selector(&call)?;
    let (version, objects) = context.shared.transact(|store| {
        let chosen: Vec<(String, Arc<Value>)> = store
            .list(&target.kind.group, &target.kind.plural, &target.namespace)
            .filter(|(_, stored)| selector.matches(&stored.object))
            .map(|(key, stored)| (key.name.clone(), stored.object.clone()))
            .collect();
        for (name, _) in &chosen {
            let one = Target {
                name: name.clone(),
                ..target.clone()
            };
            // Gone together with an earlier one is as good as deleted.
            match store.delete(&one, &options) {
                Ok(_) => {}
                Err(refusal) if refusal.code == 404 => {}
                Err(refusal) => return Err(refusal),
            }
        }
        Ok((store.version(), chosen))
    })?;
    let items: Vec<Arc<Value>> = objects
        .iter()
        .map(|(_, object)| shown(object, target, &call))
        .collect();
    Ok(json_response(collection(target, &call, version, &items)))
}
