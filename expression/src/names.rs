//! Finds names that nothing declares, before any evaluation.

use cel::common::ast::{CallExpr, EntryExpr, Expr, IdedExpr};

/// CEL's own names for types, usable as values.
const TYPE_NAMES: [&str; 13] = [
    "bool",
    "int",
    "uint",
    "double",
    "string",
    "bytes",
    "list",
    "map",
    "null_type",
    "type",
    "dyn",
    "optional_type",
    "google",
];

/// Namespaces of functions, which read as variables: `optional.of(…)`, `math.least(…)`.
pub(crate) const NAMESPACES: [&str; 4] = ["optional", "strings", "math", "base64"];

/// The functions of CEL's standard set and of optional values. Operators and macros are not calls
/// of a named function here.
const STANDARD_FUNCTIONS: [&str; 32] = [
    "bool",
    "bytes",
    "contains",
    "double",
    "duration",
    "dyn",
    "endsWith",
    "getDate",
    "getDayOfMonth",
    "getDayOfWeek",
    "getDayOfYear",
    "getFullYear",
    "getHours",
    "getMilliseconds",
    "getMinutes",
    "getMonth",
    "getSeconds",
    "hasValue",
    "int",
    "matches",
    "optional.none",
    "optional.of",
    "optional.ofNonZeroValue",
    "or",
    "orValue",
    "size",
    "startsWith",
    "string",
    "timestamp",
    "type",
    "uint",
    "value",
];

