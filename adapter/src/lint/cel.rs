//! What cannot work in an expression, whatever the values are.

use std::collections::BTreeSet;

use cel::common::ast::{CallExpr, Expr, IdedExpr, LiteralValue, operators};
use hyperfleet_expression::names;

/// Functions beside CEL's own, and with how many arguments. `None` takes more than one number.
const FUNCTIONS: [(&str, Option<usize>); 30] = [
    ("now", Some(0)),
    ("toJson", Some(1)),
    ("dig", Some(2)),
    ("conditionStatus", Some(2)),
    ("conditionAge", Some(2)),
    ("stableFor", Some(3)),
    ("statusFeedbackValue", Some(2)),
    ("triState", Some(2)),
    ("charAt", None),
    ("format", None),
    ("indexOf", None),
    ("join", None),
    ("lastIndexOf", None),
    ("lowerAscii", None),
    ("upperAscii", None),
    ("quote", None),
    ("replace", None),
    ("split", None),
    ("substring", None),
    ("trim", None),
    ("distinct", None),
    ("flatten", None),
    ("range", None),
    ("reverse", None),
    ("slice", None),
    ("sort", None),
    ("sortBy", None),
    ("first", None),
    ("last", None),
    ("strings.quote", None),
];

/// The keys of `adapter` in expressions.
const ADAPTER: [&str; 7] = [
    "executionStatus",
    "resourcesSkipped",
    "skipReason",
    "errorReason",
    "errorMessage",
    "executionError",
    "resourceErrors",
];

/// The keys of `config`.
const CONFIG: [&str; 8] = [
    "adapter",
    "log",
    "clients",
    "params",
    "preconditions",
    "resources",
    "post",
    "debug_config",
];

/// What an expression can see where it stands.
#[derive(Debug, Clone, Default)]
pub(super) struct Names {
    /// Variables.
    pub(super) variables: BTreeSet<String>,
    /// Keys of `resources`.
    pub(super) resources: BTreeSet<String>,
}

/// What is wrong, and how it is mended.
pub(super) type Complaint = (String, String);

/// Everything wrong with an expression.
pub(super) fn complaints(expression: &IdedExpr, names: &Names) -> Vec<Complaint> {
    let mut found = Vec::new();
    let mut declared: Vec<&str> = names.variables.iter().map(String::as_str).collect();
    declared.extend(["adapter", "resources", "event", "env", "config", "lists"]);
    if let Some(name) = names::undeclared(expression, &declared) {
        let candidates = declared.iter().copied();
        found.push((
            format!("variable {name:?} is defined nowhere before this"),
            super::did_you_mean(name, candidates)
                .unwrap_or_else(|| "define it as a param, capture or precondition above".into()),
        ));
    }
    let functions: Vec<&str> = FUNCTIONS.iter().map(|(name, _)| *name).collect();
    if let Some(name) = names::undeclared_function(expression, &functions) {
        found.push((
            format!("function {name:?} does not exist"),
            super::did_you_mean(&name, functions.iter().copied())
                .unwrap_or_else(|| "see the table of functions in docs/adapters.md".into()),
        ));
    }
    names::each_part(expression, &mut |part| look(part, names, &mut found));
    found
}

/// The value of an expression without variables, if it is a truth value.
pub(super) fn constant(expression: &IdedExpr) -> Option<bool> {
    match &expression.expr {
        Expr::Literal(LiteralValue::Boolean(flag)) => Some(*flag.inner()),
        Expr::Call(call) if call.func_name == operators::LOGICAL_NOT => {
            constant(call.args.first()?).map(|flag| !flag)
        }
        _ => None,
    }
}

/// The names `x` of all `!resources.?x.hasValue()` and `has(resources.x)`.
pub(super) fn resources_asked_for(expression: &IdedExpr) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    names::each_part(expression, &mut |part| {
        if let Some(("resources", key)) = access(part) {
            found.insert(key.to_owned());
        }
    });
    found
}

/// The variable and the key of `a.b`, `a.?b`, `a["b"]` and `a[?"b"]`.
fn access(expression: &IdedExpr) -> Option<(&str, &str)> {
    match &expression.expr {
        Expr::Select(select) => match &select.operand.expr {
            Expr::Ident(name) => Some((name, &select.field)),
            _ => None,
        },
        Expr::Call(call) => {
            let operators = [
                operators::OPT_SELECT,
                operators::INDEX,
                operators::OPT_INDEX,
            ];
            if !operators.contains(&call.func_name.as_str()) {
                return None;
            }
            match (&call.args.first()?.expr, &call.args.get(1)?.expr) {
                (Expr::Ident(name), Expr::Literal(LiteralValue::String(key))) => {
                    Some((name, key.inner()))
                }
                _ => None,
            }
        }
        _ => None,
    }
}

fn look(expression: &IdedExpr, names: &Names, found: &mut Vec<Complaint>) {
    match access(expression) {
        Some(("adapter", key)) if !ADAPTER.contains(&key) => found.push((
            format!("adapter.{key} does not exist in expressions"),
            if ["name", "version"].contains(&key) {
                format!("templates have it: {{{{ .adapter.{key} }}}}; or read config.adapter.{key}")
            } else {
                format!("there are {}", ADAPTER.join(", "))
            },
        )),
        Some(("config", key)) if !CONFIG.contains(&key) => found.push((
            format!("config.{key} does not exist"),
            format!("there are {}", CONFIG.join(", ")),
        )),
        Some(("resources", key)) if !names.resources.contains(key) => found.push((
            format!("resources.{key} is no resource of this task"),
            super::did_you_mean(key, names.resources.iter().map(String::as_str))
                .unwrap_or_else(|| "name a resource or a nested discovery".into()),
        )),
        _ => {}
    }
    if let Expr::Call(call) = &expression.expr {
        look_at_call(call, found);
    }
}

fn look_at_call(call: &CallExpr, found: &mut Vec<Complaint>) {
    let name = call.func_name.as_str();
    let wanted = FUNCTIONS.iter().find(|(function, _)| *function == name);
    if let Some((_, Some(wanted))) = wanted
        && call.target.is_none()
        && call.args.len() != *wanted
    {
        found.push((
            format!("{name} takes {wanted} argument(s), not {}", call.args.len()),
            "see the table of functions in docs/adapters.md".into(),
        ));
    }
    let is_double = |part: &IdedExpr| matches!(part.expr, Expr::Literal(LiteralValue::Double(_)));
    if name == "stableFor" && call.args.get(2).is_some_and(is_double) {
        found.push((
            "the seconds of stableFor are a double, for which there is no overload".into(),
            "write a whole number, without a point".into(),
        ));
    }
    let arithmetic = [
        operators::SUBSTRACT,
        operators::LESS,
        operators::LESS_EQUALS,
        operators::GREATER,
        operators::GREATER_EQUALS,
    ];
    let is_now = |part: &IdedExpr| matches!(&part.expr, Expr::Call(call) if call.func_name == "now" && call.target.is_none());
    if arithmetic.contains(&name) && call.args.iter().any(is_now) {
        found.push((
            "now() is a text and cannot be computed with".into(),
            "write timestamp(now())".into(),
        ));
    }
}
