//! The `JSONPath` dialect of Kubernetes clients, as conditions, captures and payload fields use it.
//!
//! A path without braces is read as `{.path}`. Supported: keys, escaped dots, `['key']`, indexes
//! (negative too), slices, unions of indexes, `[*]`, `.*`, `..name`, and filters
//! `[?(@.type=="Ready")]` with `== != < <= > >=` or existence. `{range}` and several templates in
//! one text are not.

mod parse;

use serde_json::Value;

use parse::{Comparison, Filter, Operand, Step};

/// A path as configured. A path that does not parse is kept with its error, because the contract
/// fails it when it is used, not when it is loaded.
#[derive(Debug, Clone)]
pub struct JsonPath {
    source: String,
    steps: Result<Vec<Step>, PathError>,
}

/// The text is not a path of this dialect.
#[derive(Debug, thiserror::Error, Clone, PartialEq, Eq)]
#[error("JSONPath {path:?}: {message}")]
pub struct PathError {
    /// The path as written.
    pub path: String,
    /// What is wrong with it.
    pub message: String,
}

impl JsonPath {
    /// Parses `source`; a failure is kept and answered by [`JsonPath::evaluate`].
    pub fn new(source: &str) -> Self {
        let trimmed = source.trim();
        let steps = parse::parse(trimmed).map_err(|message| PathError {
            path: source.to_owned(),
            message,
        });
        Self {
            source: source.to_owned(),
            steps,
        }
    }

    /// The path as written.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The parse error, if any.
    pub fn error(&self) -> Option<&PathError> {
        self.steps.as_ref().err()
    }

    /// The first key, which names a variable when the path is applied to variables.
    pub fn root(&self) -> Option<&str> {
        match self.steps.as_ref().ok()?.first()? {
            Step::Key(key) => Some(key),
            _ => None,
        }
    }

    /// Evaluates: `None` when nothing matches, a key is missing on the way, or the single match is
    /// an empty string; one match is that value; several are a list.
    ///
    /// # Errors
    /// When the path itself is malformed.
    pub fn evaluate(&self, value: &Value) -> Result<Option<Value>, PathError> {
        let steps = self.steps.as_ref().map_err(Clone::clone)?;
        let Some(mut matches) = apply(steps, value) else {
            return Ok(None);
        };
        Ok(match matches.len() {
            0 => None,
            1 => {
                let value = matches.remove(0).clone();
                (value != Value::String(String::new()) && !value.is_null()).then_some(value)
            }
            _ => Some(Value::Array(matches.into_iter().cloned().collect())),
        })
    }
}

/// Applies the steps; `None` is the soft failure of a missing key or index.
fn apply<'v>(steps: &[Step], value: &'v Value) -> Option<Vec<&'v Value>> {
    let mut current = vec![value];
    for step in steps {
        let mut next = Vec::new();
        for value in current {
            if !apply_step(step, value, &mut next) {
                return None;
            }
        }
        current = next;
    }
    Some(current)
}

fn apply_step<'v>(step: &Step, value: &'v Value, out: &mut Vec<&'v Value>) -> bool {
    match step {
        Step::Key(key) => match value.get(key) {
            Some(found) => {
                out.push(found);
                true
            }
            None => false,
        },
        Step::Descend(key) => {
            descend(key, value, out);
            true
        }
        Step::Wildcard => {
            match value {
                Value::Array(items) => out.extend(items),
                Value::Object(map) => out.extend(map.values()),
                _ => return false,
            }
            true
        }
        Step::Indexes(indexes) => {
            let Value::Array(items) = value else {
                return false;
            };
            for index in indexes {
                let Some(found) = at(items, *index) else {
                    return false;
                };
                out.push(found);
            }
            true
        }
        Step::Slice { start, end, step } => {
            let Value::Array(items) = value else {
                return false;
            };
            let (from, to) = bounds(items.len(), *start, *end);
            out.extend(items.iter().take(to).skip(from).step_by(*step));
            true
        }
        Step::Filter(filter) => {
            let Value::Array(items) = value else {
                return false;
            };
            for item in items {
                match holds(filter, item) {
                    None => return false,
                    Some(true) => out.push(item),
                    Some(false) => {}
                }
            }
            true
        }
    }
}

fn at(items: &[Value], index: i64) -> Option<&Value> {
    items.get(position(items.len(), index)?)
}

/// An index from the end when negative.
fn position(length: usize, index: i64) -> Option<usize> {
    if index >= 0 {
        usize::try_from(index).ok()
    } else {
        length.checked_sub(usize::try_from(index.unsigned_abs()).ok()?)
    }
}

fn bounds(length: usize, start: Option<i64>, end: Option<i64>) -> (usize, usize) {
    let resolve = |bound: Option<i64>, default: usize| {
        bound.map_or(default, |index| position(length, index).unwrap_or(0))
    };
    (resolve(start, 0), resolve(end, length).min(length))
}

