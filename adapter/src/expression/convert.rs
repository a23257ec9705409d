//! Between native values and CEL's.

use std::collections::HashMap;
use std::sync::Arc;

use cel::Value as CelValue;
use cel::objects::{Key, Map, OptionalValue};
use serde_json::{Number, Value};

use super::{Evaluated, SoftError};

/// A native value as CEL's: integers are ints, floats are doubles.
pub(super) fn to_cel(value: &Value) -> CelValue {
    match value {
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
        Value::Object(map) => {
            let entries: HashMap<Key, CelValue> = map
                .iter()
                .map(|(key, value)| (Key::from(key.as_str()), to_cel(value)))
                .collect();
            CelValue::Map(Map {
                map: Arc::new(entries),
            })
        }
    }
}

/// The result of an evaluation as a native value.
pub(super) fn from_cel(value: &CelValue) -> Result<Evaluated, SoftError> {
    if let Ok(optional) = <&OptionalValue>::try_from(value) {
        return match optional.value() {
            None => Ok(Evaluated::Nothing),
            Some(inner) => from_cel(inner),
        };
    }
    native(value).map(Evaluated::Value)
}

fn unrepresentable(what: impl std::fmt::Display) -> SoftError {
    SoftError {
        message: format!("{what} has no JSON form"),
    }
}

/// A CEL value as a native value; an absent optional inside a collection becomes null.
pub(super) fn native(value: &CelValue) -> Result<Value, SoftError> {
    Ok(match value {
        CelValue::Null => Value::Null,
        CelValue::Bool(flag) => Value::Bool(*flag),
        CelValue::Int(integer) => Value::Number(Number::from(*integer)),
        CelValue::UInt(integer) => Value::Number(Number::from(*integer)),
        CelValue::Float(float) => Number::from_f64(*float)
            .map(Value::Number)
            .ok_or_else(|| unrepresentable(float))?,
        CelValue::String(text) => Value::String(text.to_string()),
        CelValue::List(items) => Value::Array(items.iter().map(native).collect::<Result<_, _>>()?),
        CelValue::Map(map) => {
            let mut object = serde_json::Map::new();
            for (key, value) in map.map.iter() {
                object.insert(key.to_string(), native(value)?);
            }
            Value::Object(object)
        }
        CelValue::Timestamp(time) => {
            Value::String(time.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true))
        }
        CelValue::Duration(duration) => duration
            .num_nanoseconds()
            .map(|nanoseconds| Value::Number(Number::from(nanoseconds)))
            .ok_or_else(|| unrepresentable(duration))?,
        CelValue::Opaque(_) => match <&OptionalValue>::try_from(value) {
            Ok(optional) => optional.value().map_or(Ok(Value::Null), native)?,
            Err(_) => return Err(unrepresentable(format!("{value:?}"))),
        },
        other => return Err(unrepresentable(format!("{other:?}"))),
    })
}
