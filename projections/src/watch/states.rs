//! The latest states of the resources that changed lately.
//!
//! A cache: what is not in it is folded from the log. Bounded by the sizes of the documents, in two
//! halves: when the younger is full, the older is dropped and the younger takes its place.

use std::collections::HashMap;
use std::sync::Arc;

use hyperfleet_domain::resource::Resource;

/// A state and the version of the stream that it is of.
#[derive(Clone, Debug)]
pub(super) struct Known {
    pub(super) version: u64,
    pub(super) resource: Arc<Resource>,
    /// Bytes of its document.
    pub(super) weight: usize,
}

/// The cache.
#[derive(Debug)]
pub(super) struct States {
    young: HashMap<String, Known>,
    old: HashMap<String, Known>,
    young_bytes: usize,
    half: usize,
}

impl States {
    /// A cache of states whose documents have at most so many bytes together.
    pub(super) fn new(bytes: usize) -> Self {
        Self {
            young: HashMap::new(),
            old: HashMap::new(),
            young_bytes: 0,
            half: bytes / 2,
        }
    }

    /// The state of a resource at that very version.
    pub(super) fn at(&self, id: &str, version: u64) -> Option<Arc<Resource>> {
        let known = self.young.get(id).or_else(|| self.old.get(id))?;
        (known.version == version).then(|| Arc::clone(&known.resource))
    }

    /// Keeps a state instead of an older one of the same resource.
    pub(super) fn keep(&mut self, id: String, known: Known) {
        self.young_bytes += known.weight;
        if let Some(replaced) = self.young.insert(id, known) {
            self.young_bytes -= replaced.weight;
        }
        if self.young_bytes > self.half {
            self.old = std::mem::take(&mut self.young);
            self.young_bytes = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(version: u64) -> Known {
        Known {
            version,
            resource: Arc::default(),
            weight: 10,
        }
    }

    #[test]
    fn only_the_very_version_is_known_and_the_old_are_dropped() {
        let mut states = States::new(60);
        states.keep("a".to_owned(), known(1));
        states.keep("a".to_owned(), known(2));
        assert!(states.at("a", 1).is_none() && states.at("a", 2).is_some());
        for id in ["b", "c", "d"] {
            states.keep(id.to_owned(), known(1));
        }
        assert!(states.at("a", 2).is_some(), "in the older half");
        for id in ["e", "f", "g", "h"] {
            states.keep(id.to_owned(), known(1));
        }
        assert!(states.at("a", 2).is_none());
        assert!(states.at("h", 1).is_some());
    }
}
