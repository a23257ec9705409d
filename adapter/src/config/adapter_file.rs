//! The `AdapterConfig` file.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use super::reader::{Fields, Reader};
use super::types::{
    AdapterSettings, ApiSettings, AuthSettings, Backoff, BrokerSettings, KubernetesSettings,
    LogSettings,
};
use super::{environment, maestro_file};
use crate::yaml::{Node, NodeKind};

/// Versions of this binary are compared with the file's by major and minor.
const BINARY_VERSION: &str = env!("CARGO_PKG_VERSION");

pub(super) fn read(
    reader: &mut Reader,
    document: &Node,
    variables: &BTreeMap<String, String>,
    flags: &[(String, String)],
    warnings: &mut Vec<String>,
) -> Option<AdapterSettings> {
    let document = environment::apply(document, variables, flags);
    let root = reader.fields(
        &document,
        "",
        &["adapter", "debug_config", "log", "clients"],
    )?;
    let (name, version) = identity(reader, &root, warnings);
    let log = log(reader, &root);
    let known = ["hyperfleet_api", "broker", "kubernetes", "maestro"];
    let clients = child(reader, &root, "clients", &known);
    let maestro = maestro_file::read(reader, &clients);
    let api = api(reader, &clients);
    let broker = broker(reader, &clients);
    let kubernetes = kubernetes(reader, &clients);
    Some(AdapterSettings {
        name: name?,
        version,
        debug_config: reader.flag(&root, "debug_config").unwrap_or_default(),
        log,
        api,
        broker,
        kubernetes,
        maestro,
    })
}

/// The fields of a mapping; absent or malformed ones are empty.
pub(super) fn child<'n>(
    reader: &mut Reader,
    parent: &Fields<'n>,
    key: &str,
    known: &[&str],
) -> Fields<'n> {
    parent
        .get(key)
        .and_then(|node| reader.fields(node, &parent.path(key), known))
        .unwrap_or_else(|| parent.empty(key))
}

fn identity(
    reader: &mut Reader,
    root: &Fields<'_>,
    warnings: &mut Vec<String>,
) -> (Option<String>, String) {
    let adapter = child(reader, root, "adapter", &["name", "version"]);
    let name = reader.required_text(&adapter, "name");
    let version = reader.text(&adapter, "version").unwrap_or_default();
    match version_matches(&version, BINARY_VERSION) {
        None => warnings.push(format!(
            "adapter.version {version:?} is not a semantic version and was not checked"
        )),
        Some(false) => reader.problem(
            "adapter.version",
            adapter.at("version"),
            format!("adapter version mismatch: config {version} != adapter {BINARY_VERSION}"),
        ),
        Some(true) => {}
    }
    (name, version)
}

/// `None` when the version cannot be compared. Versions of the Go framework (0.2 and its
/// development builds) are accepted: their files are this DSL.
fn version_matches(version: &str, binary: &str) -> Option<bool> {
    if version.is_empty() || binary.starts_with("0.0.0-") {
        return Some(true);
    }
    let pair = |text: &str| -> Option<(u64, u64)> {
        let text = text.strip_prefix('v').unwrap_or(text);
        let core = text.split(['-', '+']).next()?;
        let mut parts = core.split('.');
        let pair = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
        parts.next()?.parse::<u64>().ok()?;
        Some(pair)
    };
    let wanted = pair(version)?;
    let development = wanted == (0, 0);
    Some(development || COMPATIBLE.contains(&wanted) || Some(wanted) == pair(binary))
}

/// Versions of the Go framework whose files this engine reads.
const COMPATIBLE: [(u64, u64); 2] = [(0, 1), (0, 2)];

fn log(reader: &mut Reader, root: &Fields<'_>) -> LogSettings {
    let log = child(reader, root, "log", &["level", "format", "output"]);
    let level = match reader.text(&log, "level").as_deref() {
        Some("debug") => "debug",
        Some("warn" | "warning") => "warn",
        Some("error") => "error",
        _ => "info",
    };
    let mut settings = LogSettings {
        level: level.to_owned(),
        format: "json".to_owned(),
        output: "stdout".to_owned(),
    };
    for (key, slot, allowed) in [
        ("format", &mut settings.format, ["json", "text"]),
        ("output", &mut settings.output, ["stdout", "stderr"]),
    ] {
        let Some(text) = reader.text(&log, key) else {
            continue;
        };
        if allowed.contains(&text.as_str()) {
            *slot = text;
        } else {
            let message = format!("{text:?} is not one of {}", allowed.join(", "));
            reader.problem(log.path(key), log.at(key), message);
        }
    }
    settings
}

const API_KEYS: [&str; 9] = [
    "base_url",
    "version",
    "timeout",
    "retry_attempts",
    "retry_backoff",
    "base_delay",
    "max_delay",
    "default_headers",
    "auth",
];

