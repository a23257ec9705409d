//! Reading request bodies: bytes to typed bodies, or the exact fault that API contract v1 asks for.
//!
//! Done by hand over `serde_json::Value`, because the contract distinguishes an unreadable body, a
//! member of the wrong type (named by its path), and an absent member; a derive cannot.
//!
//! Invariants:
//! - every sequence of bytes is answered: by a body, or by a fault whose detail says what is wrong;
//! - no text of a body has a NUL character, which could not be stored.

mod member;
mod report;
mod storable;

use std::collections::BTreeMap;

use hyperfleet_api_types::problem::{Fault, codes};
use serde_json::{Map, Value};

use self::member::Members;
pub use self::report::{ReportBody, ReportedCondition, report};

/// Body of a create request. An absent or null member is empty.
#[derive(Debug, Default, PartialEq)]
pub struct CreateBody {
    /// Kind that the caller says it is.
    pub kind: String,
    /// Name; not yet checked.
    pub name: String,
    /// What is wanted.
    pub spec: Option<Map<String, Value>>,
    /// Labels; not yet checked.
    pub labels: BTreeMap<String, String>,
    /// Targets by the type of the reference.
    pub references: BTreeMap<String, Vec<Reference>>,
}

/// Body of a patch request. An absent or null member is `None`: leave as it is.
#[derive(Debug, Default, PartialEq)]
pub struct PatchBody {
    /// The spec that is sent.
    pub spec: Option<Map<String, Value>>,
    /// Labels that are sent; not yet checked.
    pub labels: Option<BTreeMap<String, String>>,
    /// Targets by the type of the reference.
    pub references: Option<BTreeMap<String, Vec<Reference>>>,
}

/// One reference as the caller writes it; its `href` is ignored.
#[derive(Debug, PartialEq)]
pub struct Reference {
    /// Id of the target.
    pub id: String,
    /// Its kind, as the caller says.
    pub kind: String,
}

/// Reads the body of a create request. `declares_schema`: whether the kind has a spec schema, which
/// changes how an unreadable body and a spec of the wrong type are worded. `check_spec` sees the spec as it
/// was sent, before any other member is looked at, as the contract's order of checks wants.
///
/// # Errors
/// The fault of the body, or that of `check_spec`.
pub fn create(
    bytes: &[u8],
    declares_schema: bool,
    check_spec: impl FnOnce(&Map<String, Value>) -> Result<(), Fault>,
) -> Result<CreateBody, Fault> {
    create_from(
        &object(bytes, declares_schema)?,
        declares_schema,
        check_spec,
    )
}

/// Reads the body of a create request of a kind that only the body tells. `declares_schema` says it of
/// a kind, `check_spec` checks a spec of a kind. A body that cannot be read has no kind; it is worded as
/// for one with a schema.
///
/// # Errors
/// As [`create`].
pub fn create_of_any_kind(
    bytes: &[u8],
    declares_schema: impl Fn(&str) -> bool,
    check_spec: impl FnOnce(&str, &Map<String, Value>) -> Result<(), Fault>,
) -> Result<CreateBody, Fault> {
    let document = object(bytes, true)?;
    let kind = Members::of(&document).text("kind")?.unwrap_or_default();
    create_from(&document, declares_schema(&kind), |spec| {
        check_spec(&kind, spec)
    })
}

fn create_from(
    document: &Map<String, Value>,
    declares_schema: bool,
    check_spec: impl FnOnce(&Map<String, Value>) -> Result<(), Fault>,
) -> Result<CreateBody, Fault> {
    require_spec_object(document, declares_schema)?;
    check_sent_spec(document, check_spec)?;
    let members = Members::of(document);
    Ok(CreateBody {
        kind: members.text("kind")?.unwrap_or_default(),
        name: members.text("name")?.unwrap_or_default(),
        spec: members.object("spec")?.cloned(),
        labels: labels(&members)?.unwrap_or_default(),
        references: references(&members)?.unwrap_or_default(),
    })
}

