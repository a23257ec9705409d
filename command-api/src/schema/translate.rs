//! From the component schemas of an `OpenAPI` document to JSON Schema.
//!
//! `OpenAPI` 3.1 schemas are JSON Schema 2020-12. Those of 3.0 are close to draft 4 (boolean
//! `exclusiveMinimum`, siblings of `$ref` without meaning), which leaves `nullable` and the number
//! formats to be translated.

use jsonschema::Draft;
use serde_json::{Map, Value, json};

use super::SchemaError;

/// Keywords that hold one schema.
const SCHEMA: [&str; 8] = [
    "items",
    "additionalProperties",
    "not",
    "if",
    "then",
    "else",
    "contains",
    "propertyNames",
];
/// Keywords that hold a list of schemas.
const SCHEMAS: [&str; 4] = ["allOf", "anyOf", "oneOf", "prefixItems"];
/// Keywords that hold schemas by name.
const NAMED_SCHEMAS: [&str; 5] = [
    "properties",
    "patternProperties",
    "dependentSchemas",
    "$defs",
    "definitions",
];

/// The draft to compile with, and the translated schemas by name.
pub(super) fn component_schemas(
    document: &Value,
) -> Result<(Draft, Map<String, Value>), SchemaError> {
    let not_openapi = |problem: &str| SchemaError::NotOpenApi {
        problem: problem.to_owned(),
    };
    let version = match &document["openapi"] {
        Value::String(version) => version.clone(),
        // Unquoted in YAML, 3.1 is a number.
        Value::Number(version) => version.to_string(),
        _ => return Err(not_openapi("it has no `openapi: 3.x`")),
    };
    let draft = match version.as_str() {
        "3" | "3.0" => Draft::Draft4,
        version if version.starts_with("3.0.") => Draft::Draft4,
        version if version.starts_with("3.") => Draft::Draft202012,
        version => return Err(not_openapi(&format!("`openapi` is {version}, not 3.x"))),
    };
    let schemas = match &document["components"]["schemas"] {
        Value::Null => Map::new(),
        Value::Object(schemas) => schemas.clone(),
        _ => {
            return Err(not_openapi(
                "components.schemas must have names and schemas",
            ));
        }
    };
    let mut translated = Map::new();
    for (name, schema) in &schemas {
        let at = format!("/components/schemas/{}", escaped(name));
        check_references(document, schema, &at)?;
        let mut schema = schema.clone();
        translate(&mut schema, draft == Draft::Draft4);
        translated.insert(name.clone(), schema);
    }
    Ok((draft, translated))
}

/// A name as a segment of a JSON pointer in a fragment.
pub(super) fn escaped(name: &str) -> String {
    name.replace('~', "~0")
        .replace('/', "~1")
        .replace('%', "%25")
}

fn check_references(document: &Value, value: &Value, at: &str) -> Result<(), SchemaError> {
    match value {
        Value::Object(members) => {
            if let Some(Value::String(reference)) = members.get("$ref") {
                let target = reference.strip_prefix("#/components/schemas/");
                let target = target.map(|rest| rest.replace("%25", "%"));
                let found = target
                    .and_then(|rest| document.pointer(&format!("/components/schemas/{rest}")));
                if found.is_none() {
                    return Err(SchemaError::Reference {
                        reference: reference.clone(),
                        at: at.to_owned(),
                    });
                }
            }
            members.iter().try_for_each(|(name, value)| {
                check_references(document, value, &format!("{at}/{}", escaped(name)))
            })
        }
        Value::Array(items) => items.iter().enumerate().try_for_each(|(index, item)| {
            check_references(document, item, &format!("{at}/{index}"))
        }),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Ok(()),
    }
}

fn translate(schema: &mut Value, is_3_0: bool) {
    let Value::Object(schema) = schema else {
        return;
    };
    if is_3_0 {
        translate_nullable(schema);
    }
    translate_number_format(schema);
    // Not part of the contract of a value, and of other meaning in JSON Schema or none.
    for keyword in [
        "discriminator",
        "xml",
        "externalDocs",
        "example",
        "nullable",
    ] {
        schema.remove(keyword);
    }
    for keyword in SCHEMA {
        if let Some(inner) = schema.get_mut(keyword) {
            translate(inner, is_3_0);
        }
    }
    for keyword in SCHEMAS {
        if let Some(Value::Array(inner)) = schema.get_mut(keyword) {
            for inner in inner {
                translate(inner, is_3_0);
            }
        }
    }
    for keyword in NAMED_SCHEMAS {
        if let Some(Value::Object(inner)) = schema.get_mut(keyword) {
            for inner in inner.values_mut() {
                translate(inner, is_3_0);
            }
        }
    }
}

/// `nullable: true` beside a type adds the type null, and null to the choices.
fn translate_nullable(schema: &mut Map<String, Value>) {
    if schema.get("nullable") != Some(&Value::Bool(true)) {
        return;
    }
    if let Some(Value::String(name)) = schema.get("type") {
        let types = json!([name, "null"]);
        schema.insert("type".to_owned(), types);
    }
    if let Some(Value::Array(choices)) = schema.get_mut("enum")
        && !choices.contains(&Value::Null)
    {
        choices.push(Value::Null);
    }
}

/// The integer formats are ranges; where a narrower bound stands beside, it stays.
fn translate_number_format(schema: &mut Map<String, Value>) {
    let (least, greatest) = match schema.get("format").and_then(Value::as_str) {
        Some("int32") => (json!(i32::MIN), json!(i32::MAX)),
        Some("int64") => (json!(i64::MIN), json!(i64::MAX)),
        _ => return,
    };
    schema.entry("minimum").or_insert(least);
    schema.entry("maximum").or_insert(greatest);
}
