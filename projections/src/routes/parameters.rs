//! Ids of the path, and query parameters of lists.
//!
//! Unknown parameters are ignored, as API contract v1 asks.

use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;
use chrono::{DateTime, Datelike as _, Utc};
use hyperfleet_api_types::problem::{Fault, codes};
use hyperfleet_api_types::{FieldError, problem};
use hyperfleet_domain::registry::{EntityDescriptor, Registry};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::KindState;
use super::answer::Failure;
use crate::resource_view::{Order, Page, ReferenceFilter, can_be_stored};
use crate::search::{self, Predicate};

/// The ids of the path. One that is no text names no resource.
pub(crate) struct Ids<T>(pub(crate) T);

impl<T: DeserializeOwned + Send> FromRequestParts<KindState> for Ids<T> {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &KindState) -> Result<Self, Failure> {
        let Ok(Path(ids)) = Path::from_request_parts(parts, state).await else {
            let detail = format!("{} not found", state.kind.name());
            return Err(Fault::new(codes::RESOURCE_NOT_FOUND, detail).into());
        };
        Ok(Self(ids))
    }
}

/// The parameters of a request, decoded, in the order sent.
pub(crate) type Parameters = Vec<(String, String)>;

/// Items per page when the caller does not say.
pub const DEFAULT_PAGE_SIZE: u32 = 20;
/// Most items per page: bounds the memory and time of one answer.
pub const MAX_PAGE_SIZE: u32 = 100;
/// Last page that can be asked for: bounds how far the database has to count.
pub const MAX_PAGE: u32 = 100_000;

/// The value of a parameter; blank is the same as absent, the first of several counts.
pub(crate) fn value<'a>(parameters: &'a Parameters, name: &str) -> Option<&'a str> {
    parameters
        .iter()
        .find(|(key, _)| key == name)
        .map(|(_, value)| value.trim())
        .filter(|value| !value.is_empty())
}

/// The value of a parameter that is compared with stored text.
pub(crate) fn text<'a>(parameters: &'a Parameters, name: &str) -> Result<Option<&'a str>, Fault> {
    let value = value(parameters, name);
    if value.is_none_or(can_be_stored) {
        return Ok(value);
    }
    let error = FieldError {
        field: name.to_owned(),
        message: "must not have a NUL character".to_owned(),
        value: None,
        constraint: Some(problem::constraints::FORMAT.to_owned()),
    };
    Err(Fault::new(codes::VALIDATION, "Invalid query parameters").with_errors(vec![error]))
}

/// A time, in RFC 3339 and of a year that every part of the system knows.
pub(crate) fn time(
    parameters: &Parameters,
    name: &'static str,
) -> Result<Option<DateTime<Utc>>, Fault> {
    let Some(text) = value(parameters, name) else {
        return Ok(None);
    };
    // In a query string, an unescaped plus sign of an offset is a blank.
    let time = DateTime::parse_from_rfc3339(&text.replace(' ', "+"));
    let time = time.or_else(|_| DateTime::parse_from_rfc3339(text));
    let time = time.ok().map(|time| time.to_utc());
    let time = time.filter(|time| (0..=9999).contains(&time.year()));
    time.map(Some).ok_or_else(|| {
        let message = "must be a time in RFC 3339, such as 2026-01-02T03:04:05Z".to_owned();
        invalid(
            name,
            message,
            Some(Value::from(text)),
            problem::constraints::FORMAT,
        )
    })
}

/// The fault of one parameter.
pub(crate) fn invalid(
    name: &str,
    message: String,
    value: Option<Value>,
    constraint: &str,
) -> Fault {
    let error = FieldError {
        field: name.to_owned(),
        message,
        value,
        constraint: Some(constraint.to_owned()),
    };
    Fault::new(codes::VALIDATION, "Invalid query parameters").with_errors(vec![error])
}

