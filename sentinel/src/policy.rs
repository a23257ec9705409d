//! Whether a resource is due for an event now, and when to look again.
//!
//! Deciding is pure: the resource, the time and the queue's memory of the resource go in, a [`Decision`]
//! comes out. There are two ways to say what is due:
//!
//! - **Rules** (the default). The first rule whose `when` holds applies. Its interval is the time between
//!   events. Because rules say when the next event is due, nothing is evaluated in between, and a steady
//!   fleet costs almost nothing. A generation that was never published is due at once under any rule.
//! - **`message_decision`**, as existing sentinels have it: one boolean. When it holds, an event is published;
//!   either way the resource is looked at again after `poll_interval`, since nobody can tell when an
//!   arbitrary expression changes its mind.
//!
//! Invariants:
//! - The next due time is never before `now`.
//! - The time between two events of an unchanged resource never exceeds its rule's interval: jitter only
//!   shortens.
//! - A rule that fails on a resource (a missing field) does not hold; a later one may.

mod config;
mod message;
mod rules;

use std::borrow::Cow;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use hyperfleet_projections::reconcile_queue::Priority;
use serde_json::Value;

use crate::{ConfigError, SentinelConfig};

pub use config::{
    AfterChange, DecisionConfig, Interval, MessageDecisionConfig, ParamConfig, RuleConfig,
};

/// What the queue remembers of a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Schedule {
    /// Events published since the resource last changed.
    pub attempt: u32,
    /// Generation of the last event.
    pub last_published_generation: Option<i64>,
    /// Time of the last event.
    pub last_published_time: Option<DateTime<Utc>>,
}

/// What to do about a resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// Whether to publish an event now.
    pub publish: bool,
    /// Why, or why not: from a small fixed set, so that it can be a metric's label.
    pub reason: Cow<'static, str>,
    /// When to look at the resource again, if it does not change before. After a publish this holds once
    /// it was confirmed.
    pub next_due: DateTime<Utc>,
    /// How urgent that look is, compared with what else is due by then.
    pub next_priority: Priority,
    /// What went wrong while evaluating, for logs only.
    pub warning: Option<String>,
}

/// A compiled policy.
#[derive(Debug)]
pub struct Policy {
    decide: Decide,
}

#[derive(Debug)]
enum Decide {
    Rules(rules::Rules),
    Message(message::MessageDecision),
}

impl Policy {
    /// Compiles the configuration's policy.
    ///
    /// # Errors
    /// A rule is incomplete, out of range, or has an expression that cannot work.
    pub fn compile(config: &SentinelConfig) -> Result<Self, ConfigError> {
        let decide = match &config.decision {
            DecisionConfig::Rules(rules) => Decide::Rules(rules::Rules::compile(rules)?),
            DecisionConfig::Message(decision) => {
                let interval = config.poll_interval;
                Decide::Message(message::MessageDecision::compile(decision, interval)?)
            }
        };
        Ok(Self { decide })
    }

    /// Decides on a resource, given in the API's shape.
    pub fn decide(&self, resource: &Value, now: DateTime<Utc>, schedule: &Schedule) -> Decision {
        match &self.decide {
            Decide::Rules(rules) => rules.decide(resource, now, schedule),
            Decide::Message(decision) => decision.decide(resource, now),
        }
    }

    /// Name and expression of the rule that applies to a resource; `None` when none does, or when there are
    /// no rules but a `message_decision`.
    pub fn rule(&self, resource: &Value, now: DateTime<Utc>) -> Option<(&str, &str)> {
        match &self.decide {
            Decide::Rules(rules) => rules.name(resource, now),
            Decide::Message(_) => None,
        }
    }
}

/// `time + duration`, or the end of time.
fn after(time: DateTime<Utc>, duration: Duration) -> DateTime<Utc> {
    TimeDelta::from_std(duration)
        .ok()
        .and_then(|delta| time.checked_add_signed(delta))
        .unwrap_or(DateTime::<Utc>::MAX_UTC)
}
