//! The difference of two JSON documents, member by member.

use hyperfleet_api_types::FieldChange;
use serde_json::{Map, Value};

/// What changed from `before` to `after`. Objects are compared member by member; a list of objects
/// that each have a `type` is compared by type, so that a condition is found wherever it stands in
/// its list; everything else is compared as a whole.
pub fn difference(before: &Value, after: &Value) -> Vec<FieldChange> {
    let mut changes = Vec::new();
    compare(String::new(), Some(before), Some(after), &mut changes);
    changes
}

fn compare(
    path: String,
    before: Option<&Value>,
    after: Option<&Value>,
    changes: &mut Vec<FieldChange>,
) {
    if before == after {
        return;
    }
    if let (Some(before), Some(after)) = (before, after)
        && let (Some(before), Some(after)) = (members(before), members(after))
    {
        return compare_members(&path, &before, &after, changes);
    }
    changes.push(FieldChange {
        path,
        from: before.cloned(),
        to: after.cloned(),
    });
}

fn compare_members(
    path: &str,
    before: &Map<String, Value>,
    after: &Map<String, Value>,
    changes: &mut Vec<FieldChange>,
) {
    for (name, value) in before {
        compare(
            child_path(path, name),
            Some(value),
            after.get(name),
            changes,
        );
    }
    for (name, value) in after {
        if !before.contains_key(name) {
            compare(child_path(path, name), None, Some(value), changes);
        }
    }
}

/// The members of an object, or of a list of objects by their `type`.
fn members(value: &Value) -> Option<Map<String, Value>> {
    match value {
        Value::Object(members) => Some(members.clone()),
        Value::Array(items) => items
            .iter()
            .map(|item| Some((item.get("type")?.as_str()?.to_owned(), item.clone())))
            .collect(),
        _ => None,
    }
}

fn child_path(path: &str, name: &str) -> String {
    format!("{path}/{}", name.replace('~', "~0").replace('/', "~1"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn equal_documents_differ_in_nothing() {
        let document = json!({"spec": {"a": [1, 2]}, "labels": {"x": "y"}});
        assert_eq!(difference(&document, &document), []);
    }

    #[test]
    fn members_are_added_changed_and_removed_by_path() {
        let changes = difference(
            &json!({"spec": {"same": 1, "gone": 2, "a/b": 3}}),
            &json!({"spec": {"same": 1, "a/b": 4, "new": {"x": 5}}}),
        );
        let text: Vec<_> = changes
            .iter()
            .map(|change| (change.path.as_str(), change.from.clone(), change.to.clone()))
            .collect();
        assert_eq!(
            text,
            [
                ("/spec/a~1b", Some(json!(3)), Some(json!(4))),
                ("/spec/gone", Some(json!(2)), None),
                ("/spec/new", None, Some(json!({"x": 5}))),
            ]
        );
    }

    #[test]
    fn conditions_are_compared_by_type() {
        let changes = difference(
            &json!({"conditions": [{"type": "A", "status": "False"}, {"type": "B", "status": "True"}]}),
            &json!({"conditions": [{"type": "B", "status": "True"}, {"type": "A", "status": "True"}]}),
        );
        assert_eq!(changes.len(), 1);
        assert_eq!(changes[0].path, "/conditions/A/status");
    }
}
