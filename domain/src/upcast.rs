//! Reading stored events of every version ever written.
//!
//! There is one version of each type so far. A new version of a payload gets its golden file, and
//! a step here that turns the old payload into the new one.

use serde_json::Value;

use crate::resource::Event;

/// Why a stored event cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum UpcastError {
    /// The type is not one of ours.
    #[error("unknown event type '{event_type}': was it written by a newer version of HyperFleet?")]
    UnknownType {
        /// The stored type.
        event_type: String,
    },
    /// The version of the payload is not known.
    #[error(
        "unknown version '{version}' of event type '{event_type}': was it written by a newer version of HyperFleet?"
    )]
    UnknownVersion {
        /// The stored type.
        event_type: String,
        /// The stored version.
        version: String,
    },
    /// The payload belongs to another type than the one it is stored under.
    #[error("the payload stored as '{event_type}' is one of '{found}'")]
    TypeMismatch {
        /// The stored type.
        event_type: String,
        /// The type that the payload names.
        found: &'static str,
    },
    /// The payload is not what its type and version say.
    #[error("malformed payload of event type '{event_type}' version '{version}'")]
    Malformed {
        /// The stored type.
        event_type: String,
        /// The stored version.
        version: String,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
}

/// Reads a stored event.
///
/// # Errors
/// When type or version are unknown, or the payload does not fit them.
pub fn read(event_type: &str, version: &str, payload: Value) -> Result<Event, UpcastError> {
    let mut known = Event::CURRENT
        .iter()
        .filter(|(known, _)| *known == event_type)
        .peekable();
    if known.peek().is_none() {
        return Err(UpcastError::UnknownType {
            event_type: event_type.to_owned(),
        });
    }
    if !known.any(|(_, current)| *current == version) {
        let (event_type, version) = (event_type.to_owned(), version.to_owned());
        return Err(UpcastError::UnknownVersion {
            event_type,
            version,
        });
    }
    let event: Event = serde_json::from_value(payload).map_err(|source| {
        let (event_type, version) = (event_type.to_owned(), version.to_owned());
        UpcastError::Malformed {
            event_type,
            version,
            source,
        }
    })?;
    if event.event_type() != event_type {
        let found = event.event_type();
        return Err(UpcastError::TypeMismatch {
            event_type: event_type.to_owned(),
            found,
        });
    }
    Ok(event)
}
