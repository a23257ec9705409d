//! Environment variables over the `AdapterConfig` file: flag > environment > file > default. Flags
//! are applied by the command line, which sets the fields of the loaded configuration.

use std::collections::BTreeMap;

use super::reader::join;
use crate::yaml::{Entry, Node, NodeKind, Position, Scalar};

/// Variables with a name of their own, and the key each sets.
const NAMED: [(&str, &str); 21] = [
    ("HYPERFLEET_DEBUG_CONFIG", "debug_config"),
    ("HYPERFLEET_API_BASE_URL", "clients.hyperfleet_api.base_url"),
    ("HYPERFLEET_API_VERSION", "clients.hyperfleet_api.version"),
    ("HYPERFLEET_API_TIMEOUT", "clients.hyperfleet_api.timeout"),
    (
        "HYPERFLEET_API_RETRY_ATTEMPTS",
        "clients.hyperfleet_api.retry_attempts",
    ),
    (
        "HYPERFLEET_API_RETRY_BACKOFF",
        "clients.hyperfleet_api.retry_backoff",
    ),
    (
        "HYPERFLEET_API_BASE_DELAY",
        "clients.hyperfleet_api.base_delay",
    ),
    (
        "HYPERFLEET_API_MAX_DELAY",
        "clients.hyperfleet_api.max_delay",
    ),
    (
        "HYPERFLEET_API_AUTH_TOKEN_PATH",
        "clients.hyperfleet_api.auth.token_path",
    ),
    (
        "HYPERFLEET_API_AUTH_TOKEN_CACHE_TTL",
        "clients.hyperfleet_api.auth.token_cache_ttl",
    ),
    ("BROKER_SUBSCRIPTION_ID", "clients.broker.subscription_id"),
    ("BROKER_TOPIC", "clients.broker.topic"),
    (
        "HYPERFLEET_BROKER_SUBSCRIPTION_ID",
        "clients.broker.subscription_id",
    ),
    ("HYPERFLEET_BROKER_TOPIC", "clients.broker.topic"),
    (
        "HYPERFLEET_KUBERNETES_KUBE_CONFIG_PATH",
        "clients.kubernetes.kube_config_path",
    ),
    (
        "HYPERFLEET_KUBERNETES_API_VERSION",
        "clients.kubernetes.api_version",
    ),
    ("HYPERFLEET_KUBERNETES_QPS", "clients.kubernetes.qps"),
    ("HYPERFLEET_KUBERNETES_BURST", "clients.kubernetes.burst"),
    ("LOG_LEVEL", "log.level"),
    ("LOG_FORMAT", "log.format"),
    ("LOG_OUTPUT", "log.output"),
];

/// Any variable that begins so asks for the Maestro transport.
const MAESTRO: &str = "HYPERFLEET_MAESTRO_";

/// The document with the environment applied; an empty variable counts as unset.
pub(super) fn apply(document: &Node, environment: &BTreeMap<String, String>) -> Node {
    let mut document = document.clone();
    override_present(&mut document, "", environment);
    for (variable, key) in NAMED {
        if let Some(value) = environment.get(variable).filter(|value| !value.is_empty()) {
            let value = if matches!(variable, "LOG_LEVEL" | "LOG_FORMAT") {
                value.to_lowercase()
            } else {
                value.clone()
            };
            set(&mut document, key, &value);
        }
    }
    let maestro = environment
        .iter()
        .find(|(name, value)| name.starts_with(MAESTRO) && !value.is_empty());
    if let Some((name, value)) = maestro {
        let key = name[MAESTRO.len()..].to_lowercase();
        set(&mut document, &format!("clients.maestro.{key}"), value);
    }
    document
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