/// Refuses a kind that is not registered.
pub(crate) fn require_kind(registry: &Registry, kind: &str) -> Result<(), Fault> {
    if registry.by_kind(kind).is_some() {
        return Ok(());
    }
    Err(Fault::new(
        codes::VALIDATION,
        format!("Unknown entity kind: {kind}"),
    ))
}

/// `search`: what it asks; blank is none.
pub(crate) fn search(parameters: &Parameters) -> Result<Option<Predicate>, Fault> {
    let asked = value(parameters, "search").map(search::parse).transpose();
    asked.map_err(|error| Fault::new(codes::BAD_REQUEST, error.to_string()))
}

/// `ref_type` and `ref_target_id`, of a kind that declares that type of reference.
pub(crate) fn reference(
    parameters: &Parameters,
    descriptor: &EntityDescriptor,
) -> Result<Option<ReferenceFilter>, Fault> {
    let ref_type = text(parameters, "ref_type")?;
    let target_id = text(parameters, "ref_target_id")?;
    let (ref_type, target_id) = match (ref_type, target_id) {
        (None, None) => return Ok(None),
        (Some(ref_type), Some(target_id)) => (ref_type, target_id),
        (Some(_), None) => return Err(lone("reftargetid")),
        (None, Some(_)) => return Err(lone("reftype")),
    };
    if descriptor.reference(ref_type).is_none() {
        let kind = &descriptor.kind;
        let detail = format!("Unknown ref_type {ref_type:?} for entity {kind}");
        return Err(Fault::new(codes::VALIDATION, detail));
    }
    Ok(Some(ReferenceFilter {
        ref_type: ref_type.to_owned(),
        target_id: target_id.to_owned(),
    }))
}

/// The fault of one reference parameter without the other, `missing`.
fn lone(missing: &str) -> Fault {
    let error = FieldError {
        field: missing.to_owned(),
        message: "ref_type and ref_target_id must be provided together".to_owned(),
        value: None,
        constraint: Some(problem::constraints::REQUIRED.to_owned()),
    };
    Fault::new(codes::VALIDATION, "Invalid query parameters").with_errors(vec![error])
}

/// `page` and `size`. A value that is no integer is reported before one out of range.
pub(crate) fn page(parameters: &Parameters) -> Result<Page, Fault> {
    let page = integer(parameters, "page");
    let size = integer(parameters, "size");
    let mut errors = Vec::new();
    errors.extend(page.as_ref().err().cloned());
    errors.extend(size.as_ref().err().cloned());
    if let (Ok(page), Ok(size)) = (page, size) {
        let page = in_range("page", page.unwrap_or(1), MAX_PAGE);
        let size = in_range(
            "size",
            size.unwrap_or(DEFAULT_PAGE_SIZE.into()),
            MAX_PAGE_SIZE,
        );
        errors.extend(page.as_ref().err().cloned());
        errors.extend(size.as_ref().err().cloned());
        if let (Ok(number), Ok(size)) = (page, size) {
            return Ok(Page { number, size });
        }
    }
    Err(Fault::new(codes::VALIDATION, "Invalid query parameters").with_errors(errors))
}

/// `order`: comma-separated, repeated, or both.
pub(crate) fn order(parameters: &Parameters) -> Result<Order, Fault> {
    let terms = parameters
        .iter()
        .filter(|(key, _)| key == "order")
        .flat_map(|(_, value)| value.split(','))
        .map(str::trim)
        .filter(|term| !term.is_empty());
    Order::parse(terms).map_err(|error| Fault::new(codes::BAD_REQUEST, error.to_string()))
}

fn integer(parameters: &Parameters, name: &'static str) -> Result<Option<i64>, FieldError> {
    let Some(text) = value(parameters, name) else {
        return Ok(None);
    };
    text.parse().map(Some).map_err(|_| FieldError {
        field: name.to_owned(),
        message: "must be a valid integer".to_owned(),
        value: Some(Value::from(text)),
        constraint: Some(problem::constraints::FORMAT.to_owned()),
    })
}