/// The first free variable that is neither declared nor part of the language.
pub fn undeclared<'e>(expression: &'e IdedExpr, declared: &[&'e str]) -> Option<&'e str> {
    let mut scope: Vec<&str> = declared.to_vec();
    visit(expression, &mut scope)
}

fn visit<'e>(expression: &'e IdedExpr, scope: &mut Vec<&'e str>) -> Option<&'e str> {
    match &expression.expr {
        Expr::Unspecified | Expr::Literal(_) => None,
        Expr::Ident(name) => {
            let known = name.starts_with('@')
                || scope.contains(&name.as_str())
                || TYPE_NAMES.contains(&name.as_str())
                || NAMESPACES.contains(&name.as_str());
            (!known).then_some(name)
        }
        Expr::Select(select) => visit(&select.operand, scope),
        Expr::Call(call) => {
            let target = call.target.as_deref();
            target
                .into_iter()
                .chain(&call.args)
                .find_map(|part| visit(part, scope))
        }
        Expr::List(list) => list
            .elements
            .iter()
            .find_map(|element| visit(element, scope)),
        Expr::Map(map) => map
            .entries
            .iter()
            .find_map(|entry| visit_entry(&entry.expr, scope)),
        Expr::Struct(value) => value
            .entries
            .iter()
            .find_map(|entry| visit_entry(&entry.expr, scope)),
        Expr::Comprehension(comprehension) => {
            // The range is outside the scope of the loop's variables.
            if let Some(name) = visit(&comprehension.iter_range, scope) {
                return Some(name);
            }
            let depth = scope.len();
            scope.push(&comprehension.iter_var);
            scope.extend(comprehension.iter_var2.as_deref());
            scope.push(&comprehension.accu_var);
            let parts = [
                &comprehension.accu_init,
                &comprehension.loop_cond,
                &comprehension.loop_step,
                &comprehension.result,
            ];
            let found = parts.into_iter().find_map(|part| visit(part, scope));
            scope.truncate(depth);
            found
        }
    }
}

fn visit_entry<'e>(entry: &'e EntryExpr, scope: &mut Vec<&'e str>) -> Option<&'e str> {
    match entry {
        EntryExpr::StructField(field) => visit(&field.value, scope),
        EntryExpr::MapEntry(entry) => {
            visit(&entry.key, scope).or_else(|| visit(&entry.value, scope))
        }
    }
}

/// The first function called that is neither in the standard set nor `declared`.
pub fn undeclared_function(expression: &IdedExpr, declared: &[&str]) -> Option<String> {
    let mut found = None;
    each_part(expression, &mut |part| {
        let Expr::Call(call) = &part.expr else {
            return;
        };
        // Operators: `_+_`, `!_`, `@in`.
        let is_named = call
            .func_name
            .starts_with(|first: char| first.is_alphabetic());
        let name = qualified(call);
        let known =
            STANDARD_FUNCTIONS.contains(&name.as_str()) || declared.contains(&name.as_str());
        if is_named && !known && found.is_none() {
            found = Some(name);
        }
    });
    found
}

fn qualified(call: &CallExpr) -> String {
    let namespace = call.target.as_ref().and_then(|target| match &target.expr {
        Expr::Ident(name) if NAMESPACES.contains(&name.as_str()) => Some(name),
        _ => None,
    });
    match namespace {
        Some(namespace) => format!("{namespace}.{}", call.func_name),
        None => call.func_name.clone(),
    }
}

/// Shows every part of an expression, itself first.
pub fn each_part<'e>(expression: &'e IdedExpr, see: &mut dyn FnMut(&'e IdedExpr)) {
    see(expression);
    match &expression.expr {
        Expr::Unspecified | Expr::Literal(_) | Expr::Ident(_) => {}
        Expr::Select(select) => each_part(&select.operand, see),
        Expr::Call(call) => {
            let target = call.target.as_deref();
            for part in target.into_iter().chain(&call.args) {
                each_part(part, see);
            }
        }
        Expr::List(list) => {
            for element in &list.elements {
                each_part(element, see);
            }
        }
        Expr::Map(map) => {
            for entry in &map.entries {
                each_part_of_entry(&entry.expr, see);
            }
        }
        Expr::Struct(value) => {
            for entry in &value.entries {
                each_part_of_entry(&entry.expr, see);
            }
        }
        Expr::Comprehension(comprehension) => {
            for part in [
                &comprehension.iter_range,
                &comprehension.accu_init,
                &comprehension.loop_cond,
                &comprehension.loop_step,
                &comprehension.result,
            ] {
                each_part(part, see);
            }
        }
    }
}

fn each_part_of_entry<'e>(entry: &'e EntryExpr, see: &mut dyn FnMut(&'e IdedExpr)) {
    match entry {
        EntryExpr::StructField(field) => each_part(&field.value, see),
        EntryExpr::MapEntry(entry) => {
            each_part(&entry.key, see);
            each_part(&entry.value, see);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(source: &str) -> Option<String> {
        let program = cel::Env::stdlib().compile(source).unwrap();
        undeclared(program.expression(), &["resource"]).map(ToOwned::to_owned)
    }

    #[test]
    fn knows_scopes() {
        assert_eq!(check("resource.items.exists(i, i.x == 1)"), None);
        assert_eq!(
            check("resource.items.map(i, {'k': i})[0].k == type(1)"),
            None
        );
        assert_eq!(
            check("resource.items.exists(i, j == 1)").as_deref(),
            Some("j")
        );
        assert_eq!(
            check("resource.items.exists(i, i) && i").as_deref(),
            Some("i")
        );
        assert_eq!(check("x.exists(x, x)").as_deref(), Some("x"));
        assert_eq!(check("{'a': [b]}").as_deref(), Some("b"));
        assert_eq!(check("type(1) == int"), None);
    }

    #[test]
    fn functions_that_do_not_exist_are_found() {
        let check = |source: &str| {
            let program = cel::Env::stdlib().compile(source).unwrap();
            undeclared_function(program.expression(), &["dig"])
        };
        for source in [
            "size(x) > 1 && x.map(i, i + 1).exists(i, i in [1]) ? -1 : x[0]",
            "x.?y.orValue('').startsWith('a') || optional.of(1).hasValue()",
            "dig(x, 'a') == has(x.y) && x.optMap(y, y).or(optional.none()).value()",
            "timestamp('2026-01-01T00:00:00Z') - duration('1h')",
        ] {
            assert_eq!(check(source), None, "{source}");
        }
        assert_eq!(check("[{'a': lookup(x)}]").as_deref(), Some("lookup"));
        assert_eq!(check("x.upperAscii()").as_deref(), Some("upperAscii"));
        assert_eq!(check("math.least(1, 2)").as_deref(), Some("math.least"));
    }
}
