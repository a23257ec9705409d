//! Label and field selectors of list, watch and delete-collection.

use serde_json::Value;

use crate::object;
use crate::status::ApiError;

/// Which objects a request is about.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Selector {
    labels: Vec<LabelRule>,
    fields: Vec<FieldRule>,
}

#[derive(Clone, Debug, PartialEq)]
enum LabelRule {
    In(String, Vec<String>),
    NotIn(String, Vec<String>),
    Exists(String),
    Absent(String),
}

#[derive(Clone, Debug, PartialEq)]
struct FieldRule {
    pointer: String,
    value: String,
    equal: bool,
}

impl Selector {
    /// Reads the query parameters `labelSelector` and `fieldSelector`.
    pub(crate) fn parse(labels: &str, fields: &str) -> Result<Self, ApiError> {
        let labels = split_rules(labels)
            .into_iter()
            .map(|rule| label_rule(&rule))
            .collect::<Result<_, _>>()?;
        let fields = fields
            .split(',')
            .filter(|rule| !rule.trim().is_empty())
            .map(field_rule)
            .collect::<Result<_, _>>()?;
        Ok(Self { labels, fields })
    }

    pub(crate) fn matches(&self, object: &Value) -> bool {
        let labels = object.pointer("/metadata/labels");
        let label = |key: &str| {
            labels
                .and_then(|labels| labels.get(key))
                .and_then(Value::as_str)
        };
        self.labels.iter().all(|rule| match rule {
            LabelRule::In(key, values) => {
                label(key).is_some_and(|value| values.iter().any(|one| one == value))
            }
            LabelRule::NotIn(key, values) => {
                label(key).is_none_or(|value| values.iter().all(|one| one != value))
            }
            LabelRule::Exists(key) => label(key).is_some(),
            LabelRule::Absent(key) => label(key).is_none(),
        }) && self
            .fields
            .iter()
            .all(|rule| (object::text(object, &rule.pointer) == rule.value) == rule.equal)
    }
}

/// Splits at commas outside parentheses.
fn split_rules(text: &str) -> Vec<String> {
    let mut rules = vec![String::new()];
    let mut depth = 0_usize;
    for character in text.chars() {
        match character {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                rules.push(String::new());
                continue;
            }
            _ => {}
        }
        if let Some(rule) = rules.last_mut() {
            rule.push(character);
        }
    }
    rules.retain(|rule| !rule.trim().is_empty());
    rules
}

fn label_rule(rule: &str) -> Result<LabelRule, ApiError> {
    let rule = rule.trim();
    let refuse = || ApiError::bad_request(format!("unable to parse requirement: {rule:?}"));
    if let Some((head, values)) = rule.split_once('(') {
        let values = values.strip_suffix(')').ok_or_else(refuse)?;
        let values = values
            .split(',')
            .map(|value| value.trim().to_owned())
            .collect();
        let mut words = head.split_whitespace();
        return match (words.next(), words.next(), words.next()) {
            (Some(key), Some("in"), None) => Ok(LabelRule::In(key.into(), values)),
            (Some(key), Some("notin"), None) => Ok(LabelRule::NotIn(key.into(), values)),
            _ => Err(refuse()),
        };
    }
    let parsed = if let Some((key, value)) = rule.split_once("!=") {
        LabelRule::NotIn(key.trim().into(), vec![value.trim().into()])
    } else if let Some((key, value)) = rule.split_once("==").or_else(|| rule.split_once('=')) {
        LabelRule::In(key.trim().into(), vec![value.trim().into()])
    } else if let Some(key) = rule.strip_prefix('!') {
        LabelRule::Absent(key.trim().into())
    } else if rule.contains(char::is_whitespace) {
        return Err(refuse());
    } else {
        LabelRule::Exists(rule.into())
    };
    Ok(parsed)
}

fn field_rule(rule: &str) -> Result<FieldRule, ApiError> {
    let rule = rule.trim();
    let (path, value, equal) = if let Some((path, value)) = rule.split_once("!=") {
        (path, value, false)
    } else if let Some((path, value)) = rule.split_once("==").or_else(|| rule.split_once('=')) {
        (path, value, true)
    } else {
        return Err(ApiError::bad_request(format!(
            "invalid field selector {rule:?}"
        )));
    };
    let known = [
        "metadata.",
        "status.phase",
        "spec.nodeName",
        "involvedObject.",
        "reason",
        "type",
    ];
    if !known.iter().any(|start| path.starts_with(start)) {
        return Err(ApiError::bad_request(format!(
            "field label not supported: {path}"
        )));
    }
    Ok(FieldRule {
        pointer: format!("/{}", path.trim().replace('.', "/")),
        value: value.trim().to_owned(),
        equal,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::Selector;

    #[test]
    fn equality_and_sets_combine() {
        let object = json!({"metadata": {"name": "a", "labels": {"app": "web", "tier": "front"}}});
        for (labels, fields, expected) in [
            ("app=web", "", true),
            ("app==web,tier!=back", "", true),
            ("app in (web, api),!gone", "", true),
            ("app notin (web)", "", false),
            ("tier", "metadata.name=a", true),
            ("", "metadata.name!=a", false),
            ("missing!=x", "", true),
            ("missing", "", false),
        ] {
            let selector = Selector::parse(labels, fields).unwrap();
            assert_eq!(selector.matches(&object), expected, "{labels} {fields}");
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for labels in ["a in web", "a in (b", "a b"] {
            assert_eq!(
                Selector::parse(labels, "").unwrap_err().code,
                400,
                "{labels}"
            );
        }
        assert_eq!(Selector::parse("", "spec.x=1").unwrap_err().code, 400);
    }
}
