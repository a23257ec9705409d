//! Which lists are keyed, which are sets and which are replaced as a whole.

use std::sync::Arc;

use serde_json::Value;

/// How a list merges.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ListType {
    /// Replaced as a whole.
    Atomic,
    /// Distinct scalars.
    Set,
    /// Items with an identity made of these members.
    Map(Vec<String>),
}

/// The rules for one kind.
#[derive(Clone, Debug)]
pub(crate) enum ListRules {
    /// By well-known member names of the built-in kinds.
    Builtin,
    /// By `x-kubernetes-list-type` in the schema of a custom kind, when it has one.
    Custom(Option<Arc<Value>>),
}

/// Last member name and candidate keys of the built-in kinds' keyed lists; the first candidate that every item has is taken.
const KEYED: &[(&str, &[&[&str]])] = &[
    ("containers", &[&["name"]]),
    ("initContainers", &[&["name"]]),
    ("ephemeralContainers", &[&["name"]]),
    ("env", &[&["name"]]),
    ("volumes", &[&["name"]]),
    ("volumeMounts", &[&["mountPath"]]),
    ("imagePullSecrets", &[&["name"]]),
    (
        "ports",
        &[&["containerPort", "protocol"], &["port", "protocol"]],
    ),
    ("hostAliases", &[&["ip"]]),
    ("conditions", &[&["type"]]),
    ("ownerReferences", &[&["uid"]]),
];

impl ListRules {
    /// The type of the list at `names` (member names from the root, list items not counted) with the content `items`.
    pub(crate) fn list_type(&self, names: &[&str], items: &[Value]) -> ListType {
        match names {
            ["metadata", "finalizers"] => return ListType::Set,
            ["metadata", "ownerReferences"] => return keyed(items, &["uid"]),
            _ => {}
        }
        match self {
            Self::Builtin => {
                // RBAC rules, ingress rules and the like are atomic, whatever they contain.
                let last = names.last().copied().unwrap_or_default();
                if last == "secrets" && names.len() == 1 {
                    return keyed(items, &["name"]);
                }
                let candidates = KEYED.iter().find(|(name, _)| *name == last);
                candidates
                    .into_iter()
                    .flat_map(|(_, candidates)| candidates.iter())
                    .map(|keys| keyed(items, keys))
                    .find(|found| *found != ListType::Atomic)
                    .unwrap_or(ListType::Atomic)
            }
            Self::Custom(schema) => schema
                .as_deref()
                .and_then(|schema| schema_of(schema, names))
                .map_or(ListType::Atomic, |schema| from_schema(schema, items)),
        }
    }
}

/// A keyed list, unless some item lacks a key (then the list cannot be told apart and is atomic).
fn keyed(items: &[Value], keys: &[&str]) -> ListType {
    let complete = items
        .iter()
        .all(|item| keys.iter().all(|key| !key_of(item, key).is_null()));
    if complete {
        ListType::Map(keys.iter().map(|key| (*key).to_owned()).collect())
    } else {
        ListType::Atomic
    }
}

/// The value of a key member; an absent `protocol` means TCP.
pub(super) fn key_of(item: &Value, key: &str) -> Value {
    match item.get(key) {
        Some(value) => value.clone(),
        None if key == "protocol" => "TCP".into(),
        None => Value::Null,
    }
}

fn schema_of<'a>(schema: &'a Value, names: &[&str]) -> Option<&'a Value> {
    names.iter().try_fold(schema, |schema, name| {
        let schema = schema.get("items").unwrap_or(schema);
        schema
            .get("properties")
            .and_then(|properties| properties.get(name))
            .or_else(|| schema.get("additionalProperties"))
    })
}

fn from_schema(schema: &Value, items: &[Value]) -> ListType {
    match schema.get("x-kubernetes-list-type").and_then(Value::as_str) {
        Some("set") => ListType::Set,
        Some("map") => {
            let keys = schema
                .get("x-kubernetes-list-map-keys")
                .and_then(Value::as_array);
            let keys: Vec<&str> = keys
                .into_iter()
                .flatten()
                .filter_map(Value::as_str)
                .collect();
            keyed(items, &keys)
        }
        _ => ListType::Atomic,
    }
}
