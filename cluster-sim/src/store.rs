//! The cluster's state: one writer behind one lock.
//!
//! Invariants:
//! - every change goes through `put` or `take`, which move the resource version by one, feed the watch log, the owner and
//!   namespace bookkeeping, the timers and the journal;
//! - a request's changes are one journal line, so a crash leaves all of them or none;
//! - nothing is answered, and no watcher wakes, before the journal line is written.

mod admission;
mod delete;
pub(crate) mod journal;
pub(crate) mod watch_log;
mod write;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, Utc};
use serde_json::Value;
use tokio::sync::watch;

pub(crate) use delete::{DeleteOptions, Deleted};
pub(crate) use write::{PatchKind, Target, WriteOptions, present_in};

use crate::config::SimConfig;
use crate::controller;
use crate::kind::{Kind, Kinds, definition};
use crate::object::{self, Key, Stored};
use crate::status::ApiError;
use journal::{Change, Journal};
use watch_log::{LogEntry, WatchLog};

/// Everything the simulated cluster knows.
#[derive(Debug)]
pub(crate) struct Store {
    pub(crate) kinds: Kinds,
    pub(crate) config: Arc<SimConfig>,
    pub(crate) log: WatchLog,
    objects: BTreeMap<Key, Stored>,
    version: u64,
    uids: HashMap<String, Key>,
    dependents: HashMap<String, BTreeSet<Key>>,
    timers: BTreeSet<(DateTime<Utc>, Key)>,
    timer_of: HashMap<Key, DateTime<Utc>>,
    journal: Option<Journal>,
    pending: Vec<Change>,
}

/// The store behind its lock, with the signal that something changed.
#[derive(Clone, Debug)]
pub(crate) struct Shared {
    store: Arc<Mutex<Store>>,
    changed: watch::Sender<u64>,
}

impl Shared {
    pub(crate) fn new(store: Store) -> Self {
        let changed = watch::Sender::new(store.version);
        Self {
            store: Arc::new(Mutex::new(store)),
            changed,
        }
    }

    /// Read access.
    pub(crate) fn read(&self) -> MutexGuard<'_, Store> {
        // A panic while the lock was held cannot leave half a request behind that matters more than going on.
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs one request; its changes are journalled together before anybody hears of them.
    pub(crate) fn transact<T>(
        &self,
        run: impl FnOnce(&mut Store) -> Result<T, ApiError>,
    ) -> Result<T, ApiError> {
        let mut store = self.read();
        let result = run(&mut store);
        store.commit()?;
        let version = store.version;
        drop(store);
        self.changed
            .send_if_modified(|seen| std::mem::replace(seen, version) != version);
        result
    }

    /// Runs the controller steps that are due, and says when the next one is.
    pub(crate) fn step(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let next = self.transact(|store| {
            store.run_due(now);
            Ok(store.next_due())
        });
        next.unwrap_or_else(|_| self.read().next_due())
    }

    pub(crate) fn subscribe(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }
}

impl Store {
    /// A store with the given past and the built-in kinds.
    pub(crate) fn open(
        config: Arc<SimConfig>,
        past: journal::Past,
        journal: Option<Journal>,
    ) -> Self {
        let mut store = Self {
            kinds: Kinds::builtin(),
            log: WatchLog::new(config.watch_history, past.version),
            config,
            objects: BTreeMap::new(),
            version: past.version,
            uids: HashMap::new(),
            dependents: HashMap::new(),
            timers: BTreeSet::new(),
            timer_of: HashMap::new(),
            journal,
            pending: Vec::new(),
        };
        for (key, stored) in past.objects {
            store.register(&key, &stored.object);
            store.index(&key, &stored.object);
            store.objects.insert(key, stored);
        }
        let keys: Vec<Key> = store.objects.keys().cloned().collect();
        for key in keys {
            store.plan(&key);
        }
        store
    }

    pub(crate) fn now(&self) -> DateTime<Utc> {
        self.config.time.now()
    }

    pub(crate) fn version(&self) -> u64 {
        self.version
    }

    pub(crate) fn get(&self, key: &Key) -> Option<&Stored> {
        self.objects.get(key)
    }

    pub(crate) fn by_uid(&self, uid: &str) -> Option<&Key> {
        self.uids.get(uid)
    }

    /// Objects of a kind, in one namespace or all (`""`), in key order.
    pub(crate) fn list(
        &self,
        group: &str,
        plural: &str,
        namespace: &str,
    ) -> impl Iterator<Item = (&Key, &Stored)> {
        let start = Key {
            group: group.to_owned(),
            plural: plural.to_owned(),
            namespace: namespace.to_owned(),
            name: String::new(),
        };
        let all = namespace.is_empty();
        let scope = start.clone();
        self.objects.range(start..).take_while(move |(key, _)| {
            key.group == scope.group
                && key.plural == scope.plural
                && (all || key.namespace == scope.namespace)
        })
    }

