//! The keys of one issuer: from a file, from a URL, or from both.
//!
//! Invariants:
//! - keys change without a restart: hourly, when the file changes, and when a token names a key that
//!   is not known; the last at most once in [`UNKNOWN_KEY_PAUSE`], so that made-up key ids cannot
//!   turn this server against the issuer;
//! - a source that cannot be read keeps the keys it last gave; one that answers with fewer keys takes
//!   the others back.

use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use hyperfleet_runtime::Clock;
use jsonwebtoken::jwk::{AlgorithmParameters, Jwk, KeyAlgorithm, PublicKeyUse};
use jsonwebtoken::{DecodingKey, DecodingKeyKind};
use reqwest::{Client, Url, redirect};
use serde_json::Value;

use super::config::{IssuerConfig, is_loopback};
use super::gate::GateError;
use super::metrics::IdentityMetrics;

/// How often the URL is read again.
const REFRESH_INTERVAL: Duration = Duration::from_hours(1);

/// How soon after a failure.
const RETRY_INTERVAL: Duration = Duration::from_secs(30);

/// How often the file is compared with what was read: within this time a change takes effect.
const FILE_INTERVAL: Duration = Duration::from_secs(10);

/// How long keys are not fetched again for an unknown key id.
pub(super) const UNKNOWN_KEY_PAUSE: TimeDelta = TimeDelta::seconds(30);

/// How long fetching may take: a request may be waiting for it.
const FETCH_TIMEOUT: Duration = Duration::from_secs(5);

/// Greatest key document, in bytes. Real ones have a few kilobytes.
const MAX_DOCUMENT_BYTES: usize = 1024 * 1024;

/// Least size of an RSA modulus, in bits.
const MIN_MODULUS_BITS: usize = 2048;

/// A key that can verify RS256 signatures.
#[derive(Clone)]
pub(super) struct Key {
    id: Option<String>,
    pub(super) decoding: DecodingKey,
}

/// The keys of one issuer.
pub(super) struct IssuerKeys {
    issuer: String,
    remote: Option<Remote>,
    file: Option<PathBuf>,
    loaded: RwLock<Loaded>,
    /// When keys were last fetched for an unknown key id. Holding the lock is fetching.
    asked: tokio::sync::Mutex<Option<DateTime<Utc>>>,
    clock: Arc<dyn Clock>,
    metrics: IdentityMetrics,
}

struct Remote {
    url: Url,
    client: Client,
}

#[derive(Default)]
struct Loaded {
    from_url: Vec<Key>,
    from_file: Vec<Key>,
    /// The file as it was last read.
    file: Vec<u8>,
}

