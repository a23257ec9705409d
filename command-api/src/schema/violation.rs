//! From what the schema engine finds to what the caller is told.

use hyperfleet_api_types::FieldError;
use jsonschema::error::{TypeKind, ValidationErrorKind};
use jsonschema::{ValidationError, Validator};
use serde_json::Value;

/// How many violations are answered. A form is mended by a few at a time; the bound keeps the answer
/// to a hostile body small.
pub const MAX_VIOLATIONS: usize = 100;

/// How many are looked for, so that those answered are the first in order of their path.
const MAX_FOUND: usize = 1000;

/// Choices that are repeated in a message.
const MAX_CHOICES: usize = 20;

/// Every violation of a spec, in order of path, each once.
pub(super) fn all(validator: &Validator, spec: &Value) -> Vec<FieldError> {
    let mut found: Vec<(String, String)> = validator
        .iter_errors(spec)
        .take(MAX_FOUND)
        .flat_map(|error| described(&error))
        .collect();
    found.sort();
    found.dedup();
    found.truncate(MAX_VIOLATIONS);
    let item = |(field, message)| FieldError {
        field,
        message,
        value: None,
        constraint: None,
    };
    found.into_iter().map(item).collect()
}

/// Field and message; a violation about several members is one of each.
fn described(error: &ValidationError<'_>) -> Vec<(String, String)> {
    let field = field(error.instance_path().as_str());
    let of_members = |names: &[String]| {
        let one = |name: &String| {
            let message = format!("property \"{name}\" is unsupported");
            (format!("{field}.{name}"), message)
        };
        names.iter().map(one).collect()
    };
    match error.kind() {
        ValidationErrorKind::Required { property } => {
            let name = property.as_str().unwrap_or_default();
            let message = format!("property \"{name}\" is missing");
            vec![(format!("{field}.{name}"), message)]
        }
        ValidationErrorKind::AdditionalProperties { unexpected }
        | ValidationErrorKind::UnevaluatedProperties { unexpected } => of_members(unexpected),
        kind => vec![(field, message(error, kind))],
    }
}

fn message(error: &ValidationError<'_>, kind: &ValidationErrorKind) -> String {
    use ValidationErrorKind as Kind;
    match kind {
        Kind::Type { kind } => format!("value must be {}", types(kind)),
        Kind::Enum { options } => format!("value must be one of {}", choices(options)),
        Kind::Minimum { limit } => format!("number must be at least {limit}"),
        Kind::Maximum { limit } => format!("number must be at most {limit}"),
        Kind::ExclusiveMinimum { limit } => format!("number must be more than {limit}"),
        Kind::ExclusiveMaximum { limit } => format!("number must be less than {limit}"),
        Kind::MinLength { limit } => format!("minimum string length is {limit}"),
        Kind::MaxLength { limit } => format!("maximum string length is {limit}"),
        Kind::MinItems { limit } => format!("minimum number of items is {limit}"),
        Kind::MaxItems { limit } => format!("maximum number of items is {limit}"),
        Kind::MinProperties { limit } => format!("there must be at least {limit} properties"),
        Kind::MaxProperties { limit } => format!("there must be at most {limit} properties"),
        Kind::UniqueItems => "duplicate items found".to_owned(),
        Kind::Pattern { pattern } => {
            format!("string doesn't match the regular expression \"{pattern}\"")
        }
        Kind::Format { format } => format!("string doesn't match the format \"{format}\""),
        Kind::MultipleOf { multiple_of } => format!("number must be a multiple of {multiple_of}"),
        Kind::AnyOf { .. } => "doesn't match any schema from \"anyOf\"".to_owned(),
        Kind::OneOfNotValid { .. } => "doesn't match any schema from \"oneOf\"".to_owned(),
        Kind::OneOfMultipleValid { .. } => "matches more than one schema from \"oneOf\"".to_owned(),
        Kind::Not { .. } => "value is not allowed here".to_owned(),
        _ => error.masked().to_string(),
    }
}

fn types(kind: &TypeKind) -> String {
    let mut named: Vec<String> = match kind {
        TypeKind::Single(one) => vec![one.to_string()],
        TypeKind::Multiple(several) => several.iter().map(|one| one.to_string()).collect(),
    };
    named.sort_by_key(|name| name == "null");
    let with_article = |name: &String| match name.as_str() {
        "null" => "null".to_owned(),
        "array" | "integer" | "object" => format!("an {name}"),
        _ => format!("a {name}"),
    };
    let named: Vec<String> = named.iter().map(with_article).collect();
    named.join(" or ")
}

fn choices(options: &Value) -> String {
    let all = options.as_array().map(Vec::as_slice).unwrap_or_default();
    let mut shown: Vec<String> = all.iter().take(MAX_CHOICES).map(Value::to_string).collect();
    if all.len() > MAX_CHOICES {
        shown.push("…".to_owned());
    }
    shown.join(", ")
}

/// The dotted path of a JSON pointer into the spec.
fn field(pointer: &str) -> String {
    let mut field = "spec".to_owned();
    for segment in pointer.split('/').skip(1) {
        field.push('.');
        field.push_str(&segment.replace("~1", "/").replace("~0", "~"));
    }
    field
}
