//! What cannot be stored must be refused as what it is: bad input, not a failure.

use hyperfleet_api_types::problem::Fault;
use serde_json::{Map, Value};

use super::unreadable;

/// Refuses a body with a text that PostgreSQL cannot hold: one with a NUL character.
pub(super) fn check(document: &Map<String, Value>) -> Result<(), Fault> {
    match in_members(document) {
        None => Ok(()),
        Some(path) => Err(unreadable(&format!(
            "the text at '{path}' has a NUL character, which cannot be stored"
        ))),
    }
}

fn in_members(members: &Map<String, Value>) -> Option<String> {
    members.iter().find_map(|(name, value)| {
        if name.contains('\0') {
            return Some(name.replace('\0', "\\u0000"));
        }
        in_value(value).map(|path| join(name, &path))
    })
}

/// The path of the first such text inside `value`; empty for the value itself.
fn in_value(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => text.contains('\0').then(String::new),
        Value::Object(members) => in_members(members),
        Value::Array(items) => items.iter().enumerate().find_map(|(index, item)| {
            in_value(item).map(|path| join(&format!("[{index}]"), &path))
        }),
        Value::Null | Value::Bool(_) | Value::Number(_) => None,
    }
}

fn join(parent: &str, path: &str) -> String {
    if path.is_empty() || path.starts_with('[') {
        format!("{parent}{path}")
    } else {
        format!("{parent}.{path}")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_text_is_named_wherever_it_is() {
        for (document, path) in [
            (json!({"a": "x\0"}), "'a'"),
            (json!({"a": {"b": [1, "\0"]}}), "'a.b[1]'"),
            (json!({"a": [{"b\0": 1}]}), "'a[0].b\\u0000'"),
        ] {
            let Value::Object(document) = document else {
                panic!("not an object")
            };
            let fault = check(&document).expect_err(path);
            assert!(fault.detail.contains(path), "{}", fault.detail);
        }
    }
}