fn api(reader: &mut Reader, clients: &Fields<'_>) -> ApiSettings {
    let mut settings = ApiSettings {
        base_url: String::new(),
        version: "v1".to_owned(),
        timeout: Duration::from_secs(10),
        retry_attempts: 3,
        retry_backoff: Backoff::Exponential,
        base_delay: Duration::from_secs(1),
        max_delay: Duration::from_secs(30),
        default_headers: BTreeMap::new(),
        auth: None,
    };
    let api = child(reader, clients, "hyperfleet_api", &API_KEYS);
    settings.base_url = reader.text(&api, "base_url").unwrap_or_default();
    if let Some(version) = reader.text(&api, "version").filter(|text| !text.is_empty()) {
        settings.version = version;
    }
    for (key, slot) in [
        ("timeout", &mut settings.timeout),
        ("base_delay", &mut settings.base_delay),
        ("max_delay", &mut settings.max_delay),
    ] {
        if let Some(duration) = reader.duration(&api, key) {
            *slot = duration;
        }
    }
    if let Some(attempts) = reader.number::<u32>(&api, "retry_attempts", "a whole number")
        && attempts > 0
    {
        settings.retry_attempts = attempts;
    }
    if let Some(name) = reader
        .text(&api, "retry_backoff")
        .filter(|text| !text.is_empty())
    {
        match Backoff::from_name(&name) {
            Some(backoff) => settings.retry_backoff = backoff,
            None => reader.problem(
                api.path("retry_backoff"),
                api.at("retry_backoff"),
                format!(
                    "invalid retry backoff strategy {name:?}; use exponential, linear or constant"
                ),
            ),
        }
    }
    settings.default_headers = headers(reader, &api);
    settings.auth = auth(reader, &api);
    settings
}

fn headers(reader: &mut Reader, api: &Fields<'_>) -> BTreeMap<String, String> {
    let mut headers = BTreeMap::new();
    let path = api.path("default_headers");
    let Some(node) = api.get("default_headers") else {
        return headers;
    };
    let Some(fields) = reader.open(node, &path) else {
        return headers;
    };
    if let NodeKind::Mapping(entries) = &node.kind {
        for entry in entries {
            if let Some(value) = reader.text(&fields, &entry.key) {
                headers.insert(entry.key.to_lowercase(), value);
            }
        }
    }
    headers
}

fn auth(reader: &mut Reader, api: &Fields<'_>) -> Option<AuthSettings> {
    api.get("auth")?;
    let auth = child(reader, api, "auth", &["token_path", "token_cache_ttl"]);
    let token_path = PathBuf::from(reader.required_text(&auth, "token_path")?);
    if !token_path.is_absolute() {
        reader.problem(
            auth.path("token_path"),
            auth.at("token_path"),
            "the token path must be absolute",
        );
    }
    Some(AuthSettings {
        token_path,
        token_cache_ttl: reader
            .duration(&auth, "token_cache_ttl")
            .unwrap_or_default(),
    })
}

fn broker(reader: &mut Reader, clients: &Fields<'_>) -> BrokerSettings {
    let broker = child(reader, clients, "broker", &["subscription_id", "topic"]);
    let mut named = |key| reader.text(&broker, key).filter(|text| !text.is_empty());
    BrokerSettings {
        subscription_id: named("subscription_id"),
        topic: named("topic"),
    }
}

fn kubernetes(reader: &mut Reader, clients: &Fields<'_>) -> KubernetesSettings {
    let known = ["api_version", "kube_config_path", "qps", "burst"];
    let kubernetes = child(reader, clients, "kubernetes", &known);
    KubernetesSettings {
        api_version: reader.text(&kubernetes, "api_version").unwrap_or_default(),
        kube_config_path: reader
            .text(&kubernetes, "kube_config_path")
            .unwrap_or_default(),
        qps: reader
            .number(&kubernetes, "qps", "a number")
            .unwrap_or_default(),
        burst: reader
            .number(&kubernetes, "burst", "a whole number")
            .unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a004_versions_agree_up_to_their_minor_number() {
        assert_eq!(version_matches("1.3.9", "1.3.0"), Some(true));
        assert_eq!(version_matches("1.2.0", "1.3.0"), Some(false));
        assert_eq!(version_matches("v1.3.0-rc.1", "1.3.0"), Some(true));
        assert_eq!(version_matches("", "1.3.0"), Some(true));
    }

    #[test]
    fn a005_development_builds_and_other_words_are_not_compared() {
        assert_eq!(version_matches("7.8.9", "0.0.0-dev"), Some(true));
        assert_eq!(version_matches("latest", "1.3.0"), None);
    }
}
