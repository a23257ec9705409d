//! Untyped scalar resolution by the rules of Go's yaml.v3.

use serde_json::{Number, Value};

use super::Scalar;

/// The value of a scalar that goes to an untyped place.
pub(super) fn resolve(scalar: &Scalar) -> Value {
    match scalar.tag.as_deref() {
        Some("str") => return Value::String(scalar.text.clone()),
        Some("int" | "float" | "bool" | "null") => return resolve_plain(&scalar.text),
        _ => {}
    }
    if scalar.plain {
        resolve_plain(&scalar.text)
    } else {
        Value::String(scalar.text.clone())
    }
}

/// The value that unquoted text has in an untyped place.
pub fn resolve_plain(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "true" | "True" | "TRUE" => return Value::Bool(true),
        "false" | "False" | "FALSE" => return Value::Bool(false),
        _ => {}
    }
    let starts_numeric = text.starts_with(|c: char| c.is_ascii_digit() || "+-.".contains(c));
    if !starts_numeric {
        return Value::String(text.to_owned());
    }
    if let Some(timestamp) = timestamp(text) {
        return Value::String(timestamp);
    }
    if let Some(number) = integer(text).or_else(|| float(text)) {
        return Value::Number(number);
    }
    Value::String(text.to_owned())
}

fn integer(text: &str) -> Option<Number> {
    let plain = text.replace('_', "");
    let (negative, digits) = match plain.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, plain.strip_prefix('+').unwrap_or(&plain)),
    };
    let (radix, digits) = if let Some(rest) = strip_any(digits, &["0x", "0X"]) {
        (16, rest)
    } else if let Some(rest) = strip_any(digits, &["0o", "0O"]) {
        (8, rest)
    } else if let Some(rest) = strip_any(digits, &["0b", "0B"]) {
        (2, rest)
    } else if digits.len() > 1 && digits.starts_with('0') {
        (8, &digits[1..])
    } else {
        (10, digits)
    };
    if digits.is_empty() || !digits.chars().all(|c| c.is_digit(radix)) {
        return None;
    }
    let magnitude = u64::from_str_radix(digits, radix).ok()?;
    if negative {
        let signed = i64::try_from(magnitude).ok()?.checked_neg()?;
        return Some(Number::from(signed));
    }
    Some(Number::from(magnitude))
}

fn strip_any<'t>(text: &'t str, prefixes: &[&str]) -> Option<&'t str> {
    prefixes.iter().find_map(|prefix| text.strip_prefix(prefix))
}

fn float(text: &str) -> Option<Number> {
    let plain = text.replace('_', "");
    let unsigned = plain.strip_prefix(['+', '-']).unwrap_or(&plain);
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (unsigned, None),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = |part: &str| part.chars().all(|c| c.is_ascii_digit());
    if (whole.is_empty() && fraction.is_empty()) || !digits(whole) || !digits(fraction) {
        return None;
    }
    if let Some(exponent) = exponent {
        let exponent = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
        if exponent.is_empty() || !digits(exponent) {
            return None;
        }
    }
    Number::from_f64(plain.parse().ok()?)
}

/// A date or date-time as RFC 3339 text; `None` when the text is neither.
fn timestamp(text: &str) -> Option<String> {
    let bytes = text.as_bytes();
    if bytes.len() < 8 || bytes.get(4) != Some(&b'-') {
        return None;
    }
    if let Ok(date) = chrono::NaiveDate::parse_from_str(text, "%Y-%m-%d") {
        return Some(format!("{}T00:00:00Z", date.format("%Y-%m-%d")));
    }
    if let Ok(time) = chrono::DateTime::parse_from_rfc3339(text) {
        return Some(time.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true));
    }
    let time = chrono::NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S%.f").ok()?;
    Some(
        time.and_utc()
            .to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn plain_scalars_resolve_as_yaml_v3_does() {
        let cases = [
            ("yes", json!("yes")),
            ("no", json!("no")),
            ("on", json!("on")),
            ("true", json!(true)),
            ("False", json!(false)),
            ("~", json!(null)),
            ("", json!(null)),
            ("5", json!(5)),
            ("-5", json!(-5)),
            ("5.0", json!(5.0)),
            ("0x10", json!(16)),
            ("010", json!(8)),
            ("0755", json!(493)),
            ("0o17", json!(15)),
            ("1e3", json!(1000.0)),
            ("1_000", json!(1000)),
            (".5", json!(0.5)),
            ("1.2.3", json!("1.2.3")),
            ("4.22.3-multi", json!("4.22.3-multi")),
            ("-", json!("-")),
            ("2024-01-02", json!("2024-01-02T00:00:00Z")),
            ("2024-01-02T03:04:05Z", json!("2024-01-02T03:04:05Z")),
            ("10s", json!("10s")),
            ("nullable", json!("nullable")),
        ];
        for (text, expected) in cases {
            assert_eq!(resolve_plain(text), expected, "{text}");
        }
    }
}
