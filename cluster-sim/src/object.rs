//! Small readings and writings of Kubernetes objects held as JSON.

use std::sync::Arc;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// Where an object lives. Ordered so that all objects of one kind, and of one kind in one namespace, are neighbours.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) struct Key {
    /// API group, empty for the core group.
    pub(crate) group: String,
    /// Plural resource name.
    pub(crate) plural: String,
    /// Namespace, empty for cluster-scoped kinds.
    pub(crate) namespace: String,
    /// Object name.
    pub(crate) name: String,
}

/// An object with what the simulation needs to know besides.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    pub(crate) object: Arc<Value>,
    /// When the object's present phase began: creation, spec change, deletion request or a controller's step.
    pub(crate) anchor: DateTime<Utc>,
}

/// Kubernetes' time format: whole seconds, UTC.
pub(crate) fn timestamp(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}

pub(crate) fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

pub(crate) fn name(object: &Value) -> &str {
    text(object, "/metadata/name")
}

pub(crate) fn namespace(object: &Value) -> &str {
    text(object, "/metadata/namespace")
}

pub(crate) fn uid(object: &Value) -> &str {
    text(object, "/metadata/uid")
}

pub(crate) fn generation(object: &Value) -> i64 {
    object
        .pointer("/metadata/generation")
        .and_then(Value::as_i64)
        .unwrap_or_default()
}

pub(crate) fn annotation<'a>(object: &'a Value, key: &str) -> Option<&'a str> {
    object.pointer("/metadata/annotations")?.get(key)?.as_str()
}

pub(crate) fn is_deleting(object: &Value) -> bool {
    object
        .pointer("/metadata/deletionTimestamp")
        .is_some_and(|value| !value.is_null())
}

pub(crate) fn finalizers(object: &Value) -> impl Iterator<Item = &str> {
    object
        .pointer("/metadata/finalizers")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
}

pub(crate) fn has_finalizer(object: &Value, finalizer: &str) -> bool {
    finalizers(object).any(|present| present == finalizer)
}

pub(crate) fn owner_uids(object: &Value) -> impl Iterator<Item = &str> {
    object
        .pointer("/metadata/ownerReferences")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(|owner| owner.get("uid")?.as_str())
}

/// True when `object` names the owner `uid` and wants its deletion to wait for itself.
pub(crate) fn blocks_owner(object: &Value, uid: &str) -> bool {
    object
        .pointer("/metadata/ownerReferences")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .any(|owner| {
            owner.get("uid").and_then(Value::as_str) == Some(uid)
                && owner.get("blockOwnerDeletion").and_then(Value::as_bool) == Some(true)
        })
}

/// The member `field` as an object, created (or replaced, when it is something else) if need be.
pub(crate) fn child<'a>(object: &'a mut Value, field: &str) -> &'a mut Map<String, Value> {
    as_map(as_map(object).entry(field).or_insert_with(|| json!({})))
}

/// `value` as an object; anything else is replaced by an empty one.
pub(crate) fn as_map(value: &mut Value) -> &mut Map<String, Value> {
    if !value.is_object() {
        *value = json!({});
    }
    match value {
        Value::Object(map) => map,
        _ => unreachable!("made an object just above"),
    }
}

pub(crate) fn metadata(object: &mut Value) -> &mut Map<String, Value> {
    child(object, "metadata")
}

pub(crate) fn add_finalizer(object: &mut Value, finalizer: &str) {
    if !has_finalizer(object, finalizer) {
        let list = metadata(object)
            .entry("finalizers")
            .or_insert_with(|| json!([]));
        if let Value::Array(items) = list {
            items.push(finalizer.into());
        } else {
            *list = json!([finalizer]);
        }
    }
}

pub(crate) fn remove_finalizer(object: &mut Value, finalizer: &str) {
    let metadata = metadata(object);
    if let Some(Value::Array(items)) = metadata.get_mut("finalizers") {
        items.retain(|item| item.as_str() != Some(finalizer));
        if items.is_empty() {
            metadata.remove("finalizers");
        }
    }
}

/// Sets a condition in `conditions`; its transition time moves only when its status does.
pub(crate) fn set_condition(status: &mut Map<String, Value>, condition: Value, now: DateTime<Utc>) {
    let list = status.entry("conditions").or_insert_with(|| json!([]));
    if !list.is_array() {
        *list = json!([]);
    }
    let Value::Array(items) = list else { return };
    let mut condition = condition;
    let present = items
        .iter_mut()
        .find(|item| item.get("type") == condition.get("type"));
    let transition = match &present {
        Some(item) if item.get("status") == condition.get("status") => item
            .get("lastTransitionTime")
            .cloned()
            .unwrap_or_else(|| timestamp(now).into()),
        _ => timestamp(now).into(),
    };
    as_map(&mut condition).insert("lastTransitionTime".into(), transition);
    match present {
        Some(item) => *item = condition,
        None => items.push(condition),
    }
}

/// True when the status lists the condition `kind` as True.
pub(crate) fn condition_is_true(object: &Value, kind: &str) -> bool {
    object
        .pointer("/status/conditions")
        .and_then(Value::as_array)
        .is_some_and(|items| {
            items.iter().any(|item| {
                item.get("type").and_then(Value::as_str) == Some(kind)
                    && item.get("status").and_then(Value::as_str) == Some("True")
            })
        })
}
