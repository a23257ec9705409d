//! The broker file of existing deployments: which broker a role uses, and how.
//!
//! Keys, limits and texts are those of existing peers, so that their file works unchanged. A variable named like
//! a key (`BROKER_RABBITMQ_URL` for `broker.rabbitmq.url`) comes before the file, also where the file lacks the key.

mod keys;
mod pubsub;
mod rabbitmq;

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, bail};
use hyperfleet_adapter::yaml;
use hyperfleet_broker::pubsub::PubSubOptions;
use hyperfleet_broker::rabbitmq::RabbitMqOptions;

use keys::Keys;
pub(crate) use keys::without_password;

/// Names the file.
pub(crate) const BROKER_CONFIG_FILE: &str = "BROKER_CONFIG_FILE";
/// Where deployments mount it.
const MOUNTED: &str = "/etc/broker/broker.yaml";

/// What the file says.
#[derive(Clone, Debug)]
pub(crate) struct BrokerFile {
    /// Where it was read.
    pub(crate) path: String,
    pub(crate) broker: Described,
    /// Handlers at a time, where it says so.
    pub(crate) parallelism: Option<usize>,
    /// What it says that means nothing, each in one line.
    pub(crate) warnings: Vec<String>,
    /// The settings for the log, without secrets, where it wants that.
    pub(crate) logged: Option<String>,
}

/// The broker that a file describes.
#[derive(Clone, Debug)]
pub(crate) enum Described {
    RabbitMq(Box<RabbitMqOptions>),
    PubSub(Box<PubSubOptions>),
}

/// What the file, and the variables over it, describe; nothing without a file and without a type.
pub(crate) fn read(
    environment: &BTreeMap<String, String>,
    emulator_host: Option<&str>,
) -> anyhow::Result<Option<BrokerFile>> {
    let named = environment
        .get(BROKER_CONFIG_FILE)
        .filter(|name| !name.is_empty());
    let path = named.map_or(MOUNTED, String::as_str);
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if named.is_some() => {
            return Err(error).with_context(|| format!("cannot read {path}"));
        }
        Err(_) => String::new(),
    };
    of_text(path, &text, environment, emulator_host)
        .with_context(|| format!("{} does not describe a broker", Path::new(path).display()))
}

fn of_text(
    path: &str,
    text: &str,
    environment: &BTreeMap<String, String>,
    emulator_host: Option<&str>,
) -> anyhow::Result<Option<BrokerFile>> {
    let document = yaml::parse(text).context("failed to load config: error reading config file")?;
    let keys = Keys::new(document.as_ref(), environment);
    let Some(kind) = keys.text("broker.type") else {
        return Ok(None);
    };
    let broker = match kind.as_str() {
        "rabbitmq" => rabbitmq::options(&keys)
            .map(Box::new)
            .map(Described::RabbitMq),
        "googlepubsub" => pubsub::options(&keys, emulator_host)
            .map(Box::new)
            .map(Described::PubSub),
        other => Err(anyhow::anyhow!("unsupported broker type: {other}")),
    };
    let broker = broker.context("failed to load config: invalid configuration")?;
    Ok(Some(BrokerFile {
        path: path.to_owned(),
        broker,
        parallelism: keys
            .whole("subscriber.parallelism")?
            .and_then(|parallelism| usize::try_from(parallelism).ok())
            .map(|parallelism| parallelism.max(1)),
        warnings: keys.warnings(&kind),
        logged: keys.flag("log_config")?.then(|| keys.without_secrets()),
    }))
}

