//! Builds an event's `data` from `message_data`.
//!
//! A text of the configuration is an expression, a number or boolean stands for itself, a mapping nests. An
//! expression that fails on a resource (usually because a field is missing) leaves its key out and the event
//! is still sent; a mapping with nothing left is left out too.
//!
//! Two deliberate differences from existing sentinels, which no consumer of the shipped payloads can notice:
//! keys keep their case (there they become lower-case), and null stays null (there it becomes 0).

use hyperfleet_expression::{Absent, to_json};
use serde_json::{Map, Value};

use crate::ConfigError;
use crate::expression::{Expression, Place, payload_context};

/// Compiled `message_data`.
#[derive(Debug)]
pub struct Payload {
    fields: Vec<(String, Node)>,
}

#[derive(Debug)]
enum Node {
    Literal(Value),
    Expression(Expression),
    Nested(Vec<(String, Node)>),
}

/// An event's data, and what could not be put into it.
#[derive(Debug, Clone, PartialEq)]
pub struct Built {
    /// The attribute `data` of the event.
    pub data: Value,
    /// One line per key that was left out because its expression failed.
    pub warnings: Vec<String>,
}

impl Payload {
    /// Compiles `message_data`.
    ///
    /// # Errors
    /// It is empty, has a list or null in it, or an expression that cannot work.
    pub fn compile(message_data: &Map<String, Value>) -> Result<Self, ConfigError> {
        if message_data.is_empty() {
            return Err(ConfigError::invalid(
                "message_data",
                "is required",
                "give at least one field, for example id: resource.id",
            ));
        }
        Ok(Self {
            fields: compile_fields("message_data", message_data)?,
        })
    }

    /// Builds the data of an event about `resource` (in the API's shape).
    pub fn build(&self, resource: &Value, reason: &str) -> Built {
        let context = payload_context(resource, reason);
        let mut warnings = Vec::new();
        let data = build_fields(&self.fields, &context, "message_data", &mut warnings);
        Built {
            data: Value::Object(data),
            warnings,
        }
    }
}

fn compile_fields(
    path: &str,
    fields: &Map<String, Value>,
) -> Result<Vec<(String, Node)>, ConfigError> {
    let mut nodes = Vec::with_capacity(fields.len());
    for (key, value) in fields {
        let path = format!("{path}.{key}");
        let node = match value {
            Value::String(source) => {
                Expression::compile(source, Place::Payload, &["resource", "reason"])
                    .map(Node::Expression)
                    .map_err(|source| ConfigError::Expression { path, source })?
            }
            Value::Bool(_) | Value::Number(_) => Node::Literal(value.clone()),
            Value::Object(nested) => Node::Nested(compile_fields(&path, nested)?),
            Value::Null => {
                let remedy = "give an expression, or remove the key";
                return Err(ConfigError::invalid(
                    path,
                    "nil value is not allowed",
                    remedy,
                ));
            }
            Value::Array(_) => {
                let remedy = "write the list as an expression, for example \"[resource.id]\"";
                return Err(ConfigError::invalid(path, "a list is not allowed", remedy));
            }
        };
        nodes.push((key.clone(), node));
    }
    Ok(nodes)
}

