//! Free-form JSON objects and when two of them are the same.

use serde_json::{Map, Number, Value};

/// A JSON object of free form: a `spec` or the `data` of a report.
pub type JsonObject = Map<String, Value>;

/// Whether two objects are equal as JSON values: the order of keys does not count and numbers are
/// compared as IEEE doubles, so `1` and `1.0` are the same (API contract v1, resource spec).
pub fn same_object(left: &JsonObject, right: &JsonObject) -> bool {
    left.len() == right.len()
        && left
            .iter()
            .all(|(key, value)| right.get(key).is_some_and(|other| same(value, other)))
}

fn same(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Object(left), Value::Object(right)) => same_object(left, right),
        (Value::Array(left), Value::Array(right)) => {
            left.len() == right.len()
                && left
                    .iter()
                    .zip(right)
                    .all(|(left, right)| same(left, right))
        }
        (Value::Number(left), Value::Number(right)) => same_number(left, right),
        (left, right) => left == right,
    }
}

fn same_number(left: &Number, right: &Number) -> bool {
    left == right || left.as_f64() == right.as_f64()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn same_json(left: Value, right: Value) -> bool {
        match (left, right) {
            (Value::Object(left), Value::Object(right)) => same_object(&left, &right),
            other => panic!("not two objects: {other:?}"),
        }
    }

    #[test]
    fn order_of_keys_and_form_of_numbers_do_not_count() {
        assert!(same_json(
            json!({"a": 1, "b": [{"c": 2.0, "d": null}]}),
            json!({"b": [{"d": null, "c": 2}], "a": 1.0})
        ));
    }

    #[test]
    fn a_null_member_is_not_an_absent_one_and_arrays_are_ordered() {
        assert!(!same_json(json!({"a": null}), json!({})));
        assert!(!same_json(json!({"a": null}), json!({"b": null})));
        assert!(!same_json(json!({"a": [1, 2]}), json!({"a": [2, 1]})));
        assert!(!same_json(json!({"a": [1]}), json!({"a": [1, 1]})));
        assert!(!same_json(json!({"a": "1"}), json!({"a": 1})));
    }
}
