//! Expressions whose cost is limited, and what they are evaluated on.
//!
//! The language is CEL's standard set with optional values, and `toJson` and `dig`. Everything
//! that can be found wrong without values is found when compiling.

use std::sync::{Arc, LazyLock};

use cel::common::ast::{EntryExpr, Expr, IdedExpr};
use cel::common::types::{CelString, DYN_TYPE, STRING_TYPE};
use cel::common::value::{CowVal, Val};
use cel::{Context, DeclarationError, Env, ExecutionError, Value as CelValue};

use crate::error::{CompileError, EvaluationError};
use crate::meter::{self, METER, Meter};
use crate::result_type::{self, ResultType};
use crate::{functions, names, price};

/// Longest expression accepted, in bytes; real ones have hundreds. The parser is recursive.
pub const LENGTH_LIMIT: usize = 16 * 1024;

/// Deepest nesting accepted; real ones have about ten levels. The evaluation is recursive, and
/// this many levels fit in a small part of a thread's stack.
pub(crate) const DEPTH_LIMIT: usize = 64;

/// Longest text that `toJson` gives, in bytes.
const JSON_LIMIT: usize = 1024 * 1024;

const TO_JSON: &str = "toJson";
const DIG: &str = "dig";

static ENVIRONMENT: LazyLock<Arc<Env>> = LazyLock::new(|| {
    let mut environment = Env::stdlib();
    let declared = declare(&mut environment);
    debug_assert!(declared.is_ok(), "the functions have names of their own");
    Arc::new(environment)
});

fn declare(environment: &mut Env) -> Result<(), DeclarationError> {
    meter::declare(environment)?;
    environment.add_overload(TO_JSON, "to_json", vec![DYN_TYPE], to_json)?;
    environment.add_overload(DIG, "dig", vec![DYN_TYPE, STRING_TYPE], dig)
}

/// A checked expression.
pub struct Expression {
    source: Arc<str>,
    metered: IdedExpr,
    price: u64,
    result_type: Option<ResultType>,
    is_constant: bool,
}

/// What expressions see. Values may borrow for `'v`, so that a document is not copied to be read.
pub struct Scope<'v> {
    context: Context<'v, 'v>,
    meter: Meter,
}

impl Expression {
    /// Compiles an expression that may use `declared` variables.
    ///
    /// # Errors
    /// When it cannot work on any values; see [`CompileError`].
    pub fn compile(source: &str, declared: &[&str]) -> Result<Self, CompileError> {
        if source.trim().is_empty() {
            return Err(CompileError::Empty);
        }
        if source.len() > LENGTH_LIMIT {
            let length = source.len();
            return Err(CompileError::TooLong { length });
        }
        let program = ENVIRONMENT
            .compile(source)
            .map_err(|errors| CompileError::Syntax {
                message: errors.to_string(),
            })?;
        let expression = program.expression();
        if depth(expression) > DEPTH_LIMIT {
            return Err(CompileError::TooDeep);
        }
        if let Some(name) = names::undeclared(expression, declared) {
            return Err(CompileError::UndeclaredVariable {
                name: name.to_owned(),
                declared: declared.join(", "),
            });
        }
        if let Some(name) = names::undeclared_function(expression, &[TO_JSON, DIG]) {
            return Err(CompileError::UndeclaredFunction { name });
        }
        let mut metered = expression.clone();
        let price = price::meter(&mut metered);
        Ok(Self {
            source: Arc::from(source),
            price,
            result_type: result_type::of(expression),
            is_constant: names::undeclared(expression, &[]).is_none(),
            metered,
        })
    }

    /// The text as written.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The type of the result, as far as it is known without evaluating.
    pub fn result_type(&self) -> Option<ResultType> {
        self.result_type
    }

    /// Whether the expression uses no variable, so that every evaluation ends alike.
    pub fn is_constant(&self) -> bool {
        self.is_constant
    }

