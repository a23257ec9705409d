//! One text for one JSON value, whatever the database did to its spelling.
//!
//! `jsonb` keeps neither member order nor the spelling of numbers, so a hash over what was sent would
//! not match what is read back. Members are sorted, and a number is written by its value.

use std::fmt::Write as _;

use serde_json::{Number, Value};

/// Appends the canonical text of a value.
pub(crate) fn write(value: &Value, out: &mut String) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
        Value::Number(number) => write_number(number, out),
        Value::String(text) => write_text(text, out),
        Value::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write(item, out);
            }
            out.push(']');
        }
        Value::Object(members) => {
            let mut sorted: Vec<(&String, &Value)> = members.iter().collect();
            sorted.sort_unstable_by_key(|(name, _)| *name);
            out.push('{');
            for (index, (name, member)) in sorted.into_iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write_text(name, out);
                out.push(':');
                write(member, out);
            }
            out.push('}');
        }
    }
}

/// Plain digits, as few as tell the double apart: the database prints `1e3` as `1000` and drops the sign
/// of zero.
fn write_number(number: &Number, out: &mut String) {
    let written = match (number.is_f64(), number.as_f64()) {
        (true, Some(double)) => write!(out, "{}", double + 0.0),
        _ => write!(out, "{number}"),
    };
    written.expect("writing to a string cannot fail");
}

/// Appends a text with quotes, so that it cannot run into what follows.
pub(crate) fn write_text(text: &str, out: &mut String) {
    write!(out, "{}", Value::from(text)).expect("writing to a string cannot fail");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(value: &Value) -> String {
        let mut out = String::new();
        write(value, &mut out);
        out
    }

    #[test]
    fn member_order_does_not_matter() {
        let one: Value = serde_json::from_str(r#"{"b":1,"a":{"d":2,"c":3}}"#).unwrap();
        assert_eq!(text(&one), r#"{"a":{"c":3,"d":2},"b":1}"#);
    }

    #[test]
    fn a_number_is_its_value() {
        let read = |spelling: &str| text(&serde_json::from_str::<Value>(spelling).unwrap());
        assert_eq!(read("1e3"), read("1000"));
        assert_eq!(read("1.0"), read("1"));
        assert_eq!(read("-0.0"), read("0"));
        assert_eq!(read("1e21"), read("1000000000000000000000"));
        assert_eq!(read("1.2345678901234568e18"), read("1234567890123456800"));
        assert_ne!(read("9007199254740993"), read("9007199254740992"));
        assert_ne!(read("0.1"), read("0.2"));
    }
}
