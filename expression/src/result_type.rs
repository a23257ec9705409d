//! What kind of value an expression gives, as far as its text alone says.

use cel::common::ast::{Expr, IdedExpr, LiteralValue, operators};

/// A type that is known without evaluating.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResultType {
    /// A truth value.
    Bool,
    /// A string.
    String,
    /// Null.
    Null,
    /// Any other type, by name.
    Other(&'static str),
}

impl std::fmt::Display for ResultType {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::Bool => "bool",
            Self::String => "string",
            Self::Null => "null",
            Self::Other(name) => name,
        })
    }
}

/// The type of an expression's result, if its outermost operation decides it.
pub(crate) fn of(expression: &IdedExpr) -> Option<ResultType> {
    match &expression.expr {
        Expr::Literal(literal) => Some(match literal {
            LiteralValue::Boolean(_) => ResultType::Bool,
            LiteralValue::String(_) => ResultType::String,
            LiteralValue::Null => ResultType::Null,
            LiteralValue::Bytes(_) => ResultType::Other("bytes"),
            LiteralValue::Double(_) => ResultType::Other("double"),
            LiteralValue::Int(_) => ResultType::Other("int"),
            LiteralValue::UInt(_) => ResultType::Other("uint"),
        }),
        Expr::List(_) => Some(ResultType::Other("list")),
        Expr::Map(_) => Some(ResultType::Other("map")),
        Expr::Select(select) => select.test.then_some(ResultType::Bool),
        Expr::Call(call) => match call.func_name.as_str() {
            operators::LOGICAL_AND
            | operators::LOGICAL_OR
            | operators::LOGICAL_NOT
            | operators::EQUALS
            | operators::NOT_EQUALS
            | operators::LESS
            | operators::LESS_EQUALS
            | operators::GREATER
            | operators::GREATER_EQUALS
            | operators::IN => Some(ResultType::Bool),
            operators::CONDITIONAL => {
                let [_, yes, no] = call.args.as_slice() else {
                    return None;
                };
                of(yes).filter(|yes| of(no) == Some(*yes))
            }
            "size" => Some(ResultType::Other("int")),
            "string" | "toJson" if call.target.is_none() => Some(ResultType::String),
            _ => None,
        },
        Expr::Comprehension(comprehension) => match &comprehension.accu_init.expr {
            Expr::Literal(LiteralValue::Boolean(_)) => Some(ResultType::Bool),
            Expr::List(list) if list.elements.is_empty() => Some(ResultType::Other("list")),
            _ => of(&comprehension.result),
        },
        Expr::Unspecified | Expr::Ident(_) | Expr::Struct(_) => None,
    }
}