fn descend<'v>(key: &str, value: &'v Value, out: &mut Vec<&'v Value>) {
    match value {
        Value::Object(map) => {
            if let Some(found) = map.get(key) {
                out.push(found);
            }
            for child in map.values() {
                descend(key, child, out);
            }
        }
        Value::Array(items) => {
            for item in items {
                descend(key, item, out);
            }
        }
        _ => {}
    }
}

/// `None` when a compared path is missing a nested field.
fn holds(filter: &Filter, item: &Value) -> Option<bool> {
    let resolve = |operand: &Operand| -> Option<Option<Value>> {
        match operand {
            Operand::Literal(value) => Some(Some(value.clone())),
            Operand::Path(steps) => {
                let matches = apply(steps, item)?;
                Some(matches.first().map(|value| (*value).clone()))
            }
        }
    };
    let Some((comparison, right)) = &filter.comparison else {
        return Some(resolve(&filter.left).flatten().is_some());
    };
    let (Some(left), Some(right)) = (resolve(&filter.left)?, resolve(right)?) else {
        return Some(false);
    };
    Some(compare(*comparison, &left, &right))
}

fn compare(comparison: Comparison, left: &Value, right: &Value) -> bool {
    use std::cmp::Ordering;
    let ordering = match (left, right) {
        (Value::Number(left), Value::Number(right)) => left
            .as_f64()
            .zip(right.as_f64())
            .and_then(|(left, right)| left.partial_cmp(&right)),
        (Value::String(left), Value::String(right)) => Some(left.cmp(right)),
        (Value::Bool(left), Value::Bool(right)) => Some(left.cmp(right)),
        _ => None,
    };
    match comparison {
        Comparison::Equal => ordering == Some(Ordering::Equal),
        Comparison::NotEqual => ordering != Some(Ordering::Equal),
        Comparison::Less => ordering == Some(Ordering::Less),
        Comparison::LessOrEqual => matches!(ordering, Some(Ordering::Less | Ordering::Equal)),
        Comparison::Greater => ordering == Some(Ordering::Greater),
        Comparison::GreaterOrEqual => {
            matches!(ordering, Some(Ordering::Greater | Ordering::Equal))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn document() -> Value {
        json!({
            "a": {"b": {"c": 1.0}}, "list": [1, 2, 3], "empty": "", "nothing": null,
            "labels": {"app.kubernetes.io/name": "x", "x-y": "z"},
            "conditions": [
                {"type": "Ready", "status": "True", "n": 1},
                {"type": "Other", "status": "False", "n": 2},
                {"type": "Ready", "status": "Unknown", "n": 3}
            ],
            "partial": [{"type": "A"}, {"kind": "B"}],
            "deep": {"name": "one", "inner": [{"name": "two"}]}
        })
    }

    #[test]
    fn the_dialect_evaluates() {
        let cases = [
            ("a.b.c", Some(json!(1.0))),
            (".a.b.c", Some(json!(1.0))),
            ("{.a.b.c}", Some(json!(1.0))),
            ("{$.a.b.c}", Some(json!(1.0))),
            ("a.b", Some(json!({"c": 1.0}))),
            ("a.nope", None),
            ("a.nope.deeper", None),
            ("list[0]", Some(json!(1))),
            ("list[-1]", Some(json!(3))),
            ("list[5]", None),
            ("list[0:2]", Some(json!([1, 2]))),
            ("list[1:]", Some(json!([2, 3]))),
            ("list[-2:]", Some(json!([2, 3]))),
            ("list[0,2]", Some(json!([1, 3]))),
            ("list[*]", Some(json!([1, 2, 3]))),
            ("list[::2]", Some(json!([1, 3]))),
            ("deep..name", Some(json!(["one", "two"]))),
            ("labels.app\\.kubernetes\\.io/name", Some(json!("x"))),
            ("labels['x-y']", Some(json!("z"))),
            (
                "conditions[?(@.type==\"Other\")].status",
                Some(json!("False")),
            ),
            (
                "conditions[?(@.type=='Ready')].status",
                Some(json!(["True", "Unknown"])),
            ),
            ("conditions[?(@.n>=2)].n", Some(json!([2, 3]))),
            ("conditions[?(@.type!=\"Ready\")].n", Some(json!(2))),
            ("conditions[?(@.type==\"None\")].status", None),
            ("conditions[?(@.nope)].status", None),
            ("conditions[?(@.status)].n", Some(json!([1, 2, 3]))),
            ("partial[?(@.type==\"A\")].type", None),
            ("empty", None),
            ("nothing", None),
        ];
        for (path, expected) in cases {
            assert_eq!(
                JsonPath::new(path).evaluate(&document()),
                Ok(expected),
                "{path}"
            );
        }
    }

    #[test]
    fn malformed_paths_are_hard_errors() {
        for path in [
            "$.a",
            "a[",
            "{range .a}",
            "a[?(@.x==]",
            "{.a}{.b}",
            "a['x",
            "",
        ] {
            assert!(JsonPath::new(path).evaluate(&document()).is_err(), "{path}");
        }
    }

    #[test]
    fn the_root_names_the_variable() {
        assert_eq!(JsonPath::new("event.id").root(), Some("event"));
        assert_eq!(JsonPath::new("..id").root(), None);
    }
}
