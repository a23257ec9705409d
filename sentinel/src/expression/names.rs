//! Finds names that nothing declares, before any evaluation.

use cel::common::ast::{EntryExpr, Expr, IdedExpr};

/// CEL's own names for types, usable as values.
const TYPE_NAMES: [&str; 14] = [
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
    "optional",
    "google",
];

/// Namespaces of extension functions, which read as variables: `math.least(…)`.
const NAMESPACES: [&str; 3] = ["strings", "math", "base64"];

/// The first free variable that is neither declared nor part of the language.
pub(super) fn undeclared<'e>(expression: &'e IdedExpr, declared: &[&'e str]) -> Option<&'e str> {
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
}
