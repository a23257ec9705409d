//! Between JSON and CEL values.

use std::collections::HashMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cel::Value as CelValue;
use cel::objects::{Key, Map, OptionalValue};
use chrono::SecondsFormat;
use serde_json::{Number, Value};

/// JSON as CEL. Integers become ints (the library's own conversion makes them unsigned, and
/// `generation + 1` would then fail for want of an overload), other numbers doubles.
pub fn to_cel(json: &Value) -> CelValue {
    match json {
        Value::Null => CelValue::Null,
        Value::Bool(flag) => CelValue::Bool(*flag),
        Value::Number(number) => {
            if let Some(integer) = number.as_i64() {
                CelValue::Int(integer)
            } else if let Some(integer) = number.as_u64() {
                CelValue::UInt(integer)
            } else {
                CelValue::Float(number.as_f64().unwrap_or_default())
            }
        }
        Value::String(text) => CelValue::String(Arc::new(text.clone())),
        Value::Array(items) => CelValue::List(Arc::new(items.iter().map(to_cel).collect())),
        Value::Object(fields) => {
            let map: HashMap<Key, CelValue> = fields
                .iter()
                .map(|(key, field)| (Key::from(key.as_str()), to_cel(field)))
                .collect();
            CelValue::Map(Map { map: Arc::new(map) })
        }
    }
}

/// The type of a value, by CEL's name for it.
pub fn type_name(value: &CelValue) -> String {
    match value {
        CelValue::Float(_) => "double".to_owned(),
        other => other.type_of().to_string(),
    }
}

/// What an absent optional becomes as a value of a map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Absent {
    /// The key stays, with null.
    Null,
    /// The key goes.
    Omitted,
}

/// A CEL value that JSON cannot express.
#[derive(Debug, thiserror::Error, Clone, PartialEq, Eq)]
#[error("a {what} has no JSON form")]
pub struct NoJson {
    what: String,
}

fn no_json(what: impl Into<String>) -> NoJson {
    NoJson { what: what.into() }
}

/// CEL as JSON; nothing for an absent optional. Times are RFC 3339, durations nanoseconds, bytes
/// base64. An absent optional in a list becomes null, in a map what `absent` says.
///
/// # Errors
/// When there is no such JSON: a non-finite number, a duration beyond 292 years, a type.
pub fn to_json(value: &CelValue, absent: Absent) -> Result<Option<Value>, NoJson> {
    if let Ok(optional) = <&OptionalValue>::try_from(value) {
        let inner = optional.value();
        return inner.map_or(Ok(None), |inner| to_json(inner, absent));
    }
    let json = match value {
        CelValue::Null => Value::Null,
        CelValue::Bool(flag) => Value::Bool(*flag),
        CelValue::Int(integer) => Value::from(*integer),
        CelValue::UInt(integer) => Value::from(*integer),
        CelValue::Float(float) => {
            Value::Number(Number::from_f64(*float).ok_or_else(|| no_json("non-finite number"))?)
        }
        CelValue::String(text) => Value::String(text.as_ref().clone()),
        CelValue::Bytes(bytes) => Value::String(STANDARD.encode(bytes.as_slice())),
        CelValue::Timestamp(time) => {
            Value::String(time.to_rfc3339_opts(SecondsFormat::AutoSi, true))
        }
        CelValue::Duration(duration) => Value::from(
            duration
                .num_nanoseconds()
                .ok_or_else(|| no_json("duration over 292 years"))?,
        ),
        CelValue::List(items) => {
            let items = items
                .iter()
                .map(|item| Ok(to_json(item, absent)?.unwrap_or_default()));
            Value::Array(items.collect::<Result<_, NoJson>>()?)
        }
        CelValue::Map(map) => {
            let mut fields = serde_json::Map::new();
            for (key, field) in map.map.iter() {
                match (to_json(field, absent)?, absent) {
                    (Some(json), _) => fields.insert(key.to_string(), json),
                    (None, Absent::Null) => fields.insert(key.to_string(), Value::Null),
                    (None, Absent::Omitted) => None,
                };
            }
            Value::Object(fields)
        }
        other => return Err(no_json(type_name(other))),
    };
    Ok(Some(json))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn json_survives_the_way_there_and_back() {
        let json = json!({"a": [1, -2, 2.5, null, true, "x"], "b": {"c": {}}});
        assert_eq!(to_json(&to_cel(&json), Absent::Null), Ok(Some(json)));
        assert!(matches!(to_cel(&json!(3)), CelValue::Int(3)));
    }

    #[test]
    fn an_absent_optional_is_null_or_left_out() {
        let program = cel::Env::stdlib()
            .compile("{'a': optional.none(), 'b': [optional.none()], 'c': optional.of(1)}")
            .unwrap();
        let value = program.execute(&cel::Context::default()).unwrap();
        assert_eq!(
            to_json(&value, Absent::Null),
            Ok(Some(json!({"a": null, "b": [null], "c": 1})))
        );
        assert_eq!(
            to_json(&value, Absent::Omitted),
            Ok(Some(json!({"b": [null], "c": 1})))
        );
    }

    #[test]
    fn what_json_lacks_is_named() {
        let error = to_json(&CelValue::Float(f64::NAN), Absent::Null).unwrap_err();
        assert_eq!(error.to_string(), "a non-finite number has no JSON form");
    }
}
