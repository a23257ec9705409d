//! CEL as the adapter DSL uses it: parsed at load, never type-checked, evaluated on the variables
//! that the expression names.
//!
//! Two kinds of failure stay apart in the types. A *parse* failure is hard and refuses the
//! configuration. An *evaluation* failure is soft ([`SoftError`]): each place of the DSL decides
//! what it means. Numbers keep Go's distinction: JSON numbers are doubles, converted parameters
//! are ints, and mixing them in arithmetic is a soft error.
//!
//! Known differences from the Go framework, both supersets: a null result stays null (there it
//! became `0`), and lists or maps that the expression built serialise correctly.

mod functions;
mod go_text;

use std::sync::{Arc, LazyLock};

use cel::common::ast::IdedExpr;
use cel::{Context, Env, Program, Value as CelValue};
use chrono::{DateTime, Utc};
use hyperfleet_expression::{Absent, to_cel, to_json};
use serde_json::Value;

/// The longest expression accepted, in bytes. Real ones have hundreds; the parser is recursive.
pub const LENGTH_LIMIT: usize = 16 * 1024;

static ENVIRONMENT: LazyLock<Arc<Env>> = LazyLock::new(|| {
    let mut environment = Env::stdlib();
    let added = cel::extensions::strings(&mut environment)
        .and_then(|()| cel::extensions::lists(&mut environment))
        .and_then(|()| functions::add_list_ends(&mut environment));
    debug_assert!(added.is_ok(), "the extensions declare distinct functions");
    Arc::new(environment)
});

/// A parsed expression.
#[derive(Clone)]
pub struct Expression {
    source: Arc<str>,
    parsed: Option<Arc<Parsed>>,
}

/// What the parser made of a text, and what is evaluated instead of it.
struct Parsed {
    program: Program,
    evaluated: IdedExpr,
}

/// The expression is not CEL.
#[derive(Debug, thiserror::Error, Clone, PartialEq, Eq)]
#[error("CEL parse error: {message}")]
pub struct ParseError {
    /// The parser's message, with line and column inside the expression.
    pub message: String,
}

/// Evaluation failed in a way that is data, not a defect: a missing key, an undeclared variable,
/// no overload, a division by zero.
#[derive(Debug, thiserror::Error, Clone, PartialEq, Eq)]
#[error("{message}")]
pub struct SoftError {
    /// What went wrong.
    pub message: String,
}

/// The result of an evaluation.
#[derive(Debug, Clone, PartialEq)]
pub enum Evaluated {
    /// A value, possibly null.
    Value(Value),
    /// `optional.none()`.
    Nothing,
}

/// What expressions can see.
pub trait Variables {
    /// The value of a variable, `None` when it is not declared.
    fn variable(&self, name: &str) -> Option<Value>;
    /// The time that `now()` answers.
    fn now(&self) -> DateTime<Utc>;
}

impl Expression {
    /// Parses `source`, trimmed. An empty expression is accepted and is always true.
    ///
    /// # Errors
    /// On a syntax error, or when the text is longer than [`LENGTH_LIMIT`].
    pub fn parse(source: &str) -> Result<Self, ParseError> {
        let trimmed = source.trim();
        if trimmed.len() > LENGTH_LIMIT {
            return Err(ParseError {
                message: format!("the expression is longer than {LENGTH_LIMIT} bytes"),
            });
        }
        if trimmed.is_empty() {
            return Ok(Self {
                source: Arc::from(trimmed),
                parsed: None,
            });
        }
        let program = ENVIRONMENT.compile(trimmed).map_err(|errors| ParseError {
            message: errors
                .errors
                .iter()
                .map(|error| format!("{}:{}: {}", error.pos.0, error.pos.1, error.msg))
                .collect::<Vec<_>>()
                .join("; "),
        })?;
        let mut evaluated = program.expression().clone();
        go_text::rewrite(&mut evaluated);
        Ok(Self {
            source: Arc::from(trimmed),
            parsed: Some(Arc::new(Parsed { program, evaluated })),
        })
    }

    /// The text as written, trimmed.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The parsed tree; an empty expression has none.
    pub(crate) fn tree(&self) -> Option<&IdedExpr> {
        let parsed = self.parsed.as_ref()?;
        Some(parsed.program.expression())
    }

    /// Evaluates.
    ///
    /// # Errors
    /// On anything that goes wrong at run time; see [`SoftError`].
    pub fn evaluate(&self, variables: &dyn Variables) -> Result<Evaluated, SoftError> {
        let Some(parsed) = &self.parsed else {
            return Ok(Evaluated::Value(Value::Bool(true)));
        };
        let mut context = Context::with_env(Arc::clone(&ENVIRONMENT));
        functions::register(&mut context, variables.now());
        for name in parsed.program.references().variables() {
            if let Some(value) = variables.variable(name) {
                context.add_variable_from_value(name, to_cel(&value));
            }
        }
        let result = CelValue::resolve(&parsed.evaluated, &context).map_err(|error| SoftError {
            message: error.to_string(),
        })?;
        match to_json(&result, Absent::Null) {
            Ok(value) => Ok(value.map_or(Evaluated::Nothing, Evaluated::Value)),
            Err(error) => Err(SoftError {
                message: error.to_string(),
            }),
        }
    }

    /// Evaluates to a truth value by [`Evaluated::is_met`].
    ///
    /// # Errors
    /// As [`Expression::evaluate`].
    pub fn is_met(&self, variables: &dyn Variables) -> Result<bool, SoftError> {
        self.evaluate(variables).map(|result| result.is_met())
    }
}

impl std::fmt::Debug for Expression {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_tuple("Expression")
            .field(&self.source)
            .finish()
    }
}

impl Evaluated {
    /// The value, null for `optional.none()`.
    pub fn into_value(self) -> Value {
        match self {
            Self::Value(value) => value,
            Self::Nothing => Value::Null,
        }
    }

    /// Truthiness: null and empty strings, lists and maps are false; a boolean is itself;
    /// everything else is true, zero and `optional.none()` included.
    pub fn is_met(&self) -> bool {
        match self {
            Self::Nothing => true,
            Self::Value(value) => match value {
                Value::Null => false,
                Value::Bool(flag) => *flag,
                Value::String(text) => !text.is_empty(),
                Value::Array(items) => !items.is_empty(),
                Value::Object(map) => !map.is_empty(),
                Value::Number(_) => true,
            },
        }
    }
}

#[cfg(test)]
mod tests;
