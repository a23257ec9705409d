//! Objects that executions looked at are followed: a change starts the next execution.
//!
//! One watch per kind, over all namespaces, started when the first object of the kind is seen.
//! What is remembered per object is the version that the last execution saw; a different version
//! in the watch means news. Objects that nobody looked at cost one map lookup per change.
//!
//! Nothing here is needed for correctness: a missed change is found at the next pulse. Hence all
//! memory is bounded and simply forgets.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::StreamExt;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::cluster::{Change, ClusterTarget, ObjectId, ObjectKind};
use crate::event::{Event, ResourceKey};
use crate::outcome::Observed;

/// The most (object, resource) pairs followed. At some hundred bytes each this is tens of
/// megabytes; beyond it the oldest are forgotten and found at their next pulse.
const FOLLOWED_LIMIT: usize = 100_000;

/// The most changes of unknown objects remembered, for the moment between an execution's last look
/// and the start of following.
const RECENT_LIMIT: usize = 4_096;

/// Follows the objects of one adapter.
pub(super) struct Watches {
    cluster: Arc<dyn ClusterTarget>,
    memory: Arc<Mutex<Memory>>,
    tasks: TaskTracker,
    shutdown: CancellationToken,
}

#[derive(Default)]
struct Memory {
    kinds: HashSet<ObjectKind>,
    objects: HashMap<ObjectId, HashMap<ResourceKey, Followed>>,
    /// Age order of what is followed, for forgetting.
    order: BTreeMap<u64, (ObjectId, ResourceKey)>,
    next: u64,
    recent: HashMap<ObjectId, (u64, String)>,
    recent_order: BTreeMap<u64, ObjectId>,
    /// Objects met in a list that is under way.
    listing: HashMap<ObjectKind, HashSet<ObjectId>>,
}

struct Followed {
    event: Event,
    version: String,
    age: u64,
}

