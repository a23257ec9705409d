//! Flags and environment variables over the `AdapterConfig` file: flag > environment > file >
//! default.

use std::collections::BTreeMap;

use super::overrides::SETTINGS;
use super::reader::join;
use crate::yaml::{Entry, Node, NodeKind, Position, Scalar};

/// The document with the environment and then the flags applied; an empty variable counts as
/// unset.
pub(super) fn apply(
    document: &Node,
    environment: &BTreeMap<String, String>,
    flags: &[(String, String)],
) -> Node {
    let mut document = document.clone();
    override_present(&mut document, "", environment);
    for setting in SETTINGS {
        let value = environment.get(setting.variable);
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            set(&mut document, setting.key, &normalized(setting.key, value));
        }
    }
    for (key, value) in flags {
        set(&mut document, key, &normalized(key, value));
    }
    document
}

/// Levels and formats are understood in capitals too.
fn normalized(key: &str, value: &str) -> String {
    match key {
        "log.level" | "log.format" => value.to_lowercase(),
        _ => value.to_owned(),
    }
}

/// Any key that the file has is overridden by `HYPERFLEET_` and its upper-cased path.
fn override_present(node: &mut Node, path: &str, environment: &BTreeMap<String, String>) {
    match &mut node.kind {
        NodeKind::Mapping(entries) => {
            for entry in entries {
                override_present(&mut entry.value, &join(path, &entry.key), environment);
            }
        }
        NodeKind::Scalar(scalar) => {
            let variable = format!(
                "HYPERFLEET_{}",
                path.replace(['.', '-'], "_").to_uppercase()
            );
            if let Some(value) = environment.get(&variable).filter(|value| !value.is_empty()) {
                *scalar = plain(value);
            }
        }
        NodeKind::Sequence(_) => {}
    }
}

fn plain(text: &str) -> Scalar {
    Scalar {
        text: text.to_owned(),
        plain: true,
        tag: None,
    }
}

/// Sets a key, creating the mappings on the way.
fn set(node: &mut Node, path: &str, value: &str) {
    let (key, rest) = path
        .split_once('.')
        .map_or((path, None), |(key, rest)| (key, Some(rest)));
    if !matches!(node.kind, NodeKind::Mapping(_)) {
        node.kind = NodeKind::Mapping(Vec::new());
    }
    let position = node.position;
    let NodeKind::Mapping(entries) = &mut node.kind else {
        return;
    };
    let index = entries
        .iter()
        .position(|entry| entry.key == key)
        .unwrap_or_else(|| {
            entries.push(empty_entry(key, position));
            entries.len() - 1
        });
    let entry = &mut entries[index];
    match rest {
        Some(rest) => set(&mut entry.value, rest, value),
        None => entry.value.kind = NodeKind::Scalar(plain(value)),
    }
}

fn empty_entry(key: &str, position: Position) -> Entry {
    Entry {
        key: key.to_owned(),
        position,
        value: Node {
            position,
            kind: NodeKind::Mapping(Vec::new()),
        },
    }
}
