//! The `AdapterTaskConfig` file: grammar and the rules that one entry can break by itself.

use serde_json::Value;

use super::reader::{Fields, Reader};
use super::references::References;
use super::task_parts::{api_call, build, expression, expression_at, identifier, log, when};
use super::task_resources::resource;
use super::types::{
    Action, Capture, CaptureSource, Condition, Operator, Param, Payload, Post, Precondition,
    Source, Task,
};
use crate::jsonpath::JsonPath;
use crate::yaml::{self, Node, NodeKind};

pub(super) fn read(reader: &mut Reader, document: &Node, files: &References) -> Option<Task> {
    let root = reader.fields(
        document,
        "",
        &["params", "preconditions", "resources", "post"],
    )?;
    let mut task = Task::default();
    for (node, path) in reader.list(&root, "params") {
        task.params.extend(param(reader, node, &path));
    }
    for (node, path) in reader.list(&root, "preconditions") {
        task.preconditions.extend(precondition(reader, node, &path));
    }
    for (node, path) in reader.list(&root, "resources") {
        task.resources.extend(resource(reader, node, &path, files));
    }
    if let Some(node) = root.get("post") {
        task.post = post(reader, node, files)?;
    }
    Some(task)
}

fn param(reader: &mut Reader, node: &Node, path: &str) -> Option<Param> {
    let known = [
        "name",
        "source",
        "type",
        "required",
        "default",
        "description",
    ];
    let fields = reader.fields(node, path, &known)?;
    let name = reader.required_text(&fields, "name");
    let source = source(reader, &fields);
    let required = reader.flag(&fields, "required").unwrap_or_default();
    let kind = reader.text(&fields, "type").filter(|text| !text.is_empty());
    Some(Param {
        name: name?,
        source: source?,
        kind,
        required,
        default: fields.get("default").map(Node::to_value),
    })
}

fn source(reader: &mut Reader, param: &Fields<'_>) -> Option<Source> {
    let path = param.path("source");
    let Some(node) = param.get("source") else {
        reader.problem(path, param.at("source"), "source is required");
        return None;
    };
    match &node.kind {
        NodeKind::Scalar(scalar) if scalar.text.is_empty() => {
            reader.problem(path, node.position, "source is required");
            None
        }
        NodeKind::Scalar(scalar) => Some(Source::Path(scalar.text.clone())),
        NodeKind::Sequence(_) => {
            reader.problem(path, node.position, "source: expected string or mapping");
            None
        }
        NodeKind::Mapping(_) => source_mapping(reader, node, &path),
    }
}

fn source_mapping(reader: &mut Reader, node: &Node, path: &str) -> Option<Source> {
    let fields = reader.open(node, path)?;
    let kinds: Vec<&str> = ["api_call", "expression", "file"]
        .into_iter()
        .filter(|kind| fields.get(kind).is_some())
        .collect();
    match kinds.as_slice() {
        [] => {
            reader.problem(
                path,
                node.position,
                "mapping must contain one of 'api_call', 'expression', or 'file'",
            );
            None
        }
        ["api_call"] => api_call(reader, &fields, true).map(Source::ApiCall),
        ["expression"] => {
            let text = reader.required_text(&fields, "expression")?;
            let at = fields.at("expression");
            expression(reader, &text, &fields.path("expression"), at).map(Source::Expression)
        }
        ["file"] => file_source(reader, &fields),
        _ => {
            reader.problem(
                path,
                node.position,
                "only one of 'api_call', 'expression', or 'file' may be set",
            );
            None
        }
    }
}

fn file_source(reader: &mut Reader, source: &Fields<'_>) -> Option<Source> {
    let node = source.get("file")?;
    let fields = reader.open(node, &source.path("file"))?;
    let file = reader.text(&fields, "path").unwrap_or_default();
    if file.trim().is_empty() {
        reader.problem(
            fields.path("path"),
            fields.at("path"),
            "path is required for file source",
        );
        return None;
    }
    Some(Source::File {
        path: file,
        trim: reader.flag(&fields, "trim").unwrap_or(true),
    })
}

fn precondition(reader: &mut Reader, node: &Node, path: &str) -> Option<Precondition> {
    let known = [
        "name",
        "api_call",
        "log",
        "capture",
        "conditions",
        "expression",
    ];
    let fields = reader.fields(node, path, &known)?;
    let name = identifier(reader, &fields);
    let call = api_call(reader, &fields, false);
    let log = log(reader, &fields);
    let mut captures = Vec::new();
    for (node, path) in reader.list(&fields, "capture") {
        captures.extend(capture(reader, node, &path));
    }
    let listed = reader.list(&fields, "conditions");
    let has_conditions = !listed.is_empty();
    let mut conditions = Vec::new();
    for (node, path) in listed {
        conditions.extend(condition(reader, node, &path));
    }
    let expression = expression_at(reader, &fields, "expression");
    if fields.get("api_call").is_none() && fields.get("expression").is_none() && !has_conditions {
        reader.problem(
            path,
            node.position,
            "must specify at least one of api_call, expression or conditions",
        );
    }
    Some(Precondition {
        name: name?,
        api_call: call,
        log,
        captures,
        conditions,
        expression,
    })
}

