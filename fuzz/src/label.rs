//! Labels: the rule accepts exactly what Kubernetes' published patterns accept.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use hyperfleet_domain::label;
use hyperfleet_domain::resource::Refusal;
use regex::Regex;

/// Kubernetes' pattern of a label's value and of the name in its key.
static WORD: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)$"));

/// Kubernetes' pattern of the prefix of a key: a DNS subdomain, whose parts have at most 63 characters.
static SUBDOMAIN: LazyLock<Regex> = LazyLock::new(|| {
    let part = "[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?";
    pattern(&format!(r"^{part}(\.{part})*$"))
});

/// The input is a key and a value, separated by a line end.
pub fn check(input: &[u8]) {
    let Ok(text) = str::from_utf8(input) else {
        return;
    };
    let (key, value) = text.split_once('\n').unwrap_or((text, ""));
    let mut expected = Vec::new();
    if !is_key(key) {
        expected.push(("labels".to_owned(), key));
    }
    if !is_value(value) {
        expected.push((format!("labels[{key}]"), value));
    }
    let labels = BTreeMap::from([(key.to_owned(), value.to_owned())]);
    let errors = match label::check(&labels) {
        Ok(()) => Vec::new(),
        Err(Refusal::Labels { errors }) => errors,
        Err(other) => panic!("labels are refused as something else: {other:?}"),
    };
    let told: Vec<(String, &str)> = errors
        .iter()
        .map(|error| {
            assert!(!error.message.is_empty(), "an error says nothing");
            let value = error.value.as_ref().and_then(|value| value.as_str());
            (error.field.clone(), value.unwrap_or_default())
        })
        .collect();
    assert_eq!(told, expected, "key {key:?}, value {value:?}");
}

fn is_key(key: &str) -> bool {
    let parts: Vec<&str> = key.split('/').collect();
    let name_is_right = |name: &str| name.len() <= 63 && WORD.is_match(name);
    let whole_is_right = key.len() <= 255;
    match parts.as_slice() {
        [name] => whole_is_right && name_is_right(name),
        [prefix, name] => {
            let prefix_is_right = prefix.len() <= 253 && SUBDOMAIN.is_match(prefix);
            whole_is_right && prefix_is_right && name_is_right(name)
        }
        _ => false,
    }
}

fn is_value(value: &str) -> bool {
    value.is_empty() || value.len() <= 63 && WORD.is_match(value)
}

fn pattern(text: &str) -> Regex {
    Regex::new(text).expect("a pattern of this file is valid")
}
