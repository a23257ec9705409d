//! `string(x)` of a double as Go writes it, `1e+06`: the engine writes all digits.
//!
//! The argument of each such call is put into a call of [`GO_TEXT`], which turns doubles into their text and
//! leaves everything else to the engine.

use cel::Value as CelValue;
use cel::common::ast::{CallExpr, EntryExpr, Expr, IdedExpr};

use crate::value::print_float;

/// A name that no expression can write.
pub(super) const GO_TEXT: &str = "@goText";

pub(super) fn go_text(value: CelValue) -> CelValue {
    match value {
        CelValue::Float(float) => CelValue::from(print_float(float)),
        other => other,
    }
}

/// Puts the argument of every `string(x)` into a call of [`GO_TEXT`].
pub(super) fn rewrite(expression: &mut IdedExpr) {
    match &mut expression.expr {
        Expr::Unspecified | Expr::Literal(_) | Expr::Ident(_) => {}
        Expr::Select(select) => rewrite(&mut select.operand),
        Expr::Call(call) => rewrite_call(call),
        Expr::List(list) => list.elements.iter_mut().for_each(rewrite),
        Expr::Map(map) => {
            for entry in &mut map.entries {
                rewrite_entry(&mut entry.expr);
            }
        }
        Expr::Struct(built) => {
            for entry in &mut built.entries {
                rewrite_entry(&mut entry.expr);
            }
        }
        Expr::Comprehension(comprehension) => {
            for part in [
                &mut comprehension.iter_range,
                &mut comprehension.accu_init,
                &mut comprehension.loop_cond,
                &mut comprehension.loop_step,
                &mut comprehension.result,
            ] {
                rewrite(part);
            }
        }
    }
}

fn rewrite_call(call: &mut CallExpr) {
    if let Some(target) = &mut call.target {
        rewrite(target);
    }
    call.args.iter_mut().for_each(rewrite);
    if call.func_name != "string" || call.target.is_some() {
        return;
    }
    if let [argument] = call.args.as_mut_slice() {
        let inner = std::mem::take(argument);
        *argument = IdedExpr {
            id: inner.id,
            expr: Expr::Call(CallExpr {
                func_name: GO_TEXT.to_owned(),
                target: None,
                args: vec![inner],
            }),
        };
    }
}

fn rewrite_entry(entry: &mut EntryExpr) {
    match entry {
        EntryExpr::StructField(field) => rewrite(&mut field.value),
        EntryExpr::MapEntry(entry) => {
            rewrite(&mut entry.key);
            rewrite(&mut entry.value);
        }
    }
}
