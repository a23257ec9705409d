//! An OpenAPI 3.1 document in the words of OpenAPI 3.0, for clients that read only that.
//!
//! The two differ in their schemas: 3.1 uses JSON Schema 2020-12, 3.0 a dialect of its own. What 3.0
//! has no word for is left out, so the older document accepts at least what the newer one does.

use serde_json::{Map, Value, json};

/// The version that the document claims.
const VERSION: &str = "3.0.0";

/// Keywords of a schema that mean the same in both versions and have no schema inside.
const KEPT: [&str; 25] = [
    "title",
    "description",
    "default",
    "format",
    "pattern",
    "required",
    "enum",
    "multipleOf",
    "minimum",
    "maximum",
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
    "uniqueItems",
    "minProperties",
    "maxProperties",
    "nullable",
    "readOnly",
    "writeOnly",
    "deprecated",
    "discriminator",
    "externalDocs",
    "example",
    "xml",
];

/// Members outside of schemas that only 3.1 has, by the name of the object that holds them.
const ONLY_3_1: [(&str, &str); 5] = [
    ("", "jsonSchemaDialect"),
    ("", "webhooks"),
    ("info", "summary"),
    ("license", "identifier"),
    ("components", "pathItems"),
];

/// The same document in OpenAPI 3.0.
pub fn as_3_0(document: &Value) -> Value {
    let mut older = rewrite("", document);
    if let Value::Object(members) = &mut older {
        members.insert("openapi".to_owned(), json!(VERSION));
    }
    older
}

/// Everything outside of schemas: the same, but for what only 3.1 has.
fn rewrite(name: &str, value: &Value) -> Value {
    match value {
        Value::Object(members) => {
            let members = members
                .iter()
                .filter(|(member, _)| !ONLY_3_1.contains(&(name, member.as_str())));
            let members = members.map(|(member, value)| {
                let value = match member.as_str() {
                    "schema" => schema(value),
                    "schemas" if name == "components" => each(value, schema),
                    "example" | "examples" => value.clone(),
                    member => rewrite(member, value),
                };
                (member.clone(), value)
            });
            Value::Object(members.collect())
        }
        Value::Array(items) => items.iter().map(|item| rewrite(name, item)).collect(),
        other => other.clone(),
    }
}

fn each(value: &Value, convert: fn(&Value) -> Value) -> Value {
    match value {
        Value::Object(members) => {
            let members = members.iter();
            Value::Object(
                members
                    .map(|(name, value)| (name.clone(), convert(value)))
                    .collect(),
            )
        }
        Value::Array(items) => items.iter().map(convert).collect(),
        other => other.clone(),
    }
}

fn schema(value: &Value) -> Value {
    let keywords = match value {
        Value::Object(keywords) => keywords,
        Value::Bool(false) => return json!({"not": {}}),
        _ => return json!({}),
    };
    let mut older = Map::new();
    for (keyword, value) in keywords {
        convert(keyword, value, &mut older);
    }
    if older.get("type") == Some(&json!("array")) && !older.contains_key("items") {
        older.insert("items".to_owned(), json!({}));
    }
    reference_alone(older)
}

fn convert(keyword: &str, value: &Value, older: &mut Map<String, Value>) {
    let mut set = |keyword: &str, value: Value| {
        older.insert(keyword.to_owned(), value);
    };
    match keyword {
        "type" => convert_type(value, older),
        "oneOf" | "anyOf" => convert_choice(keyword, value, older),
        "const" => set("enum", json!([value])),
        "examples" => {
            if let Some(first) = value.as_array().and_then(|examples| examples.first()) {
                set("example", first.clone());
            }
        }
        "exclusiveMinimum" | "exclusiveMaximum" if value.is_number() => {
            let bound = if keyword == "exclusiveMinimum" {
                "minimum"
            } else {
                "maximum"
            };
            set(bound, value.clone());
            set(keyword, json!(true));
        }
        "contentEncoding" if value == "base64" => set("format", json!("byte")),
        _ if is_kept(keyword, value) => set(keyword, value.clone()),
        "items" | "not" | "additionalProperties" => set(keyword, schema(value)),
        "properties" | "allOf" => set(keyword, each(value, schema)),
        // JSON Schema 2020-12 alone.
        _ => {}
    }
}

/// Whether it is said in the same way. Of the keywords that hold a schema, 3.0 takes a truth value only
/// for additional properties.
fn is_kept(keyword: &str, value: &Value) -> bool {
    let is_kept_truth = keyword == "additionalProperties" && value.is_boolean();
    is_kept_truth || keyword == "$ref" || keyword.starts_with("x-") || KEPT.contains(&keyword)
}

/// One type is a type; `null` beside it makes it nullable; several types are alternatives.
fn convert_type(value: &Value, older: &mut Map<String, Value>) {
    let listed = std::slice::from_ref(value);
    let types: Vec<&Value> = value
        .as_array()
        .map_or(listed, Vec::as_slice)
        .iter()
        .collect();
    let is_null = |name: &Value| name == "null";
    let others: Vec<&Value> = types
        .iter()
        .copied()
        .filter(|name| !is_null(name))
        .collect();
    if others.len() < types.len() {
        older.insert("nullable".to_owned(), json!(true));
    }
    match others.as_slice() {
        [] => {
            older.insert("enum".to_owned(), json!([null]));
        }
        [one] => {
            older.insert("type".to_owned(), (*one).clone());
        }
        several => {
            let alternatives = several.iter().map(|name| schema(&json!({"type": name})));
            older.insert("anyOf".to_owned(), alternatives.collect());
        }
    }
}

