//! Why an expression is refused, and why an evaluation has no result.

use cel::ExecutionError;

use crate::convert::type_name;
use crate::expression::{DEPTH_LIMIT, LENGTH_LIMIT};

/// Why an expression is refused before it is ever used.
#[derive(Debug, thiserror::Error, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum CompileError {
    /// Nothing but white space.
    #[error("the expression is empty")]
    Empty,
    /// Longer than the parser is trusted with.
    #[error("the expression has {length} bytes, but at most {LENGTH_LIMIT} are accepted")]
    TooLong {
        /// Its length.
        length: usize,
    },
    /// Nested deeper than the stack is trusted with.
    #[error("the expression is nested deeper than {DEPTH_LIMIT} levels: split it")]
    TooDeep,
    /// Not CEL.
    #[error("{message}")]
    Syntax {
        /// The parser's message, with line and column inside the expression.
        message: String,
    },
    /// A variable that nothing declares.
    #[error("undeclared reference to '{name}'; declared are: {declared}")]
    UndeclaredVariable {
        /// The name found.
        name: String,
        /// The names that exist here.
        declared: String,
    },
    /// A function that does not exist.
    #[error("undeclared function '{name}'")]
    UndeclaredFunction {
        /// The name found.
        name: String,
    },
}

/// Why an evaluation has no result. The text depends on the expression and the types that it met,
/// never on the contents of maps, whose order is not fixed.
#[derive(Debug, thiserror::Error, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum EvaluationError {
    /// It would cost more than it may.
    #[error("the expression costs more than {limit} units")]
    TooCostly {
        /// What it may cost.
        limit: u32,
    },
    /// A missing key, an index out of bounds, types that do not fit, a division by zero …
    #[error("{message}")]
    Failed {
        /// What went wrong.
        message: String,
    },
}

impl EvaluationError {
    pub(crate) fn failed(error: &ExecutionError) -> Self {
        Self::Failed {
            message: describe(error),
        }
    }
}

/// The engine's error in words. Its own words print whole values, with maps in random order.
fn describe(error: &ExecutionError) -> String {
    match error {
        ExecutionError::NoSuchKey(key) => format!("no such key: {key}"),
        ExecutionError::IndexOutOfBounds(index) => match index {
            cel::Value::Int(index) => format!("index out of bounds: {index}"),
            cel::Value::UInt(index) => format!("index out of bounds: {index}"),
            cel::Value::Float(index) => format!("index out of bounds: {index}"),
            other => format!("index out of bounds: a {}", type_name(other)),
        },
        ExecutionError::UnsupportedTargetType { target } => {
            format!("unsupported argument of type {}", type_name(target))
        }
        ExecutionError::NotSupportedAsMethod { method, target } => {
            let of = type_name(target);
            format!("'{method}' is not supported on type {of}")
        }
        ExecutionError::UnsupportedKeyType(key) => {
            format!("a {} cannot be a key", type_name(key))
        }
        ExecutionError::ValuesNotComparable(left, right) => {
            let (left, right) = (type_name(left), type_name(right));
            format!("{left} and {right} cannot be compared")
        }
        ExecutionError::UnsupportedBinaryOperator(operator, left, right) => {
            let (left, right) = (type_name(left), type_name(right));
            format!("the operator '{operator}' is not supported between {left} and {right}")
        }
        ExecutionError::UnsupportedIndex(index, value) => {
            let (index, value) = (type_name(index), type_name(value));
            format!("a {index} cannot index a {value}")
        }
        ExecutionError::DivisionByZero(_) => "division by zero".to_owned(),
        ExecutionError::RemainderByZero(_) => "remainder by zero".to_owned(),
        ExecutionError::Overflow(operator, ..) => format!("overflow of the operator '{operator}'"),
        ExecutionError::UndeclaredReference(name) => format!("undeclared reference to '{name}'"),
        other => other.to_string(),
    }
}
