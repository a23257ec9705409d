//! What expressions see: `statuses` and `resource`, with secrets masked and every number a double,
//! as a Go program that read them from JSON would have them.

use std::collections::{BTreeMap, HashMap};

use cel::common::types::{CelBool, CelDouble, CelList, CelMap, CelMapKey, CelNull, CelString};
use cel::common::value::Val;
use chrono::{DateTime, Utc};
use hyperfleet_expression::Scope;
use serde_json::Value;

use super::mask::{self, REDACTED};
use crate::adapter_status::{AdapterCondition, AdapterConditionStatus, AdapterStatus};
use crate::json::JsonObject;
use crate::resource::Resource;
use crate::timestamp;

/// The stored reports.
pub(super) const STATUSES: &str = "statuses";
/// The resource itself.
pub(super) const RESOURCE: &str = "resource";

type Boxed<'v> = Box<dyn Val + 'v>;
type Fields<'v> = HashMap<CelMapKey<'v>, Boxed<'v>>;

/// The variables of a resource. Texts are borrowed, not copied.
pub(super) fn scope(resource: &Resource) -> Scope<'_> {
    Scope::new()
        .with(STATUSES, statuses(resource))
        .with(RESOURCE, document(resource))
}

/// Every stored report, by name of its adapter. One with any unknown condition is left out as a
/// whole: what it says is not settled.
fn statuses(resource: &Resource) -> Boxed<'_> {
    let is_settled = |status: &&AdapterStatus| {
        let mut conditions = status.conditions.iter();
        conditions.all(|condition| condition.status != AdapterConditionStatus::Unknown)
    };
    let settled = resource.statuses.values().filter(is_settled);
    list(settled.map(|status| {
        let conditions = status.conditions.iter().map(condition);
        map([
            ("adapter", text(&status.adapter)),
            ("observed_generation", number(status.observed_generation)),
            ("conditions", list(conditions)),
            ("data", object(&status.data, 1)),
        ])
    }))
}

fn condition(condition: &AdapterCondition) -> Boxed<'_> {
    let status = match condition.status {
        AdapterConditionStatus::True => "True",
        AdapterConditionStatus::False => "False",
        AdapterConditionStatus::Unknown => "Unknown",
    };
    map([
        ("type", text(&condition.r#type)),
        ("status", text(status)),
        ("reason", text(condition.reason.as_deref().unwrap_or(""))),
        ("message", text(condition.message.as_deref().unwrap_or(""))),
    ])
}

/// The resource under the names of the contract, whose capitals are not a slip. None of them is
/// the key of a secret.
fn document(resource: &Resource) -> Boxed<'_> {
    let mut fields = fields([
        ("ID", text(&resource.id)),
        ("CreatedTime", time(&resource.created_time)),
        ("UpdatedTime", time(&resource.updated_time)),
        ("kind", text(&resource.kind)),
        ("name", text(&resource.name)),
        ("href", text(&resource.href)),
        ("created_by", text(&resource.created_by)),
        ("updated_by", text(&resource.updated_by)),
        ("spec", object(&resource.spec, 1)),
        ("tenancy", tenancy(&resource.tenancy)),
        ("generation", number(resource.generation)),
    ]);
    if let Some(owner) = &resource.owner {
        fields.insert(CelMapKey::from("owner_id"), text(&owner.id));
        fields.insert(CelMapKey::from("owner_kind"), text(&owner.kind));
        fields.insert(CelMapKey::from("owner_href"), text(&owner.href));
    }
    if let Some(by) = &resource.deleted_by {
        fields.insert(CelMapKey::from("deleted_by"), text(by));
    }
    if let Some(deleted) = &resource.deleted_time {
        fields.insert(CelMapKey::from("deleted_time"), time(deleted));
    }
    Box::new(CelMap::from(fields))
}

fn tenancy(dimensions: &BTreeMap<String, String>) -> Boxed<'_> {
    let fields: Fields<'_> = dimensions
        .iter()
        .map(|(key, value)| {
            let shown = if mask::is_secret(key) {
                REDACTED
            } else {
                value
            };
            (CelMapKey::from(key.as_str()), text(shown))
        })
        .collect();
    Box::new(CelMap::from(fields))
}

/// A JSON object that is nested `depth` deep in its variable.
fn object(fields: &JsonObject, depth: usize) -> Boxed<'_> {
    if depth > mask::DEPTH {
        return text(REDACTED);
    }
    let shown = fields.iter().map(|(key, field)| {
        let value = if mask::is_secret(key) {
            text(REDACTED)
        } else {
            json(field, depth + 1)
        };
        (CelMapKey::from(key.as_str()), value)
    });
    Box::new(CelMap::from(shown.collect::<Fields<'_>>()))
}

fn json(value: &Value, depth: usize) -> Boxed<'_> {
    match value {
        Value::Null => Box::new(CelNull),
        Value::Bool(flag) => Box::new(CelBool::from(*flag)),
        Value::Number(number) => Box::new(CelDouble::from(number.as_f64().unwrap_or_default())),
        Value::String(string) => text(string),
        Value::Array(_) if depth > mask::DEPTH => text(REDACTED),
        Value::Array(items) => list(items.iter().map(|item| json(item, depth + 1))),
        Value::Object(fields) => object(fields, depth),
    }
}

fn text(text: &str) -> Boxed<'_> {
    Box::new(CelString::from(text))
}

fn number<'v>(number: i32) -> Boxed<'v> {
    Box::new(CelDouble::from(f64::from(number)))
}

fn time<'v>(time: &DateTime<Utc>) -> Boxed<'v> {
    Box::new(CelString::from(timestamp::format(time)))
}

fn list<'v>(items: impl Iterator<Item = Boxed<'v>>) -> Boxed<'v> {
    Box::new(CelList::from(items.collect::<Vec<_>>()))
}

fn fields<'v, const N: usize>(fields: [(&'static str, Boxed<'v>); N]) -> Fields<'v> {
    let fields = fields.into_iter();
    fields
        .map(|(key, value)| (CelMapKey::from(key), value))
        .collect()
}

fn map<'v, const N: usize>(entries: [(&'static str, Boxed<'v>); N]) -> Boxed<'v> {
    Box::new(CelMap::from(fields(entries)))
}
