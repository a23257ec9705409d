//! From a token's claims to the name of the caller (API contract v1, §7.3).

use regex::Regex;
use serde_json::Value;

/// The claims of a token.
pub(super) type Claims = serde_json::Map<String, Value>;

/// Longest name of a caller, in bytes. It is kept with every event that the caller causes.
pub(super) const MAX_IDENTITY_BYTES: usize = 256;

/// A claim as text, trimmed; with the fallbacks of the names that issuers use for the same thing.
pub(super) fn named(claims: &Claims, claim: &str) -> Option<String> {
    let alternatives: &[&str] = match claim {
        "username" => &["preferred_username"],
        "preferred_username" => &["username"],
        "first_name" => &["given_name"],
        "given_name" => &["first_name"],
        "last_name" => &["family_name"],
        "family_name" => &["last_name"],
        _ => &[],
    };
    let direct = [claim]
        .iter()
        .chain(alternatives)
        .find_map(|name| text(claims, name));
    direct.or_else(|| {
        let full = text(claims, "name")?;
        let (first, last) = full.split_once(char::is_whitespace).unwrap_or((&full, ""));
        let part = match claim {
            "first_name" | "given_name" => first,
            "last_name" | "family_name" => last.trim(),
            _ => "",
        };
        Some(part.to_owned()).filter(|part| !part.is_empty())
    })
}

fn text(claims: &Claims, name: &str) -> Option<String> {
    let text = claims.get(name)?.as_str()?.trim();
    Some(text.to_owned()).filter(|text| !text.is_empty())
}

/// The texts of a claim that has one or a list; numbers and truth values as they are written.
pub(super) fn texts(claims: &Claims, name: &str) -> Vec<String> {
    let text = |value: &Value| match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(_) | Value::Number(_) => Some(value.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    };
    match claims.get(name) {
        Some(Value::Array(values)) => values.iter().filter_map(text).collect(),
        Some(value) => text(value).into_iter().collect(),
        None => Vec::new(),
    }
}

/// Why a text cannot name a caller; `None` when it can.
pub(super) fn unusable(name: &str, pattern: Option<&Regex>) -> Option<String> {
    if name.len() > MAX_IDENTITY_BYTES {
        return Some(format!("it is longer than {MAX_IDENTITY_BYTES} bytes"));
    }
    if name.contains(char::is_control) {
        return Some("it has a control character".to_owned());
    }
    if pattern.is_some_and(|pattern| !pattern.is_match(name)) {
        return Some("it does not match the configured pattern".to_owned());
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn claims(value: Value) -> Claims {
        serde_json::from_value(value).expect("an object")
    }

    #[test]
    fn issuers_use_different_names_for_the_same_claim() {
        let sent = claims(json!({
            "preferred_username": " u ", "given_name": "Ada", "name": "Grace B. Hopper", "n": 5
        }));
        for (claim, expected) in [
            ("username", Some("u")),
            ("preferred_username", Some("u")),
            ("first_name", Some("Ada")),
            ("last_name", Some("B. Hopper")),
            ("family_name", Some("B. Hopper")),
            ("email", None),
            ("n", None),
        ] {
            assert_eq!(named(&sent, claim).as_deref(), expected, "{claim}");
        }
        let single = claims(json!({"name": "Cher"}));
        assert_eq!(named(&single, "first_name").as_deref(), Some("Cher"));
        assert_eq!(named(&single, "last_name"), None);
        assert_eq!(named(&claims(json!({"email": "  "})), "email"), None);
    }

    #[test]
    fn a_name_is_short_printable_and_as_configured() {
        let pattern = Regex::new("@example.com$").expect("a pattern");
        assert_eq!(unusable(&"x".repeat(256), None), None);
        assert!(unusable(&"x".repeat(257), None).is_some());
        assert!(unusable("a\nb", None).is_some());
        assert_eq!(unusable("a@example.com", Some(&pattern)), None);
        assert!(unusable("a@example.org", Some(&pattern)).is_some());
    }
}
