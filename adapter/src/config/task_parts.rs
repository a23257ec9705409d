//! Parts that several places of a task share: calls, expressions, templates, payload trees.

use serde_json::Value;

use super::reader::{Fields, Reader, join};
use super::types::{ApiCall, Build, LogAction, Method};
use crate::expression::Expression;
use crate::jsonpath::JsonPath;
use crate::template::Template;
use crate::yaml::{Node, NodeKind, Position};

/// `^[a-z][a-zA-Z0-9_]*$`, for the names that other parts refer to.
pub(super) fn identifier(reader: &mut Reader, fields: &Fields<'_>) -> Option<String> {
    let name = reader.required_text(fields, "name")?;
    let valid = name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if !valid {
        reader.problem(
            fields.path("name"),
            fields.at("name"),
            format!("name {name:?} must match the pattern ^[a-z][a-zA-Z0-9_]*$"),
        );
    }
    Some(name)
}

pub(super) fn template(
    reader: &mut Reader,
    text: &str,
    path: &str,
    position: Position,
) -> Option<Template> {
    match Template::parse(text) {
        Ok(template) => Some(template),
        Err(error) => {
            reader.problem(path, position, error.to_string());
            None
        }
    }
}

/// An optional template under a key.
pub(super) fn template_at(reader: &mut Reader, fields: &Fields<'_>, key: &str) -> Option<Template> {
    let text = reader.text(fields, key)?;
    template(reader, &text, &fields.path(key), fields.at(key))
}

pub(super) fn expression(
    reader: &mut Reader,
    text: &str,
    path: &str,
    position: Position,
) -> Option<Expression> {
    match Expression::parse(text) {
        Ok(expression) => Some(expression),
        Err(error) => {
            reader.problem(path, position, error.to_string());
            None
        }
    }
}

/// An optional expression under a key.
pub(super) fn expression_at(
    reader: &mut Reader,
    fields: &Fields<'_>,
    key: &str,
) -> Option<Expression> {
    let text = reader.text(fields, key)?;
    expression(reader, &text, &fields.path(key), fields.at(key))
}

/// `when: {expression: …}`; a present `when` must have one.
pub(super) fn when(reader: &mut Reader, fields: &Fields<'_>) -> Option<Expression> {
    let node = fields.get("when")?;
    let when = reader.fields(node, &fields.path("when"), &["expression"])?;
    let text = reader.required_text(&when, "expression")?;
    expression(
        reader,
        &text,
        &when.path("expression"),
        when.at("expression"),
    )
}

pub(super) fn log(reader: &mut Reader, fields: &Fields<'_>) -> Option<LogAction> {
    let node = fields.get("log")?;
    let log = reader.fields(node, &fields.path("log"), &["message", "level"])?;
    let message = reader.text(&log, "message").unwrap_or_default();
    Some(LogAction {
        message: template(reader, &message, &log.path("message"), log.at("message"))?,
        level: reader.text(&log, "level").unwrap_or_default(),
    })
}

const CALL_KEYS: [&str; 7] = [
    "method",
    "url",
    "timeout",
    "retry_attempts",
    "retry_backoff",
    "body",
    "headers",
];

/// Reads a call; `lenient` ignores unknown keys, as parameter sources do.
pub(super) fn api_call(reader: &mut Reader, fields: &Fields<'_>, lenient: bool) -> Option<ApiCall> {
    let node = fields.get("api_call")?;
    let path = fields.path("api_call");
    let call = if lenient {
        reader.open(node, &path)?
    } else {
        reader.fields(node, &path, &CALL_KEYS)?
    };
    let method = reader
        .required_text(&call, "method")
        .and_then(|name| method(reader, &call, &name));
    let url = reader
        .required_text(&call, "url")
        .and_then(|text| template(reader, &text, &call.path("url"), call.at("url")));
    let mut headers = Vec::new();
    for (item, path) in reader.list(&call, "headers") {
        let header = if lenient {
            reader.open(item, &path)
        } else {
            reader.fields(item, &path, &["name", "value"])
        };
        let Some(header) = header else { continue };
        let name = reader.required_text(&header, "name");
        let value = reader.text(&header, "value").unwrap_or_default();
        let value = template(reader, &value, &header.path("value"), header.at("value"));
        headers.extend(name.zip(value));
    }
    let retry_attempts = reader
        .number::<i64>(&call, "retry_attempts", "a whole number")
        .and_then(|attempts| u32::try_from(attempts).ok())
        .unwrap_or_default();
    Some(ApiCall {
        timeout: reader
            .text(&call, "timeout")
            .filter(|text| !text.is_empty()),
        retry_attempts,
        retry_backoff: reader
            .text(&call, "retry_backoff")
            .filter(|text| !text.is_empty()),
        body: template_at(reader, &call, "body"),
        headers,
        method: method?,
        url: url?,
    })
}

