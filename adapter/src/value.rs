//! The values that flow through an execution.
//!
//! `serde_json::Value` is the carrier, with one convention: an integer number is Go's `int64`, a
//! float number is Go's `float64`. JSON that came over HTTP holds floats only (see
//! [`from_http`]), because the DSL's operators, CEL overloads and printing depend on that.

pub(crate) use hyperfleet_expression::go_json::escape_unicode;
use hyperfleet_expression::go_json::sorted;
pub use hyperfleet_expression::go_json::{print_number, to_text as to_json};
use serde_json::{Number, Value};

/// Turns every number of a decoded HTTP body or event into a float, as an untyped Go decoder does.
pub fn from_http(value: Value) -> Value {
    match value {
        Value::Number(number) => number
            .as_f64()
            .and_then(Number::from_f64)
            .map_or(Value::Null, Value::Number),
        Value::Array(items) => Value::Array(items.into_iter().map(from_http).collect()),
        Value::Object(map) => Value::Object(
            map.into_iter()
                .map(|(key, value)| (key, from_http(value)))
                .collect(),
        ),
        other => other,
    }
}

/// A float by Go's `%v`: the shortest form, with an exponent below 1e-4 and from 1e6 on.
pub fn print_float(float: f64) -> String {
    if float == 0.0 {
        return "0".to_owned();
    }
    if !float.is_finite() {
        return if float.is_nan() {
            "NaN".to_owned()
        } else if float > 0.0 {
            "+Inf".to_owned()
        } else {
            "-Inf".to_owned()
        };
    }
    let text = format!("{float:e}");
    let Some((mantissa, exponent)) = text.split_once('e') else {
        return text;
    };
    let exponent: i32 = exponent.parse().unwrap_or_default();
    if (-4..GO_EXPONENT_LIMIT).contains(&exponent) {
        return format!("{float}");
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{mantissa}e{sign}{:02}", exponent.abs())
}

/// From this decimal exponent on Go prints a float with an exponent.
const GO_EXPONENT_LIMIT: i32 = 6;

/// A value by Go's default rendering (`%v`): `map[a:1 b:2]`, `[a b]`, `<nil>`.
pub fn print(value: &Value) -> String {
    match value {
        Value::Null => "<nil>".to_owned(),
        Value::Bool(flag) => flag.to_string(),
        Value::String(text) => text.clone(),
        Value::Number(number) => match number.as_f64() {
            Some(float) if number.is_f64() => print_float(float),
            _ => print_number(number),
        },
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(print).collect();
            format!("[{}]", items.join(" "))
        }
        Value::Object(map) => {
            let entries: Vec<String> = sorted(map)
                .into_iter()
                .map(|(key, value)| format!("{key}:{}", print(value)))
                .collect();
            format!("map[{}]", entries.join(" "))
        }
    }
}

/// Follows a dot path through maps; empty segments are ignored.
///
/// # Errors
/// Names the segment that is missing or that is not a map.
pub fn walk<'v>(value: &'v Value, path: &str) -> Result<&'v Value, String> {
    let mut current = value;
    let mut walked = Vec::new();
    for segment in path.split('.').filter(|segment| !segment.is_empty()) {
        let Value::Object(map) = current else {
            let place = if walked.is_empty() {
                "the base value".to_owned()
            } else {
                walked.join(".")
            };
            return Err(format!("{place} is not a map"));
        };
        walked.push(segment);
        current = map
            .get(segment)
            .ok_or_else(|| format!("{} is missing", walked.join(".")))?;
    }
    Ok(current)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn floats_print_as_in_go_templates() {
        let cases = [
            (5.0, "5"),
            (0.5, "0.5"),
            (999_999.0, "999999"),
            (1_000_000.0, "1e+06"),
            (1_234_567.0, "1.234567e+06"),
            (0.00001, "1e-05"),
            (0.0001, "0.0001"),
            (-2.0, "-2"),
            (0.0, "0"),
        ];
        for (float, expected) in cases {
            assert_eq!(print_float(float), expected);
        }
    }

    #[test]
    fn collections_print_as_in_go() {
        assert_eq!(
            print(&json!({"b": 2.0, "a": [1, "x", null]})),
            "map[a:[1 x <nil>] b:2]"
        );
    }

    #[test]
    fn http_numbers_become_floats() {
        let value = from_http(json!({"a": [1, 2.5]}));
        assert!(value["a"][0].is_f64());
    }

    #[test]
    fn walking_names_what_is_missing() {
        let value = json!({"a": {"b": "text"}});
        assert_eq!(walk(&value, "a.b").unwrap(), "text");
        assert_eq!(walk(&value, "a..b").unwrap(), "text");
        assert_eq!(walk(&value, "a.x").unwrap_err(), "a.x is missing");
        assert_eq!(walk(&value, "a.b.c").unwrap_err(), "a.b is not a map");
    }
}
