use hyperfleet_api_types::FieldError;
use hyperfleet_domain::Registry;
use serde_json::json;

use super::*;

fn compiled(openapi: &str, schemas: Value) -> Result<(SpecSchemas, Vec<String>), SchemaError> {
    let mut schemas = schemas;
    if schemas.get("NodePoolSpec").is_none() {
        schemas["NodePoolSpec"] = json!({"type": "object"});
    }
    let document = json!({"openapi": openapi, "components": {"schemas": schemas}});
    SpecSchemas::compile(&document, &Registry::builtin())
}

fn errors(openapi: &str, cluster: &Value, spec: Value) -> Vec<(String, String)> {
    let schemas = json!({"ClusterSpec": cluster, "Name": {"type": "string", "nullable": true}});
    let (schemas, _) = compiled(openapi, schemas).expect("compiled");
    let Value::Object(spec) = spec else {
        panic!("a spec is an object")
    };
    let Err(fault) = schemas.check("Cluster", &spec) else {
        return Vec::new();
    };
    assert_eq!(fault.detail, "Invalid ClusterSpec");
    assert_eq!(fault.code, codes::VALIDATION);
    let text = |error: FieldError| {
        assert_eq!((&error.value, &error.constraint), (&None, &None));
        (error.field, error.message)
    };
    fault.errors.into_iter().map(text).collect()
}

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    let owned = |(field, message): &(&str, &str)| ((*field).to_owned(), (*message).to_owned());
    expected.iter().map(owned).collect()
}

#[test]
fn all_violations_are_named_by_path_in_order() {
    let schema = json!({
        "type": "object", "required": ["region", "size"],
        "additionalProperties": false,
        "properties": {
            "region": {"type": "string", "pattern": "^[a-z]+$"},
            "size": {"type": "integer", "format": "int32", "minimum": 1},
            "mode": {"type": "string", "enum": ["a", "b"]},
            "parts": {"type": "array", "maxItems": 2, "items": {
                "type": "object", "required": ["id"], "properties": {"id": {"type": "string", "minLength": 2}}}},
        },
    });
    let spec = json!({"mode": "c", "parts": [{"id": "x"}, {}, {"id": 5}], "extra": 1, "size": 0});
    assert_eq!(
        errors("3.0.3", &schema, spec),
        pairs(&[
            ("spec.extra", "property \"extra\" is unsupported"),
            ("spec.mode", "value must be one of \"a\", \"b\""),
            ("spec.parts", "maximum number of items is 2"),
            ("spec.parts.0.id", "minimum string length is 2"),
            ("spec.parts.1.id", "property \"id\" is missing"),
            ("spec.parts.2.id", "value must be a string"),
            ("spec.region", "property \"region\" is missing"),
            ("spec.size", "number must be at least 1"),
        ])
    );
}

#[test]
fn the_particulars_of_openapi_3_0_are_understood() {
    let schema = json!({
        "type": "object",
        "properties": {
            "name": {"$ref": "#/components/schemas/Name", "minLength": 50},
            "mode": {"type": "string", "nullable": true, "enum": ["a"]},
            "share": {"type": "number", "minimum": 0, "exclusiveMinimum": true},
            "big": {"type": "integer", "format": "int32"},
            "when": {"type": "string", "format": "date-time"},
            "odd": {"type": "string", "format": "no-such-format"},
        },
    });
    let good = json!({"name": null, "mode": null, "share": 0.5, "big": 7,
        "when": "2026-01-02T03:04:05Z", "odd": "x"});
    assert_eq!(errors("3.0.0", &schema, good), []);
    let bad = json!({"name": 1, "share": 0, "big": 3_000_000_000_u64, "when": "soon"});
    assert_eq!(
        errors("3.0.0", &schema, bad),
        pairs(&[
            ("spec.big", "number must be at most 2147483647"),
            ("spec.name", "value must be a string or null"),
            ("spec.share", "number must be more than 0"),
            ("spec.when", "string doesn't match the format \"date-time\""),
        ])
    );
}

#[test]
fn openapi_3_1_is_json_schema() {
    let schema = json!({"type": "object", "properties": {
        "a": {"type": ["string", "null"]}, "b": {"const": 1},
        "c": {"exclusiveMinimum": 3}}});
    assert_eq!(
        errors("3.1.0", &schema, json!({"a": null, "b": 1, "c": 3})),
        pairs(&[("spec.c", "number must be more than 3")])
    );
}

#[test]
fn recursion_is_followed_and_the_answer_is_bounded() {
    let schema = json!({
        "type": "object", "additionalProperties": {"$ref": "#/components/schemas/ClusterSpec"},
    });
    let spec: Map<String, Value> = (0..5000).map(|n| (format!("k{n:04}"), json!(1))).collect();
    let found = errors("3.0.0", &schema, Value::Object(spec));
    assert_eq!(found.len(), MAX_VIOLATIONS);
    assert_eq!(found[0].0, "spec.k0000");
}

#[test]
fn a_document_that_cannot_be_used_is_refused_with_what_to_mend() {
    let complaint = |openapi: &str, schemas: Value| {
        let error = compiled(openapi, schemas)
            .err()
            .map(|error| error.to_string());
        error.unwrap_or_default()
    };
    let said = complaint("3.0.0", json!({"Other": {}}));
    assert!(
        said.contains("no `ClusterSpec`, which kind Cluster requires; it has NodePoolSpec, Other"),
        "{said}"
    );
    let said = complaint("2.0", json!({}));
    assert!(said.contains("`openapi` is 2.0"), "{said}");
    let far = json!({"ClusterSpec": {"properties": {"a": {"$ref": "other.yaml#/A"}}}});
    let said = complaint("3.0.0", far);
    assert!(
        said.contains("\"other.yaml#/A\" at /components/schemas/ClusterSpec/properties/a"),
        "{said}"
    );
    let bad = json!({"ClusterSpec": {"type": "objct"}});
    let said = complaint("3.0.0", bad);
    assert!(
        said.contains("`ClusterSpec` of kind Cluster cannot be used"),
        "{said}"
    );
}

#[test]
fn a_schema_that_is_not_required_may_be_missing() {
    let (schemas, warnings) = compiled("3.0.0", json!({"ClusterSpec": {}})).expect("compiled");
    assert_eq!(warnings.len(), 3, "{warnings:?}");
    assert!(warnings[0].contains("`ChannelSpec`"), "{warnings:?}");
    assert!(schemas.check("Channel", &Map::new()).is_ok());
}
