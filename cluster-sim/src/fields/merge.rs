//! Merging an applied configuration into a live object, and taking fields out again.

use serde_json::{Map, Value};

use super::{ListRules, ListType, Path, item_step};

/// Lays `applied` over `live`: members and keyed items one by one, everything else as a whole.
pub(crate) fn merge(live: &mut Value, applied: &Value, names: &[&str], rules: &ListRules) {
    match (live, applied) {
        (Value::Object(live), Value::Object(applied)) => {
            for (field, value) in applied {
                let mut names = names.to_vec();
                names.push(field);
                match live.get_mut(field) {
                    Some(present) => merge(present, value, &names, rules),
                    None => {
                        live.insert(field.clone(), value.clone());
                    }
                }
            }
        }
        (Value::Array(live), Value::Array(applied)) => merge_list(live, applied, names, rules),
        (live, applied) => *live = applied.clone(),
    }
}

fn merge_list(live: &mut Vec<Value>, applied: &[Value], names: &[&str], rules: &ListRules) {
    match rules.list_type(names, applied) {
        ListType::Atomic => *live = applied.to_vec(),
        ListType::Set => {
            for item in applied {
                if !live.contains(item) {
                    live.push(item.clone());
                }
            }
        }
        ListType::Map(keys) => {
            for item in applied {
                let step = item_step(item, &keys);
                match live
                    .iter_mut()
                    .find(|present| item_step(present, &keys) == step)
                {
                    Some(present) => merge(present, item, names, rules),
                    None => live.push(item.clone()),
                }
            }
        }
    }
}

/// Removes the place at `path`, and the parents that this leaves empty.
pub(crate) fn remove(value: &mut Value, path: &[String]) {
    let Some((step, rest)) = path.split_first() else {
        return;
    };
    match value {
        Value::Object(map) => remove_member(map, step, rest),
        Value::Array(items) => {
            let Some(index) = items.iter().position(|item| is_item(item, step)) else {
                return;
            };
            if rest.is_empty() {
                items.remove(index);
            } else {
                remove(&mut items[index], rest);
            }
        }
        _ => {}
    }
}

fn remove_member(map: &mut Map<String, Value>, step: &str, rest: &[String]) {
    let Some(field) = step.strip_prefix("f:") else {
        return;
    };
    if rest.is_empty() {
        map.remove(field);
        return;
    }
    let Some(inner) = map.get_mut(field) else {
        return;
    };
    remove(inner, rest);
    let emptied = match inner {
        Value::Object(map) => map.is_empty(),
        Value::Array(items) => items.is_empty(),
        _ => false,
    };
    if emptied {
        map.remove(field);
    }
}

fn is_item(item: &Value, step: &str) -> bool {
    if let Some(key) = step.strip_prefix("k:") {
        let key: Map<String, Value> = serde_json::from_str(key).unwrap_or_default();
        !key.is_empty()
            && key
                .iter()
                .all(|(name, value)| super::rules::key_of(item, name) == *value)
    } else if let Some(value) = step.strip_prefix("v:") {
        format!("{item}") == value
    } else {
        false
    }
}

/// Kubernetes' strategic merge: like a JSON merge patch, but keyed lists merge item by item (`$patch: delete` removes one).
pub(crate) fn strategic(live: &mut Value, patch: &Value, names: &[&str], rules: &ListRules) {
    match (live, patch) {
        (Value::Object(live), Value::Object(patch)) => {
            if patch.get("$patch").and_then(Value::as_str) == Some("replace") {
                live.clone_from(patch);
                live.remove("$patch");
                return;
            }
            for (field, value) in patch {
                if value.is_null() {
                    live.remove(field);
                    continue;
                }
                if field.starts_with('$') {
                    continue;
                }
                let mut names = names.to_vec();
                names.push(field);
                let absent = if value.is_array() {
                    Value::Array(Vec::new())
                } else {
                    Value::Null
                };
                strategic(
                    live.entry(field.clone()).or_insert(absent),
                    value,
                    &names,
                    rules,
                );
            }
        }
        (Value::Array(live), Value::Array(patch)) => {
            let ListType::Map(keys) = rules.list_type(names, patch) else {
                live.clone_from(patch);
                return;
            };
            for item in patch {
                let step = item_step(item, &keys);
                let index = live
                    .iter()
                    .position(|present| item_step(present, &keys) == step);
                let delete = item.get("$patch").and_then(Value::as_str) == Some("delete");
                match (index, delete) {
                    (Some(index), true) => {
                        live.remove(index);
                    }
                    (Some(index), false) => strategic(&mut live[index], item, names, rules),
                    (None, true) => {}
                    (None, false) => live.push(item.clone()),
                }
            }
        }
        (live, Value::Object(_)) => {
            *live = Value::Object(Map::new());
            strategic(live, patch, names, rules);
        }
        (live, patch) => *live = patch.clone(),
    }
}

/// Drops members that are null: applying null says nothing about a field.
pub(crate) fn strip_nulls(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|_, inner| !inner.is_null());
            map.values_mut().for_each(strip_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(strip_nulls),
        _ => {}
    }
}

/// True when `path` is `ancestor` or lies below it.
pub(crate) fn within(path: &Path, ancestor: &Path) -> bool {
    path.len() >= ancestor.len() && path[..ancestor.len()] == ancestor[..]
}
