//! What a deployment decides about Pub/Sub.

use std::num::{NonZeroU32, NonZeroUsize};
use std::time::Duration;

/// Where Pub/Sub is, and what may be created there with which settings.
///
/// Settings of subscriptions take effect only when HyperFleet creates them; those that exist are used as
/// they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PubSubOptions {
    /// The Google Cloud project that has the topics and subscriptions.
    pub project_id: String,
    /// `host:port` of an emulator, which is talked to without encryption and credentials. Absent means the
    /// service itself, with Application Default Credentials.
    pub emulator_host: Option<String>,
    /// Whether topics that do not exist are created, those for dead letters among them.
    pub create_topic_if_missing: bool,
    /// Whether subscriptions that do not exist are created, those for dead letters among them.
    pub create_subscription_if_missing: bool,
    /// How long a delivery that nobody answers stays with its consumer, 10 s to 600 s. Also by how much the
    /// lease of an event in work is extended at a time, and so how soon a killed consumer's events return.
    pub ack_deadline: Option<Duration>,
    /// How long a subscription keeps events that nobody acknowledges.
    pub message_retention: Option<Duration>,
    /// After how long without consumers a subscription is deleted; absent means never.
    pub expiration_ttl: Option<Duration>,
    /// Pub/Sub's own delay before a redelivery: the least. Absent means the subscription's redelivery policy.
    pub retry_minimum_backoff: Option<Duration>,
    /// Pub/Sub's own delay before a redelivery: the most. Absent means the subscription's redelivery policy.
    pub retry_maximum_backoff: Option<Duration>,
    /// After how many deliveries Pub/Sub itself makes an event a dead letter, 5 to 100. Absent means the
    /// subscription's redelivery policy, within those limits.
    pub dead_letter_max_attempts: Option<NonZeroU32>,
    /// How many unsettled events a consumer may hold: those in work, and those that wait for a worker or for
    /// their delay to pass. Absent means the subscription's parallelism and a small reserve.
    pub max_outstanding_messages: Option<NonZeroUsize>,
    /// How many bytes the unsettled events of a consumer may have.
    pub max_outstanding_bytes: Option<NonZeroUsize>,
    /// How long a publish waits for its confirmation, retries included.
    pub publish_deadline: Duration,
    /// How long a consumer that shuts down waits for its running handlers.
    pub drain_deadline: Duration,
    /// Whether publishing to a topic without subscriptions succeeds, though nobody will receive the event.
    pub tolerate_no_subscription: bool,
}

impl PubSubOptions {
    /// A project, with nothing created and everything else as the service has it.
    pub fn new(project_id: impl Into<String>) -> Self {
        Self {
            project_id: project_id.into(),
            emulator_host: None,
            create_topic_if_missing: false,
            create_subscription_if_missing: false,
            ack_deadline: None,
            message_retention: None,
            expiration_ttl: None,
            retry_minimum_backoff: None,
            retry_maximum_backoff: None,
            dead_letter_max_attempts: None,
            max_outstanding_messages: None,
            max_outstanding_bytes: None,
            publish_deadline: Duration::from_secs(5),
            drain_deadline: Duration::from_secs(30),
            tolerate_no_subscription: false,
        }
    }
}

/// Why a URL does not say which Pub/Sub is meant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{url:?} is not pubsub://PROJECT, optionally with ?create=true to create what is missing: {reason}"
)]
pub struct InvalidUrl {
    url: String,
    reason: String,
}

impl PubSubOptions {
    /// Reads `pubsub://PROJECT[?create=true]`. `emulator_host` is the value of `PUBSUB_EMULATOR_HOST`.
    ///
    /// # Errors
    /// The URL has another form, or a parameter that does not exist.
    pub fn from_url(url: &str, emulator_host: Option<&str>) -> Result<Self, InvalidUrl> {
        let invalid = |reason: &str| InvalidUrl {
            url: url.to_owned(),
            reason: reason.to_owned(),
        };
        let rest = url
            .strip_prefix("pubsub://")
            .ok_or_else(|| invalid("it starts otherwise"))?;
        let (project, parameters) = rest.split_once('?').unwrap_or((rest, ""));
        let project = project.trim_end_matches('/');
        if project.is_empty() || project.contains(['/', ':', '@']) {
            return Err(invalid(
                "it does not name a project, such as pubsub://my-project",
            ));
        }
        let mut options = Self {
            emulator_host: emulator_host
                .filter(|host| !host.is_empty())
                .map(str::to_owned),
            ..Self::new(project)
        };
        for parameter in parameters.split('&').filter(|text| !text.is_empty()) {
            let create = match parameter {
                "create=true" => true,
                "create=false" => false,
                other => return Err(invalid(&format!("there is no parameter {other:?}"))),
            };
            options.create_topic_if_missing = create;
            options.create_subscription_if_missing = create;
        }
        Ok(options)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_names_the_project_and_whether_to_create() {
        let plain = PubSubOptions::from_url("pubsub://my-project", None).unwrap();
        assert_eq!(plain, PubSubOptions::new("my-project"));
        let local = PubSubOptions::from_url("pubsub://p/?create=true", Some("localhost:8085"));
        let expected = PubSubOptions {
            emulator_host: Some("localhost:8085".to_owned()),
            create_topic_if_missing: true,
            create_subscription_if_missing: true,
            ..PubSubOptions::new("p")
        };
        assert_eq!(local.unwrap(), expected);
        // An empty variable is none
        let empty = PubSubOptions::from_url("pubsub://p", Some("")).unwrap();
        assert_eq!(empty.emulator_host, None);
    }

    #[test]
    fn other_urls_are_refused_with_the_reason() {
        for (url, reason) in [
            ("pubsub://", "it does not name a project"),
            ("pubsub://host:8085/p", "it does not name a project"),
            ("pubsub:p", "it starts otherwise"),
            ("pubsub://p?topic=t", "there is no parameter \"topic=t\""),
        ] {
            let error = PubSubOptions::from_url(url, None).unwrap_err().to_string();
            assert!(error.contains(reason), "{url}: {error}");
        }
    }
}
