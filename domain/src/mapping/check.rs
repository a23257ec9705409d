//! Compiling a rule, and what can be wrong with it without any resource.

use std::fmt;

use hyperfleet_expression::{Expression, ResultType, Scope};

use super::rule::{CompiledRule, ConditionRule};
use super::variables::{RESOURCE, STATUSES};
use super::{COST_LIMIT, outcome};

/// Longest type of a condition, in characters.
const TYPE_MAX: usize = 100;

/// One of the four expressions of a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Whether there is such a condition.
    When,
    /// Its status.
    Status,
    /// Its reason.
    Reason,
    /// Its message.
    Message,
}

impl fmt::Display for Part {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::When => "when",
            Self::Status => "status",
            Self::Reason => "reason",
            Self::Message => "message",
        })
    }
}

/// What is wrong with a rule by itself.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RuleFault {
    /// It has no type.
    #[error("the type is empty: give it one")]
    EmptyType,
    /// Its type is too long.
    #[error("the type has {length} characters: use at most {TYPE_MAX}")]
    TypeTooLong {
        /// Its length.
        length: usize,
    },
    /// Its type is not one that conditions are searched by.
    #[error("the type must be PascalCase, letters and digits beginning with a capital")]
    TypePattern,
    /// An expression cannot work.
    #[error("{part}: {message}, in the expression: {expression}")]
    Expression {
        /// Which.
        part: Part,
        /// What is wrong.
        message: String,
        /// Its text.
        expression: String,
    },
}

/// Checks a rule and compiles its expressions.
pub(super) fn compile(rule: &ConditionRule) -> Result<CompiledRule, RuleFault> {
    check_type(&rule.r#type)?;
    let is_text = |kind| matches!(kind, ResultType::String | ResultType::Null);
    Ok(CompiledRule {
        when: expression(Part::When, &rule.when, "a bool", |kind| {
            kind == ResultType::Bool
        })?,
        status: expression(Part::Status, &rule.status, "a bool or string", |kind| {
            matches!(kind, ResultType::Bool | ResultType::String)
        })?,
        reason: expression(Part::Reason, &rule.reason, "a string", is_text)?,
        message: expression(Part::Message, &rule.message, "a string", is_text)?,
        source: rule.clone(),
    })
}

fn check_type(r#type: &str) -> Result<(), RuleFault> {
    if r#type.is_empty() {
        return Err(RuleFault::EmptyType);
    }
    let length = r#type.chars().count();
    if length > TYPE_MAX {
        return Err(RuleFault::TypeTooLong { length });
    }
    let is_pascal_case = r#type.starts_with(|first: char| first.is_ascii_uppercase())
        && r#type.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if is_pascal_case {
        Ok(())
    } else {
        Err(RuleFault::TypePattern)
    }
}

fn expression(
    part: Part,
    source: &str,
    wanted: &str,
    fits: impl Fn(ResultType) -> bool,
) -> Result<Expression, RuleFault> {
    let fault = |message: String| RuleFault::Expression {
        part,
        message,
        expression: source.to_owned(),
    };
    let compiled = Expression::compile(source, &[STATUSES, RESOURCE])
        .map_err(|error| fault(error.to_string()))?;
    if let Some(kind) = compiled.result_type().filter(|kind| !fits(*kind)) {
        return Err(fault(format!("gives {kind}, not {wanted}")));
    }
    if compiled.is_constant() {
        constant(part, &compiled).map_err(fault)?;
    }
    Ok(compiled)
}

/// What does not depend on a resource either always works or never.
fn constant(part: Part, expression: &Expression) -> Result<(), String> {
    let value = expression
        .evaluate(&Scope::new(), COST_LIMIT)
        .map_err(|error| error.to_string())?;
    match part {
        Part::When => outcome::truth(&value).map(drop),
        Part::Status => outcome::status(&value).map(drop),
        Part::Message => outcome::text(&value).map(drop),
        Part::Reason => {
            let reason = outcome::text(&value)?;
            outcome::too_long(reason.as_deref()).map_or(Ok(()), Err)
        }
    }
}
