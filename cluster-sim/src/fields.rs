//! Field ownership: who set which field, and what server-side apply does about it.
//!
//! A path is a list of steps in the notation of `fieldsV1`: `f:name` for a member, `k:{…}` for an item of a list that is
//! keyed, `v:…` for an item of a set. Lists of unknown shape are atomic. Maps are granular throughout.

pub(crate) mod managed;
pub(crate) mod merge;
mod rules;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

pub(crate) use rules::{ListRules, ListType};

/// Steps from the root of an object to a field.
pub(crate) type Path = Vec<String>;
/// The fields that one manager owns.
pub(crate) type FieldSet = BTreeSet<Path>;

/// Members of `metadata` and the root that belong to the server, not to any manager.
const SERVER_METADATA: &[&str] = &[
    "name",
    "namespace",
    "generateName",
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "managedFields",
    "selfLink",
];

/// Every owned place of `object` with its value; a keyed list item counts as a place of its own.
pub(crate) fn leaves(object: &Value, rules: &ListRules) -> BTreeMap<Path, Option<Value>> {
    let mut found = BTreeMap::new();
    if let Value::Object(map) = object {
        for (field, value) in map {
            match field.as_str() {
                "apiVersion" | "kind" => {}
                "metadata" => {
                    for (field, value) in value.as_object().into_iter().flatten() {
                        if !SERVER_METADATA.contains(&field.as_str()) {
                            let path = vec!["f:metadata".into(), format!("f:{field}")];
                            collect(value, path, &["metadata", field], rules, &mut found);
                        }
                    }
                }
                _ => collect(
                    value,
                    vec![format!("f:{field}")],
                    &[field],
                    rules,
                    &mut found,
                ),
            }
        }
    }
    found
}

fn collect(
    value: &Value,
    path: Path,
    names: &[&str],
    rules: &ListRules,
    found: &mut BTreeMap<Path, Option<Value>>,
) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            for (field, inner) in map {
                let mut path = path.clone();
                path.push(format!("f:{field}"));
                let mut names = names.to_vec();
                names.push(field);
                collect(inner, path, &names, rules, found);
            }
        }
        Value::Array(items) => match rules.list_type(names, items) {
            ListType::Atomic => {
                found.insert(path, Some(value.clone()));
            }
            ListType::Set => {
                for item in items {
                    let mut path = path.clone();
                    path.push(format!("v:{item}"));
                    found.insert(path, None);
                }
            }
            ListType::Map(keys) => {
                for item in items {
                    let mut path = path.clone();
                    path.push(item_step(item, &keys));
                    found.insert(path.clone(), None);
                    for (field, inner) in item.as_object().into_iter().flatten() {
                        let mut path = path.clone();
                        path.push(format!("f:{field}"));
                        let mut names = names.to_vec();
                        names.push(field);
                        collect(inner, path, &names, rules, found);
                    }
                }
            }
        },
        _ => {
            found.insert(path, Some(value.clone()));
        }
    }
}

/// `k:{"name":"x"}` for an item of a keyed list.
pub(crate) fn item_step(item: &Value, keys: &[String]) -> String {
    let key: BTreeMap<&str, Value> = keys
        .iter()
        .map(|key| (key.as_str(), rules::key_of(item, key)))
        .collect();
    format!("k:{}", serde_json::json!(key))
}

/// Paths whose value differs: `(added or changed, removed)`.
pub(crate) fn difference(
    old: &BTreeMap<Path, Option<Value>>,
    new: &BTreeMap<Path, Option<Value>>,
) -> (FieldSet, FieldSet) {
    let changed = new
        .iter()
        .filter(|(path, value)| old.get(*path) != Some(value));
    let removed = old.keys().filter(|path| !new.contains_key(*path));
    (
        changed.map(|(path, _)| path.clone()).collect(),
        removed.cloned().collect(),
    )
}

/// A field set as `fieldsV1`.
pub(crate) fn to_fields_v1(set: &FieldSet) -> Value {
    let mut root = Map::new();
    for path in set {
        let mut node = &mut root;
        for step in path {
            let inner = node
                .entry(step.clone())
                .or_insert_with(|| Value::Object(Map::new()));
            node = crate::object::as_map(inner);
        }
        node.insert(".".into(), Value::Object(Map::new()));
    }
    let mut root = Value::Object(root);
    drop_lonely_dots(&mut root);
    root
}

/// A place without places below it is written `{}`, not `{".": {}}`.
fn drop_lonely_dots(node: &mut Value) {
    if let Value::Object(map) = node {
        if map.len() == 1 && map.contains_key(".") {
            map.clear();
        }
        for (step, inner) in map.iter_mut() {
            if step != "." {
                drop_lonely_dots(inner);
            }
        }
    }
}

/// The inverse of [`to_fields_v1`].
pub(crate) fn from_fields_v1(fields: &Value) -> FieldSet {
    fn walk(node: &Value, path: &mut Path, set: &mut FieldSet) {
        let Value::Object(map) = node else { return };
        if (map.is_empty() || map.contains_key(".")) && !path.is_empty() {
            set.insert(path.clone());
        }
        for (step, inner) in map {
            if step != "." {
                path.push(step.clone());
                walk(inner, path, set);
                path.pop();
            }
        }
    }
    let mut set = FieldSet::new();
    walk(fields, &mut Path::new(), &mut set);
    set
}

/// `.spec.containers[name="x"].image` for messages.
pub(crate) fn readable(path: &Path) -> String {
    let mut text = String::new();
    for step in path {
        if let Some(field) = step.strip_prefix("f:") {
            text.push('.');
            text.push_str(field);
        } else if let Some(key) = step.strip_prefix("k:") {
            let key: Map<String, Value> = serde_json::from_str(key).unwrap_or_default();
            let key: Vec<String> = key
                .iter()
                .map(|(name, value)| format!("{name}={value}"))
                .collect();
            text.push('[');
            text.push_str(&key.join(","));
            text.push(']');
        } else if let Some(value) = step.strip_prefix("v:") {
            text.push_str("[=");
            text.push_str(value);
            text.push(']');
        }
    }
    text
}