    /// Keys of everything inside a namespace.
    pub(crate) fn contents(&self, namespace: &str) -> Vec<Key> {
        let kinds: Vec<Arc<Kind>> = self
            .kinds
            .iter()
            .filter(|kind| kind.namespaced)
            .cloned()
            .collect();
        kinds
            .iter()
            .flat_map(|kind| self.list(&kind.group, &kind.plural, namespace))
            .map(|(key, _)| key.clone())
            .collect()
    }

    pub(crate) fn dependents_of(&self, uid: &str) -> Vec<Key> {
        self.dependents
            .get(uid)
            .map(|keys| keys.iter().cloned().collect())
            .unwrap_or_default()
    }

    /// Stores a new state of an object. `restart` begins a new phase for its controller.
    pub(crate) fn put(&mut self, key: &Key, mut object: Value, restart: bool) -> Arc<Value> {
        self.version += 1;
        let version = self.version.to_string();
        object::metadata(&mut object).insert("resourceVersion".into(), version.into());
        let object = Arc::new(object);
        let before = self.objects.get(key).cloned();
        let anchor = match &before {
            Some(before) if !restart => before.anchor,
            _ => self.now(),
        };
        if let Some(before) = &before {
            self.unindex(key, &before.object);
        }
        self.index(key, &object);
        self.register(key, &object);
        self.objects.insert(
            key.clone(),
            Stored {
                object: object.clone(),
                anchor,
            },
        );
        self.pending
            .push(Change::put(key.clone(), object.clone(), anchor));
        self.log.push(LogEntry {
            version: self.version,
            key: key.clone(),
            before: before.map(|before| before.object),
            after: Some(object.clone()),
        });
        self.plan(key);
        object
    }

    /// Forgets an object; follow-ups are the caller's (see `delete`).
    fn take(&mut self, key: &Key) -> Option<Arc<Value>> {
        let stored = self.objects.remove(key)?;
        self.version += 1;
        self.unindex(key, &stored.object);
        self.unplan(key);
        let mut last = (*stored.object).clone();
        object::metadata(&mut last)
            .insert("resourceVersion".into(), self.version.to_string().into());
        self.log.push(LogEntry {
            version: self.version,
            key: key.clone(),
            before: Some(Arc::new(last)),
            after: None,
        });
        self.pending.push(Change::gone(key.clone()));
        Some(stored.object)
    }

    /// Writes the changes since the last commit to the journal.
    pub(crate) fn commit(&mut self) -> Result<(), ApiError> {
        let changes = std::mem::take(&mut self.pending);
        let Some(journal) = &mut self.journal else {
            return Ok(());
        };
        if changes.is_empty() && !journal.is_broken() {
            return Ok(());
        }
        journal.append(self.version, changes).map_err(|error| {
            tracing::error!(%error, "the journal of the simulated cluster cannot be written");
            ApiError::internal(format!("the journal cannot be written: {error}"))
        })
    }

    /// When the next controller step is due.
    pub(crate) fn next_due(&self) -> Option<DateTime<Utc>> {
        self.timers.first().map(|(due, _)| *due)
    }

    /// Runs every controller step that is due.
    pub(crate) fn run_due(&mut self, now: DateTime<Utc>) {
        // One pass over what is due now; what the steps make due is for the next pass, so that requests get their turn.
        let due: Vec<Key> = self
            .timers
            .iter()
            .take_while(|(due, _)| *due <= now)
            .map(|(_, key)| key.clone())
            .collect();
        for key in due {
            self.unplan(&key);
            if let Some(again) = controller::act(self, &key, now) {
                self.schedule(&key, again);
            }
        }
    }

    fn plan(&mut self, key: &Key) {
        self.unplan(key);
        let Some(stored) = self.objects.get(key) else {
            return;
        };
        if let Some(due) = controller::due(key, stored, &self.config) {
            self.schedule(key, due);
        }
    }

    fn schedule(&mut self, key: &Key, due: DateTime<Utc>) {
        self.unplan(key);
        self.timers.insert((due, key.clone()));
        self.timer_of.insert(key.clone(), due);
    }

    fn unplan(&mut self, key: &Key) {
        if let Some(due) = self.timer_of.remove(key) {
            self.timers.remove(&(due, key.clone()));
        }
    }

    fn index(&mut self, key: &Key, object: &Value) {
        self.uids
            .insert(object::uid(object).to_owned(), key.clone());
        for owner in object::owner_uids(object) {
            self.dependents
                .entry(owner.to_owned())
                .or_default()
                .insert(key.clone());
        }
    }

    fn unindex(&mut self, key: &Key, object: &Value) {
        self.uids.remove(object::uid(object));
        for owner in object::owner_uids(object) {
            if let Some(keys) = self.dependents.get_mut(owner) {
                keys.remove(key);
                if keys.is_empty() {
                    self.dependents.remove(owner);
                }
            }
        }
    }

    /// Serves the kind that a definition describes, when the object is one.
    fn register(&mut self, key: &Key, object: &Value) {
        if key.plural == "customresourcedefinitions"
            && key.group == "apiextensions.k8s.io"
            && let Ok(kind) = definition::to_kind(object)
        {
            self.kinds.insert(kind);
        }
    }
}
