//! Conditions that an operator defines for a kind, by rules in CEL over the stored reports (API
//! contract v1, condition mapping).
//!
//! Pure: the outcome depends on the state of the resource alone, also its texts, and no clock is
//! read. It is recorded with the other conditions and never computed again for the past. A rule
//! that fails marks its own condition as [`FAILED`] and harms nothing else: neither the report
//! that triggered it nor other rules.

mod check;
mod mask;
mod outcome;
mod rule;
mod variables;

use std::sync::Arc;

use crate::condition::{Condition, ConditionStatus};
use crate::resource::Resource;

pub use check::{Part, RuleFault};
pub use rule::ConditionRule;

use outcome::Outcome;
use rule::CompiledRule;

/// Reason of a condition whose rule failed.
pub const FAILED: &str = "MappingFailed";

/// What one expression may cost, in units of `hyperfleet-expression`.
pub const COST_LIMIT: u32 = 10_000;

/// The compiled rules of a kind, by type of condition. Cheap to clone; equal when their texts are.
#[derive(Clone, Default)]
pub struct Mapping {
    rules: Arc<[CompiledRule]>,
}

/// The conditions that rules give, and the rules that failed.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Mapped {
    /// Sorted by type.
    pub conditions: Vec<Condition>,
    /// For logs and metrics.
    pub failures: Vec<MappingFailure>,
}

/// A rule that failed for a resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MappingFailure {
    /// Kind of the resource.
    pub kind: String,
    /// Type of the rule's condition.
    pub condition: String,
    /// Which expression failed.
    pub part: Part,
    /// How.
    pub error: String,
    /// Whether it did not fail like this when it was last evaluated.
    pub is_new: bool,
}

impl Mapping {
    /// Compiles the rules of a kind.
    ///
    /// # Errors
    /// The first fault, with the index of its rule.
    pub fn compile(rules: &[ConditionRule]) -> Result<Self, (usize, RuleFault)> {
        let compiled = rules
            .iter()
            .enumerate()
            .map(|(index, rule)| check::compile(rule).map_err(|fault| (index, fault)));
        let mut compiled = compiled.collect::<Result<Vec<_>, _>>()?;
        compiled.sort_by(|left, right| left.source.r#type.cmp(&right.source.r#type));
        Ok(Self {
            rules: compiled.into(),
        })
    }

    /// Whether there is no rule.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Evaluates every rule on a resource and its stored reports.
    pub fn evaluate(&self, resource: &Resource) -> Mapped {
        let mut mapped = Mapped::default();
        if self.is_empty() {
            return mapped;
        }
        let scope = variables::scope(resource);
        for rule in self.rules.iter() {
            let condition = &rule.source.r#type;
            let previous = resource.condition(condition);
            let failure = |part, error: String, is_new| MappingFailure {
                kind: resource.kind.clone(),
                condition: condition.clone(),
                part,
                error,
                is_new,
            };
            match rule.evaluate(&scope) {
                Outcome::Absent => {}
                Outcome::Skipped { error } => {
                    mapped.failures.push(failure(Part::Reason, error, true));
                }
                Outcome::Present(statement) => {
                    let condition = statement.condition(condition, resource, previous);
                    mapped.conditions.push(condition);
                }
                Outcome::Failed { part, error } => {
                    let statement = outcome::failed(part, &error);
                    let condition = statement.condition(condition, resource, previous);
                    let is_new = previous.is_none_or(|previous| {
                        previous.reason != condition.reason || previous.message != condition.message
                    });
                    mapped.failures.push(failure(part, error, is_new));
                    mapped.conditions.push(condition);
                }
            }
        }
        mapped
    }

    /// The conditions of a resource that the rules gave when they were last evaluated. As long as
    /// neither the resource nor what its adapters say changes, an evaluation gives the same.
    pub fn kept(&self, resource: &Resource) -> Vec<Condition> {
        let kept = self
            .rules
            .iter()
            .filter_map(|rule| resource.condition(&rule.source.r#type));
        kept.cloned().collect()
    }
}

impl PartialEq for Mapping {
    fn eq(&self, other: &Self) -> bool {
        let sources = |mapping: &Self| -> Vec<ConditionRule> {
            let rules = mapping.rules.iter();
            rules.map(|rule| rule.source.clone()).collect()
        };
        sources(self) == sources(other)
    }
}

impl Eq for Mapping {}

impl std::fmt::Debug for Mapping {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let rules = self.rules.iter().map(|rule| &rule.source);
        formatter.debug_list().entries(rules).finish()
    }
}

/// What a rule states about a resource, before times are known.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Statement {
    status: ConditionStatus,
    reason: Option<String>,
    message: Option<String>,
}

impl Statement {
    /// Times come from the resource, not from reports or a clock, so that evaluating again gives
    /// the same condition.
    fn condition(
        self,
        r#type: &str,
        resource: &Resource,
        previous: Option<&Condition>,
    ) -> Condition {
        let updated = resource.updated_time;
        let unchanged = previous.filter(|previous| previous.status == self.status);
        Condition {
            r#type: r#type.to_owned(),
            status: self.status,
            reason: self.reason,
            message: self.message,
            observed_generation: resource.generation,
            created_time: previous.map_or(updated, |previous| previous.created_time),
            last_updated_time: updated,
            last_transition_time: unchanged
                .map_or(updated, |previous| previous.last_transition_time),
        }
    }
}
