//! Events as the database and the hash chain take them. Whoever appends makes these texts, side by side
//! with others; the one task that writes has enough to do.

use crate::append::Append;
use crate::chain::{Link, LinkText};

/// One event as text.
pub(crate) struct EventText {
    pub(super) link: LinkText,
    pub(super) payload: String,
    pub(super) metadata: String,
}

impl EventText {
    /// The events of an append, in order.
    pub(crate) fn of(append: &Append) -> Vec<Self> {
        (append.expected + 1..)
            .zip(&append.events)
            .map(|(sequence, event)| {
                let link = Link {
                    stream: &append.stream,
                    sequence,
                    event_type: &event.event_type,
                    event_version: &event.event_version,
                    payload: &event.payload,
                    metadata: &event.metadata,
                };
                Self {
                    link: link.text(),
                    payload: event.payload.to_string(),
                    metadata: event.metadata.to_string(),
                }
            })
            .collect()
    }
}
