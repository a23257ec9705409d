//! What a deployment decides about RabbitMQ.

use std::fmt;
use std::num::{NonZeroU16, NonZeroUsize};
use std::path::PathBuf;
use std::str::FromStr as _;
use std::time::Duration;

use lapin::ExchangeKind;
use lapin::uri::AMQPUri;

/// Heartbeat in seconds unless the URL says otherwise: a silent network is noticed within twice that.
const HEARTBEAT: u16 = 5;

/// How the server keeps the events of a subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QueueType {
    /// Replicated, and counts deliveries: an event that kills its consumers becomes a dead letter.
    Quorum,
    /// As existing peers declare theirs, for a queue that is shared with them.
    Classic,
}

/// Where RabbitMQ is, and how topics and subscriptions are laid out there.
#[derive(Clone)]
pub struct RabbitMqOptions {
    pub(super) uri: AMQPUri,
    /// Name of the exchange of all topics; absent means that each topic has one of its own name.
    pub exchange: Option<String>,
    /// Type of the exchanges: `topic`, `fanout`, `direct` or `headers`. Peers must use the same.
    pub(super) exchange_type: ExchangeKind,
    /// What starts the names of queues; absent means the topic.
    pub queue: Option<String>,
    /// Routing key of what is published. Queues are bound with an empty key, as peers do.
    pub routing_key: String,
    /// How new queues are declared. A queue that exists is used as it is.
    pub queue_type: QueueType,
    /// Unsettled events that a consumer may hold; absent means its parallelism.
    pub prefetch: Option<NonZeroU16>,
    /// Publishes that may wait for their confirmations at a time; further ones wait for a place.
    pub publish_window: NonZeroUsize,
    /// How long a publish waits for its confirmation, connecting included.
    pub publish_deadline: Duration,
    /// How long a consumer that shuts down waits for its running handlers.
    pub drain_deadline: Duration,
    /// File with the certificates, in PEM, of who signs the server's, where it is encrypted; read at each
    /// connecting. Absent means those that the system trusts.
    pub ca_file: Option<PathBuf>,
    /// Whether publishing to a topic without subscriptions succeeds, though nobody will receive the event.
    pub tolerate_no_subscription: bool,
}

/// Why a URL does not say which RabbitMQ is meant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "this is not amqp[s]://[USER:PASSWORD@]HOST[:PORT][/VHOST], optionally with ?exchange_type=, queue_type=, \
     tolerate_no_subscription=, prefetch=, cacertfile= or heartbeat=: {reason}"
)]
pub struct InvalidRabbitMqUrl {
    reason: String,
}

impl RabbitMqOptions {
    /// Reads `amqp://…` or `amqps://…`; everything else has its default.
    ///
    /// # Errors
    /// The URL has another form, or a parameter that does not exist. The text never shows the URL, which may
    /// have a password.
    pub fn from_url(url: &str) -> Result<Self, InvalidRabbitMqUrl> {
        let invalid = |reason: String| InvalidRabbitMqUrl { reason };
        if !url.starts_with("amqp://") && !url.starts_with("amqps://") {
            return Err(invalid(
                "it must start with 'amqp://' or 'amqps://'".to_owned(),
            ));
        }
        let (address, parameters) = url.split_once('?').unwrap_or((url, ""));
        let mut options = Self::new(AMQPUri::from_str(address).map_err(invalid)?);
        for parameter in parameters.split('&').filter(|text| !text.is_empty()) {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            options.set(name, value).map_err(invalid)?;
        }
        Ok(options)
    }

    fn new(mut uri: AMQPUri) -> Self {
        uri.query.heartbeat = Some(HEARTBEAT);
        Self {
            uri,
            exchange: None,
            exchange_type: ExchangeKind::Topic,
            queue: None,
            routing_key: String::new(),
            queue_type: QueueType::Quorum,
            prefetch: None,
            publish_window: NonZeroUsize::MIN.saturating_add(999),
            publish_deadline: Duration::from_secs(5),
            drain_deadline: Duration::from_secs(30),
            ca_file: None,
            tolerate_no_subscription: false,
        }
    }

    fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        let wrong = |allowed: &str| format!("parameter {name} must be {allowed}, not {value:?}");
        match name {
            "exchange_type" => {
                if !self.set_exchange_type(value) {
                    return Err(wrong("one of direct, fanout, topic, headers"));
                }
            }
            "queue_type" => {
                self.queue_type = match value {
                    "quorum" => QueueType::Quorum,
                    "classic" => QueueType::Classic,
                    _ => return Err(wrong("quorum or classic")),
                }
            }
            "tolerate_no_subscription" => {
                self.tolerate_no_subscription =
                    value.parse().map_err(|_| wrong("true or false"))?;
            }
            "cacertfile" if value.is_empty() => return Err(wrong("the name of a file")),
            "cacertfile" => self.ca_file = Some(PathBuf::from(value)),
            "prefetch" => {
                self.prefetch = Some(value.parse().map_err(|_| wrong("from 1 to 65535"))?);
            }
            "heartbeat" => {
                let seconds = value.parse().map_err(|_| wrong("a number of seconds"))?;
                self.uri.query.heartbeat = Some(seconds);
            }
            _ => return Err(format!("there is no parameter {name:?}")),
        }
        Ok(())
    }

    /// Chooses the type of exchanges: `direct`, `fanout`, `topic` or `headers`. Tells whether there is such a type.
    #[must_use]
    pub fn set_exchange_type(&mut self, name: &str) -> bool {
        self.exchange_type = match name {
            "direct" => ExchangeKind::Direct,
            "fanout" => ExchangeKind::Fanout,
            "topic" => ExchangeKind::Topic,
            "headers" => ExchangeKind::Headers,
            _ => return false,
        };
        true
    }

    /// The server, for people; without the password.
    pub fn address(&self) -> String {
        let AMQPUri {
            scheme,
            authority,
            vhost,
            ..
        } = &self.uri;
        format!(
            "{scheme}://{}@{}:{} (vhost {vhost:?})",
            authority.userinfo.username, authority.host, authority.port
        )
    }
}

impl fmt::Debug for RabbitMqOptions {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("RabbitMqOptions")
            .field("address", &self.address())
            .field("exchange_type", &self.exchange_type)
            .field("queue_type", &self.queue_type)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_names_the_server_and_the_layout() {
        let options = RabbitMqOptions::from_url(
            "amqp://hf:secret@mq:5673/fleet?exchange_type=fanout&queue_type=classic&prefetch=7\
             &tolerate_no_subscription=true&heartbeat=30",
        )
        .unwrap();
        assert_eq!(options.address(), r#"amqp://hf@mq:5673 (vhost "fleet")"#);
        assert_eq!(options.exchange_type, ExchangeKind::Fanout);
        assert_eq!(options.queue_type, QueueType::Classic);
        assert_eq!(options.prefetch, NonZeroU16::new(7));
        assert!(options.tolerate_no_subscription);
        assert_eq!(options.uri.query.heartbeat, Some(30));
        // And the password is never shown
        assert!(!format!("{options:?}").contains("secret"));
    }

    #[test]
    fn encryption_has_its_own_port_and_everything_else_a_default() {
        let options = RabbitMqOptions::from_url("amqps://mq").unwrap();
        assert_eq!(options.address(), r#"amqps://guest@mq:5671 (vhost "/")"#);
        assert_eq!(options.exchange_type, ExchangeKind::Topic);
        assert_eq!(options.queue_type, QueueType::Quorum);
    }

    #[test]
    fn other_urls_are_refused_with_the_reason_and_without_the_password() {
        for (url, reason) in [
            (
                "http://u:secret@mq",
                "it must start with 'amqp://' or 'amqps://'",
            ),
            (
                "amqp://u:secret@mq?exchange_type=x",
                "one of direct, fanout, topic, headers, not \"x\"",
            ),
            (
                "amqp://u:secret@mq?prefetch=0",
                "parameter prefetch must be from 1 to 65535",
            ),
            (
                "amqp://u:secret@mq?color=red",
                "there is no parameter \"color\"",
            ),
            ("amqp://u:secret@mq:port", ""),
        ] {
            let error = RabbitMqOptions::from_url(url).unwrap_err().to_string();
            assert!(error.contains(reason), "{url}: {error}");
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
