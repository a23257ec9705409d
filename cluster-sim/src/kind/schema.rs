//! Structural schemas of custom kinds: defaulting, pruning and validation.
//!
//! Covered: `type`, `properties`, `additionalProperties`, `items`, `required`, `enum`, `pattern` (a useful subset is impossible
//! without a regular-expression engine, so patterns are not checked), lengths, bounds, `default`, `nullable`,
//! `x-kubernetes-preserve-unknown-fields`, `x-kubernetes-int-or-string`. Validation rules in CEL are not evaluated.

use serde_json::{Map, Value};

use crate::status::Cause;

/// Fills in `default`s, as the API server does before validation.
pub(crate) fn apply_defaults(value: &mut Value, schema: &Value) {
    match value {
        Value::Object(map) => {
            for (field, property) in properties(schema) {
                if let Some(present) = map.get_mut(field) {
                    apply_defaults(present, property);
                } else if let Some(default) = property.get("default") {
                    let mut filled = default.clone();
                    apply_defaults(&mut filled, property);
                    map.insert(field.clone(), filled);
                }
            }
            if let Some(inner) = schema
                .get("additionalProperties")
                .filter(|one| one.is_object())
            {
                map.values_mut()
                    .for_each(|present| apply_defaults(present, inner));
            }
        }
        Value::Array(items) => {
            if let Some(inner) = schema.get("items") {
                for item in items {
                    apply_defaults(item, inner);
                }
            }
        }
        _ => {}
    }
}

/// Drops fields that the schema does not know, as the API server does for structural schemas.
pub(crate) fn prune(value: &mut Value, schema: &Value, root: bool) {
    let keeps = schema.get("x-kubernetes-preserve-unknown-fields") == Some(&Value::Bool(true));
    match value {
        Value::Object(map) => {
            let additional = schema.get("additionalProperties");
            if !keeps && additional.is_none() && schema.get("type").is_some() {
                map.retain(|field, _| {
                    (root && matches!(field.as_str(), "apiVersion" | "kind" | "metadata"))
                        || schema
                            .get("properties")
                            .is_some_and(|known| known.get(field).is_some())
                });
            }
            for (field, property) in properties(schema) {
                if root && field == "metadata" {
                    continue;
                }
                if let Some(present) = map.get_mut(field) {
                    prune(present, property, false);
                }
            }
            if let Some(inner) = additional.filter(|one| one.is_object()) {
                map.values_mut()
                    .for_each(|present| prune(present, inner, false));
            }
        }
        Value::Array(items) => {
            if let Some(inner) = schema.get("items") {
                for item in items {
                    prune(item, inner, false);
                }
            }
        }
        _ => {}
    }
}

/// Everything in `value` that the schema forbids.
pub(crate) fn validate(value: &Value, schema: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    check(value, schema, "", &mut causes);
    causes
}

fn check(value: &Value, schema: &Value, path: &str, causes: &mut Vec<Cause>) {
    if value.is_null() && schema.get("nullable") == Some(&Value::Bool(true)) {
        return;
    }
    if !has_type(value, schema) {
        let expected = schema
            .get("type")
            .and_then(Value::as_str)
            .unwrap_or("integer or string");
        causes.push(Cause {
            reason: "FieldValueTypeInvalid",
            message: format!(
                "Invalid value: {:?}: {} in body must be of type {expected}: {:?}",
                type_name(value),
                path_or_root(path),
                type_name(value)
            ),
            field: path_or_root(path).to_owned(),
        });
        return;
    }
    if let Some(Value::Array(allowed)) = schema.get("enum")
        && !allowed.contains(value)
    {
        let supported: Vec<String> = allowed.iter().map(Value::to_string).collect();
        causes.push(Cause {
            reason: "FieldValueNotSupported",
            message: format!(
                "Unsupported value: {value}: supported values: {}",
                supported.join(", ")
            ),
            field: path_or_root(path).to_owned(),
        });
    }
    match value {
        Value::Object(map) => check_object(map, schema, path, causes),
        Value::Array(items) => {
            check_size(items.len(), schema, ("minItems", "maxItems"), path, causes);
            if let Some(inner) = schema.get("items") {
                for (index, item) in items.iter().enumerate() {
                    check(item, inner, &format!("{path}[{index}]"), causes);
                }
            }
        }
        Value::String(text) => {
            check_size(
                text.chars().count(),
                schema,
                ("minLength", "maxLength"),
                path,
                causes,
            );
        }
        Value::Number(number) => check_bounds(number.as_f64(), schema, path, causes),
        Value::Null | Value::Bool(_) => {}
    }
}

