//! Refuses what cannot be stored, before it can spoil a batch.

use std::collections::HashSet;

use serde_json::Value;

use crate::append::{Append, AppendError};
use crate::receipt::Receipt;

/// Deepest nesting of a stored value. JSON parsers, this store's included, commonly stop at 128; what
/// could be written but not read again would make its stream useless. The rest is for who wraps it.
const MAXIMUM_DEPTH: usize = 100;

pub(crate) fn check(appends: &[Append]) -> Result<(), AppendError> {
    let invalid = |reason: String| Err(AppendError::Invalid { reason });
    if appends.is_empty() {
        return invalid("it has no stream".to_owned());
    }
    let mut streams = HashSet::new();
    let mut claims = HashSet::new();
    for append in appends {
        if !streams.insert(&append.stream) {
            return invalid(format!("stream {} occurs twice", append.stream));
        }
        if append.expected == 0 && append.events.is_empty() {
            // Nothing could be locked that keeps another process from creating the stream.
            return invalid(format!(
                "stream {} must not exist and gets no event",
                append.stream
            ));
        }
        if let Some(key) = append.claims.iter().find(|key| !claims.insert(*key)) {
            return invalid(format!("the key {key:?} is claimed twice"));
        }
        if let Some(what) = nul_in_texts(append) {
            return invalid(format!(
                "stream {:?}: {what} has a NUL character",
                append.stream.aggregate_id
            ));
        }
        let values = append
            .events
            .iter()
            .flat_map(|event| [&event.payload, &event.metadata])
            .chain(&append.snapshot);
        for value in values {
            if let Some(fault) = unstorable(value, MAXIMUM_DEPTH) {
                return invalid(format!("stream {}: {fault}", append.stream));
            }
        }
    }
    Ok(())
}

/// Refuses a receipt that cannot be stored or read again.
pub(crate) fn receipt(receipt: &Receipt) -> Result<(), AppendError> {
    let fault = if receipt.key.contains('\0') {
        Some("its key has a NUL character".to_owned())
    } else {
        unstorable(&receipt.value, MAXIMUM_DEPTH)
    };
    fault.map_or(Ok(()), |fault| {
        Err(AppendError::Invalid {
            reason: format!("the receipt: {fault}"),
        })
    })
}

fn nul_in_texts(append: &Append) -> Option<&'static str> {
    let has_nul = |text: &String| text.contains('\0');
    if has_nul(&append.stream.aggregate_type) || has_nul(&append.stream.aggregate_id) {
        return Some("its id");
    }
    if append.claims.iter().chain(&append.releases).any(has_nul) {
        return Some("a key");
    }
    append
        .events
        .iter()
        .any(|event| has_nul(&event.event_type) || has_nul(&event.event_version))
        .then_some("an event type or version")
}

/// Why a value cannot be stored and read again, and where in it.
fn unstorable(value: &Value, depth: usize) -> Option<String> {
    find(value, depth, &mut String::new())
}

fn find(value: &Value, depth: usize, path: &mut String) -> Option<String> {
    let nested = |name: &str, member: &Value, path: &mut String| {
        let length = path.len();
        path.push('/');
        path.push_str(name);
        let found = find(member, depth.checked_sub(1)?, path);
        path.truncate(length);
        found
    };
    match value {
        Value::Array(_) | Value::Object(_) if depth == 0 => Some(format!(
            "the value is nested deeper than {MAXIMUM_DEPTH} levels at {path}"
        )),
        Value::String(text) => text
            .contains('\0')
            .then(|| format!("the text at {path} has a NUL character")),
        Value::Array(items) => items
            .iter()
            .enumerate()
            .find_map(|(index, item)| nested(&index.to_string(), item, path)),
        Value::Object(members) => members.iter().find_map(|(name, member)| {
            if name.contains('\0') {
                let name = name.escape_default();
                return Some(format!("the name {path}/{name} has a NUL character"));
            }
            nested(name, member, path)
        }),
        Value::Null | Value::Bool(_) | Value::Number(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn nested(levels: usize) -> Value {
        (0..levels).fold(json!(1), |inner, _| json!([inner]))
    }

    #[test]
    fn a_nul_character_is_found_where_it_is() {
        assert_eq!(
            unstorable(&json!({"a": ["x", {"b": "y\0"}]}), MAXIMUM_DEPTH).as_deref(),
            Some("the text at /a/1/b has a NUL character")
        );
        assert_eq!(
            unstorable(&json!({"a": {"b\0": 1}}), MAXIMUM_DEPTH).as_deref(),
            Some("the name /a/b\\u{0} has a NUL character")
        );
        assert_eq!(unstorable(&json!({"a": "ü"}), MAXIMUM_DEPTH), None);
    }

    #[test]
    fn what_could_not_be_read_again_is_refused() {
        assert_eq!(unstorable(&nested(MAXIMUM_DEPTH), MAXIMUM_DEPTH), None);
        let fault = unstorable(&nested(MAXIMUM_DEPTH + 1), MAXIMUM_DEPTH).unwrap();
        assert!(fault.contains("deeper than 100 levels at /0/0"), "{fault}");
    }
}
