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
/// `generation + 1` would then fail for want of an overload).
pub(crate) fn to_cel(json: &Value) -> CelValue {
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

/// A CEL value that JSON cannot express.
#[derive(Debug, thiserror::Error, Clone, PartialEq, Eq)]
#[error("a {what} has no JSON form")]
pub(crate) struct NoJson {
    what: String,
}

fn no_json(what: impl Into<String>) -> NoJson {
    NoJson { what: what.into() }
}

/// CEL as JSON; nothing for an absent optional. Times are RFC 3339, durations nanoseconds, bytes base64.
pub(crate) fn from_cel(value: &CelValue) -> Result<Option<Value>, NoJson> {
    if let Ok(optional) = <&OptionalValue>::try_from(value) {
        return optional.value().map_or(Ok(None), from_cel);
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
                .map(|item| Ok(from_cel(item)?.unwrap_or_default()));
            Value::Array(items.collect::<Result<_, NoJson>>()?)
        }
        CelValue::Map(map) => {
            let mut fields = serde_json::Map::new();
            for (key, field) in map.map.iter() {
                if let Some(json) = from_cel(field)? {
                    fields.insert(key.to_string(), json);
                }
            }
            Value::Object(fields)
        }
        other => return Err(no_json(other.type_of().to_string())),
    };
    Ok(Some(json))
}