/// Why keys could not be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum KeysError {
    #[error("the URL does not answer")]
    Unreachable(#[source] reqwest::Error),
    #[error("the URL answers with status {0}")]
    Status(u16),
    #[error("the file cannot be read")]
    File(#[source] std::io::Error),
    #[error("the document has more than {MAX_DOCUMENT_BYTES} bytes")]
    TooLarge,
    #[error("the document is no JSON")]
    NoJson(#[source] serde_json::Error),
    #[error("the document has no list `keys`")]
    NoKeys,
}

impl IssuerKeys {
    /// The keys that `config` names; none are read yet.
    pub(super) fn new(
        index: usize,
        config: &IssuerConfig,
        clock: Arc<dyn Clock>,
        metrics: IdentityMetrics,
    ) -> Result<Self, GateError> {
        let remote = config
            .jwk_cert_url
            .as_deref()
            .map(|url| Remote::new(index, url, config))
            .transpose()?;
        Ok(Self {
            issuer: config.issuer_url.clone(),
            remote,
            file: config.jwk_cert_file.clone(),
            loaded: RwLock::default(),
            asked: tokio::sync::Mutex::new(None),
            clock,
            metrics,
        })
    }

    /// The keys that may have signed a token with this key id.
    pub(super) fn candidates(&self, id: Option<&str>) -> Vec<Key> {
        let loaded = self.loaded.read().unwrap_or_else(PoisonError::into_inner);
        loaded
            .from_file
            .iter()
            .chain(&loaded.from_url)
            .filter(|key| id.is_none() || key.id.is_none() || key.id.as_deref() == id)
            .cloned()
            .collect()
    }

    /// Reads the keys again because a token names one that is not known, unless that was just done.
    pub(super) async fn refresh_for_unknown_key(&self) {
        let mut asked = self.asked.lock().await;
        let now = self.clock.now();
        let recently = asked.is_some_and(|last| (now - last).abs() < UNKNOWN_KEY_PAUSE);
        if !recently {
            *asked = Some(now);
            self.refresh().await;
        }
    }

    /// Reads both sources again; whether both could be read.
    async fn refresh(&self) -> bool {
        let from_file = self.refresh_file().await;
        let from_url = self.refresh_url().await;
        from_file && from_url
    }

    /// Keeps the keys fresh until it is dropped.
    pub(super) async fn keep_fresh(&self) {
        let mut file = tokio::time::interval(FILE_INTERVAL);
        let mut url_due = tokio::time::Instant::now();
        loop {
            tokio::select! {
                _ = file.tick() => {
                    self.refresh_file().await;
                }
                () = tokio::time::sleep_until(url_due) => {
                    let read = self.refresh_url().await;
                    let pause = if read { REFRESH_INTERVAL } else { RETRY_INTERVAL };
                    url_due = tokio::time::Instant::now() + pause;
                }
            }
        }
    }

    async fn refresh_url(&self) -> bool {
        let Some(remote) = &self.remote else {
            return true;
        };
        let keys = remote.fetch().await.and_then(|bytes| parse(&bytes));
        let Some(keys) = self.outcome("url", keys) else {
            return false;
        };
        self.change(|loaded| loaded.from_url = keys);
        true
    }

    async fn refresh_file(&self) -> bool {
        let Some(path) = &self.file else { return true };
        let read = tokio::fs::read(path).await.map_err(KeysError::File);
        if let Ok(bytes) = &read {
            let loaded = self.loaded.read().unwrap_or_else(PoisonError::into_inner);
            if !bytes.is_empty() && loaded.file == *bytes {
                return true;
            }
        }
        let keys = read.and_then(|bytes| parse(&bytes).map(|keys| (keys, bytes)));
        let Some((keys, bytes)) = self.outcome("file", keys) else {
            return false;
        };
        self.change(|loaded| {
            loaded.from_file = keys;
            loaded.file = bytes;
        });
        true
    }

    fn change(&self, change: impl FnOnce(&mut Loaded)) {
        let mut loaded = self.loaded.write().unwrap_or_else(PoisonError::into_inner);
        change(&mut loaded);
        let count = loaded.from_file.len() + loaded.from_url.len();
        self.metrics.set_keys(&self.issuer, count);
    }

    /// Counts and logs the outcome of reading a source.
    fn outcome<T>(&self, source: &str, outcome: Result<T, KeysError>) -> Option<T> {
        self.metrics
            .count_refresh(&self.issuer, source, outcome.is_ok());
        outcome
            .map_err(|error| {
                tracing::warn!(
                    issuer = self.issuer,
                    source,
                    error = hyperfleet_runtime::error_chain(&error),
                    "the keys of an issuer could not be read; those read before stay in force"
                );
            })
            .ok()
    }
}

impl Remote {
    fn new(index: usize, url: &str, config: &IssuerConfig) -> Result<Self, GateError> {
        let unusable = |member: &str, reason: String| GateError::Keys {
            key: format!("server.jwt.configs[{index}].{member}"),
            reason,
        };
        let url = Url::parse(url).map_err(|error| unusable("jwk_cert_url", error.to_string()))?;
        let mut builder = Client::builder()
            .timeout(FETCH_TIMEOUT)
            // Keys come from where the configuration says, and from nowhere else.
            .redirect(redirect::Policy::none());
        if is_loopback(&url) {
            builder = builder.no_proxy();
        }
        if let Some(path) = &config.jwk_cert_ca_file {
            let pem = std::fs::read(path).map_err(|error| {
                unusable(
                    "jwk_cert_ca_file",
                    format!("cannot read {}: {error}", path.display()),
                )
            })?;
            let authorities = reqwest::Certificate::from_pem_bundle(&pem)
                .ok()
                .filter(|authorities| !authorities.is_empty());
            let authorities = authorities.ok_or_else(|| {
                let reason = format!("{} has no certificate in PEM form", path.display());
                unusable("jwk_cert_ca_file", reason)
            })?;
            builder = builder.tls_certs_merge(authorities);
        }
        let client = builder
            .build()
            .map_err(|error| unusable("jwk_cert_url", hyperfleet_runtime::error_chain(&error)))?;
        Ok(Self { url, client })
    }

    async fn fetch(&self) -> Result<Vec<u8>, KeysError> {
        let request = self.client.get(self.url.clone());
        let mut response = request.send().await.map_err(KeysError::Unreachable)?;
        if !response.status().is_success() {
            return Err(KeysError::Status(response.status().as_u16()));
        }
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(KeysError::Unreachable)? {
            if bytes.len() + chunk.len() > MAX_DOCUMENT_BYTES {
                return Err(KeysError::TooLarge);
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes)
    }
}

/// The usable keys of a document. Keys for something else are left out, one by one: an issuer may
/// publish them beside those that count here.
fn parse(document: &[u8]) -> Result<Vec<Key>, KeysError> {
    if document.len() > MAX_DOCUMENT_BYTES {
        return Err(KeysError::TooLarge);
    }
    let document: Value = serde_json::from_slice(document).map_err(KeysError::NoJson)?;
    let keys = document.get("keys").and_then(Value::as_array);
    let keys = keys.ok_or(KeysError::NoKeys)?;
    Ok(keys.iter().filter_map(usable).collect())
}

fn usable(key: &Value) -> Option<Key> {
    let jwk: Jwk = serde_json::from_value(key.clone()).ok()?;
    let signs = matches!(
        jwk.common.public_key_use,
        None | Some(PublicKeyUse::Signature)
    );
    let algorithm = matches!(jwk.common.key_algorithm, None | Some(KeyAlgorithm::RS256));
    if !signs || !algorithm || !matches!(jwk.algorithm, AlgorithmParameters::RSA(_)) {
        return None;
    }
    let decoding = DecodingKey::from_jwk(&jwk).ok()?;
    let DecodingKeyKind::RsaModulusExponent { n, .. } = decoding.kind() else {
        return None;
    };
    let modulus = n.iter().skip_while(|byte| **byte == 0).count();
    (modulus * 8 >= MIN_MODULUS_BITS).then(|| Key {
        id: jwk.common.key_id,
        decoding,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// A modulus of 2048 bits; that nobody knows its factors does not matter here.
    fn modulus(bytes: usize) -> String {
        "_".repeat(bytes.div_ceil(3) * 4)
    }

    #[test]
    fn only_rsa_keys_for_signatures_count() {
        let n = modulus(258);
        let document = json!({"keys": [
            {"kty": "RSA", "kid": "plain", "n": n, "e": "AQAB"},
            {"kty": "RSA", "kid": "stated", "n": n, "e": "AQAB", "use": "sig", "alg": "RS256"},
            {"kty": "RSA", "n": n, "e": "AQAB"},
            {"kty": "RSA", "kid": "short", "n": modulus(128), "e": "AQAB"},
            {"kty": "RSA", "kid": "encrypts", "n": n, "e": "AQAB", "use": "enc"},
            {"kty": "RSA", "kid": "other", "n": n, "e": "AQAB", "alg": "RS512"},
            {"kty": "oct", "kid": "secret", "k": "AAAA", "alg": "HS256"},
            {"kty": "EC", "kid": "curve", "crv": "P-256", "x": "AA", "y": "AA"},
            {"kty": "new"},
            5,
        ]});
        let keys = parse(document.to_string().as_bytes()).expect("a document");
        let ids: Vec<_> = keys.iter().map(|key| key.id.as_deref()).collect();
        assert_eq!(ids, [Some("plain"), Some("stated"), None]);
    }

    #[test]
    fn a_document_without_keys_is_told_from_one_with_none() {
        assert!(parse(br#"{"keys": []}"#).expect("none").is_empty());
        assert!(matches!(parse(b"{}"), Err(KeysError::NoKeys)));
        assert!(matches!(parse(b"<html>"), Err(KeysError::NoJson(_))));
    }
}