fn build_fields(
    nodes: &[(String, Node)],
    context: &cel::Context<'_, '_>,
    path: &str,
    warnings: &mut Vec<String>,
) -> Map<String, Value> {
    let mut fields = Map::new();
    for (key, node) in nodes {
        let value = match node {
            Node::Literal(value) => Some(value.clone()),
            Node::Expression(expression) => {
                let evaluated = expression
                    .evaluate(context)
                    .map_err(|error| error.to_string());
                let json = evaluated.and_then(|value| {
                    to_json(&value, Absent::Omitted).map_err(|error| error.to_string())
                });
                json.unwrap_or_else(|error| {
                    warnings.push(format!("{path}.{key}: {error}"));
                    None
                })
            }
            Node::Nested(nested) => {
                let nested = build_fields(nested, context, &format!("{path}.{key}"), warnings);
                (!nested.is_empty()).then_some(Value::Object(nested))
            }
        };
        if let Some(value) = value {
            fields.insert(key.clone(), value);
        }
    }
    fields
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn cluster() -> Value {
        json!({
            "id": "cls-1", "kind": "Cluster", "href": "/api/hyperfleet/v1/clusters/cls-1", "generation": 1,
            "labels": {"region": "eu"}, "spec": {"ratio": 3.0, "list": [1, {"a": null}]},
        })
    }

    fn build(message_data: Value) -> Built {
        let Value::Object(message_data) = message_data else {
            panic!("a mapping")
        };
        Payload::compile(&message_data)
            .unwrap()
            .build(&cluster(), "because")
    }

    fn refused(message_data: Value) -> String {
        let Value::Object(message_data) = message_data else {
            panic!("a mapping")
        };
        let error = Payload::compile(&message_data).unwrap_err();
        match &error {
            ConfigError::Expression { source, .. } => format!("{error}: {source}"),
            _ => error.to_string(),
        }
    }

    #[test]
    fn expressions_literals_and_mappings() {
        let built = build(json!({
            "id": "resource.id", "reason": "reason", "text": "'literal'", "number": 3, "flag": true,
            "clusterId": "resource.id", "ratio": "resource.spec.ratio", "list": "resource.spec.list",
            "nested": {"region": "resource.labels.region", "deeper": {"sum": "resource.generation + 1"}},
            "null": "null", "age": "duration('1s')", "time": "timestamp('2026-01-01T00:00:00Z')",
            "bytes": "b'abc'", "mapped": "resource.spec.list.filter(x, true).map(x, {'v': x})",
        }));
        assert_eq!(built.warnings, Vec::<String>::new());
        assert_eq!(
            built.data,
            json!({
                "id": "cls-1", "reason": "because", "text": "literal", "number": 3, "flag": true,
                "clusterId": "cls-1", "ratio": 3.0, "list": [1, {"a": null}],
                "nested": {"region": "eu", "deeper": {"sum": 2}},
                "null": null, "age": 1_000_000_000, "time": "2026-01-01T00:00:00Z", "bytes": "YWJj",
                "mapped": [{"v": 1}, {"v": {"a": null}}],
            })
        );
    }

    #[test]
    fn what_fails_is_left_out_with_a_warning() {
        let built = build(json!({
            "id": "resource.id",
            "owner_references": "resource.owner_references",
            "nested": {"a": "resource.labels.missing", "b": "resource.spec.none.at.all"},
        }));
        assert_eq!(built.data, json!({"id": "cls-1"}));
        assert_eq!(built.warnings.len(), 3);
        assert!(
            built
                .warnings
                .iter()
                .any(|line| line.starts_with("message_data.nested.a: "))
        );
        // An absent optional is meant to be left out
        let built = build(json!({"id": "resource.id", "owner": "resource.?owner_references"}));
        assert_eq!(
            (built.data, built.warnings),
            (json!({"id": "cls-1"}), Vec::new())
        );
        // Everything may fail
        assert_eq!(build(json!({"x": "resource.x"})).data, json!({}));
    }

    #[test]
    fn what_cannot_work_is_refused() {
        assert!(refused(json!({})).contains("message_data: is required"));
        assert!(refused(json!({"id": null})).contains("message_data.id: nil value is not allowed"));
        assert!(refused(json!({"id": ""})).contains("message_data.id"));
        assert!(
            refused(json!({"a": {"list": [1]}}))
                .contains("message_data.a.list: a list is not allowed")
        );
        assert!(refused(json!({"id": "nothing"})).contains("undeclared reference to \"nothing\""));
        assert!(
            refused(json!({"id": "condition('A').status"}))
                .contains("condition() is not available")
        );
        assert!(refused(json!({"id": "now"})).contains("undeclared reference to \"now\""));
    }
}
