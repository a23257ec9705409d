//! Rules for labels: those of Kubernetes (API contract v1, create).

use std::collections::BTreeMap;

use crate::name::is_dns_label;
use crate::resource::{FieldError, Refusal};

const KEY_MAX: usize = 255;
const PREFIX_MAX: usize = 253;
const PREFIX_SEGMENT_MAX: usize = 63;
const NAME_MAX: usize = 63;
const VALUE_MAX: usize = 63;

/// Checks all labels.
///
/// # Errors
/// [`Refusal::Labels`] with every fault.
pub fn check(labels: &BTreeMap<String, String>) -> Result<(), Refusal> {
    let mut errors = Vec::new();
    for (key, value) in labels {
        if !is_key(key) {
            errors.push(FieldError {
                field: "labels".to_owned(),
                message: "label key must match Kubernetes label format (optional DNS prefix/name, alphanumeric with ._-)".to_owned(),
                value: Some(key.as_str().into()),
                constraint: Some("pattern"),
            });
        }
        if !is_value(value) {
            errors.push(FieldError {
                field: format!("labels[{key}]"),
                message: "label value must be at most 63 chars (alphanumeric with ._-)".to_owned(),
                value: Some(value.as_str().into()),
                constraint: Some("pattern"),
            });
        }
    }
    if errors.is_empty() {
        Ok(())
    } else {
        Err(Refusal::Labels { errors })
    }
}

fn is_key(key: &str) -> bool {
    let (prefix, name) = match key.split_once('/') {
        Some((prefix, name)) => (Some(prefix), name),
        None => (None, key),
    };
    key.len() <= KEY_MAX && prefix.is_none_or(is_prefix) && name.len() <= NAME_MAX && is_word(name)
}

fn is_prefix(prefix: &str) -> bool {
    let is_segment = |segment: &str| segment.len() <= PREFIX_SEGMENT_MAX && is_dns_label(segment);
    prefix.len() <= PREFIX_MAX && prefix.split('.').all(is_segment)
}

fn is_value(value: &str) -> bool {
    value.is_empty() || (value.len() <= VALUE_MAX && is_word(value))
}

/// Letters, digits, `.`, `_` and `-`, with a letter or digit at both ends.
fn is_word(text: &str) -> bool {
    let bytes = text.as_bytes();
    let ends = [bytes.first(), bytes.last()];
    ends.iter()
        .all(|end| end.is_some_and(u8::is_ascii_alphanumeric))
        && bytes
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(labels: &[(&str, &str)]) -> Vec<FieldError> {
        let labels = labels
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect();
        match check(&labels) {
            Err(Refusal::Labels { errors }) => errors,
            other => {
                assert_eq!(other, Ok(()));
                Vec::new()
            }
        }
    }

    #[test]
    fn kubernetes_labels_are_accepted() {
        let labels = [
            ("env", "prod"),
            ("app.kubernetes.io/name", "x"),
            ("e", ""),
            ("A_b.c-1", "X"),
        ];
        assert_eq!(faults(&labels), []);
    }

    #[test]
    fn a_bad_key_is_told_as_the_value_of_labels() {
        let long = [
            "a".repeat(64),
            format!("{}/a", "a".repeat(64)),
            format!("{}/a", "a.".repeat(127)),
        ];
        let mut keys = vec!["bad key", "", "/a", "a/", "a/b/c", "A.b/c", "-a", "a-"];
        keys.extend(long.iter().map(String::as_str));
        for key in keys {
            let faults = faults(&[(key, "v")]);
            assert_eq!(faults.len(), 1, "{key}");
            assert_eq!(faults[0].field, "labels");
            assert_eq!(faults[0].value, Some(key.into()));
            assert_eq!(faults[0].constraint, Some("pattern"));
        }
    }

    #[test]
    fn a_bad_value_is_told_at_its_key() {
        let long = "a".repeat(64);
        for value in ["<script>", "-a", "a b", long.as_str()] {
            let faults = faults(&[("k", value)]);
            assert_eq!(faults.len(), 1, "{value}");
            assert_eq!(faults[0].field, "labels[k]");
            assert_eq!(faults[0].value, Some(value.into()));
        }
    }

    #[test]
    fn every_fault_is_listed() {
        assert_eq!(
            faults(&[("bad key", "bad value"), ("k", "bad value"), ("ok", "ok")]).len(),
            3
        );
    }
}
