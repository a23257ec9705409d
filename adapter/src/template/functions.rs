//! The template functions of the adapter contract, subject first where the contract says so.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use gotmpl::{FuncMap, TemplateError, Value};

use super::layout::{format_go, parse_time, print_time};
use crate::value::print_float;

/// Strict field access, put in place of every field chain.
pub(super) const FIELD: &str = "@field";
/// Go's printing of an action's value.
pub(super) const PRINT: &str = "@print";

const CUSTOM: [&str; 20] = [
    "now",
    "date",
    "dateFormat",
    "lower",
    "upper",
    "title",
    "trim",
    "trimPrefix",
    "trimSuffix",
    "replace",
    "contains",
    "hasPrefix",
    "hasSuffix",
    "quote",
    "default",
    "int",
    "int64",
    "float",
    "float64",
    "string",
];

const BUILT_IN: [&str; 20] = [
    "and", "or", "not", "eq", "ne", "lt", "le", "gt", "ge", "index", "slice", "len", "print",
    "printf", "println", "html", "js", "urlquery", "call", "block",
];

/// Whether a function name exists.
pub(super) fn is_known(name: &str) -> bool {
    CUSTOM.contains(&name) || BUILT_IN.contains(&name) || name == FIELD || name == PRINT
}

type Outcome = Result<Value, TemplateError>;

fn fail(message: impl Into<String>) -> TemplateError {
    TemplateError::Exec(message.into())
}

fn string(text: impl Into<String>) -> Value {
    Value::String(Arc::from(text.into()))
}

/// The function table; `now` is fixed for one rendering.
pub(super) fn table(now: DateTime<Utc>) -> FuncMap {
    let mut table = FuncMap::new();
    let mut add = |name: &str, function: fn(&[Value]) -> Outcome| {
        table.insert(name.to_owned(), Arc::new(function));
    };
    add(FIELD, field);
    add(PRINT, |args| Ok(string(print_action(args.last()))));
    add("date", date);
    add("dateFormat", date);
    add("lower", |args| text1("lower", args, str::to_lowercase));
    add("upper", |args| text1("upper", args, str::to_uppercase));
    add("title", |args| text1("title", args, title));
    add("trim", |args| text1("trim", args, |s| s.trim().to_owned()));
    add("trimPrefix", |args| {
        text2("trimPrefix", args, |s, affix| {
            string(s.strip_prefix(affix).unwrap_or(s))
        })
    });
    add("trimSuffix", |args| {
        text2("trimSuffix", args, |s, affix| {
            string(s.strip_suffix(affix).unwrap_or(s))
        })
    });
    add("contains", |args| {
        text2("contains", args, |s, part| Value::Bool(s.contains(part)))
    });
    add("hasPrefix", |args| {
        text2("hasPrefix", args, |s, part| {
            Value::Bool(s.starts_with(part))
        })
    });
    add("hasSuffix", |args| {
        text2("hasSuffix", args, |s, part| Value::Bool(s.ends_with(part)))
    });
    add("replace", |args| {
        let [subject, old, new] = texts::<3>("replace", args)?;
        Ok(string(subject.replace(old, new)))
    });
    add("quote", |args| text1("quote", args, go_quote));
    add("default", default);
    add("int", |args| Ok(Value::Int(to_integer(one("int", args)?))));
    add("int64", |args| {
        Ok(Value::Int(to_integer(one("int64", args)?)))
    });
    add("float", |args| {
        Ok(Value::Float(to_float(one("float", args)?)))
    });
    add("float64", |args| {
        Ok(Value::Float(to_float(one("float64", args)?)))
    });
    add("string", |args| Ok(string(print(one("string", args)?))));
    add("print", |args| Ok(string(join(args, false))));
    add("println", |args| Ok(string(join(args, true) + "\n")));
    table.insert(
        "now".to_owned(),
        Arc::new(move |_: &[Value]| Ok(string(print_time(&now.fixed_offset())))),
    );
    table
}

fn one<'v>(name: &str, args: &'v [Value]) -> Result<&'v Value, TemplateError> {
    match args {
        [value] => Ok(value),
        _ => Err(fail(format!(
            "wrong number of args for {name}: want 1 got {}",
            args.len()
        ))),
    }
}

fn texts<'v, const N: usize>(name: &str, args: &'v [Value]) -> Result<[&'v str; N], TemplateError> {
    if args.len() != N {
        return Err(fail(format!(
            "wrong number of args for {name}: want {N} got {}",
            args.len()
        )));
    }
    let mut found = [""; N];
    for (slot, value) in found.iter_mut().zip(args) {
        *slot = match value {
            Value::String(text) => text,
            other => {
                return Err(fail(format!(
                    "wrong type for value; expected string; got {} in a call of {name}",
                    other.type_name()
                )));
            }
        };
    }
    Ok(found)
}

