//! The keys of a broker file, from the file and from variables.

use std::collections::BTreeMap;

use anyhow::{Context as _, bail};
use hyperfleet_adapter::config::parse_duration;
use hyperfleet_adapter::yaml::Node;
use serde_json::Value;

/// Every key that means something here.
const KNOWN: [&str; 23] = [
    "log_config",
    "subscriber.parallelism",
    "broker.type",
    "broker.rabbitmq.url",
    "broker.rabbitmq.exchange",
    "broker.rabbitmq.exchange_type",
    "broker.rabbitmq.queue",
    "broker.rabbitmq.queue_type",
    "broker.rabbitmq.routing_key",
    "broker.rabbitmq.prefetch_count",
    "broker.rabbitmq.tolerate_no_subscription",
    "broker.rabbitmq.ca_file",
    "broker.googlepubsub.project_id",
    "broker.googlepubsub.ack_deadline_seconds",
    "broker.googlepubsub.message_retention_duration",
    "broker.googlepubsub.expiration_ttl",
    "broker.googlepubsub.retry_min_backoff",
    "broker.googlepubsub.retry_max_backoff",
    "broker.googlepubsub.dead_letter_max_attempts",
    "broker.googlepubsub.max_outstanding_messages",
    "broker.googlepubsub.max_outstanding_bytes",
    "broker.googlepubsub.create_topic_if_missing",
    "broker.googlepubsub.create_subscription_if_missing",
];

/// Keys of peers that are accepted and change nothing, and why.
const WITHOUT_EFFECT: [(&str, &str); 7] = [
    (
        "broker.rabbitmq.prefetch_size",
        "RabbitMQ does not have it either",
    ),
    ("broker.rabbitmq.consumer_tag", "the server chooses one"),
    (
        "broker.rabbitmq.publisher_confirm",
        "publishes are always confirmed",
    ),
    (
        "broker.googlepubsub.enable_message_ordering",
        "no event has an ordering key",
    ),
    (
        "broker.googlepubsub.dead_letter_topic",
        "dead letters go where the subscription says, else to SUBSCRIPTION-dlq",
    ),
    (
        "broker.googlepubsub.topic_retention_duration",
        "topics are made without",
    ),
    (
        "broker.googlepubsub.num_goroutines",
        "streams are opened as needed",
    ),
];

/// What stands between a URL's user and its host when it is shown.
const HIDDEN: &str = "***";

/// The days that peers write as `7d`.
const DAY_SECONDS: u64 = 24 * 60 * 60;

/// Values by key, such as `broker.rabbitmq.url`.
pub(super) struct Keys {
    values: BTreeMap<String, String>,
}

impl Keys {
    pub(super) fn new(document: Option<&Node>, environment: &BTreeMap<String, String>) -> Self {
        let mut values = BTreeMap::new();
        if let Some(node) = document {
            flatten("", &node.to_value(), &mut values);
        }
        let of_peers = WITHOUT_EFFECT.iter().map(|(key, _)| *key);
        for key in KNOWN.into_iter().chain(of_peers) {
            let variable = key.replace('.', "_").to_uppercase();
            if let Some(value) = environment.get(&variable).filter(|value| !value.is_empty()) {
                values.insert(key.to_owned(), value.clone());
            }
        }
        Self { values }
    }

    /// Nothing where it is empty.
    pub(super) fn text(&self, key: &str) -> Option<String> {
        self.values
            .get(key)
            .filter(|value| !value.is_empty())
            .cloned()
    }

    pub(super) fn flag(&self, key: &str) -> anyhow::Result<bool> {
        match self.text(key).as_deref() {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(other) => bail!("{} must be true or false, not {other:?}", short(key)),
        }
    }

    pub(super) fn whole(&self, key: &str) -> anyhow::Result<Option<i64>> {
        let parse = |text: String| {
            let number = text.parse::<i64>();
            number.with_context(|| format!("{} must be a whole number, not {text:?}", short(key)))
        };
        self.text(key).map(parse).transpose()
    }

    /// As Go writes them, or whole days.
    pub(super) fn duration(&self, key: &str) -> anyhow::Result<Option<std::time::Duration>> {
        let Some(text) = self.text(key) else {
            return Ok(None);
        };
        let days = text.strip_suffix('d').and_then(|days| days.parse().ok());
        if let Some(seconds) = days.and_then(|days: u64| days.checked_mul(DAY_SECONDS)) {
            return Ok(Some(std::time::Duration::from_secs(seconds)));
        }
        if text == "0" {
            return Ok(Some(std::time::Duration::ZERO));
        }
        match parse_duration(&text) {
            Ok(duration) => Ok(Some(duration)),
            Err(_) => bail!("invalid duration format: {text}"),
        }
    }

    /// What means nothing, where the broker is of this type.
    pub(super) fn warnings(&self, kind: &str) -> Vec<String> {
        let mut warnings = Vec::new();
        for key in self.values.keys() {
            if KNOWN.contains(&key.as_str()) {
                continue;
            }
            let known = WITHOUT_EFFECT.iter().find(|(known, _)| known == key);
            let Some((_, why)) = known else {
                let shortest = unknown_part(key);
                warnings.push(format!("{shortest:?} is not known, and means nothing"));
                continue;
            };
            if key.starts_with(&format!("broker.{kind}.")) {
                warnings.push(format!("{key:?} changes nothing: {why}"));
            }
        }
        warnings.dedup();
        warnings
    }

    /// All values in one line of JSON, passwords hidden.
    pub(super) fn without_secrets(&self) -> String {
        let shown: BTreeMap<&String, String> = self
            .values
            .iter()
            .map(|(key, value)| (key, without_password(value)))
            .collect();
        serde_json::to_string(&shown).unwrap_or_default()
    }
}

/// The shortest beginning of a key below which nothing is known.
fn unknown_part(key: &str) -> String {
    let ends = key.match_indices('.').map(|(end, _)| end);
    let mut parts = ends.map(|end| &key[..end]);
    let of_peers = || WITHOUT_EFFECT.iter().map(|(key, _)| *key);
    let is_unknown = |part: &&str| {
        let below = format!("{part}.");
        !KNOWN
            .into_iter()
            .chain(of_peers())
            .any(|known| known.starts_with(&below))
    };
    parts.find(is_unknown).unwrap_or(key).to_owned()
}

/// A key as the texts of peers have it.
pub(super) fn short(key: &str) -> &str {
    key.strip_prefix("broker.").unwrap_or(key)
}

fn flatten(path: &str, value: &Value, into: &mut BTreeMap<String, String>) {
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                let path = if path.is_empty() {
                    name.clone()
                } else {
                    format!("{path}.{name}")
                };
                flatten(&path, field, into);
            }
        }
        Value::Null => {}
        Value::String(text) => {
            into.insert(path.to_owned(), text.clone());
        }
        other => {
            into.insert(path.to_owned(), other.to_string());
        }
    }
}

/// A URL without its password; anything else as it is.
pub(crate) fn without_password(value: &str) -> String {
    let hidden = || {
        let (scheme, rest) = value.split_once("://")?;
        let (account, host) = rest.rsplit_once('@')?;
        let (user, _) = account.split_once(':')?;
        Some(format!("{scheme}://{user}:{HIDDEN}@{host}"))
    };
    hidden().unwrap_or_else(|| value.to_owned())
}
