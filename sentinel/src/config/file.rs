//! The file's shape.

use std::time::Duration;

use hyperfleet_projections::reconcile_queue::Priority;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use super::{
    ClaimConfig, ConfigError, LabelSelector, RateLimit, SentinelConfig, Shard, parse_duration,
};
use crate::policy::{
    AfterChange, DecisionConfig, Interval, MessageDecisionConfig, ParamConfig, RuleConfig,
};

const DEFAULT_NAME: &str = "hyperfleet-sentinel";
const DEFAULT_POLL_INTERVAL: Duration = Duration::from_secs(5);
const DEFAULT_FACTOR: f64 = 2.0;

pub(super) fn parse(text: &str) -> Result<SentinelConfig, ConfigError> {
    // `yes` and `no` are words here, and 0755 is not a float: payload literals come from this file.
    let options = serde_saphyr::options! {
        strict_booleans: true,
        leading_zero_numbers_as_strings: true,
        with_snippet: false,
    };
    let file: File = serde_saphyr::from_str_with_options(text, options)
        .map_err(|error| ConfigError::Unreadable(Box::new(error)))?;
    file.into_config()
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    sentinel: SentinelSection,
    #[serde(default, rename = "debug_config")]
    _debug_config: bool,
    #[serde(default = "enabled")]
    tracing_enabled: bool,
    #[serde(default, rename = "log")]
    _log: LogSection,
    #[serde(default)]
    clients: ClientsSection,
    #[serde(default)]
    resource_type: String,
    #[serde(default, deserialize_with = "duration")]
    poll_interval: Option<Duration>,
    #[serde(default)]
    resource_selector: Vec<SelectorSection>,
    message_decision: Option<DecisionSection>,
    policy: Option<Vec<RuleSection>>,
    #[serde(default)]
    message_data: Option<Map<String, Value>>,
    #[serde(default)]
    claims: ClaimsSection,
    shard: Option<ShardSection>,
    rate_limit: Option<RateLimitSection>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ShardSection {
    index: u32,
    count: u32,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RateLimitSection {
    events_per_second: f64,
    burst: Option<u32>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct SentinelSection {
    name: Option<String>,
}

/// Read by whoever starts the process; here only so that the file is accepted.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct LogSection {
    #[serde(rename = "level")]
    _level: Option<String>,
    #[serde(rename = "format")]
    _format: Option<String>,
    #[serde(rename = "output")]
    _output: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct ClientsSection {
    #[serde(default, rename = "hyperfleet_api")]
    _hyperfleet_api: ApiSection,
    #[serde(default)]
    broker: BrokerSection,
}

/// Of no use to a sentinel that reads the queue; here only so that the file is accepted.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct ApiSection {
    #[serde(rename = "base_url")]
    _base_url: Option<String>,
    #[serde(rename = "version")]
    _version: Option<String>,
    #[serde(rename = "timeout")]
    _timeout: Option<String>,
    #[serde(rename = "page_size")]
    _page_size: Option<u32>,
    #[serde(rename = "auth")]
    _auth: Option<AuthSection>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct AuthSection {
    #[serde(rename = "token_path")]
    _token_path: Option<String>,
    #[serde(rename = "token_cache_ttl")]
    _token_cache_ttl: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct BrokerSection {
    #[serde(default)]
    topic: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SelectorSection {
    #[serde(default)]
    label: String,
    #[serde(default)]
    value: Value,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct DecisionSection {
    #[serde(default)]
    params: Vec<ParamSection>,
    #[serde(default)]
    result: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ParamSection {
    #[serde(default)]
    name: String,
    #[serde(default)]
    expr: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleSection {
    name: String,
    when: String,
    interval: IntervalSection,
    #[serde(default)]
    after_change: AfterChangeSection,
    #[serde(default)]
    jitter: f64,
    priority: Option<PrioritySection>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum IntervalSection {
    Fixed(String),
    Exponential(ExponentialSection),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ExponentialSection {
    initial: String,
    factor: Option<f64>,
    ceiling: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum AfterChangeSection {
    #[default]
    Publish,
    Wait,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum PrioritySection {
    Change,
    Retry,
    Refresh,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct ClaimsSection {
    batch_size: Option<u32>,
    #[serde(default, deserialize_with = "duration")]
    visibility_timeout: Option<Duration>,
    publish_parallelism: Option<usize>,
}

fn enabled() -> bool {
    true
}

fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    let text = String::deserialize(deserializer)?;
    parse_duration(&text)
        .map(Some)
        .map_err(serde::de::Error::custom)
}

impl File {
    fn into_config(self) -> Result<SentinelConfig, ConfigError> {
        let decision = decision(self.message_decision, self.policy)?;
        let default = ClaimConfig::default();
        Ok(SentinelConfig {
            name: self
                .sentinel
                .name
                .unwrap_or_else(|| DEFAULT_NAME.to_owned()),
            resource_type: self.resource_type,
            resource_selector: selectors(self.resource_selector)?,
            topic: self.clients.broker.topic,
            decision,
            message_data: self.message_data.unwrap_or_default(),
            poll_interval: self.poll_interval.unwrap_or(DEFAULT_POLL_INTERVAL),
            tracing_enabled: self.tracing_enabled,
            claims: ClaimConfig {
                batch_size: self.claims.batch_size.unwrap_or(default.batch_size),
                visibility_timeout: self
                    .claims
                    .visibility_timeout
                    .unwrap_or(default.visibility_timeout),
                publish_parallelism: self
                    .claims
                    .publish_parallelism
                    .unwrap_or(default.publish_parallelism),
            },
            shard: self.shard.map_or_else(Shard::default, |shard| Shard {
                index: shard.index,
                count: shard.count,
            }),
            rate_limit: self.rate_limit.map(RateLimitSection::into_config),
        })
    }
}

impl RateLimitSection {
    fn into_config(self) -> RateLimit {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "what does not fit is out of range, and refused"
        )]
        let second = self.events_per_second.ceil() as u32;
        RateLimit {
            events_per_second: self.events_per_second,
            burst: self.burst.unwrap_or(second),
        }
    }
}

fn decision(
    message_decision: Option<DecisionSection>,
    policy: Option<Vec<RuleSection>>,
) -> Result<DecisionConfig, ConfigError> {
    match (message_decision, policy) {
        (Some(_), Some(_)) => Err(ConfigError::invalid(
            "policy",
            "cannot be combined with message_decision",
            "keep one of them",
        )),
        (Some(section), None) => Ok(DecisionConfig::Message(MessageDecisionConfig {
            params: section
                .params
                .into_iter()
                .map(|param| ParamConfig {
                    name: param.name,
                    expression: param.expr,
                })
                .collect(),
            result: section.result,
        })),
        (None, Some(rules)) => {
            let rules = rules.into_iter().enumerate();
            let rules = rules.map(|(index, rule)| rule.into_config(index));
            Ok(DecisionConfig::Rules(rules.collect::<Result<_, _>>()?))
        }
        (None, None) => Ok(DecisionConfig::Rules(RuleConfig::defaults())),
    }
}

impl RuleSection {
    fn into_config(self, index: usize) -> Result<RuleConfig, ConfigError> {
        let path = format!("policy[{index}].interval");
        let read = |text: &str| {
            parse_duration(text)
                .map_err(|error| ConfigError::invalid(&path, error.to_string(), "for example 30s"))
        };
        let interval = match &self.interval {
            IntervalSection::Fixed(text) => Interval::Fixed(read(text)?),
            IntervalSection::Exponential(section) => Interval::Exponential {
                initial: read(&section.initial)?,
                factor: section.factor.unwrap_or(DEFAULT_FACTOR),
                ceiling: read(&section.ceiling)?,
            },
        };
        Ok(RuleConfig {
            name: self.name,
            when: self.when,
            interval,
            jitter: self.jitter,
            after_change: match self.after_change {
                AfterChangeSection::Publish => AfterChange::Publish,
                AfterChangeSection::Wait => AfterChange::Wait,
            },
            priority: match self.priority {
                Some(PrioritySection::Change) => Priority::Change,
                Some(PrioritySection::Retry) => Priority::Retry,
                Some(PrioritySection::Refresh) => Priority::Refresh,
                None => interval.usual_priority(),
            },
        })
    }
}

/// Numbers and booleans become text; an entry without a label is ignored, as existing sentinels do.
fn selectors(sections: Vec<SelectorSection>) -> Result<Vec<LabelSelector>, ConfigError> {
    let mut selectors = Vec::new();
    for (index, SelectorSection { label, value }) in sections.into_iter().enumerate() {
        if label.is_empty() {
            tracing::warn!(
                index,
                "a resource_selector entry has no label and is ignored"
            );
            continue;
        }
        let value = match value {
            Value::String(text) => text,
            Value::Number(number) => number.to_string(),
            Value::Bool(flag) => flag.to_string(),
            Value::Null => String::new(),
            Value::Array(_) | Value::Object(_) => {
                let path = format!("resource_selector[{index}].value");
                return Err(ConfigError::invalid(
                    path,
                    "is not a text",
                    "give one value",
                ));
            }
        };
        selectors.push(LabelSelector { label, value });
    }
    Ok(selectors)
}
