//! Functions that every place with more than plain CEL has.

use cel::{ExecutionError, Value as CelValue};
use serde_json::Value;

use crate::convert::{Absent, to_cel, to_json as to_json_value};
use crate::go_json;

fn json(function: &str, value: &CelValue) -> Result<Value, ExecutionError> {
    let json = to_json_value(value, Absent::Null)
        .map_err(|error| ExecutionError::function_error(function, error))?;
    Ok(json.unwrap_or_default())
}

/// `toJson(x)`: compact JSON text with sorted keys.
///
/// # Errors
/// When the value has no JSON form.
pub fn to_json(value: &CelValue) -> Result<String, ExecutionError> {
    Ok(go_json::to_text(&json("toJson", value)?))
}

/// `dig(x, "a.0.b")`: what is found along a path of keys and list indexes; anything missing on the
/// way is null, never an error.
///
/// # Errors
/// When the value has no JSON form.
pub fn dig(target: &CelValue, path: &str) -> Result<CelValue, ExecutionError> {
    let root = json("dig", target)?;
    let mut current = &root;
    let segments = path.split('.').map(str::trim);
    for segment in segments.filter(|segment| !segment.is_empty()) {
        let next = match current {
            Value::Object(map) => map.get(segment),
            Value::Array(items) => segment
                .parse::<usize>()
                .ok()
                .and_then(|index| items.get(index)),
            _ => None,
        };
        match next {
            Some(value) => current = value,
            None => return Ok(CelValue::Null),
        }
    }
    Ok(to_cel(current))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn digging_finds_or_is_null() {
        let value = to_cel(&json!({"a": [{"b": "x"}], "c": 1.5}));
        let found = |path: &str| dig(&value, path).unwrap();
        assert_eq!(found("a.0.b"), CelValue::from("x"));
        assert_eq!(found(" a . 0 . b "), CelValue::from("x"));
        assert_eq!(found("c"), CelValue::Float(1.5));
        assert_eq!(found(""), value);
        for path in ["a.1", "a.b", "a.0.b.c", "d.e"] {
            assert_eq!(found(path), CelValue::Null, "{path}");
        }
    }

    #[test]
    fn json_text_has_sorted_keys() {
        let value = to_cel(&json!({"b": 1.0, "a": [null, "<"]}));
        assert_eq!(to_json(&value).unwrap(), r#"{"a":[null,"\u003c"],"b":1}"#);
    }
}
