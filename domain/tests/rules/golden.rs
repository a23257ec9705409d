//! Stored payloads are frozen: each golden file is read and written without loss.

use std::fs;
use std::path::PathBuf;

use hyperfleet_domain::Event;
use hyperfleet_domain::upcast::{UpcastError, read};
use serde_json::{Value, json};

fn golden(event_type: &str, version: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("golden/{event_type}.v{version}.json"))
}

#[test]
fn every_current_payload_is_what_its_golden_file_says() {
    for (event_type, version) in Event::CURRENT {
        let path = golden(event_type, version);
        let text = fs::read_to_string(&path)
            .unwrap_or_else(|error| panic!("{}: {error}: add the golden file", path.display()));
        let payload: Value = serde_json::from_str(&text).unwrap();
        let event = read(event_type, version, payload.clone()).unwrap();
        assert_eq!((event.event_type(), event.version()), (event_type, version));
        assert_eq!(event.to_payload(), payload, "{event_type}");
    }
}

#[test]
fn no_golden_file_is_left_unread() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("golden");
    assert_eq!(fs::read_dir(folder).unwrap().count(), Event::CURRENT.len());
}

#[test]
fn what_cannot_be_read_is_told_apart() {
    let removed = "hyperfleet.resource.removed";
    let payload = json!({"type": removed, "removed_time": "2026-01-01T00:00:00Z"});
    let error = read("hyperfleet.resource.eaten", "1", payload.clone()).unwrap_err();
    assert!(matches!(error, UpcastError::UnknownType { .. }));
    let error = read(removed, "2", payload.clone()).unwrap_err();
    assert!(matches!(error, UpcastError::UnknownVersion { .. }));
    let error = read("hyperfleet.resource.created", "1", payload).unwrap_err();
    assert!(matches!(error, UpcastError::TypeMismatch { .. }));
    let error = read(removed, "1", json!({"type": removed})).unwrap_err();
    assert!(matches!(error, UpcastError::Malformed { .. }));
}
