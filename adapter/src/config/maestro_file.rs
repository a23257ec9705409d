//! `clients.maestro` of the `AdapterConfig` file.

use std::path::PathBuf;
use std::time::Duration;

use super::adapter_file::child;
use super::reader::{Fields, Reader};
use super::types::{MaestroSettings, MaestroTls};

const KEYS: [&str; 10] = [
    "grpc_server_address",
    "http_server_address",
    "source_id",
    "client_id",
    "timeout",
    "server_healthiness_timeout",
    "keepalive",
    "auth",
    "retry_attempts",
    "insecure",
];

/// Reads the mapping; absent means the Kubernetes transport.
pub(super) fn read(reader: &mut Reader, clients: &Fields<'_>) -> Option<MaestroSettings> {
    clients.get_or_null("maestro")?;
    let maestro = child(reader, clients, "maestro", &KEYS);
    let keepalive = child(reader, &maestro, "keepalive", &["time", "timeout"]);
    for key in ["time", "timeout"] {
        // Accepted and checked, but nothing uses it.
        reader.duration(&keepalive, key);
    }
    let auth = child(reader, &maestro, "auth", &["type", "tls_config"]);
    let files = ["ca_file", "cert_file", "key_file", "http_ca_file"];
    let tls = child(reader, &auth, "tls_config", &files);
    let mut file = |key| {
        let text = reader.text(&tls, key).filter(|text| !text.is_empty());
        text.map(PathBuf::from)
    };
    let tls = MaestroTls {
        ca_file: file("ca_file"),
        cert_file: file("cert_file"),
        key_file: file("key_file"),
        http_ca_file: file("http_ca_file"),
    };
    let mut text = |key| reader.text(&maestro, key).unwrap_or_default();
    let (grpc_server_address, http_server_address) =
        (text("grpc_server_address"), text("http_server_address"));
    let (source_id, client_id) = (text("source_id"), text("client_id"));
    let mut duration = |key, default| {
        let given = reader.duration(&maestro, key);
        given.unwrap_or(Duration::from_secs(default))
    };
    let (timeout, healthiness) = (
        duration("timeout", 10),
        duration("server_healthiness_timeout", 20),
    );
    Some(MaestroSettings {
        grpc_server_address,
        http_server_address,
        source_id,
        client_id,
        auth_type: reader.text(&auth, "type").unwrap_or_default(),
        tls,
        timeout,
        server_healthiness_timeout: healthiness,
        insecure: reader.flag(&maestro, "insecure").unwrap_or_default(),
    })
}

impl MaestroSettings {
    /// What keeps the settings from describing a server, if anything does.
    pub fn problem(&self) -> Option<String> {
        let missing = [
            ("grpc_server_address", &self.grpc_server_address),
            ("http_server_address", &self.http_server_address),
            ("source_id", &self.source_id),
        ]
        .into_iter()
        .find(|(_, value)| value.is_empty());
        if let Some((key, _)) = missing {
            return Some(format!("clients.maestro.{key} is required"));
        }
        let http = &self.http_server_address;
        if !http.starts_with("https://") && !http.starts_with("http://") {
            return Some(format!(
                "clients.maestro.http_server_address {http:?} needs a scheme, as in https://maestro:8000"
            ));
        }
        if self.grpc_server_address.contains("://") || !self.grpc_server_address.contains(':') {
            return Some(format!(
                "clients.maestro.grpc_server_address {:?} must be host:port",
                self.grpc_server_address
            ));
        }
        if self.insecure {
            return None;
        }
        if http.starts_with("http://") {
            return Some(
                "clients.maestro.http_server_address must be https unless insecure is true"
                    .to_owned(),
            );
        }
        self.tls.ca_file.is_none().then(|| {
            "clients.maestro.auth.tls_config.ca_file is required unless insecure is true".to_owned()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Change = fn(&mut MaestroSettings);

    #[test]
    fn what_does_not_describe_a_server_is_named() {
        let sound = MaestroSettings {
            grpc_server_address: "maestro:8090".to_owned(),
            http_server_address: "http://maestro:8000".to_owned(),
            source_id: "hyperfleet".to_owned(),
            insecure: true,
            ..MaestroSettings::default()
        };
        assert_eq!(sound.problem(), None);
        let cases: [(Change, &str); 6] = [
            (|s| s.source_id.clear(), "source_id is required"),
            (
                |s| s.grpc_server_address.clear(),
                "grpc_server_address is required",
            ),
            (
                |s| s.http_server_address = "maestro".into(),
                "needs a scheme",
            ),
            (
                |s| s.grpc_server_address = "http://maestro:1".into(),
                "must be host:port",
            ),
            (|s| s.insecure = false, "must be https unless insecure"),
            (
                |s| {
                    s.insecure = false;
                    s.http_server_address = "https://maestro".into();
                },
                "ca_file is required",
            ),
        ];
        for (change, expected) in cases {
            let mut settings = sound.clone();
            change(&mut settings);
            let problem = settings.problem().unwrap_or_default();
            assert!(problem.contains(expected), "{problem}");
        }
    }
}