/// Refuses with the text of a peer.
fn ensure(holds: bool, text: &str) -> anyhow::Result<()> {
    if !holds {
        bail!("{text}");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str, variables: &[(&str, &str)]) -> anyhow::Result<Option<BrokerFile>> {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let environment = variables.iter().map(owned).collect();
        of_text("broker.yaml", text, &environment, None)
    }

    fn rabbitmq(text: &str, variables: &[(&str, &str)]) -> RabbitMqOptions {
        match of(text, variables).unwrap().unwrap().broker {
            Described::RabbitMq(options) => *options,
            Described::PubSub(_) => panic!("Pub/Sub"),
        }
    }

    fn pubsub(text: &str) -> PubSubOptions {
        match of(text, &[]).unwrap().unwrap().broker {
            Described::PubSub(options) => *options,
            Described::RabbitMq(_) => panic!("RabbitMQ"),
        }
    }

    #[test]
    fn variables_come_before_the_file_and_in_place_of_it() {
        let file = "broker:\n  type: rabbitmq\n  rabbitmq: {url: 'amqp://a'}\n";
        assert!(rabbitmq(file, &[]).address().contains("@a:"));
        let variable = [("BROKER_RABBITMQ_URL", "amqp://b")];
        assert!(rabbitmq(file, &variable).address().contains("@b:"));
        let alone = [("BROKER_TYPE", "rabbitmq"), variable[0]];
        assert!(rabbitmq("", &alone).address().contains("@b:"));
        // And an empty one means nothing
        let empty = [("BROKER_RABBITMQ_URL", "")];
        assert!(rabbitmq(file, &empty).address().contains("@a:"));
        assert!(of("", &[]).unwrap().is_none());
    }

    #[test]
    fn everything_of_rabbitmq_is_understood() {
        let options = rabbitmq(
            "broker:\n  type: rabbitmq\n  rabbitmq:\n    url: amqp://u:secret@mq\n    exchange: everything\n    \
             exchange_type: topic\n    queue: events\n    routing_key: fleet\n    prefetch_count: 7\n    \
             queue_type: classic\n",
            &[],
        );
        assert_eq!(options.exchange.as_deref(), Some("everything"));
        assert_eq!(options.queue.as_deref(), Some("events"));
        assert_eq!(options.routing_key, "fleet");
        assert_eq!(options.prefetch.map(std::num::NonZero::get), Some(7));
        assert_eq!(
            options.queue_type,
            hyperfleet_broker::rabbitmq::QueueType::Classic
        );
        assert!(format!("{options:?}").contains("Topic"), "{options:?}");
        // And the type of exchanges is that of peers unless they say otherwise
        let options = rabbitmq(
            "broker: {type: rabbitmq, rabbitmq: {url: 'amqp://mq'}}",
            &[],
        );
        assert!(format!("{options:?}").contains("Fanout"), "{options:?}");
    }

    #[test]
    fn everything_of_pubsub_is_understood() {
        let options = pubsub(
            "broker:\n  type: googlepubsub\n  googlepubsub:\n    project_id: p\n    ack_deadline_seconds: 60\n    \
             message_retention_duration: 7d\n    expiration_ttl: 0s\n    retry_min_backoff: 10s\n    \
             retry_max_backoff: 600s\n    dead_letter_max_attempts: 7\n    max_outstanding_messages: 50\n    \
             max_outstanding_bytes: 1000000\n    create_topic_if_missing: true\n    \
             create_subscription_if_missing: false\n",
        );
        let seconds = |seconds| Some(std::time::Duration::from_secs(seconds));
        assert_eq!(options.ack_deadline, seconds(60));
        assert_eq!(options.message_retention, seconds(7 * 24 * 3600));
        assert_eq!(options.expiration_ttl, seconds(0));
        assert_eq!(options.retry_minimum_backoff, seconds(10));
        assert_eq!(options.retry_maximum_backoff, seconds(600));
        assert_eq!(
            options.dead_letter_max_attempts.map(std::num::NonZero::get),
            Some(7)
        );
        assert_eq!(
            options.max_outstanding_messages.map(std::num::NonZero::get),
            Some(50)
        );
        assert!(options.create_topic_if_missing);
        assert!(!options.create_subscription_if_missing);
    }

    #[test]
    fn what_means_nothing_is_warned_of() {
        let file = of(
            "log_config: true\nsubscriber: {parallelism: 3}\npublisher: {x: 1}\nbroker:\n  type: rabbitmq\n  \
             subscriber: {parallelism: 9}\n  rabbitmq: {url: 'amqp://u:secret@mq', prefetch: 1, publisher_confirm: \
             false}\n  googlepubsub: {topic: t}\n",
            &[],
        )
        .unwrap()
        .unwrap();
        assert_eq!(file.parallelism, Some(3));
        let warned = |key: &str| file.warnings.iter().any(|warning| warning.contains(key));
        for key in [
            "publisher",
            "broker.subscriber",
            "broker.rabbitmq.prefetch",
            "broker.googlepubsub.topic",
        ] {
            assert!(warned(&format!("{key:?} is not known")), "{file:?}");
        }
        assert!(warned("broker.rabbitmq.publisher_confirm"), "{file:?}");
        assert_eq!(file.warnings.len(), 5, "{file:?}");
        // And the password is never shown
        let logged = file.logged.unwrap();
        assert!(logged.contains("amqp://u:***@mq"), "{logged}");
    }

    /// Loads what peers refuse, and compares with their text.
    fn refused(text: &str, expected: &str) {
        let error = of(text, &[]).unwrap_err();
        let prefix = "failed to load config: invalid configuration";
        assert_eq!(error.to_string(), prefix, "{text}");
        assert_eq!(error.root_cause().to_string(), expected, "{text}");
    }

    #[test]
    fn refusals_about_rabbitmq_are_those_of_peers() {
        for (text, expected) in [
            ("broker: {type: kafka}", "unsupported broker type: kafka"),
            ("broker: {type: rabbitmq}", "rabbitmq.url is required"),
            (
                "broker: {type: rabbitmq, rabbitmq: {url: 'http://mq'}}",
                "rabbitmq.url must start with 'amqp://' or 'amqps://'",
            ),
        ] {
            refused(text, expected);
        }
        for (setting, expected) in [
            (
                "exchange_type: x",
                "rabbitmq.exchange_type must be one of: direct, fanout, topic, headers",
            ),
            (
                "prefetch_count: -1",
                "rabbitmq.prefetch_count must be non-negative",
            ),
            (
                "prefetch_size: -1",
                "rabbitmq.prefetch_size must be non-negative",
            ),
        ] {
            let text =
                format!("broker: {{type: rabbitmq, rabbitmq: {{url: 'amqp://mq', {setting}}}}}");
            refused(&text, expected);
        }
    }

    #[test]
    fn refusals_about_pubsub_are_those_of_peers() {
        refused(
            "broker: {type: googlepubsub}",
            "googlepubsub.project_id is required",
        );
        for (setting, expected) in [
            (
                "ack_deadline_seconds: 5",
                "googlepubsub.ack_deadline_seconds must be between 10 and 600 seconds",
            ),
            (
                "message_retention_duration: 5m",
                "googlepubsub.message_retention_duration must be between 10m and 31d",
            ),
            (
                "expiration_ttl: 1h",
                "googlepubsub.expiration_ttl must be at least 1d or 0 (never expire)",
            ),
            (
                "expiration_ttl: 2d, message_retention_duration: 7d",
                "googlepubsub.expiration_ttl must be greater than or equal to message_retention_duration",
            ),
            (
                "retry_min_backoff: 601s",
                "googlepubsub.retry_min_backoff must be between 0s and 600s",
            ),
            (
                "retry_min_backoff: 20s, retry_max_backoff: 10s",
                "googlepubsub.retry_min_backoff must be less than or equal to retry_max_backoff",
            ),
            (
                "dead_letter_max_attempts: 4",
                "googlepubsub.dead_letter_max_attempts must be between 5 and 100",
            ),
            (
                "topic_retention_duration: 5m",
                "googlepubsub.topic_retention_duration must be between 10m and 31d, or 0 (disabled)",
            ),
            (
                "num_goroutines: -1",
                "googlepubsub.num_goroutines must be non-negative",
            ),
            (
                "message_retention_duration: invalid",
                "invalid duration format: invalid",
            ),
        ] {
            let text = format!(
                "broker: {{type: googlepubsub, googlepubsub: {{project_id: p, {setting}}}}}"
            );
            refused(&text, expected);
        }
    }
}
