//! One change of one resource, and what it is to a watcher.

use std::sync::{Arc, OnceLock};

use axum::body::Bytes;
use hyperfleet_domain::resource::Resource;

use super::frame;

/// What a change is to a watcher.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ChangeType {
    /// The resource was not among those watched, and is now.
    Added,
    /// It was and is.
    Modified,
    /// It was, and no longer is: removed, or outside the filter.
    Deleted,
}

impl ChangeType {
    /// The name of the event.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Added => "ADDED",
            Self::Modified => "MODIFIED",
            Self::Deleted => "DELETED",
        }
    }
}

/// What one append did to one resource.
#[derive(Debug)]
pub(super) struct Change {
    /// Position of the append's last event of this resource.
    pub(super) position: u64,
    pub(super) before: Arc<Resource>,
    pub(super) after: Arc<Resource>,
    /// `after` as users see it, as JSON.
    document: Bytes,
    /// The whole event for each type, made when the first watcher needs it.
    events: [OnceLock<Bytes>; 3],
}

impl Change {
    pub(super) fn new(position: u64, before: Arc<Resource>, after: Arc<Resource>) -> Self {
        // A resource is an object with string keys and finite numbers; writing it cannot fail.
        let document = serde_json::to_vec(&after.document()).unwrap_or_default();
        Self {
            position,
            before,
            after,
            document: document.into(),
            events: Default::default(),
        }
    }

    /// The event that tells this change, with its position.
    pub(super) fn event(&self, change_type: ChangeType) -> &Bytes {
        let [added, modified, deleted] = &self.events;
        let event = match change_type {
            ChangeType::Added => added,
            ChangeType::Modified => modified,
            ChangeType::Deleted => deleted,
        };
        event.get_or_init(|| frame::event(Some(self.position), change_type.name(), &self.document))
    }

    /// The resource as users see it, as JSON.
    pub(super) fn document(&self) -> &Bytes {
        &self.document
    }

    /// What this change takes of the ring: the document, the event made of it, and about as much as both
    /// for the state; the state before is that of the change before.
    pub(super) fn weight(&self) -> usize {
        4 * self.document.len()
    }
}