impl Watches {
    pub(super) fn new(cluster: Arc<dyn ClusterTarget>, shutdown: CancellationToken) -> Self {
        Self {
            cluster,
            memory: Arc::default(),
            tasks: TaskTracker::new(),
            shutdown,
        }
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Follows what an execution of `event` observed; `trigger` gets that event again when any of
    /// it changes.
    pub(super) fn follow(
        &self,
        event: &Event,
        observed: &[Observed],
        trigger: impl Fn(Event) + Clone + Send + Sync + 'static,
    ) {
        let mut changed_meanwhile = false;
        let mut new_kinds = Vec::new();
        {
            let mut memory = self.memory();
            for observed in observed {
                if memory.kinds.insert(observed.object.kind.clone()) {
                    new_kinds.push(observed.object.kind.clone());
                }
                changed_meanwhile |= memory.follow(event, observed);
            }
        }
        for kind in new_kinds {
            self.watch(kind, trigger.clone());
        }
        if changed_meanwhile {
            trigger(event.clone());
        }
    }

    fn watch(&self, kind: ObjectKind, trigger: impl Fn(Event) + Send + Sync + 'static) {
        let cluster = Arc::clone(&self.cluster);
        let memory = Arc::clone(&self.memory);
        let shutdown = self.shutdown.clone();
        self.tasks.spawn(async move {
            let follow = async {
                let mut changes = match cluster.watch(&kind).await {
                    Ok(changes) => changes,
                    Err(error) => {
                        tracing::warn!(kind = %kind.kind, "objects are not watched: {error}");
                        lock(&memory).kinds.remove(&kind);
                        return;
                    }
                };
                while let Some(change) = changes.next().await {
                    let events = lock(&memory).note(&kind, change);
                    events.into_iter().for_each(&trigger);
                }
                lock(&memory).kinds.remove(&kind);
            };
            shutdown.run_until_cancelled(follow).await;
        });
    }

    pub(super) async fn drain(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }
}

fn lock(memory: &Mutex<Memory>) -> MutexGuard<'_, Memory> {
    memory.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Memory {
    fn age(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// Remembers the version seen; true when the watch already saw another one.
    fn follow(&mut self, event: &Event, observed: &Observed) -> bool {
        let key = event.resource_key();
        self.forget(&observed.object, &key);
        if observed.resource_version.is_empty() {
            return false;
        }
        let age = self.age();
        self.order
            .insert(age, (observed.object.clone(), key.clone()));
        self.objects
            .entry(observed.object.clone())
            .or_default()
            .insert(
                key,
                Followed {
                    event: event.clone(),
                    version: observed.resource_version.clone(),
                    age,
                },
            );
        while self.order.len() > FOLLOWED_LIMIT {
            let Some((_, (object, key))) = self.order.pop_first() else {
                break;
            };
            self.forget(&object, &key);
        }
        match self.recent.remove(&observed.object) {
            Some((age, version)) => {
                self.recent_order.remove(&age);
                version != observed.resource_version
            }
            None => false,
        }
    }

    fn forget(&mut self, object: &ObjectId, key: &ResourceKey) {
        let Some(followers) = self.objects.get_mut(object) else {
            return;
        };
        if let Some(followed) = followers.remove(key) {
            self.order.remove(&followed.age);
        }
        if followers.is_empty() {
            self.objects.remove(object);
        }
    }

    /// The events to execute because of a change.
    fn note(&mut self, kind: &ObjectKind, change: Change) -> Vec<Event> {
        match change {
            Change::Present {
                object,
                resource_version,
            } => {
                if let Some(met) = self.listing.get_mut(kind) {
                    met.insert(object.clone());
                }
                self.present(object, resource_version)
            }
            Change::Removed { object } => self.removed(&object),
            Change::ListBegan => {
                self.listing.insert(kind.clone(), HashSet::new());
                Vec::new()
            }
            Change::ListEnded => {
                let met = self.listing.remove(kind).unwrap_or_default();
                let missing: Vec<ObjectId> = self
                    .objects
                    .keys()
                    .filter(|object| object.kind == *kind && !met.contains(*object))
                    .cloned()
                    .collect();
                missing
                    .iter()
                    .flat_map(|object| self.removed(object))
                    .collect()
            }
        }
    }

    fn present(&mut self, object: ObjectId, version: String) -> Vec<Event> {
        if let Some(followers) = self.objects.get_mut(&object) {
            return followers
                .values_mut()
                .filter(|followed| followed.version != version)
                .map(|followed| {
                    followed.version.clone_from(&version);
                    followed.event.clone()
                })
                .collect();
        }
        let age = self.age();
        if let Some((old, _)) = self.recent.insert(object.clone(), (age, version)) {
            self.recent_order.remove(&old);
        }
        self.recent_order.insert(age, object);
        while self.recent_order.len() > RECENT_LIMIT {
            if let Some((_, oldest)) = self.recent_order.pop_first() {
                self.recent.remove(&oldest);
            }
        }
        Vec::new()
    }

    fn removed(&mut self, object: &ObjectId) -> Vec<Event> {
        let followers = self.objects.remove(object).unwrap_or_default();
        followers
            .into_values()
            .map(|followed| {
                self.order.remove(&followed.age);
                followed.event
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn kind() -> ObjectKind {
        ObjectKind {
            api_version: "batch/v1".to_owned(),
            kind: "Job".to_owned(),
        }
    }

    fn object(name: &str) -> ObjectId {
        ObjectId {
            kind: kind(),
            namespace: "n".to_owned(),
            name: name.to_owned(),
        }
    }

    fn event(id: &str) -> Event {
        Event::from_data(json!({"kind": "Cluster", "id": id})).unwrap()
    }

    fn seen(name: &str, version: &str) -> Observed {
        Observed {
            object: object(name),
            resource_version: version.to_owned(),
        }
    }

    fn present(name: &str, version: &str) -> Change {
        Change::Present {
            object: object(name),
            resource_version: version.to_owned(),
        }
    }

    #[test]
    fn only_another_version_is_news_and_only_once() {
        let mut memory = Memory::default();
        assert!(!memory.follow(&event("c1"), &seen("job", "1")));
        assert!(memory.note(&kind(), present("job", "1")).is_empty());
        assert_eq!(memory.note(&kind(), present("job", "2")), [event("c1")]);
        assert!(memory.note(&kind(), present("job", "2")).is_empty());
        assert!(memory.note(&kind(), present("other", "2")).is_empty());
    }

    #[test]
    fn a_change_between_looking_and_following_is_not_lost() {
        let mut memory = Memory::default();
        memory.note(&kind(), present("job", "2"));
        assert!(memory.follow(&event("c1"), &seen("job", "1")));
        assert!(!memory.follow(&event("c1"), &seen("job", "2")));
    }

    #[test]
    fn several_resources_may_follow_one_object() {
        let mut memory = Memory::default();
        memory.follow(&event("c1"), &seen("job", "1"));
        memory.follow(&event("c2"), &seen("job", "1"));
        assert_eq!(memory.note(&kind(), present("job", "2")).len(), 2);
        let removed = Change::Removed {
            object: object("job"),
        };
        assert_eq!(memory.note(&kind(), removed).len(), 2);
        assert!(memory.order.is_empty());
    }

    #[test]
    fn what_a_list_lacks_was_removed() {
        let mut memory = Memory::default();
        memory.follow(&event("c1"), &seen("kept", "1"));
        memory.follow(&event("c2"), &seen("gone", "1"));
        memory.note(&kind(), Change::ListBegan);
        memory.note(&kind(), present("kept", "1"));
        assert_eq!(memory.note(&kind(), Change::ListEnded), [event("c2")]);
    }

    #[test]
    fn an_absent_object_is_not_followed() {
        let mut memory = Memory::default();
        memory.follow(&event("c1"), &seen("job", "1"));
        memory.follow(&event("c1"), &seen("job", ""));
        assert!(memory.objects.is_empty() && memory.order.is_empty());
    }

    #[test]
    fn memory_of_unknown_objects_is_bounded() {
        let mut memory = Memory::default();
        for number in 0..(RECENT_LIMIT + 10) {
            memory.note(&kind(), present(&format!("job-{number}"), "1"));
        }
        assert_eq!(memory.recent.len(), RECENT_LIMIT);
    }
}
