//! Prices an expression, and puts the calls into it that charge while it runs.
//!
//! | What | Units |
//! |---|---|
//! | a variable, a field, a call | 1 |
//! | a call of `matches`, which compiles a pattern | 20 |
//! | a list, a map, a struct that is built | 10, 30, 40 |
//! | a loop (`all`, `exists`, `exists_one`, `map`, `filter`) | for each element, what the body costs and 1 |
//! | each whole KiB of a value that is looped over, passed to a function or put into a list or map | 1 |
//!
//! Everything outside loops is charged before the evaluation, a loop in full when it begins.
//! Both branches of a condition count, so the price is an upper bound of what can be evaluated.

use std::mem;

use cel::common::ast::{
    CallExpr, ComprehensionExpr, EntryExpr, Expr, IdedExpr, LiteralValue, operators,
};

use crate::meter::{LOOP, METER, USE};
use crate::names::NAMESPACES;

const MATCHES: u64 = 20;
const LIST: u64 = 10;
const MAP: u64 = 30;
const STRUCT: u64 = 40;

/// Calls whose operands are looked at, not read through.
const LOOK_ONLY: [&str; 6] = [
    operators::CONDITIONAL,
    operators::LOGICAL_AND,
    operators::LOGICAL_OR,
    operators::LOGICAL_NOT,
    operators::NOT_STRICTLY_FALSE,
    operators::INDEX,
];

/// Calls with a result of fixed size.
const SMALL_RESULTS: [&str; 14] = [
    operators::LOGICAL_AND,
    operators::LOGICAL_OR,
    operators::LOGICAL_NOT,
    operators::NOT_STRICTLY_FALSE,
    operators::EQUALS,
    operators::NOT_EQUALS,
    operators::LESS,
    operators::LESS_EQUALS,
    operators::GREATER,
    operators::GREATER_EQUALS,
    operators::IN,
    "size",
    "matches",
    "hasValue",
];

/// Puts the charging calls into an expression; gives its price without loops and data.
pub(crate) fn meter(expression: &mut IdedExpr) -> u64 {
    match &mut expression.expr {
        Expr::Unspecified | Expr::Literal(_) => 0,
        Expr::Ident(_) => 1,
        Expr::Select(select) => 1 + meter(&mut select.operand),
        Expr::Call(call) => meter_call(call),
        Expr::List(list) => LIST + list.elements.iter_mut().map(meter_data).sum::<u64>(),
        Expr::Map(map) => {
            let entries = map.entries.iter_mut();
            MAP + entries
                .map(|entry| meter_entry(&mut entry.expr))
                .sum::<u64>()
        }
        Expr::Struct(built) => {
            let entries = built.entries.iter_mut();
            STRUCT
                + entries
                    .map(|entry| meter_entry(&mut entry.expr))
                    .sum::<u64>()
        }
        Expr::Comprehension(comprehension) => meter_loop(comprehension),
    }
}

fn meter_entry(entry: &mut EntryExpr) -> u64 {
    match entry {
        EntryExpr::StructField(field) => meter_data(&mut field.value),
        EntryExpr::MapEntry(entry) => meter(&mut entry.key) + meter_data(&mut entry.value),
    }
}

fn meter_call(call: &mut CallExpr) -> u64 {
    let own = if call.func_name == "matches" {
        MATCHES
    } else {
        1
    };
    let operand = if LOOK_ONLY.contains(&call.func_name.as_str()) {
        meter
    } else {
        meter_data
    };
    let target = match &mut call.target {
        // `optional.of(x)`: the target is part of the function's name.
        Some(target) if matches!(&target.expr, Expr::Ident(name) if NAMESPACES.contains(&name.as_str())) => {
            0
        }
        Some(target) => operand(target),
        None => 0,
    };
    own + target + call.args.iter_mut().map(operand).sum::<u64>()
}

/// The macros of CEL became comprehensions. Their shape is kept, because the engine recognises it.
fn meter_loop(comprehension: &mut ComprehensionExpr) -> u64 {
    let outside = 1
        + meter(&mut comprehension.iter_range)
        + meter_data(&mut comprehension.accu_init)
        + meter(&mut comprehension.result);
    let body = 1 + meter(&mut comprehension.loop_cond) + meter(&mut comprehension.loop_step);
    let binds_only =
        matches!(&comprehension.iter_range.expr, Expr::List(list) if list.elements.is_empty());
    if !binds_only {
        let body = i64::try_from(body).unwrap_or(i64::MAX);
        let body = Expr::Literal(LiteralValue::Int(body.into()));
        charge(LOOP, Some(body), &mut comprehension.iter_range);
    }
    outside
}

/// Meters an expression whose value is read or copied.
fn meter_data(expression: &mut IdedExpr) -> u64 {
    let price = meter(expression);
    if !is_small(&expression.expr) {
        charge(USE, None, expression);
    }
    price
}

/// Whether there is nothing to charge: the value has a fixed size, was charged when it was made,
/// or is the engine's own.
fn is_small(expression: &Expr) -> bool {
    match expression {
        Expr::Unspecified | Expr::Literal(_) | Expr::List(_) | Expr::Map(_) | Expr::Struct(_) => {
            true
        }
        Expr::Ident(name) => name.starts_with('@'),
        Expr::Select(select) => select.test,
        Expr::Call(call) => SMALL_RESULTS.contains(&call.func_name.as_str()),
        Expr::Comprehension(comprehension) => {
            matches!(comprehension.accu_init.expr, Expr::Literal(_))
        }
    }
}

fn charge(function: &str, units: Option<Expr>, value: &mut IdedExpr) {
    let id = value.id;
    let node = |expr| IdedExpr { id, expr };
    let meter = node(Expr::Ident(METER.to_owned()));
    let mut args = vec![meter];
    args.extend(units.map(node));
    args.push(mem::take(value));
    *value = node(Expr::Call(CallExpr {
        func_name: function.to_owned(),
        target: None,
        args,
    }));
}