fn method(reader: &mut Reader, call: &Fields<'_>, name: &str) -> Option<Method> {
    let method = match name {
        "GET" => Method::Get,
        "POST" => Method::Post,
        "PUT" => Method::Put,
        "PATCH" => Method::Patch,
        "DELETE" => Method::Delete,
        _ => {
            reader.problem(
                call.path("method"),
                call.at("method"),
                format!("{name:?} is not a method; use GET, POST, PUT, PATCH or DELETE"),
            );
            return None;
        }
    };
    Some(method)
}

/// A payload tree. `position` stands in for nodes of referenced files.
pub(super) fn build(reader: &mut Reader, node: &Node, path: &str) -> Option<Build> {
    match &node.kind {
        NodeKind::Sequence(items) => {
            let mut built = Vec::with_capacity(items.len());
            for (index, item) in items.iter().enumerate() {
                built.push(build(reader, item, &format!("{path}[{index}]"))?);
            }
            Some(Build::List(built))
        }
        NodeKind::Mapping(entries) => {
            match definition(reader, node, path) {
                Definition::Value(build) => return Some(build),
                Definition::Broken => return None,
                Definition::PlainObject => {}
            }
            let mut built = Vec::with_capacity(entries.len());
            for entry in entries {
                let path = join(path, &entry.key);
                let key = template(reader, &entry.key, &path, entry.position);
                let value = build(reader, &entry.value, &path);
                built.push((key?, value?));
            }
            Some(Build::Object(built))
        }
        NodeKind::Scalar(_) => match node.to_value() {
            Value::String(text) if text.contains("{{") => {
                template(reader, &text, path, node.position).map(Build::Text)
            }
            literal => Some(Build::Literal(literal)),
        },
    }
}

/// What a mapping in a payload is.
enum Definition {
    /// An ordinary object.
    PlainObject,
    /// The definition of a value.
    Value(Build),
    /// A definition with a reported problem.
    Broken,
}

/// A mapping with a non-empty `field` or `expression` defines a value.
fn definition(reader: &mut Reader, node: &Node, path: &str) -> Definition {
    let text = |key: &str| match node.get(key).map(Node::to_value) {
        Some(Value::String(text)) if !text.is_empty() => Some(text),
        Some(Value::Number(number)) => Some(number.to_string()),
        Some(Value::Bool(flag)) => Some(flag.to_string()),
        _ => None,
    };
    let default = node
        .get("default")
        .map(Node::to_value)
        .filter(|value| !value.is_null());
    match (text("field"), text("expression")) {
        (None, None) => Definition::PlainObject,
        (Some(_), Some(_)) => Definition::Value(Build::Contradiction(format!(
            "{path}: field and expression are both set; use only one"
        ))),
        (Some(field), None) => Definition::Value(Build::Field {
            path: JsonPath::new(&field),
            default,
        }),
        (None, Some(text)) => {
            let at = node
                .get("expression")
                .map_or(node.position, |inner| inner.position);
            match expression(reader, &text, &join(path, "expression"), at) {
                Some(expression) => Definition::Value(Build::Expression {
                    expression,
                    default,
                }),
                None => Definition::Broken,
            }
        }
    }
}