/// Reads the body of a patch request; see [`create`].
///
/// # Errors
/// As [`create`]; also when there is nothing to change, or an unknown member.
pub fn patch(
    bytes: &[u8],
    declares_schema: bool,
    check_spec: impl FnOnce(&Map<String, Value>) -> Result<(), Fault>,
) -> Result<PatchBody, Fault> {
    let document = object(bytes, declares_schema)?;
    require_spec_object(&document, declares_schema)?;
    check_sent_spec(&document, check_spec)?;
    let known = ["spec", "labels", "references"];
    if let Some(unknown) = document.keys().find(|name| !known.contains(&name.as_str())) {
        return Err(unreadable(&format!("json: unknown field \"{unknown}\"")));
    }
    let members = Members::of(&document);
    let body = PatchBody {
        spec: members.object("spec")?.cloned(),
        labels: labels(&members)?,
        references: references(&members)?,
    };
    if body == PatchBody::default() {
        return Err(Fault::new(
            codes::BAD_REQUEST,
            "at least one field must be provided for update",
        ));
    }
    Ok(body)
}

/// Reads the body of a force-delete request: the reason, empty when there is none.
///
/// # Errors
/// The fault of the body.
pub fn force_delete(bytes: &[u8]) -> Result<String, Fault> {
    let document = object(bytes, false)?;
    Ok(Members::of(&document).text("reason")?.unwrap_or_default())
}

/// The JSON object of a body.
fn object(bytes: &[u8], declares_schema: bool) -> Result<Map<String, Value>, Fault> {
    let invalid = || Fault::new(codes::MALFORMED_REQUEST, "Invalid JSON in request body");
    let empty = bytes.iter().all(u8::is_ascii_whitespace);
    if empty && !declares_schema {
        return Err(Fault::new(
            codes::MALFORMED_REQUEST,
            "Request body is required but was empty",
        ));
    }
    match serde_json::from_slice(bytes) {
        Ok(Value::Object(document)) => {
            storable::check(&document)?;
            Ok(document)
        }
        _ if declares_schema => Err(invalid()),
        Ok(_) => Err(unreadable("the body must be a JSON object")),
        Err(error) => Err(unreadable(&error.to_string())),
    }
}

fn require_spec_object(document: &Map<String, Value>, declares_schema: bool) -> Result<(), Fault> {
    match document.get("spec") {
        Some(Value::Object(_)) | None => Ok(()),
        Some(_) if declares_schema => Err(Fault::new(
            codes::VALIDATION,
            "spec field must be an object",
        )),
        Some(_) => Ok(()),
    }
}

fn check_sent_spec(
    document: &Map<String, Value>,
    check: impl FnOnce(&Map<String, Value>) -> Result<(), Fault>,
) -> Result<(), Fault> {
    match document.get("spec") {
        Some(Value::Object(spec)) => check(spec),
        _ => Ok(()),
    }
}

fn labels(members: &Members<'_>) -> Result<Option<BTreeMap<String, String>>, Fault> {
    let Some(labels) = members.object("labels")? else {
        return Ok(None);
    };
    let values = members.inside("labels", labels);
    let read = |key: &String| Ok((key.clone(), values.text(key)?.unwrap_or_default()));
    labels.keys().map(read).collect::<Result<_, _>>().map(Some)
}

fn references(members: &Members<'_>) -> Result<Option<BTreeMap<String, Vec<Reference>>>, Fault> {
    let Some(by_type) = members.object("references")? else {
        return Ok(None);
    };
    let lists = members.inside("references", by_type);
    let mut references = BTreeMap::new();
    for reference_type in by_type.keys() {
        let mut targets = Vec::new();
        for target in lists.objects(reference_type)?.unwrap_or_default() {
            targets.push(Reference {
                id: target.text("id")?.unwrap_or_default(),
                kind: target.text("kind")?.unwrap_or_default(),
            });
        }
        references.insert(reference_type.clone(), targets);
    }
    Ok(Some(references))
}

