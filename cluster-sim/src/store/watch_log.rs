//! The recent past, for watches that resume.

use std::collections::VecDeque;
use std::sync::Arc;

use serde_json::Value;

use crate::object::Key;
use crate::selector::Selector;

/// One change of one object.
#[derive(Clone, Debug)]
pub(crate) struct LogEntry {
    pub(crate) version: u64,
    pub(crate) key: Key,
    pub(crate) before: Option<Arc<Value>>,
    /// `None` when the object went.
    pub(crate) after: Option<Arc<Value>>,
}

/// What a watcher is told.
#[derive(Clone, Debug)]
pub(crate) struct WatchEvent {
    pub(crate) kind: &'static str,
    pub(crate) object: Arc<Value>,
}

/// A bounded log of changes in the order of their versions.
#[derive(Debug)]
pub(crate) struct WatchLog {
    entries: VecDeque<LogEntry>,
    limit: usize,
    /// Changes up to this version are no longer (or never were) in the log.
    forgotten: u64,
}

/// What a watch is about.
#[derive(Clone, Debug)]
pub(crate) struct Scope {
    pub(crate) group: String,
    pub(crate) plural: String,
    /// Empty for all namespaces.
    pub(crate) namespace: String,
    pub(crate) selector: Selector,
}

impl Scope {
    fn covers(&self, key: &Key) -> bool {
        key.group == self.group
            && key.plural == self.plural
            && (self.namespace.is_empty() || key.namespace == self.namespace)
    }

    /// An object that starts or stops matching the selector appears or disappears for the watcher.
    fn event(&self, entry: &LogEntry) -> Option<WatchEvent> {
        let matches = |object: &&Arc<Value>| self.selector.matches(object);
        let before = entry.before.as_ref().filter(matches);
        let after = entry.after.as_ref().filter(matches);
        let (kind, object) = match (before, after) {
            (None, Some(after)) => ("ADDED", after),
            (Some(_), Some(after)) => ("MODIFIED", after),
            (Some(before), None) => ("DELETED", before),
            (None, None) => return None,
        };
        Some(WatchEvent {
            kind,
            object: object.clone(),
        })
    }
}

impl WatchLog {
    pub(crate) fn new(limit: usize, version: u64) -> Self {
        Self {
            entries: VecDeque::new(),
            limit: limit.max(1),
            forgotten: version,
        }
    }

    pub(crate) fn push(&mut self, entry: LogEntry) {
        self.entries.push_back(entry);
        while self.entries.len() > self.limit {
            if let Some(dropped) = self.entries.pop_front() {
                self.forgotten = dropped.version;
            }
        }
    }

    /// Events after `version`, or the oldest version that can still be asked for.
    pub(crate) fn since(&self, version: u64, scope: &Scope) -> Result<Vec<WatchEvent>, u64> {
        if version < self.forgotten {
            return Err(self.forgotten);
        }
        let start = self
            .entries
            .partition_point(|entry| entry.version <= version);
        Ok(self
            .entries
            .range(start..)
            .filter(|entry| scope.covers(&entry.key))
            .filter_map(|entry| scope.event(entry))
            .collect())
    }
}
