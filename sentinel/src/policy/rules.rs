//! Deciding by rules.

use std::borrow::Cow;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::time::Duration;

use cel::Value as CelValue;
use chrono::{DateTime, Utc};
use hyperfleet_projections::reconcile_queue::Priority;
use serde_json::Value;

use super::config::{AfterChange, Interval, RuleConfig};
use super::{Decision, Schedule, after};
use crate::ConfigError;
use crate::expression::{Expression, Place, rule_context};

/// When to look again at a resource to which no rule applies. A change makes it due anyway; this is for
/// rules that depend on the time.
const RECHECK: Duration = Duration::from_mins(1);

/// No interval is shorter, so that a rule cannot make a sentinel spin.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(100);

#[derive(Debug)]
pub(super) struct Rules {
    rules: Vec<Rule>,
}

#[derive(Debug)]
struct Rule {
    when: Expression,
    config: RuleConfig,
}

impl Rules {
    pub(super) fn compile(configs: &[RuleConfig]) -> Result<Self, ConfigError> {
        if configs.is_empty() {
            let remedy = "give at least one rule, or leave it out for the default policy";
            return Err(ConfigError::invalid("policy", "has no rules", remedy));
        }
        let rules = configs.iter().enumerate().map(|(index, config)| {
            check(index, config, &configs[..index])?;
            let when = Expression::compile(&config.when, Place::Rule, &["resource", "now"])
                .map_err(|source| ConfigError::Expression {
                    path: format!("policy[{index}].when"),
                    source,
                })?;
            Ok(Rule {
                when,
                config: config.clone(),
            })
        });
        Ok(Self {
            rules: rules.collect::<Result<_, ConfigError>>()?,
        })
    }

    pub(super) fn decide(
        &self,
        resource: &Value,
        now: DateTime<Utc>,
        schedule: &Schedule,
    ) -> Decision {
        let (rule, warning) = self.applying(resource, now);
        match rule {
            Some(rule) => Decision {
                warning,
                ..rule.decide(resource, now, schedule)
            },
            None => Decision {
                publish: false,
                reason: Cow::Borrowed("no rule applies"),
                next_due: after(now, RECHECK),
                next_priority: Priority::Refresh,
                warning,
            },
        }
    }

    /// The name and expression of the rule that applies.
    pub(super) fn name(&self, resource: &Value, now: DateTime<Utc>) -> Option<(&str, &str)> {
        let (rule, _) = self.applying(resource, now);
        rule.map(|rule| (rule.config.name.as_str(), rule.config.when.as_str()))
    }

    /// The first rule that holds, and what went wrong with the last one before it that failed.
    fn applying(&self, resource: &Value, now: DateTime<Utc>) -> (Option<&Rule>, Option<String>) {
        let context = rule_context(resource, now);
        let mut warning = None;
        let rule = self
            .rules
            .iter()
            .find(|rule| match rule.when.evaluate(&context) {
                Ok(CelValue::Bool(holds)) => holds,
                Ok(other) => {
                    let found = other.type_of();
                    warning = Some(format!(
                        "rule {}: gives {found}, not a boolean",
                        rule.config.name
                    ));
                    false
                }
                Err(error) => {
                    warning = Some(format!("rule {}: {error}", rule.config.name));
                    false
                }
            });
        (rule, warning)
    }
}

impl Rule {
    fn decide(&self, resource: &Value, now: DateTime<Utc>, schedule: &Schedule) -> Decision {
        let id = resource
            .get("id")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let generation = resource.get("generation").and_then(Value::as_i64);
        let publish = |reason: Cow<'static, str>| {
            let interval = self.interval(schedule.attempt.saturating_add(1), id);
            Decision {
                publish: true,
                reason,
                next_due: after(now, interval),
                next_priority: self.config.priority,
                warning: None,
            }
        };
        let Some(last_published) = schedule.last_published_time else {
            return publish(Cow::Borrowed("new generation"));
        };
        if generation > schedule.last_published_generation {
            return publish(Cow::Borrowed("new generation"));
        }
        if schedule.attempt == 0 && self.config.after_change == AfterChange::Publish {
            return publish(Cow::Borrowed("progress"));
        }
        let due = after(last_published, self.interval(schedule.attempt.max(1), id));
        if due <= now {
            return publish(Cow::Owned(self.config.name.clone()));
        }
        Decision {
            publish: false,
            reason: Cow::Borrowed("not due yet"),
            next_due: due,
            next_priority: self.config.priority,
            warning: None,
        }
    }

    /// The time to the next event after event number `attempt` (from 1), shortened by jitter.
    fn interval(&self, attempt: u32, id: &str) -> Duration {
        let interval = match self.config.interval {
            Interval::Fixed(interval) => interval,
            Interval::Exponential {
                initial,
                factor,
                ceiling,
            } => {
                let exponent = i32::try_from(attempt.saturating_sub(1)).unwrap_or(i32::MAX);
                let seconds = initial.as_secs_f64() * factor.powi(exponent);
                Duration::try_from_secs_f64(seconds)
                    .unwrap_or(ceiling)
                    .min(ceiling)
            }
        };
        interval
            .mul_f64(1.0 - self.config.jitter * share(id, attempt))
            .max(SHORTEST_INTERVAL)
    }
}

/// A number in [0, 1) that looks random, but is always the same for the same resource and attempt.
fn share(id: &str, attempt: u32) -> f64 {
    let mut hasher = DefaultHasher::new();
    (id, attempt).hash(&mut hasher);
    let [a, b, c, d, ..] = hasher.finish().to_le_bytes();
    f64::from(u32::from_le_bytes([a, b, c, d])) / (f64::from(u32::MAX) + 1.0)
}

fn check(index: usize, config: &RuleConfig, earlier: &[RuleConfig]) -> Result<(), ConfigError> {
    let path = |field: &str| format!("policy[{index}].{field}");
    if config.name.trim().is_empty() {
        return Err(ConfigError::invalid(
            path("name"),
            "is empty",
            "name the rule",
        ));
    }
    if earlier.iter().any(|rule| rule.name == config.name) {
        let reason = format!("{:?} is the name of an earlier rule", config.name);
        return Err(ConfigError::invalid(
            path("name"),
            reason,
            "give each rule its own name",
        ));
    }
    if !(0.0..=1.0).contains(&config.jitter) {
        let reason = format!("must be between 0 and 1, is {}", config.jitter);
        return Err(ConfigError::invalid(
            path("jitter"),
            reason,
            "for example 0.1",
        ));
    }
    let (shortest, factor, ceiling) = match config.interval {
        Interval::Fixed(interval) => (interval, 1.0, interval),
        Interval::Exponential {
            initial,
            factor,
            ceiling,
        } => (initial, factor, ceiling),
    };
    if shortest < SHORTEST_INTERVAL {
        let reason = format!("{shortest:?} is too short");
        return Err(ConfigError::invalid(
            path("interval"),
            reason,
            "at least 100ms",
        ));
    }
    if !(1.0..=100.0).contains(&factor) {
        let reason = format!("must be between 1 and 100, is {factor}");
        return Err(ConfigError::invalid(
            path("interval.factor"),
            reason,
            "for example 2",
        ));
    }
    if ceiling < shortest {
        let reason = format!("{ceiling:?} is below the initial {shortest:?}");
        return Err(ConfigError::invalid(
            path("interval.ceiling"),
            reason,
            "raise it",
        ));
    }
    Ok(())
}