fn in_range(name: &'static str, value: i64, max: u32) -> Result<u32, FieldError> {
    let (constraint, message) = if value < 1 {
        (
            problem::constraints::MIN,
            format!("{name} must be at least 1"),
        )
    } else {
        (
            problem::constraints::MAX,
            format!("{name} must be at most {max}"),
        )
    };
    u32::try_from(value)
        .ok()
        .filter(|value| (1..=max).contains(value))
        .ok_or_else(|| FieldError {
            field: name.to_owned(),
            message,
            value: Some(Value::from(value)),
            constraint: Some(constraint.to_owned()),
        })
}

#[cfg(test)]
mod tests {
    use hyperfleet_domain::registry::ReferenceRule;

    use super::*;

    fn parameters(pairs: &[(&str, &str)]) -> Parameters {
        pairs
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect()
    }

    #[test]
    fn blank_and_absent_give_the_defaults() {
        let expected = Page {
            number: 1,
            size: DEFAULT_PAGE_SIZE,
        };
        assert_eq!(page(&parameters(&[])).expect("valid"), expected);
        assert_eq!(
            page(&parameters(&[("page", ""), ("size", " ")])).expect("valid"),
            expected
        );
    }

    #[test]
    fn both_format_faults_are_reported_together() {
        let fault = page(&parameters(&[("page", "abc"), ("size", "x")])).expect_err("refused");
        assert_eq!(fault.detail, "Invalid query parameters");
        assert_eq!(fault.errors.len(), 2);
        assert!(
            fault
                .errors
                .iter()
                .all(|error| error.constraint.as_deref() == Some("format"))
        );
    }

    #[test]
    fn range_faults_name_the_limit() {
        for (name, sent, constraint, message) in [
            ("size", "101", "max", "size must be at most 100"),
            ("size", "0", "min", "size must be at least 1"),
            ("page", "0", "min", "page must be at least 1"),
            ("page", "100001", "max", "page must be at most 100000"),
            ("page", "9999999999", "max", "page must be at most 100000"),
        ] {
            let fault = page(&parameters(&[(name, sent)])).expect_err("refused");
            assert_eq!(fault.errors.len(), 1, "{name}={sent}");
            assert_eq!(fault.errors[0].field, name);
            assert_eq!(fault.errors[0].constraint.as_deref(), Some(constraint));
            assert_eq!(fault.errors[0].message, message);
        }
    }

    #[test]
    fn a_search_is_trimmed_and_blank_is_none() {
        assert_eq!(
            search(&parameters(&[("search", "  ")])).expect("valid"),
            None
        );
        assert!(
            search(&parameters(&[("search", " name='x' ")])).is_ok_and(|asked| asked.is_some())
        );
        let fault = search(&parameters(&[("search", "nosuch='x'")])).expect_err("refused");
        assert_eq!(fault.detail, "invalid field in search or order query");
    }

    #[test]
    fn a_reference_needs_both_parameters_and_a_known_type() {
        let descriptor = EntityDescriptor {
            kind: "Plain".to_owned(),
            references: vec![ReferenceRule {
                ref_type: "config".to_owned(),
                target_kind: "Config".to_owned(),
                min: 0,
                max: 0,
            }],
            ..EntityDescriptor::default()
        };
        let reference = |pairs: &[(&str, &str)]| reference(&parameters(pairs), &descriptor);
        assert_eq!(reference(&[]).expect("valid"), None);
        let both = reference(&[("ref_type", "config"), ("ref_target_id", "x")]);
        assert!(both.is_ok_and(|found| found.is_some()));
        for (given, missing) in [("ref_type", "reftargetid"), ("ref_target_id", "reftype")] {
            let fault = reference(&[(given, "config")]).expect_err("refused");
            assert_eq!(fault.errors[0].field, missing);
            assert_eq!(fault.errors[0].constraint.as_deref(), Some("required"));
        }
        let unknown = reference(&[("ref_type", "x"), ("ref_target_id", "y")]).expect_err("refused");
        assert_eq!(unknown.detail, "Unknown ref_type \"x\" for entity Plain");
    }
}
