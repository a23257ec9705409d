//! One rule: as configured, and compiled.

use hyperfleet_expression::{Expression, Scope};
use serde::{Deserialize, Serialize};

use super::Part;
use super::outcome::{self, Outcome};
use super::{COST_LIMIT, Statement};

/// A rule that gives a condition. In configuration it is one entry of an entity's `conditions`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Entry", into = "Entry")]
pub struct ConditionRule {
    /// Type of the condition.
    pub r#type: String,
    /// Expression that says whether there is such a condition.
    pub when: String,
    /// Expression that gives its status.
    pub status: String,
    /// Expression that gives its reason.
    pub reason: String,
    /// Expression that gives its message.
    pub message: String,
}

/// The configured form of a rule.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    r#type: String,
    when: Source,
    output: Output,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Output {
    status: Source,
    reason: Source,
    message: Source,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Source {
    expression: String,
}

impl From<Entry> for ConditionRule {
    fn from(entry: Entry) -> Self {
        Self {
            r#type: entry.r#type,
            when: entry.when.expression,
            status: entry.output.status.expression,
            reason: entry.output.reason.expression,
            message: entry.output.message.expression,
        }
    }
}

impl From<ConditionRule> for Entry {
    fn from(rule: ConditionRule) -> Self {
        let source = |expression| Source { expression };
        Self {
            r#type: rule.r#type,
            when: source(rule.when),
            output: Output {
                status: source(rule.status),
                reason: source(rule.reason),
                message: source(rule.message),
            },
        }
    }
}

/// A rule that was checked.
pub(super) struct CompiledRule {
    pub(super) source: ConditionRule,
    pub(super) when: Expression,
    pub(super) status: Expression,
    pub(super) reason: Expression,
    pub(super) message: Expression,
}

impl CompiledRule {
    pub(super) fn evaluate(&self, scope: &Scope<'_>) -> Outcome {
        self.try_evaluate(scope).unwrap_or_else(|outcome| outcome)
    }

    /// Stops at the first expression that decides the outcome.
    fn try_evaluate(&self, scope: &Scope<'_>) -> Result<Outcome, Outcome> {
        let failed = |part| {
            move |error| Outcome::Failed {
                part,
                error: outcome::cut(error),
            }
        };
        let run = |expression: &Expression| {
            let value = expression.evaluate(scope, COST_LIMIT);
            value.map_err(|error| error.to_string())
        };
        let applies = run(&self.when).and_then(|value| outcome::truth(&value));
        if !applies.map_err(failed(Part::When))? {
            return Ok(Outcome::Absent);
        }
        let status = run(&self.status).and_then(|value| outcome::status(&value));
        let status = status.map_err(failed(Part::Status))?;
        let reason = run(&self.reason).and_then(|value| outcome::text(&value));
        let reason = reason.map_err(failed(Part::Reason))?;
        let message = run(&self.message).and_then(|value| outcome::text(&value));
        let message = message.map_err(failed(Part::Message))?;
        if let Some(error) = outcome::too_long(reason.as_deref()) {
            return Ok(Outcome::Skipped { error });
        }
        Ok(Outcome::Present(Statement {
            status,
            reason,
            message: message.map(outcome::cut),
        }))
    }
}