/// `null` among the choices makes the rest nullable; a choice of one is no choice.
fn convert_choice(keyword: &str, value: &Value, older: &mut Map<String, Value>) {
    let choices = value.as_array().cloned().unwrap_or_default();
    let others: Vec<Value> = choices
        .iter()
        .filter(|choice| choice["type"] != "null")
        .map(schema)
        .collect();
    let is_nullable = others.len() < choices.len();
    if is_nullable {
        older.insert("nullable".to_owned(), json!(true));
    }
    let keyword = if is_nullable && others.len() == 1 {
        "allOf"
    } else {
        keyword
    };
    older.insert(keyword.to_owned(), Value::Array(others));
}

/// In 3.0 a reference stands alone: what stands beside it is ignored unless the reference is wrapped.
fn reference_alone(mut keywords: Map<String, Value>) -> Value {
    if keywords.len() > 1
        && let Some(reference) = keywords.remove("$ref")
    {
        let mut all = vec![json!({"$ref": reference})];
        if let Some(Value::Array(others)) = keywords.remove("allOf") {
            all.extend(others);
        }
        keywords.insert("allOf".to_owned(), Value::Array(all));
    }
    Value::Object(keywords)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schemas_are_said_in_the_older_words() {
        for (newer, older) in [
            (
                json!({"type": ["string", "null"], "maxLength": 3}),
                json!({"type": "string", "nullable": true, "maxLength": 3}),
            ),
            (
                json!({"type": ["string", "integer"]}),
                json!({"anyOf": [{"type": "string"}, {"type": "integer"}]}),
            ),
            (
                json!({"type": "null"}),
                json!({"nullable": true, "enum": [null]}),
            ),
            (
                json!({"oneOf": [{"type": "null"}, {"$ref": "#/components/schemas/A"}]}),
                json!({"nullable": true, "allOf": [{"$ref": "#/components/schemas/A"}]}),
            ),
            (
                json!({"oneOf": [{"type": "null"}, {"type": "string"}, {"type": "boolean"}]}),
                json!({"nullable": true, "oneOf": [{"type": "string"}, {"type": "boolean"}]}),
            ),
            (json!({"const": "a"}), json!({"enum": ["a"]})),
            (
                json!({"type": "string", "examples": ["a", "b"]}),
                json!({"type": "string", "example": "a"}),
            ),
            (
                json!({"exclusiveMinimum": 0}),
                json!({"minimum": 0, "exclusiveMinimum": true}),
            ),
            (
                json!({"type": "array", "prefixItems": [{}]}),
                json!({"type": "array", "items": {}}),
            ),
            (
                json!({"type": "object", "additionalProperties": {"type": ["string", "null"]}, "propertyNames": {"type": "string"}}),
                json!({"type": "object", "additionalProperties": {"type": "string", "nullable": true}}),
            ),
            (
                json!({"$ref": "#/components/schemas/A", "description": "d"}),
                json!({"allOf": [{"$ref": "#/components/schemas/A"}], "description": "d"}),
            ),
            (
                json!({"$ref": "#/components/schemas/A"}),
                json!({"$ref": "#/components/schemas/A"}),
            ),
            (json!(true), json!({})),
            (
                json!({"properties": {"const": {"const": 1}}}),
                json!({"properties": {"const": {"enum": [1]}}}),
            ),
        ] {
            assert_eq!(schema(&newer), older, "{newer}");
        }
    }

    #[test]
    fn what_only_the_newer_version_has_is_left_out_and_examples_are_data() {
        let newer = json!({
            "openapi": "3.1.0",
            "jsonSchemaDialect": "x",
            "info": {"title": "t", "summary": "s", "version": "1"},
            "paths": {"/a": {"get": {"parameters": [{"name": "p", "schema": {"type": ["string", "null"]}}],
                "responses": {"200": {"content": {"application/json": {"example": {"schema": {"const": 1}}}}}}}}},
            "components": {"schemas": {"A": {"const": 1}}, "pathItems": {}},
        });
        let older = as_3_0(&newer);
        assert_eq!(older["openapi"], "3.0.0");
        assert!(older.get("jsonSchemaDialect").is_none());
        assert_eq!(older["info"], json!({"title": "t", "version": "1"}));
        let get = &older["paths"]["/a"]["get"];
        assert_eq!(
            get["parameters"][0]["schema"],
            json!({"type": "string", "nullable": true})
        );
        let example = &get["responses"]["200"]["content"]["application/json"]["example"];
        assert_eq!(example, &json!({"schema": {"const": 1}}));
        assert_eq!(
            older["components"],
            json!({"schemas": {"A": {"enum": [1]}}})
        );
    }
}
