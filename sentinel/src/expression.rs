//! CEL as sentinel configurations use it.
//!
//! Everything that can be found wrong without a resource is found when compiling: syntax, and names that
//! nothing declares. Integers are CEL ints, so that `resource.generation + 1` works.

use std::sync::{Arc, LazyLock};

use cel::objects::{Key, Map};
use cel::{Context, Env, Program, Value as CelValue};
use chrono::{DateTime, Utc};
use hyperfleet_expression::{names, to_cel};
use serde_json::Value;

/// Longest expression accepted, in bytes; real ones have hundreds. The parser is recursive.
const LENGTH_LIMIT: usize = 16 * 1024;

/// Function that looks a condition up by its type.
const CONDITION: &str = "condition";

/// How Go writes a time that was never set. Read as empty: CEL cannot subtract it from a present time, so
/// it would make every rule about age fail for ever.
const ZERO_TIME: &str = "0001-01-01T00:00:00Z";

/// With the string functions, for rules.
static RULES: LazyLock<Arc<Env>> = LazyLock::new(|| {
    let mut environment = Env::stdlib();
    let added = cel::extensions::strings(&mut environment);
    debug_assert!(added.is_ok(), "the extension declares distinct functions");
    Arc::new(environment)
});

/// Nothing but the language, for payloads.
static PAYLOAD: LazyLock<Arc<Env>> = LazyLock::new(|| Arc::new(Env::stdlib()));

/// Why an expression of the configuration is refused.
#[derive(Debug, thiserror::Error, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ExpressionError {
    /// Nothing but white space.
    #[error("the expression is empty")]
    Empty,
    /// Longer than the parser is trusted with.
    #[error("the expression has {length} bytes, but at most {LENGTH_LIMIT} are accepted")]
    TooLong {
        /// Its length.
        length: usize,
    },
    /// Not CEL.
    #[error("{message}")]
    Syntax {
        /// The parser's message, with line and column inside the expression.
        message: String,
    },
    /// A variable that nothing declares.
    #[error("undeclared reference to {name:?}; declared are: {declared}")]
    UndeclaredVariable {
        /// The name found.
        name: String,
        /// The names that exist here.
        declared: String,
    },
    /// A function that does not exist here.
    #[error("the function {name}() is not available here")]
    UnavailableFunction {
        /// The name found.
        name: String,
    },
}

/// Why an evaluation has no result: the resource lacks a field, or types do not fit.
#[derive(Debug, thiserror::Error, Clone, PartialEq, Eq)]
#[error("{message}")]
pub(crate) struct EvaluationError {
    pub(crate) message: String,
}

/// Where an expression stands, which decides what it may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// In a rule or decision: string functions and `condition(name)`.
    Rule,
    /// In the payload: plain CEL.
    Payload,
}

/// A compiled expression.
#[derive(Debug)]
pub(crate) struct Expression {
    program: Program,
}

impl Expression {
    /// Compiles an expression that may use `declared` variables.
    pub(crate) fn compile(
        source: &str,
        place: Place,
        declared: &[&str],
    ) -> Result<Self, ExpressionError> {
        if source.trim().is_empty() {
            return Err(ExpressionError::Empty);
        }
        if source.len() > LENGTH_LIMIT {
            return Err(ExpressionError::TooLong {
                length: source.len(),
            });
        }
        let environment = match place {
            Place::Rule => &RULES,
            Place::Payload => &PAYLOAD,
        };
        let program = environment
            .compile(source)
            .map_err(|errors| ExpressionError::Syntax {
                message: errors.to_string(),
            })?;
        if let Some(name) = names::undeclared(program.expression(), declared) {
            return Err(ExpressionError::UndeclaredVariable {
                name: name.to_owned(),
                declared: declared.join(", "),
            });
        }
        if place == Place::Payload && program.references().has_function(CONDITION) {
            return Err(ExpressionError::UnavailableFunction {
                name: CONDITION.to_owned(),
            });
        }
        Ok(Self { program })
    }

    pub(crate) fn evaluate(&self, context: &Context<'_, '_>) -> Result<CelValue, EvaluationError> {
        let result = self.program.execute(context);
        result.map_err(|error| EvaluationError {
            message: error.to_string(),
        })
    }
}

/// What rules see: `resource`, `now` and `condition(name)`.
pub(crate) fn rule_context(resource: &Value, now: DateTime<Utc>) -> Context<'static, 'static> {
    let mut context = Context::with_env(Arc::clone(&RULES));
    context.add_variable_from_value("resource", to_cel(resource));
    context.add_variable_from_value("now", CelValue::Timestamp(now.fixed_offset()));
    let conditions = conditions(resource);
    let find = move |name: Arc<String>| -> CelValue {
        let found = conditions.iter().find(|(kind, _)| *kind == *name);
        found.map_or_else(
            || condition(&Value::Null),
            |(_, condition)| condition.clone(),
        )
    };
    let added = context.add_function(CONDITION, find);
    debug_assert!(added.is_ok(), "no extension declares condition()");
    context
}