    /// Evaluates, at a cost of at most `limit` units.
    ///
    /// # Errors
    /// When there is no result; see [`EvaluationError`].
    pub fn evaluate(&self, scope: &Scope<'_>, limit: u32) -> Result<CelValue, EvaluationError> {
        let price = i64::try_from(self.price).unwrap_or(i64::MAX);
        scope.meter.reset(i64::from(limit).saturating_sub(price));
        if scope.meter.is_exceeded() {
            return Err(EvaluationError::TooCostly { limit });
        }
        let result = CelValue::resolve(&self.metered, &scope.context);
        // `||` may have swallowed the error that said so.
        if scope.meter.is_exceeded() {
            return Err(EvaluationError::TooCostly { limit });
        }
        result.map_err(|error| EvaluationError::failed(&error))
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

impl<'v> Scope<'v> {
    /// A scope without variables.
    pub fn new() -> Self {
        let meter = Meter::default();
        let mut context = Context::with_env(Arc::clone(&ENVIRONMENT));
        context.add_variable_as_val(METER, Box::new(meter.clone()));
        Self { context, meter }
    }

    /// Gives a variable its value.
    #[must_use]
    pub fn with(mut self, name: &str, value: Box<dyn Val + 'v>) -> Self {
        self.context.add_variable_as_val(name, value);
        self
    }
}

impl Default for Scope<'_> {
    fn default() -> Self {
        Self::new()
    }
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "the engine's function type takes its arguments by value"
)]
fn to_json<'b, 'v>(arguments: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let [value] = arguments.as_slice() else {
        return Err(ExecutionError::missing_argument_or_target());
    };
    let text = functions::to_json(&CelValue::try_from(value.as_ref())?)?;
    if text.len() > JSON_LIMIT {
        let message = format!("the text has more than {JSON_LIMIT} bytes");
        return Err(ExecutionError::function_error(TO_JSON, message));
    }
    Ok(CowVal::owned(CelString::from(text)))
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "the engine's function type takes its arguments by value"
)]
fn dig<'b, 'v>(arguments: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let [value, path] = arguments.as_slice() else {
        return Err(ExecutionError::missing_argument_or_target());
    };
    let path = path
        .downcast_ref::<CelString>()
        .ok_or_else(ExecutionError::missing_argument_or_target)?;
    let found = functions::dig(&CelValue::try_from(value.as_ref())?, path.inner())?;
    let found: Box<dyn Val> = found.try_into()?;
    Ok(CowVal::Owned(found))
}

/// How deep an expression is nested.
fn depth(expression: &IdedExpr) -> usize {
    let deepest = |parts: &mut dyn Iterator<Item = &IdedExpr>| parts.map(depth).max();
    let inside = match &expression.expr {
        Expr::Unspecified | Expr::Literal(_) | Expr::Ident(_) => None,
        Expr::Select(select) => Some(depth(&select.operand)),
        Expr::Call(call) => deepest(&mut call.target.as_deref().into_iter().chain(&call.args)),
        Expr::List(list) => deepest(&mut list.elements.iter()),
        Expr::Map(map) => map
            .entries
            .iter()
            .map(|entry| entry_depth(&entry.expr))
            .max(),
        Expr::Struct(built) => built
            .entries
            .iter()
            .map(|entry| entry_depth(&entry.expr))
            .max(),
        Expr::Comprehension(comprehension) => deepest(
            &mut [
                &comprehension.iter_range,
                &comprehension.accu_init,
                &comprehension.loop_cond,
                &comprehension.loop_step,
                &comprehension.result,
            ]
            .into_iter(),
        ),
    };
    1 + inside.unwrap_or_default()
}

fn entry_depth(entry: &EntryExpr) -> usize {
    match entry {
        EntryExpr::StructField(field) => depth(&field.value),
        EntryExpr::MapEntry(entry) => depth(&entry.key).max(depth(&entry.value)),
    }
}

#[cfg(test)]
mod tests;