/// The body is no JSON, or not what can be read at all.
fn unreadable(reason: &str) -> Fault {
    Fault::new(
        codes::MALFORMED_REQUEST,
        format!("Invalid request format: {reason}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn created(bytes: &[u8], declares_schema: bool) -> Result<CreateBody, Fault> {
        create(bytes, declares_schema, |_| Ok(()))
    }

    fn patched(bytes: &[u8], declares_schema: bool) -> Result<PatchBody, Fault> {
        patch(bytes, declares_schema, |_| Ok(()))
    }

    fn detail<T: std::fmt::Debug>(result: Result<T, Fault>) -> (String, String) {
        let fault = result.expect_err("a fault");
        (fault.code.code.replace("HYPERFLEET-", ""), fault.detail)
    }

    fn expect(code: &str, text: &str) -> (String, String) {
        (code.to_owned(), text.to_owned())
    }

    #[test]
    fn an_unreadable_create_body_of_a_kind_with_a_schema_has_one_wording() {
        for body in ["", "[1]", "{\"a\"", "{} x", "\"x\""] {
            assert_eq!(
                detail(created(body.as_bytes(), true)),
                expect("VAL-006", "Invalid JSON in request body"),
                "{body}"
            );
        }
    }

    #[test]
    fn an_unreadable_body_elsewhere_says_what_is_wrong() {
        assert_eq!(
            detail(created(b"", false)),
            expect("VAL-006", "Request body is required but was empty")
        );
        for body in ["[1]", "{\"a\"", "{} x"] {
            let (code, text) = detail(created(body.as_bytes(), false));
            assert_eq!(code, "VAL-006");
            assert!(
                text.starts_with("Invalid request format: "),
                "{body}: {text}"
            );
        }
    }

    #[test]
    fn a_member_of_the_wrong_type_is_named_by_its_path() {
        for (body, text) in [
            (r#"{"name":5}"#, "field 'name' must be a string"),
            (r#"{"kind":[]}"#, "field 'kind' must be a string"),
            (r#"{"labels":[]}"#, "field 'labels' must be an object"),
            (r#"{"labels":{"a":1}}"#, "field 'labels.a' must be a string"),
            (
                r#"{"references":{"a":1}}"#,
                "field 'references.a' must be an array",
            ),
            (
                r#"{"references":{"a":[1]}}"#,
                "field 'references.a[0]' must be an object",
            ),
            (
                r#"{"references":{"a":[{"id":1}]}}"#,
                "field 'references.a[0].id' must be a string",
            ),
        ] {
            assert_eq!(
                detail(created(body.as_bytes(), true)),
                expect("VAL-000", text),
                "{body}"
            );
        }
        assert_eq!(
            detail(created(br#"{"spec":1}"#, false)),
            expect("VAL-000", "field 'spec' must be an object")
        );
    }

    #[test]
    fn a_spec_that_is_no_object_has_its_own_wording_for_a_kind_with_a_schema() {
        for body in [r#"{"spec":null}"#, r#"{"spec":[]}"#, r#"{"spec":"x"}"#] {
            assert_eq!(
                detail(created(body.as_bytes(), true)),
                expect("VAL-000", "spec field must be an object"),
                "{body}"
            );
        }
    }

    #[test]
    fn absent_null_and_unknown_members_of_a_create_body_are_accepted() {
        let body = created(br#"{"name":null,"id":"x","status":{},"foo":1}"#, true).expect("read");
        assert_eq!(body, CreateBody::default());
    }

    #[test]
    fn a_null_label_is_an_empty_one_and_null_references_are_none() {
        let bytes = br#"{"labels":{"a":null},"references":{"b":null}}"#;
        let body = created(bytes, true).expect("read");
        assert_eq!(
            body.labels,
            BTreeMap::from([("a".to_owned(), String::new())])
        );
        assert_eq!(
            body.references,
            BTreeMap::from([("b".to_owned(), Vec::new())])
        );
        let body = patched(bytes, true).expect("read");
        assert_eq!(body.labels.unwrap_or_default()["a"], "");
        assert!(body.references.unwrap_or_default()["b"].is_empty());
    }

    #[test]
    fn a_patch_must_change_something_and_nothing_unknown() {
        let nothing = expect("VAL-005", "at least one field must be provided for update");
        assert_eq!(detail(patched(b"{}", true)), nothing);
        assert_eq!(
            detail(patched(br#"{"spec":null,"labels":null}"#, false)),
            nothing
        );
        assert_eq!(
            detail(patched(br#"{"spec":null,"labels":{"a":"b"}}"#, true)),
            expect("VAL-000", "spec field must be an object")
        );
        assert_eq!(
            detail(patched(br#"{"labels":{},"foo":1}"#, true)),
            expect(
                "VAL-006",
                "Invalid request format: json: unknown field \"foo\""
            )
        );
    }
}
