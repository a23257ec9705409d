//! A sentinel's configuration.
//!
//! The file of an existing sentinel is accepted as it is. What only matters to a sentinel that polls the API
//! (`clients.hyperfleet_api`) is checked for unknown keys and otherwise ignored, because this one reads the
//! reconcile queue. Unknown keys are refused at every level, and so are duplicate ones.
//!
//! Stricter than existing sentinels in three places where they accept what cannot work: an empty topic
//! (events vanish), a duration without unit (nanoseconds, spins), expressions that name what does not exist.

mod file;

use std::time::Duration;

use hyperfleet_domain::resource::Resource;
use serde_json::{Map, Value, json};

use crate::ExpressionError;
use crate::policy::{DecisionConfig, RuleConfig};

pub use hyperfleet_projections::reconcile_queue::Shard;
pub use hyperfleet_runtime::duration::{InvalidDuration, parse_duration};

/// What one sentinel does. Fields may be replaced (by flags, by environment) before it is started; checking
/// happens in [`SentinelConfig::validate`] and when policy and payload are compiled.
#[derive(Debug, Clone, PartialEq)]
pub struct SentinelConfig {
    /// `sentinel.name`: who claims rows, for logs.
    pub name: String,
    /// `resource_type`: plural of the kind, for example `clusters`.
    pub resource_type: String,
    /// `resource_selector`: labels that a resource must have, all of them. Empty selects everything.
    pub resource_selector: Vec<LabelSelector>,
    /// `clients.broker.topic`: where events go.
    pub topic: String,
    /// `policy` or `message_decision`; the default policy without either.
    pub decision: DecisionConfig,
    /// `message_data`: what events say.
    pub message_data: Map<String, Value>,
    /// `poll_interval`: how often a resource is decided on anew under `message_decision`.
    pub poll_interval: Duration,
    /// `tracing_enabled`: whether events carry a `traceparent`.
    pub tracing_enabled: bool,
    /// `claims`: how rows are taken from the queue.
    pub claims: ClaimConfig,
    /// `shard`: the share of the selected resources that is this sentinel's; all of them by default.
    pub shard: Shard,
    /// `rate_limit`: how many events are published at most; without, as many as there are.
    pub rate_limit: Option<RateLimit>,
}

/// How many events the sentinels of one name publish together.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RateLimit {
    /// Events per second, on average.
    pub events_per_second: f64,
    /// Events that may follow each other at once after a quiet time.
    pub burst: u32,
}

/// A label that a resource must have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelSelector {
    /// The label's name.
    pub label: String,
    /// Its value.
    pub value: String,
}

/// How due rows are taken from the reconcile queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimConfig {
    /// Rows claimed at a time.
    pub batch_size: u32,
    /// After this time a claim whose sentinel died is free again.
    pub visibility_timeout: Duration,
    /// Events published at a time.
    pub publish_parallelism: usize,
}

impl Default for ClaimConfig {
    /// No publish is begun in the second half of the visibility timeout, and none takes longer than the 5 s
    /// that publishers wait, so with 15 s a live sentinel never loses a claim.
    fn default() -> Self {
        Self {
            batch_size: 200,
            visibility_timeout: Duration::from_secs(15),
            publish_parallelism: 32,
        }
    }
}

/// Why a configuration is refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file is not YAML, or not of this shape.
    #[error("the sentinel configuration cannot be read")]
    Unreadable(#[source] Box<serde_saphyr::Error>),
    /// A value is out of its range.
    #[error("{path}: {reason}; {remedy}")]
    Invalid {
        /// Where in the file.
        path: String,
        /// What is wrong.
        reason: String,
        /// How to put it right.
        remedy: String,
    },
    /// An expression cannot work.
    #[error("{path}: the expression is refused")]
    Expression {
        /// Where in the file.
        path: String,
        /// What is wrong with it.
        #[source]
        source: ExpressionError,
    },
}

impl ConfigError {
    pub(crate) fn invalid(
        path: impl Into<String>,
        reason: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self::Invalid {
            path: path.into(),
            reason: reason.into(),
            remedy: remedy.into(),
        }
    }
}

