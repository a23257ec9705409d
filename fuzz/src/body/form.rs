//! Which documents are right, written down apart from the code that reads them. An absent member is the
//! same as null.

use chrono::{DateTime, Datelike as _};
use serde_json::{Map, Value};

type Document = Map<String, Value>;

/// No text has a NUL character, which PostgreSQL cannot hold.
pub(super) fn is_storable(document: &Document) -> bool {
    document
        .iter()
        .all(|(name, member)| !name.contains('\0') && value_is_storable(member))
}

fn value_is_storable(value: &Value) -> bool {
    match value {
        Value::String(text) => !text.contains('\0'),
        Value::Array(items) => items.iter().all(value_is_storable),
        Value::Object(members) => is_storable(members),
        Value::Null | Value::Bool(_) | Value::Number(_) => true,
    }
}

pub(super) fn is_create(document: &Document) -> bool {
    let texts = ["kind", "name"]
        .iter()
        .all(|name| text(document.get(*name)));
    texts && is_wanted(document)
}

pub(super) fn is_patch(document: &Document) -> bool {
    let known = ["spec", "labels", "references"];
    let only_known = document.keys().all(|name| known.contains(&name.as_str()));
    let something = document.values().any(|member| !member.is_null());
    only_known && something && is_wanted(document)
}

pub(super) fn is_report(document: &Document) -> bool {
    let condition = |condition: &Value| {
        let names = ["type", "status", "reason", "message"];
        condition.is_object() && names.iter().all(|name| text(condition.get(name)))
    };
    let metadata = |metadata: &Document| {
        let texts = ["job_name", "job_namespace", "duration"];
        let times = ["started_time", "completed_time"];
        texts.iter().all(|name| text(metadata.get(*name)))
            && times.iter().all(|name| time(metadata.get(*name)))
            && integer(metadata.get("attempt"))
    };
    text(document.get("adapter"))
        && integer(document.get("observed_generation"))
        && time(document.get("observed_time"))
        && list(document.get("conditions"), condition)
        && object(document.get("data"), |_| true)
        && object(document.get("metadata"), metadata)
}

pub(super) fn is_force_delete(document: &Document) -> bool {
    text(document.get("reason"))
}

/// The members that create and patch share.
fn is_wanted(document: &Document) -> bool {
    let target = |target: &Value| {
        let names = ["id", "kind"];
        target.is_object() && names.iter().all(|name| text(target.get(name)))
    };
    object(document.get("spec"), |_| true)
        && object(document.get("labels"), |labels| {
            labels.values().all(|label| text(Some(label)))
        })
        && object(document.get("references"), |types| {
            types.values().all(|targets| list(Some(targets), target))
        })
}

fn text(value: Option<&Value>) -> bool {
    matches!(value, None | Some(Value::Null | Value::String(_)))
}

fn object(value: Option<&Value>, holds: impl Fn(&Document) -> bool) -> bool {
    match value {
        None | Some(Value::Null) => true,
        Some(Value::Object(members)) => holds(members),
        Some(_) => false,
    }
}

fn list(value: Option<&Value>, holds: impl Fn(&Value) -> bool) -> bool {
    match value {
        None | Some(Value::Null) => true,
        Some(Value::Array(items)) => items.iter().all(holds),
        Some(_) => false,
    }
}

/// A whole number of 32 bits.
fn integer(value: Option<&Value>) -> bool {
    match value {
        None | Some(Value::Null) => true,
        Some(value) => value
            .as_i64()
            .is_some_and(|number| (i64::from(i32::MIN)..=i64::from(i32::MAX)).contains(&number)),
    }
}

/// RFC 3339, also in UTC, where the year must have four digits too.
fn time(value: Option<&Value>) -> bool {
    match value {
        None | Some(Value::Null) => true,
        Some(Value::String(text)) => DateTime::parse_from_rfc3339(text)
            .is_ok_and(|time| (0..=9999).contains(&time.to_utc().year())),
        Some(_) => false,
    }
}
