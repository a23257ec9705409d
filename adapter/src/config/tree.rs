//! The merged configuration as a value: what `config.` reads and what a dump prints.

use serde_json::{Map, Value, json};

use super::Config;
use super::types::{AdapterSettings, ApiSettings, MaestroSettings};

/// What stands for a secret path in redacted trees.
const REDACTED: &str = "**REDACTED**";

pub(super) fn merged(config: &Config, redacted: bool) -> Value {
    let settings = &config.adapter;
    let mut tree = Map::new();
    let mut adapter = Map::new();
    adapter.insert("name".to_owned(), json!(settings.name));
    if !settings.version.is_empty() {
        adapter.insert("version".to_owned(), json!(settings.version));
    }
    tree.insert("adapter".to_owned(), Value::Object(adapter));
    if settings.debug_config {
        tree.insert("debug_config".to_owned(), Value::Bool(true));
    }
    tree.insert(
        "log".to_owned(),
        json!({"level": settings.log.level, "format": settings.log.format, "output": settings.log.output}),
    );
    tree.insert("clients".to_owned(), clients(settings, redacted));
    if let Value::Object(task) = &config.task_tree {
        for (key, value) in task {
            tree.insert(key.clone(), value.clone());
        }
    }
    Value::Object(tree)
}

fn clients(settings: &AdapterSettings, redacted: bool) -> Value {
    let mut broker = Map::new();
    if let Some(subscription) = &settings.broker.subscription_id {
        broker.insert("subscription_id".to_owned(), json!(subscription));
    }
    if let Some(topic) = &settings.broker.topic {
        broker.insert("topic".to_owned(), json!(topic));
    }
    let mut kubernetes = Map::new();
    kubernetes.insert(
        "api_version".to_owned(),
        json!(settings.kubernetes.api_version),
    );
    if !settings.kubernetes.kube_config_path.is_empty() {
        kubernetes.insert(
            "kube_config_path".to_owned(),
            json!(settings.kubernetes.kube_config_path),
        );
    }
    if settings.kubernetes.qps != 0.0 {
        kubernetes.insert("qps".to_owned(), json!(settings.kubernetes.qps));
    }
    if settings.kubernetes.burst != 0 {
        kubernetes.insert("burst".to_owned(), json!(settings.kubernetes.burst));
    }
    let mut clients = json!({
        "hyperfleet_api": api(&settings.api, redacted),
        "broker": broker,
        "kubernetes": kubernetes,
    });
    if let Some(settings) = &settings.maestro {
        clients["maestro"] = maestro(settings, redacted);
    }
    clients
}

fn maestro(settings: &MaestroSettings, redacted: bool) -> Value {
    let mut tree = json!({
        "grpc_server_address": settings.grpc_server_address,
        "http_server_address": settings.http_server_address,
        "source_id": settings.source_id,
        "timeout": duration(settings.timeout),
        "server_healthiness_timeout": duration(settings.server_healthiness_timeout),
    });
    if !settings.client_id.is_empty() {
        tree["client_id"] = json!(settings.client_id);
    }
    if settings.insecure {
        tree["insecure"] = Value::Bool(true);
    }
    if !settings.auth_type.is_empty() {
        tree["auth"] = json!({"type": settings.auth_type});
    }
    for (key, file) in [
        ("ca_file", &settings.tls.ca_file),
        ("cert_file", &settings.tls.cert_file),
        ("key_file", &settings.tls.key_file),
        ("http_ca_file", &settings.tls.http_ca_file),
    ] {
        if let Some(file) = file {
            tree["auth"]["tls_config"][key] = if redacted {
                json!(REDACTED)
            } else {
                json!(file)
            };
        }
    }
    tree
}

fn api(settings: &ApiSettings, redacted: bool) -> Value {
    let mut api = json!({
        "base_url": settings.base_url,
        "version": settings.version,
        "timeout": duration(settings.timeout),
        "retry_attempts": settings.retry_attempts,
        "retry_backoff": settings.retry_backoff.as_str(),
        "base_delay": duration(settings.base_delay),
        "max_delay": duration(settings.max_delay),
    });
    if !settings.default_headers.is_empty() {
        // A default header may carry a credential.
        api["default_headers"] = settings
            .default_headers
            .iter()
            .map(|(name, value)| {
                let value = if redacted { REDACTED } else { value };
                (name.clone(), json!(value))
            })
            .collect::<Map<_, _>>()
            .into();
    }
    if let Some(auth) = &settings.auth {
        let mut tree = json!({"token_path": auth.token_path});
        if !auth.token_cache_ttl.is_zero() {
            tree["token_cache_ttl"] = json!(duration(auth.token_cache_ttl));
        }
        api["auth"] = tree;
    }
    api
}

/// A duration as Go prints one: `10s`, `1m30s`, `1.5s`.
fn duration(value: std::time::Duration) -> String {
    let total = value.as_secs();
    let (hours, minutes) = (total / 3600, total / 60 % 60);
    let seconds =
        value.as_secs_f64() - f64::from(u32::try_from(total / 60).unwrap_or(u32::MAX)) * 60.0;
    match (hours, minutes) {
        (0, 0) if total == 0 && !value.is_zero() => format!("{}ms", value.as_millis()),
        (0, 0) => format!("{seconds}s"),
        (0, _) => format!("{minutes}m{seconds}s"),
        _ => format!("{hours}h{minutes}m{seconds}s"),
    }
}