impl SentinelConfig {
    /// The default policy and the usual payload, for local use: `id`, `kind`, `href`, `generation`, and
    /// `owner_references` for kinds that have a parent.
    pub fn builtin(resource_type: &str, topic: &str, has_parent: bool) -> Self {
        let mut message_data = Map::new();
        for field in ["id", "kind", "href", "generation"] {
            message_data.insert(field.to_owned(), json!(format!("resource.{field}")));
        }
        if has_parent {
            message_data.insert(
                "owner_references".to_owned(),
                json!("resource.owner_references"),
            );
        }
        Self {
            name: format!("hyperfleet-sentinel-{resource_type}"),
            resource_type: resource_type.to_owned(),
            resource_selector: Vec::new(),
            topic: topic.to_owned(),
            decision: DecisionConfig::Rules(RuleConfig::defaults()),
            message_data,
            poll_interval: Duration::from_secs(5),
            tracing_enabled: true,
            claims: ClaimConfig::default(),
            shard: Shard::default(),
            rate_limit: None,
        }
    }

    /// Reads a configuration file.
    ///
    /// # Errors
    /// It is not YAML, has unknown or duplicate keys, or values of the wrong type.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        file::parse(text)
    }

    /// Checks what flags and environment may have changed.
    ///
    /// # Errors
    /// The first value that is out of its range.
    pub fn validate(&self) -> Result<(), ConfigError> {
        require(
            is_path_segment(&self.resource_type),
            "resource_type",
            &format!("{:?} is not the plural name of a kind", self.resource_type),
            "for example clusters or nodepools",
        )?;
        require(
            !self.topic.trim().is_empty(),
            "clients.broker.topic",
            "is required",
            "events on an empty topic reach nobody; also HYPERFLEET_BROKER_TOPIC or --broker-topic",
        )?;
        require(
            !self.name.trim().is_empty(),
            "sentinel.name",
            "must not be empty",
            "leave it out for the default",
        )?;
        for (path, duration) in [
            ("poll_interval", self.poll_interval),
            ("claims.visibility_timeout", self.claims.visibility_timeout),
        ] {
            let reason = format!("{duration:?} is too short");
            require(
                duration >= Duration::from_millis(10),
                path,
                &reason,
                "for example 5s",
            )?;
        }
        require(
            (1..=10_000).contains(&self.claims.batch_size),
            "claims.batch_size",
            &format!("must be between 1 and 10000, is {}", self.claims.batch_size),
            "leave it out for the default",
        )?;
        require(
            (1..=1_000).contains(&self.claims.publish_parallelism),
            "claims.publish_parallelism",
            &format!(
                "must be between 1 and 1000, is {}",
                self.claims.publish_parallelism
            ),
            "leave it out for the default",
        )?;
        self.validate_share()
    }

    fn validate_share(&self) -> Result<(), ConfigError> {
        let Shard { index, count } = self.shard;
        require(
            (1..=10_000).contains(&count),
            "shard.count",
            &format!("must be between 1 and 10000, is {count}"),
            "it is the number of shards, the same for each of them",
        )?;
        require(
            index < count,
            "shard.index",
            &format!("must be less than shard.count, {count}, is {index}"),
            "shards are counted from 0",
        )?;
        let Some(limit) = self.rate_limit else {
            return Ok(());
        };
        let rate = limit.events_per_second;
        require(
            (0.01..=1_000_000.0).contains(&rate),
            "rate_limit.events_per_second",
            &format!("must be between 0.01 and 1000000, is {rate}"),
            "leave rate_limit out for no limit",
        )?;
        require(
            (1..=1_000_000).contains(&limit.burst),
            "rate_limit.burst",
            &format!("must be between 1 and 1000000, is {}", limit.burst),
            "leave it out for what a second adds",
        )
    }

    /// Whether a resource has the labels of `resource_selector`; of which shard it is is left aside.
    pub fn selects(&self, resource: &Resource) -> bool {
        let mut wanted = self.resource_selector.iter();
        wanted.all(|wanted| resource.labels.get(&wanted.label) == Some(&wanted.value))
    }

    /// The label `resource_selector` of metrics: `all`, or `label:value,…`.
    pub fn selector_label(&self) -> String {
        if self.resource_selector.is_empty() {
            return "all".to_owned();
        }
        let parts: Vec<_> = self
            .resource_selector
            .iter()
            .map(|selector| format!("{}:{}", selector.label, selector.value))
            .collect();
        parts.join(",")
    }
}

fn require(holds: bool, path: &str, reason: &str, remedy: &str) -> Result<(), ConfigError> {
    if holds {
        Ok(())
    } else {
        Err(ConfigError::invalid(path, reason, remedy))
    }
}

/// A plural stands in URLs, so it has to be one segment of a path.
fn is_path_segment(text: &str) -> bool {
    let forbidden = |character: char| character.is_whitespace() || "/?#%\\".contains(character);
    !text.is_empty() && text != "." && text != ".." && !text.contains(forbidden)
}