fn capture(reader: &mut Reader, node: &Node, path: &str) -> Option<Capture> {
    let fields = reader.fields(node, path, &["name", "field", "expression", "default"])?;
    let name = reader.required_text(&fields, "name");
    let field = reader
        .text(&fields, "field")
        .filter(|text| !text.is_empty());
    let parsed = expression_at(reader, &fields, "expression");
    let source = match (field, fields.get("expression")) {
        (Some(field), None) => CaptureSource::Field(JsonPath::new(&field)),
        (None, Some(_)) => CaptureSource::Expression(parsed?),
        (Some(_), Some(_)) => {
            reader.problem(
                path,
                node.position,
                "field and expression are both set; use only one",
            );
            return None;
        }
        (None, None) => {
            reader.problem(
                path,
                node.position,
                "one of field or expression is required",
            );
            return None;
        }
    };
    Some(Capture {
        name: name?,
        source,
        default: fields.get("default").map(Node::to_value),
    })
}

fn condition(reader: &mut Reader, node: &Node, path: &str) -> Option<Condition> {
    let fields = reader.fields(node, path, &["field", "operator", "value", "values"])?;
    let field = reader.required_text(&fields, "field");
    let operator = reader
        .required_text(&fields, "operator")
        .and_then(|name| operator(reader, &fields, &name));
    if fields.get_or_null("value").is_some() && fields.get_or_null("values").is_some() {
        reader.problem(
            path,
            node.position,
            "condition has both 'value' and 'values' keys; use only one",
        );
        return None;
    }
    let operator = operator?;
    let key = if fields.get_or_null("values").is_some() {
        "values"
    } else {
        "value"
    };
    let value = fields.get(key).map(Node::to_value);
    let name = operator.as_str();
    let problem = match (operator, &value) {
        (Operator::Exists, Some(_)) => Some(format!(
            "value/values should not be set for operator \"{name}\""
        )),
        (Operator::Exists, None) => None,
        (_, None) => Some(format!("value is required for operator \"{name}\"")),
        (Operator::In | Operator::NotIn, Some(value)) if !value.is_array() => {
            Some(format!("value must be a list for operator \"{name}\""))
        }
        _ => None,
    };
    if let Some(problem) = problem {
        reader.problem(fields.path(key), fields.at(key), problem);
        return None;
    }
    Some(Condition {
        field: JsonPath::new(&field?),
        operator,
        value: value.unwrap_or(Value::Null),
    })
}

const OPERATORS: [Operator; 8] = [
    Operator::Equals,
    Operator::NotEquals,
    Operator::In,
    Operator::NotIn,
    Operator::Contains,
    Operator::GreaterThan,
    Operator::LessThan,
    Operator::Exists,
];

fn operator(reader: &mut Reader, condition: &Fields<'_>, name: &str) -> Option<Operator> {
    let found = OPERATORS
        .into_iter()
        .find(|operator| operator.as_str() == name);
    if found.is_none() {
        let names: Vec<&str> = OPERATORS.iter().map(|operator| operator.as_str()).collect();
        reader.problem(
            condition.path("operator"),
            condition.at("operator"),
            format!("invalid operator {name:?}; use one of {}", names.join(", ")),
        );
    }
    found
}

fn post(reader: &mut Reader, node: &Node, files: &References) -> Option<Post> {
    let fields = reader.fields(node, "post", &["payloads", "post_actions"])?;
    let mut post = Post::default();
    for (node, path) in reader.list(&fields, "payloads") {
        post.payloads.extend(payload(reader, node, &path, files));
    }
    for (node, path) in reader.list(&fields, "post_actions") {
        post.actions.extend(action(reader, node, &path));
    }
    Some(post)
}

fn payload(reader: &mut Reader, node: &Node, path: &str, files: &References) -> Option<Payload> {
    let fields = reader.fields(node, path, &["name", "build", "build_ref", "when"])?;
    let name = reader.required_text(&fields, "name");
    let when = when(reader, &fields);
    let build = match (fields.get("build"), fields.get("build_ref")) {
        (Some(node), None) => build(reader, node, &fields.path("build"))?,
        (None, Some(_)) => {
            let reference = reader.required_text(&fields, "build_ref")?;
            let path = fields.path("build_ref");
            let at = fields.at("build_ref");
            let mapping = files.read(&reference).and_then(|text| {
                match yaml::parse(&text).map_err(|error| format!("{reference}: {error}"))? {
                    Some(node) if matches!(node.kind, NodeKind::Mapping(_)) => Ok(node),
                    _ => Err(format!("{reference:?} must be a YAML mapping")),
                }
            });
            match mapping {
                Ok(node) => reader
                    .referenced(&reference, &path, at, |reader| build(reader, &node, &path))?,
                Err(problem) => {
                    reader.problem(path, at, problem);
                    return None;
                }
            }
        }
        (Some(_), Some(_)) => {
            reader.problem(
                path,
                node.position,
                "build and build_ref are both set; use only one",
            );
            return None;
        }
        (None, None) => {
            reader.problem(path, node.position, "one of build or build_ref is required");
            return None;
        }
    };
    Some(Payload {
        name: name?,
        build,
        when,
    })
}

fn action(reader: &mut Reader, node: &Node, path: &str) -> Option<Action> {
    let fields = reader.fields(node, path, &["name", "api_call", "log", "when"])?;
    let name = identifier(reader, &fields);
    let call = api_call(reader, &fields, false);
    let log = log(reader, &fields);
    let when = when(reader, &fields);
    Some(Action {
        name: name?,
        api_call: call,
        log,
        when,
    })
}
