//! What a policy is made from.

use std::time::Duration;

use hyperfleet_projections::reconcile_queue::Priority;

/// How a sentinel decides.
#[derive(Debug, Clone, PartialEq)]
pub enum DecisionConfig {
    /// `policy`: the first rule that holds says how often.
    Rules(Vec<RuleConfig>),
    /// `message_decision`: one boolean, evaluated at every poll interval.
    Message(MessageDecisionConfig),
}

/// One rule of a policy.
#[derive(Debug, Clone, PartialEq)]
pub struct RuleConfig {
    /// Names the rule in logs and metrics.
    pub name: String,
    /// CEL over `resource`, `now` and `condition(name)`; must give a boolean.
    pub when: String,
    /// Time between two events while the rule holds.
    pub interval: Interval,
    /// Share of the interval, 0 to 1, by which an event may come earlier, so that resources that were
    /// created together do not stay together.
    pub jitter: f64,
    /// Whether a change of the resource other than a new generation is a reason to publish at once.
    pub after_change: AfterChange,
    /// What the rule's repeated events yield to when more is due than can be published.
    pub priority: Priority,
}

impl Interval {
    /// The priority of a rule that names none: what backs off is being retried, the rest refreshed.
    pub const fn usual_priority(self) -> Priority {
        match self {
            Self::Fixed(_) => Priority::Refresh,
            Self::Exponential { .. } => Priority::Retry,
        }
    }
}

/// Time between two events.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Interval {
    /// Always the same.
    Fixed(Duration),
    /// Growing with each event, until the resource makes progress.
    Exponential {
        /// After the first event.
        initial: Duration,
        /// Multiplied with the interval at each further event.
        factor: f64,
        /// Never longer than this.
        ceiling: Duration,
    },
}

/// What to do when something about the resource changed since the last event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AfterChange {
    /// Publish at once: others may be waiting for exactly this change.
    Publish,
    /// Wait for the interval as if nothing had happened.
    Wait,
}

/// `message_decision`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageDecisionConfig {
    /// Evaluated in this order; each sees those before it.
    pub params: Vec<ParamConfig>,
    /// CEL over `resource`, `now`, `condition(name)` and the params; must give a boolean.
    pub result: String,
}

/// One intermediate value of `message_decision`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParamConfig {
    /// Variable that later expressions can use.
    pub name: String,
    /// CEL, as the result.
    pub expression: String,
}

impl RuleConfig {
    /// The default policy: a reconciled resource every 30 minutes; any other at once when it makes progress,
    /// else after 10 s, doubling up to 2 minutes.
    pub fn defaults() -> Vec<Self> {
        vec![
            Self {
                name: "reconciled".to_owned(),
                when: "condition('Reconciled').status == 'True' && \
                       condition('Reconciled').observed_generation >= resource.generation"
                    .to_owned(),
                interval: Interval::Fixed(Duration::from_mins(30)),
                jitter: 0.1,
                after_change: AfterChange::Wait,
                priority: Priority::Refresh,
            },
            Self {
                name: "not_reconciled".to_owned(),
                when: "true".to_owned(),
                interval: Interval::Exponential {
                    initial: Duration::from_secs(10),
                    factor: 2.0,
                    ceiling: Duration::from_mins(2),
                },
                jitter: 0.1,
                after_change: AfterChange::Publish,
                priority: Priority::Retry,
            },
        ]
    }
}
