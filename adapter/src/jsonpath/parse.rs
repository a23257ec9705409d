//! Text to steps.

use serde_json::{Number, Value};

/// One step of a path.
#[derive(Debug, Clone)]
pub(super) enum Step {
    Key(String),
    Descend(String),
    Wildcard,
    Indexes(Vec<i64>),
    Slice {
        start: Option<i64>,
        end: Option<i64>,
        step: usize,
    },
    Filter(Filter),
}

/// `left` exists, or `left` compares with the right operand.
#[derive(Debug, Clone)]
pub(super) struct Filter {
    pub(super) left: Operand,
    pub(super) comparison: Option<(Comparison, Operand)>,
}

#[derive(Debug, Clone)]
pub(super) enum Operand {
    Path(Vec<Step>),
    Literal(Value),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// Longer operators first, because one begins with another.
const COMPARISONS: [(&str, Comparison); 6] = [
    ("==", Comparison::Equal),
    ("!=", Comparison::NotEqual),
    ("<=", Comparison::LessOrEqual),
    (">=", Comparison::GreaterOrEqual),
    ("<", Comparison::Less),
    (">", Comparison::Greater),
];

pub(super) fn parse(text: &str) -> Result<Vec<Step>, String> {
    if text.is_empty() {
        return Err("the path is empty".to_owned());
    }
    let inner = match text.strip_prefix('{') {
        Some(rest) => {
            let inner = rest.strip_suffix('}').ok_or("unclosed action")?;
            if inner.contains(['{', '}']) {
                return Err("only one action is supported".to_owned());
            }
            inner.strip_prefix('$').unwrap_or(inner)
        }
        None if text.starts_with('$') => {
            return Err("a path that starts with $ needs braces".to_owned());
        }
        None => text,
    };
    let inner = if inner.starts_with(['.', '[']) {
        inner.to_owned()
    } else if text.starts_with('{') && !inner.is_empty() {
        return Err(format!("unsupported action {inner:?}"));
    } else {
        format!(".{inner}")
    };
    steps(&inner)
}

fn steps(text: &str) -> Result<Vec<Step>, String> {
    let mut steps = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix("..") {
            let (key, after) = key(after)?;
            if key.is_empty() {
                return Err("a name must follow ..".to_owned());
            }
            steps.push(Step::Descend(key));
            rest = after;
        } else if let Some(after) = rest.strip_prefix('.') {
            let (key, after) = key(after)?;
            match key.as_str() {
                "" => {}
                "*" => steps.push(Step::Wildcard),
                _ => steps.push(Step::Key(key)),
            }
            rest = after;
        } else if let Some(after) = rest.strip_prefix('[') {
            let (content, after) = bracket(after)?;
            steps.push(bracket_step(content)?);
            rest = after;
        } else {
            return Err(format!("unexpected {rest:?}"));
        }
    }
    Ok(steps)
}

/// A key up to an unescaped `.` or `[`.
fn key(text: &str) -> Result<(String, &str), String> {
    let mut key = String::new();
    let mut characters = text.char_indices();
    while let Some((index, character)) = characters.next() {
        match character {
            '.' | '[' => return Ok((key, &text[index..])),
            '\\' => match characters.next() {
                Some((_, escaped)) => key.push(escaped),
                None => return Err("the path ends in a backslash".to_owned()),
            },
            '{' | '}' | ']' | ' ' => return Err(format!("unexpected {character:?} in a name")),
            other => key.push(other),
        }
    }
    Ok((key, ""))
}

/// The text up to the matching `]`; quotes and nesting are respected.
fn bracket(text: &str) -> Result<(&str, &str), String> {
    let mut depth = 0_usize;
    let mut quote = None;
    for (index, character) in text.char_indices() {
        match (quote, character) {
            (Some(open), _) if character == open => quote = None,
            (None, '\'' | '"') => quote = Some(character),
            (None, '[') => depth += 1,
            (None, ']') if depth == 0 => return Ok((&text[..index], &text[index + 1..])),
            (None, ']') => depth -= 1,
            (Some(_) | None, _) => {}
        }
    }
    Err("unclosed [".to_owned())
}

fn bracket_step(content: &str) -> Result<Step, String> {
    let content = content.trim();
    if content == "*" {
        return Ok(Step::Wildcard);
    }
    if let Some(key) = unquote(content) {
        return Ok(Step::Key(key));
    }
    if let Some(filter) = content.strip_prefix("?(") {
        let filter = filter.strip_suffix(')').ok_or("unclosed filter")?;
        return parse_filter(filter).map(Step::Filter);
    }
    let integer = |part: &str| -> Result<i64, String> {
        part.trim()
            .parse()
            .map_err(|_| format!("{part:?} is not an index"))
    };
    if content.contains(':') {
        let optional = |part: Option<&str>| -> Result<Option<i64>, String> {
            match part.map(str::trim) {
                None | Some("") => Ok(None),
                Some(part) => integer(part).map(Some),
            }
        };
        let mut parts = content.split(':');
        let (start, end) = (optional(parts.next())?, optional(parts.next())?);
        let step = optional(parts.next())?.unwrap_or(1);
        let step = usize::try_from(step)
            .ok()
            .filter(|step| *step > 0)
            .ok_or("a slice's step must be positive")?;
        return Ok(Step::Slice { start, end, step });
    }
    content
        .split(',')
        .map(integer)
        .collect::<Result<Vec<_>, _>>()
        .map(Step::Indexes)
}

fn unquote(text: &str) -> Option<String> {
    for quote in ['\'', '"'] {
        if let Some(inner) = text
            .strip_prefix(quote)
            .and_then(|text| text.strip_suffix(quote))
        {
            return Some(inner.to_owned());
        }
    }
    None
}

fn parse_filter(text: &str) -> Result<Filter, String> {
    let mut quote = None;
    for (index, character) in text.char_indices() {
        match (quote, character) {
            (Some(open), _) if character == open => quote = None,
            (Some(_), _) => continue,
            (None, '\'' | '"') => quote = Some(character),
            (None, _) => {}
        }
        if quote.is_some() {
            continue;
        }
        let found = COMPARISONS
            .iter()
            .find(|(symbol, _)| text[index..].starts_with(symbol));
        if let Some((symbol, comparison)) = found {
            return Ok(Filter {
                left: operand(&text[..index])?,
                comparison: Some((*comparison, operand(&text[index + symbol.len()..])?)),
            });
        }
    }
    Ok(Filter {
        left: operand(text)?,
        comparison: None,
    })
}

fn operand(text: &str) -> Result<Operand, String> {
    let text = text.trim();
    if let Some(path) = text.strip_prefix('@') {
        return steps(path).map(Operand::Path);
    }
    if let Some(literal) = unquote(text) {
        return Ok(Operand::Literal(Value::String(literal)));
    }
    match text {
        "true" => return Ok(Operand::Literal(Value::Bool(true))),
        "false" => return Ok(Operand::Literal(Value::Bool(false))),
        _ => {}
    }
    text.parse::<f64>()
        .ok()
        .and_then(Number::from_f64)
        .map(|number| Operand::Literal(Value::Number(number)))
        .ok_or_else(|| format!("{text:?} is not a filter operand"))
}
