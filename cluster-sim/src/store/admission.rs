//! What the API server checks and fills in before it stores an object.

use serde_json::{Value, json};

use super::Store;
use super::write::Target;
use crate::kind::{Kind, NameRule, definition, schema};
use crate::object::{self, as_map, child, metadata, text};
use crate::status::{ApiError, Cause};

/// Longest subdomain name.
const SUBDOMAIN_LENGTH: usize = 253;
/// Longest label name and label value.
const LABEL_LENGTH: usize = 63;

pub(super) fn check_type(target: &Target, given: &mut Value) -> Result<(), ApiError> {
    if !given.is_object() {
        return Err(ApiError::bad_request(
            "the body must be one JSON or YAML object",
        ));
    }
    let kind = &target.kind;
    for (field, expected) in [
        ("apiVersion", kind.api_version(&target.version)),
        ("kind", kind.kind.clone()),
    ] {
        match given.get(field).and_then(Value::as_str) {
            Some(found) if found == expected => {}
            None if !kind.custom => {
                given[field] = expected.into();
            }
            found => {
                let what = if field == "kind" {
                    "kind"
                } else {
                    "API version"
                };
                let found = found.unwrap_or_default();
                return Err(ApiError::bad_request(format!(
                    "the {what} in the data ({found}) does not match the expected {what} ({expected})"
                )));
            }
        }
    }
    Ok(())
}

/// Checks the namespace in the body against the address, and fills it in.
pub(super) fn place(target: &Target, given: &mut Value) -> Result<(), ApiError> {
    let found = object::namespace(given).to_owned();
    if !target.kind.namespaced {
        metadata(given).remove("namespace");
        return Ok(());
    }
    if !found.is_empty() && found != target.namespace {
        return Err(ApiError::bad_request(format!(
            "the namespace of the provided object does not match the namespace sent on the request ({found} and {})",
            target.namespace
        )));
    }
    metadata(given).insert("namespace".into(), target.namespace.as_str().into());
    Ok(())
}

/// Defaults and checks of an object about to be stored; `before` is what it replaces.
pub(super) fn admit(
    store: &Store,
    target: &Target,
    given: &mut Value,
    before: Option<&Value>,
) -> Result<(), ApiError> {
    let kind = &target.kind;
    let mut causes = metadata_problems(kind, given);
    if let Some(schema) = kind.schema(&target.version) {
        schema::prune(given, schema, true);
        schema::apply_defaults(given, schema);
        causes.extend(schema::validate(given, schema));
    }
    match (kind.group.as_str(), kind.kind.as_str()) {
        ("batch", "Job") => causes.extend(job(given, before)),
        ("", "Secret") => encode_secret(given),
        ("", "Namespace") if before.is_none() => {
            given["spec"] = json!({"finalizers": ["kubernetes"]});
            given["status"] = json!({"phase": "Active"});
        }
        ("apiextensions.k8s.io", "CustomResourceDefinition") => {
            if let Err(problems) = definition::to_kind(given) {
                causes.extend(problems);
            } else if store
                .kinds
                .get(
                    text(given, "/spec/group"),
                    text(given, "/spec/names/plural"),
                )
                .is_some_and(|kind| !kind.custom)
            {
                causes.push(invalid("spec.group", "the kind is built in"));
            }
        }
        _ => {}
    }
    if causes.is_empty() {
        return Ok(());
    }
    Err(ApiError::invalid(
        &kind.group,
        &kind.kind,
        object::name(given),
        causes,
    ))
}

fn invalid(field: &str, message: impl Into<String>) -> Cause {
    Cause {
        reason: "FieldValueInvalid",
        message: format!("Invalid value: {}", message.into()),
        field: field.into(),
    }
}

fn metadata_problems(kind: &Kind, given: &Value) -> Vec<Cause> {
    let name = object::name(given);
    let mut causes = Vec::new();
    if let Some(problem) = name_problem(kind.name_rule, name) {
        causes.push(invalid("metadata.name", format!("{name:?}: {problem}")));
    }
    for (pointer, field) in [
        ("/metadata/labels", "metadata.labels"),
        ("/metadata/annotations", "metadata.annotations"),
    ] {
        match given.pointer(pointer) {
            None | Some(Value::Null) => {}
            Some(Value::Object(entries)) => {
                for (key, value) in entries {
                    let Some(value) = value.as_str() else {
                        causes.push(invalid(
                            field,
                            format!("{value}: the value of {key} must be a string"),
                        ));
                        continue;
                    };
                    if !is_qualified_name(key) {
                        causes.push(invalid(field, format!("{key:?}: name part must consist of alphanumeric characters, '-', '_' or '.', with an optional DNS subdomain prefix and '/'")));
                    }
                    if field == "metadata.labels" && !value.is_empty() && !is_label_value(value) {
                        causes.push(invalid(field, format!("{value:?}: a valid label must be an empty string or at most {LABEL_LENGTH} alphanumeric characters, '-', '_' or '.', starting and ending alphanumeric")));
                    }
                }
            }
            Some(other) => {
                causes.push(invalid(field, format!("{other}: must be a map of strings")));
            }
        }
    }
    causes
}