fn text1<T: Into<String>>(name: &str, args: &[Value], apply: impl Fn(&str) -> T) -> Outcome {
    let [subject] = texts::<1>(name, args)?;
    Ok(string(apply(subject)))
}

fn text2(name: &str, args: &[Value], apply: impl Fn(&str, &str) -> Value) -> Outcome {
    let [subject, other] = texts::<2>(name, args)?;
    Ok(apply(subject, other))
}

/// `@field base "a" "b"`: strict access; the error names the key.
fn field(args: &[Value]) -> Outcome {
    let Some((base, names)) = args.split_first() else {
        return Err(fail("field access without a base"));
    };
    let mut current = base.clone();
    for name in names {
        let name = name.as_str().unwrap_or_default();
        current = match &current {
            Value::Map(map) => map
                .get(name)
                .cloned()
                .ok_or_else(|| fail(format!("map has no entry for key {name:?}")))?,
            Value::Nil => {
                return Err(fail(format!("nil value evaluating field {name}")));
            }
            other => {
                return Err(fail(format!(
                    "can't evaluate field {name} in type {}",
                    other.type_name()
                )));
            }
        };
    }
    Ok(current)
}

fn date(args: &[Value]) -> Outcome {
    let [layout, time] = texts::<2>("date", args)?;
    let time = parse_time(time)
        .ok_or_else(|| fail(format!("wrong type for value; expected time; got {time:?}")))?;
    Ok(string(format_go(&time, layout)))
}

fn default(args: &[Value]) -> Outcome {
    match args {
        [fallback, value] => Ok(match value {
            Value::Nil => fallback.clone(),
            Value::String(text) if text.is_empty() => fallback.clone(),
            other => other.clone(),
        }),
        _ => Err(fail(format!(
            "wrong number of args for default: want 2 got {}",
            args.len()
        ))),
    }
}

fn title(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut inside_word = false;
    for character in text.chars() {
        if character.is_alphanumeric() || (inside_word && character == '\'') {
            if inside_word {
                out.extend(character.to_lowercase());
            } else {
                out.extend(character.to_uppercase());
            }
            inside_word = true;
        } else {
            inside_word = false;
            out.push(character);
        }
    }
    out
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "Go's conversion of a float to an integer truncates"
)]
fn to_integer(value: &Value) -> i64 {
    match value {
        Value::Int(integer) => *integer,
        Value::Float(float) => *float as i64,
        Value::String(text) => text.parse().unwrap_or_default(),
        _ => 0,
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "Go's conversion of an integer to a float rounds"
)]
fn to_float(value: &Value) -> f64 {
    match value {
        Value::Int(integer) => *integer as f64,
        Value::Float(float) => *float,
        Value::String(text) => text.parse().unwrap_or_default(),
        _ => 0.0,
    }
}

/// A double-quoted Go string literal.
fn go_quote(text: &str) -> String {
    let mut out = String::from("\"");
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if u32::from(c) < 0x20 || u32::from(c) == 0x7f => {
                use std::fmt::Write;

                // Writing to a string cannot fail.
                let _ = write!(out, "\\x{:02x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

fn print_action(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Nil) => "<no value>".to_owned(),
        Some(value) => print(value),
    }
}

/// Go's default rendering (`%v`).
fn print(value: &Value) -> String {
    match value {
        Value::Nil => "<nil>".to_owned(),
        Value::Float(float) => print_float(*float),
        Value::List(items) => {
            let items: Vec<String> = items.iter().map(print).collect();
            format!("[{}]", items.join(" "))
        }
        Value::Map(map) => {
            let entries: Vec<String> = map
                .iter()
                .map(|(key, value)| format!("{key}:{}", print(value)))
                .collect();
            format!("map[{}]", entries.join(" "))
        }
        other => other.to_string(),
    }
}

/// Go's `Sprint`, or `Sprintln` without its line break.
fn join(args: &[Value], always_space: bool) -> String {
    let mut out = String::new();
    for (index, argument) in args.iter().enumerate() {
        let is_text = |value: &Value| matches!(value, Value::String(_));
        if index > 0 && (always_space || !(is_text(&args[index - 1]) || is_text(argument))) {
            out.push(' ');
        }
        out.push_str(&print(argument));
    }
    out
}
