//! The condition operators.

use serde_json::Value;

use crate::config::{Condition, Operator};
use crate::value::print;

/// Whether the operator holds; an error is a hard one (a wrong type, not a wrong value).
pub(super) fn holds(
    operator: Operator,
    actual: Option<&Value>,
    expected: &Value,
) -> Result<bool, String> {
    let null = Value::Null;
    let actual = actual.unwrap_or(&null);
    match operator {
        Operator::Equals => Ok(equal(actual, expected)),
        Operator::NotEquals => Ok(!equal(actual, expected)),
        Operator::In => Ok(one_of(actual, expected)),
        Operator::NotIn => Ok(!one_of(actual, expected)),
        Operator::Contains => contains(actual, expected),
        Operator::GreaterThan => compare(actual, expected).map(|(left, right)| left > right),
        Operator::LessThan => compare(actual, expected).map(|(left, right)| left < right),
        Operator::Exists => Ok(match actual {
            Value::Null => false,
            Value::String(text) => !text.is_empty(),
            Value::Array(items) => !items.is_empty(),
            Value::Object(map) => !map.is_empty(),
            Value::Bool(_) | Value::Number(_) => true,
        }),
    }
}

/// Deep equality that keeps Go's number types apart: `5` written in YAML is an `int`, which no
/// value that comes from JSON (`float64`) or a conversion (`int64`) equals.
fn equal(actual: &Value, expected: &Value) -> bool {
    match (actual, expected) {
        (Value::Number(actual), Value::Number(expected)) => {
            actual.is_f64() && expected.is_f64() && actual.as_f64() == expected.as_f64()
        }
        (Value::Array(actual), Value::Array(expected)) => {
            actual.len() == expected.len() && actual.iter().zip(expected).all(|(a, e)| equal(a, e))
        }
        (Value::Object(actual), Value::Object(expected)) => {
            actual.len() == expected.len()
                && actual
                    .iter()
                    .all(|(key, value)| expected.get(key).is_some_and(|e| equal(value, e)))
        }
        _ => actual == expected,
    }
}

fn one_of(actual: &Value, expected: &Value) -> bool {
    expected
        .as_array()
        .is_some_and(|items| items.iter().any(|item| equal(actual, item)))
}

fn contains(actual: &Value, expected: &Value) -> Result<bool, String> {
    match (actual, expected) {
        (Value::String(text), Value::String(part)) => Ok(text.contains(part.as_str())),
        (Value::String(_), _) => Err("contains on a string needs a string value".to_owned()),
        (Value::Array(items), _) => Ok(items.iter().any(|item| equal(item, expected))),
        (Value::Object(map), Value::String(key)) => Ok(map.contains_key(key)),
        (Value::Object(_), _) => Err("contains on a map needs a string value".to_owned()),
        _ => Err(format!("contains does not apply to {}", print(actual))),
    }
}

fn compare(actual: &Value, expected: &Value) -> Result<(f64, f64), String> {
    let number = |value: &Value| {
        value
            .as_f64()
            .ok_or_else(|| format!("{} is not a number", print(value)))
    };
    Ok((number(actual)?, number(expected)?))
}

/// `<field> <operator> <expected> (actual: <actual>)`.
pub(super) fn describe(condition: &Condition, actual: Option<&Value>) -> String {
    format!(
        "{} {} {} (actual: {})",
        condition.field.source(),
        condition.operator.as_str(),
        print(&condition.value),
        actual.map_or_else(|| "<nil>".to_owned(), print)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use Operator::{Contains, Equals, Exists, GreaterThan, In, LessThan, NotEquals, NotIn};
    use serde_json::json;

    #[test]
    fn operators_follow_the_contract() {
        let cases = [
            (Equals, json!("Ready"), json!("Ready"), true),
            (Equals, json!(5.0), json!(5), false),
            (Equals, json!(5.0), json!(5.0), true),
            (Equals, json!(5), json!(5), false),
            (Equals, json!(5), json!(5.0), false),
            (Equals, json!(true), json!(true), true),
            (Equals, json!(null), json!("x"), false),
            (Equals, json!({"a": ["x"]}), json!({"a": ["x"]}), true),
            (NotEquals, json!(5.0), json!(5), true),
            (NotEquals, json!("a"), json!("a"), false),
            (In, json!("a"), json!(["a", "b"]), true),
            (In, json!(null), json!(["a"]), false),
            (NotIn, json!("c"), json!(["a", "b"]), true),
            (Contains, json!("abc"), json!("b"), true),
            (Contains, json!(["a", "b"]), json!("b"), true),
            (Contains, json!({"k": 1}), json!("k"), true),
            (GreaterThan, json!(7.5), json!(7), true),
            (LessThan, json!(7), json!(7.5), true),
            (Exists, json!(0), json!(null), true),
            (Exists, json!(false), json!(null), true),
            (Exists, json!(""), json!(null), false),
            (Exists, json!([]), json!(null), false),
            (Exists, json!({}), json!(null), false),
            (Exists, json!(null), json!(null), false),
        ];
        for (operator, actual, expected, result) in cases {
            assert_eq!(
                holds(operator, Some(&actual), &expected),
                Ok(result),
                "{actual} {operator:?} {expected}"
            );
        }
    }

    #[test]
    fn wrong_types_are_hard_errors() {
        for (operator, actual, expected) in [
            (Contains, json!(null), json!("x")),
            (Contains, json!(5.0), json!("x")),
            (Contains, json!("text"), json!(5)),
            (GreaterThan, json!("7"), json!(7)),
            (LessThan, json!(null), json!(7)),
        ] {
            assert!(holds(operator, Some(&actual), &expected).is_err());
        }
    }
}