/// What is wrong with a name.
fn name_problem(rule: NameRule, name: &str) -> Option<&'static str> {
    let lowercase = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let label = |part: &str| {
        let bytes = part.as_bytes();
        bytes.first().copied().is_some_and(lowercase)
            && bytes.last().copied().is_some_and(lowercase)
            && bytes.iter().all(|byte| lowercase(*byte) || *byte == b'-')
    };
    match rule {
        NameRule::Subdomain => {
            let valid = name.len() <= SUBDOMAIN_LENGTH && name.split('.').all(label);
            (!valid).then_some("a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character, with at most 253 characters")
        }
        NameRule::Label => {
            let valid = name.len() <= LABEL_LENGTH && label(name);
            (!valid).then_some("a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character, with at most 63 characters")
        }
        NameRule::Service => {
            let valid = name.len() <= LABEL_LENGTH
                && label(name)
                && name.as_bytes().first().is_some_and(u8::is_ascii_lowercase);
            (!valid).then_some("a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character, with at most 63 characters")
        }
        NameRule::PathSegment => {
            let valid = !matches!(name, "" | "." | "..") && !name.contains(['/', '%']);
            (!valid).then_some("may not be '', '.', '..' or contain '/' or '%'")
        }
    }
}

fn is_label_value(value: &str) -> bool {
    let bytes = value.as_bytes();
    bytes.len() <= LABEL_LENGTH
        && bytes.first().is_some_and(u8::is_ascii_alphanumeric)
        && bytes.last().is_some_and(u8::is_ascii_alphanumeric)
        && bytes
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(byte))
}

fn is_qualified_name(key: &str) -> bool {
    match key.split_once('/') {
        Some((prefix, name)) => {
            name_problem(NameRule::Subdomain, prefix).is_none() && is_label_value(name)
        }
        None => is_label_value(key),
    }
}

/// A Job's own rules: what must be there, and what can never change.
fn job(given: &mut Value, before: Option<&Value>) -> Vec<Cause> {
    let mut causes = Vec::new();
    let containers = given
        .pointer("/spec/template/spec/containers")
        .and_then(Value::as_array);
    if containers.is_none_or(Vec::is_empty) {
        causes.push(Cause {
            reason: "FieldValueRequired",
            message: "Required value".into(),
            field: "spec.template.spec.containers".into(),
        });
    }
    let restart = text(given, "/spec/template/spec/restartPolicy");
    if !matches!(restart, "Never" | "OnFailure") {
        causes.push(Cause {
            reason: "FieldValueNotSupported",
            message: format!(
                "Unsupported value: {restart:?}: supported values: \"OnFailure\", \"Never\""
            ),
            field: "spec.template.spec.restartPolicy".into(),
        });
    }
    let spec = child(given, "spec");
    for (field, default) in [
        ("parallelism", json!(1)),
        ("completions", json!(1)),
        ("backoffLimit", json!(6)),
        ("suspend", json!(false)),
    ] {
        spec.entry(field).or_insert(default);
    }
    if let Some(before) = before {
        for field in ["template", "completions"] {
            let pointer = format!("/spec/{field}");
            if before.pointer(&pointer) != given.pointer(&pointer) {
                causes.push(invalid(&format!("spec.{field}"), "field is immutable"));
            }
        }
    }
    causes
}

/// `stringData` is written, never read: it becomes base64 in `data`.
fn encode_secret(given: &mut Value) {
    use base64::Engine as _;
    let Some(Value::Object(plain)) = as_map(given).remove("stringData") else {
        return;
    };
    let data = child(given, "data");
    for (key, value) in plain {
        let text = value.as_str().unwrap_or_default();
        let encoded = base64::engine::general_purpose::STANDARD.encode(text);
        data.insert(key, encoded.into());
    }
}