fn check_object(map: &Map<String, Value>, schema: &Value, path: &str, causes: &mut Vec<Cause>) {
    let required = schema.get("required").and_then(Value::as_array);
    for field in required.into_iter().flatten().filter_map(Value::as_str) {
        if !map.contains_key(field) {
            causes.push(Cause {
                reason: "FieldValueRequired",
                message: "Required value".into(),
                field: join(path, field),
            });
        }
    }
    for (field, property) in properties(schema) {
        if let Some(present) = map.get(field) {
            check(present, property, &join(path, field), causes);
        }
    }
    if let Some(inner) = schema
        .get("additionalProperties")
        .filter(|one| one.is_object())
    {
        for (field, present) in map {
            check(present, inner, &join(path, field), causes);
        }
    }
}

fn check_size(
    size: usize,
    schema: &Value,
    (least, most): (&str, &str),
    path: &str,
    causes: &mut Vec<Cause>,
) {
    let bound = |name: &str| schema.get(name).and_then(Value::as_u64);
    let size = u64::try_from(size).unwrap_or(u64::MAX);
    let problem = if bound(least).is_some_and(|least| size < least) {
        Some((least, bound(least)))
    } else if bound(most).is_some_and(|most| size > most) {
        Some((most, bound(most)))
    } else {
        None
    };
    if let Some((name, Some(limit))) = problem {
        causes.push(Cause {
            reason: "FieldValueInvalid",
            message: format!("Invalid value: size {size}: {name} is {limit}"),
            field: path_or_root(path).to_owned(),
        });
    }
}

fn check_bounds(number: Option<f64>, schema: &Value, path: &str, causes: &mut Vec<Cause>) {
    let Some(number) = number else { return };
    let bound = |name: &str| schema.get(name).and_then(Value::as_f64);
    let below = bound("minimum").is_some_and(|least| number < least);
    let above = bound("maximum").is_some_and(|most| number > most);
    if below || above {
        let name = if below { "minimum" } else { "maximum" };
        causes.push(Cause {
            reason: "FieldValueInvalid",
            message: format!(
                "Invalid value: {number}: {name} is {}",
                bound(name).unwrap_or_default()
            ),
            field: path_or_root(path).to_owned(),
        });
    }
}

fn has_type(value: &Value, schema: &Value) -> bool {
    if schema.get("x-kubernetes-int-or-string") == Some(&Value::Bool(true)) {
        return value.is_i64() || value.is_u64() || value.is_string();
    }
    match schema.get("type").and_then(Value::as_str) {
        Some("object") => value.is_object(),
        Some("array") => value.is_array(),
        Some("string") => value.is_string(),
        Some("boolean") => value.is_boolean(),
        Some("integer") => value.is_i64() || value.is_u64(),
        Some("number") => value.is_number(),
        _ => true,
    }
}

fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn properties(schema: &Value) -> impl Iterator<Item = (&String, &Value)> {
    schema
        .get("properties")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
}

fn join(path: &str, field: &str) -> String {
    if path.is_empty() {
        field.to_owned()
    } else {
        format!("{path}.{field}")
    }
}

fn path_or_root(path: &str) -> &str {
    if path.is_empty() { "<root>" } else { path }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{apply_defaults, prune, validate};

    #[test]
    fn defaults_prune_and_validate() {
        let schema = json!({"type": "object", "properties": {"spec": {
        "type": "object", "required": ["replicas", "zone"],
        "properties": {
            "replicas": {"type": "integer", "minimum": 0, "default": 2},
            "zone": {"type": "string", "maxLength": 3},
            "mode": {"type": "string", "enum": ["A", "B"]},
            "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
        }}}});
        let mut object =
            json!({"kind": "X", "spec": {"zone": "abcd", "mode": "C", "odd": 1, "free": {"x": 1}}});
        prune(&mut object, &schema, true);
        apply_defaults(&mut object, &schema);
        assert_eq!(
            object,
            json!({"kind": "X", "spec": {"zone": "abcd", "mode": "C", "replicas": 2, "free": {"x": 1}}})
        );
        let fields: Vec<String> = validate(&object, &schema)
            .into_iter()
            .map(|cause| cause.field)
            .collect();
        assert_eq!(fields, ["spec.mode", "spec.zone"]);
        let missing = validate(&json!({"spec": {"replicas": "1"}}), &schema);
        assert_eq!(missing.len(), 2);
    }
}
