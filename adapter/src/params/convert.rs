//! The `type` of a parameter.

use serde_json::{Number, Value};

use crate::value::{print, print_number};

/// Converts `value`; names the problem when it cannot.
pub(super) fn to_type(value: &Value, kind: &str) -> Result<Value, String> {
    match kind {
        "string" => Ok(Value::String(to_text(value))),
        "int" | "int64" => to_integer(value).map(|integer| Value::Number(Number::from(integer))),
        "float" | "float64" => to_float(value).and_then(|float| {
            Number::from_f64(float)
                .map(Value::Number)
                .ok_or_else(|| format!("{float} is not a finite number"))
        }),
        "bool" => to_flag(value).map(Value::Bool),
        _ => Err(format!(
            "unknown type {kind:?}; use string, int, int64, float, float64 or bool"
        )),
    }
}

fn to_text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        // Shortest decimal without an exponent, unlike Go's default rendering.
        Value::Number(number) if number.is_f64() => {
            format!("{}", number.as_f64().unwrap_or_default())
        }
        Value::Number(number) => print_number(number),
        other => print(other),
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "floats are truncated to integers by contract; out-of-range ones saturate"
)]
fn to_integer(value: &Value) -> Result<i64, String> {
    match value {
        Value::String(text) => text
            .parse::<i64>()
            .or_else(|_| text.parse::<f64>().map(|float| float as i64))
            .map_err(|_| format!("{text:?} is not a number")),
        Value::Number(number) => number
            .as_i64()
            .or_else(|| number.as_f64().map(|float| float as i64))
            .ok_or_else(|| format!("{number} is out of range")),
        Value::Bool(flag) => Ok(i64::from(*flag)),
        other => Err(format!("{} cannot become an integer", shape(other))),
    }
}

fn to_float(value: &Value) -> Result<f64, String> {
    match value {
        Value::String(text) => text
            .parse()
            .map_err(|_| format!("{text:?} is not a number")),
        Value::Number(number) => number
            .as_f64()
            .ok_or_else(|| format!("{number} is out of range")),
        Value::Bool(flag) => Ok(f64::from(u8::from(*flag))),
        other => Err(format!("{} cannot become a float", shape(other))),
    }
}

fn to_flag(value: &Value) -> Result<bool, String> {
    match value {
        Value::String(text) => text_flag(text),
        Value::Number(number) => Ok(number.as_f64().is_some_and(|float| float != 0.0)),
        Value::Bool(flag) => Ok(*flag),
        other => Err(format!("{} cannot become a boolean", shape(other))),
    }
}

fn text_flag(text: &str) -> Result<bool, String> {
    match text {
        "1" | "t" | "T" | "true" | "True" | "TRUE" => return Ok(true),
        "0" | "f" | "F" | "false" | "False" | "FALSE" | "" => return Ok(false),
        _ => {}
    }
    match text.to_ascii_lowercase().as_str() {
        "yes" | "y" | "on" => Ok(true),
        "no" | "n" | "off" => Ok(false),
        _ => Err(format!("{text:?} is not a boolean")),
    }
}

fn shape(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Array(_) => "a list",
        Value::Object(_) => "a map",
        Value::Bool(_) | Value::Number(_) | Value::String(_) => "a scalar",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn conversions_follow_the_table() {
        let cases = [
            (json!("x"), "string", Ok(json!("x"))),
            (json!(5.0), "string", Ok(json!("5"))),
            (json!(1_000_000.0), "string", Ok(json!("1000000"))),
            (json!(7), "string", Ok(json!("7"))),
            (json!(true), "string", Ok(json!("true"))),
            (json!({"a": 1}), "string", Ok(json!("map[a:1]"))),
            (json!(["a", "b"]), "string", Ok(json!("[a b]"))),
            (json!("12"), "int", Ok(json!(12))),
            (json!("3.9"), "int", Ok(json!(3))),
            (json!(5.0), "int64", Ok(json!(5))),
            (json!(true), "int", Ok(json!(1))),
            (json!("2.5"), "float", Ok(json!(2.5))),
            (json!(2), "float64", Ok(json!(2.0))),
            (json!("Yes"), "bool", Ok(json!(true))),
            (json!("off"), "bool", Ok(json!(false))),
            (json!(""), "bool", Ok(json!(false))),
            (json!(0.0), "bool", Ok(json!(false))),
            (json!(2.0), "bool", Ok(json!(true))),
        ];
        for (value, kind, expected) in cases {
            assert_eq!(to_type(&value, kind), expected, "{value} to {kind}");
        }
    }

    #[test]
    fn what_cannot_be_converted_is_named() {
        for (value, kind) in [
            (json!("abc"), "int"),
            (json!("tRUE"), "bool"),
            (json!([1]), "int"),
            (json!({}), "float"),
            (json!("5"), "integer"),
        ] {
            assert!(to_type(&value, kind).is_err(), "{value} to {kind}");
        }
    }
}