/// What payloads see: `resource` and `reason`.
pub(crate) fn payload_context(resource: &Value, reason: &str) -> Context<'static, 'static> {
    let mut context = Context::with_env(Arc::clone(&PAYLOAD));
    context.add_variable_from_value("resource", to_cel(resource));
    context.add_variable_from_value("reason", reason);
    context
}

/// The conditions of a resource by type, the last of each type first.
fn conditions(resource: &Value) -> Vec<(String, CelValue)> {
    let list = resource
        .pointer("/status/conditions")
        .and_then(Value::as_array);
    let mut conditions: Vec<_> = list
        .into_iter()
        .flatten()
        .filter_map(|item| Some((item.get("type")?.as_str()?.to_owned(), condition(item))))
        .collect();
    conditions.reverse();
    conditions
}

/// What `condition(name)` answers: every field is there, empty or zero if the condition lacks it.
fn condition(item: &Value) -> CelValue {
    let text = |field: &str| {
        let text = item
            .get(field)
            .and_then(Value::as_str)
            .filter(|text| *text != ZERO_TIME);
        let text = text.unwrap_or_default();
        (Key::from(field), CelValue::from(text))
    };
    let generation = item
        .get("observed_generation")
        .and_then(Value::as_i64)
        .unwrap_or_default();
    let fields = [
        text("status"),
        text("reason"),
        text("message"),
        text("last_updated_time"),
        text("last_transition_time"),
        (Key::from("observed_generation"), CelValue::Int(generation)),
    ];
    CelValue::Map(Map {
        map: Arc::new(fields.into_iter().collect()),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn resource() -> Value {
        json!({
            "id": "c1", "kind": "Cluster", "generation": 3, "labels": {"shard": "1"},
            "spec": {"replicas": 2, "ratio": 0.5},
            "status": {"conditions": [
                {"type": "Reconciled", "status": "False", "observed_generation": 1},
                {"type": "Reconciled", "status": "True", "observed_generation": 2,
                 "last_updated_time": "2026-01-01T00:00:00Z"},
            ]},
        })
    }

    fn evaluate(source: &str) -> Result<CelValue, EvaluationError> {
        let now = "2026-01-01T01:00:00Z".parse().unwrap();
        let expression = Expression::compile(source, Place::Rule, &["resource", "now"]).unwrap();
        expression.evaluate(&rule_context(&resource(), now))
    }

    #[test]
    fn rules_see_the_resource_the_time_and_conditions() {
        for source in [
            "resource.generation + 1 == 4",
            "resource.generation > condition('Reconciled').observed_generation",
            "condition('Reconciled').status == 'True'",
            "condition('Absent').status == '' && condition('Absent').observed_generation == 0",
            "now - timestamp(condition('Reconciled').last_updated_time) == duration('1h')",
            "resource.labels.shard.startsWith('1') && 'A'.lowerAscii() == 'a'",
            "resource.spec.ratio < 1.0 && resource.spec.replicas / 2 == 1",
            "has(resource.labels) && !has(resource.deleted_time)",
            "resource.status.conditions.exists(c, c.type == 'Reconciled')",
            "resource.nothing.at.all == 1 || true",
        ] {
            assert_eq!(evaluate(source), Ok(CelValue::Bool(true)), "{source}");
        }
    }

    #[test]
    fn a_missing_field_is_an_error_of_the_evaluation() {
        let error = evaluate("resource.labels.missing == 'x'").unwrap_err();
        assert!(error.message.contains("missing"), "{error}");
        assert!(evaluate("timestamp('') < now").is_err());
    }

    #[test]
    fn what_cannot_work_is_refused_when_compiling() {
        let compile =
            |source: &str, place| Expression::compile(source, place, &["resource"]).unwrap_err();
        assert_eq!(compile("  ", Place::Rule), ExpressionError::Empty);
        assert_eq!(
            compile(&" ".repeat(20_000).replacen(' ', "1", 1), Place::Rule),
            ExpressionError::TooLong { length: 20_000 }
        );
        assert!(matches!(
            compile("1 +", Place::Rule),
            ExpressionError::Syntax { .. }
        ));
        assert_eq!(
            compile("resource.x == y", Place::Rule).to_string(),
            r#"undeclared reference to "y"; declared are: resource"#
        );
        assert_eq!(
            compile("condition('Reconciled').status", Place::Payload).to_string(),
            "the function condition() is not available here"
        );
    }
}
