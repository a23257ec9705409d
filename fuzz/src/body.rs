//! Bodies of requests: exactly the documents of the right form are read; writing what was read gives the
//! same; every fault is told, and is the caller's.

mod form;
mod written;

use hyperfleet_api_types::problem::{Fault, Problem, codes};
use hyperfleet_command_api::decode;
use serde_json::{Map, Value};

/// The input is read as the body of every request that has one.
pub fn check(input: &[u8]) {
    // What serde_json reads is taken as it is; what makes a body of it is checked.
    let document = match serde_json::from_slice(input) {
        Ok(Value::Object(document)) if form::is_storable(&document) => Some(document),
        _ => None,
    };
    create(input, document.as_ref());
    patch(input, document.as_ref());
    report(input, document.as_ref());
    force_delete(input, document.as_ref());
}

fn create(input: &[u8], document: Option<&Map<String, Value>>) {
    for declares_schema in [false, true] {
        let body = decode::create(input, declares_schema, |_| Ok(()));
        let of_any_kind = decode::create_of_any_kind(input, |_| declares_schema, |_, _| Ok(()));
        let is_right = document.is_some_and(|document| {
            form::is_create(document) && spec_is_right(document, declares_schema)
        });
        assert_eq!(body.is_ok(), is_right, "{body:?}");
        assert_eq!(of_any_kind.as_ref().ok(), body.as_ref().ok());
        if let Some(document) = document {
            spec_is_checked_first(document, declares_schema, |refuse| {
                decode::create(input, declares_schema, refuse).err()
            });
        }
        match body {
            Ok(body) => {
                let bytes = written::create(&body);
                assert_eq!(
                    decode::create(&bytes, declares_schema, |_| Ok(())),
                    Ok(body)
                );
            }
            Err(fault) => is_told(fault),
        }
        of_any_kind.err().into_iter().for_each(is_told);
    }
}

fn patch(input: &[u8], document: Option<&Map<String, Value>>) {
    for declares_schema in [false, true] {
        let body = decode::patch(input, declares_schema, |_| Ok(()));
        let is_right = document.is_some_and(|document| {
            form::is_patch(document) && spec_is_right(document, declares_schema)
        });
        assert_eq!(body.is_ok(), is_right, "{body:?}");
        if let Some(document) = document {
            spec_is_checked_first(document, declares_schema, |refuse| {
                decode::patch(input, declares_schema, refuse).err()
            });
        }
        match body {
            Ok(body) => {
                let bytes = written::patch(&body);
                assert_eq!(decode::patch(&bytes, declares_schema, |_| Ok(())), Ok(body));
            }
            Err(fault) => is_told(fault),
        }
    }
}

fn report(input: &[u8], document: Option<&Map<String, Value>>) {
    let body = decode::report(input);
    let is_right = document.is_some_and(form::is_report);
    assert_eq!(body.is_ok(), is_right, "{body:?}");
    match body {
        Ok(body) => assert_eq!(decode::report(&written::report(&body)), Ok(body)),
        Err(fault) => is_told(fault),
    }
}

fn force_delete(input: &[u8], document: Option<&Map<String, Value>>) {
    let reason = decode::force_delete(input);
    let is_right = document.is_some_and(form::is_force_delete);
    assert_eq!(reason.is_ok(), is_right, "{reason:?}");
    match reason {
        Ok(reason) => {
            let bytes = serde_json::json!({ "reason": reason }).to_string();
            assert_eq!(decode::force_delete(bytes.as_bytes()), Ok(reason));
        }
        Err(fault) => is_told(fault),
    }
}

/// A kind with a schema wants an object where a spec is sent at all.
fn spec_is_right(document: &Map<String, Value>, declares_schema: bool) -> bool {
    !declares_schema || document.get("spec").is_none_or(Value::is_object)
}

type Refuse<'a> = &'a dyn Fn(&Map<String, Value>) -> Result<(), Fault>;

/// A spec that is refused is the only fault told, and is shown as it was sent.
fn spec_is_checked_first(
    document: &Map<String, Value>,
    declares_schema: bool,
    decode: impl Fn(Refuse<'_>) -> Option<Fault>,
) {
    let Some(Value::Object(sent)) = document.get("spec") else {
        return;
    };
    let refused = || Fault::new(codes::VALIDATION, "refused");
    let told = decode(&|spec| {
        assert_eq!(spec, sent);
        Err(refused())
    });
    assert_eq!(told, Some(refused()), "with a schema: {declares_schema}");
}

/// It says something, is answered with 4xx, and makes a problem document that can be read.
fn is_told(fault: Fault) {
    assert!(!fault.detail.trim().is_empty(), "a fault says nothing");
    assert!(!fault.detail.contains('\0'), "{:?}", fault.detail);
    assert!(codes::ALL.contains(&fault.code), "{:?}", fault.code);
    assert_eq!(fault.status, 400, "{}", fault.detail);
    let time = chrono::DateTime::UNIX_EPOCH;
    let problem = fault.into_problem("/clusters", "id", time);
    let bytes = serde_json::to_vec(&problem).expect("a problem can be written");
    let read: Problem = serde_json::from_slice(&bytes).expect("a problem can be read");
    assert_eq!(read, problem);
}
