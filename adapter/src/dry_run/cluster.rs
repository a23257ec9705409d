//! A management cluster in memory, which notes what was asked of it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use chrono::SecondsFormat;
use futures::StreamExt as _;
use futures::stream::BoxStream;
use hyperfleet_runtime::clock::Clock;
use serde_json::{Map, Value};

use crate::cluster::{Change, ClusterError, ClusterTarget, Deletion, ObjectId, ObjectKind};
use crate::config::PropagationPolicy;
use crate::resources::matches_labels;

/// One thing that was asked of the cluster.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ObjectOperation {
    /// `apply`, `get`, `discover` or `delete`.
    pub(super) operation: &'static str,
    /// Of which object; a selection has no name.
    pub(super) object: ObjectId,
    /// What came of it.
    pub(super) result: &'static str,
    /// The applied manifest, or the object as it was before it was deleted.
    pub(super) value: Option<Value>,
}

/// Objects in memory.
pub(super) struct MemoryCluster {
    to_maestro: bool,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    objects: BTreeMap<ObjectId, Value>,
    /// Objects that are found instead of applied ones of the same kind and name.
    given: Vec<Value>,
    operations: Vec<ObjectOperation>,
}

fn text<'v>(object: &'v Value, pointer: &str) -> &'v str {
    let found = object.pointer(pointer).and_then(Value::as_str);
    found.unwrap_or_default()
}

impl MemoryCluster {
    /// A cluster that holds the given objects; one without a name has its key as name.
    pub(super) fn new(given: &Map<String, Value>, to_maestro: bool, clock: Arc<dyn Clock>) -> Self {
        let named = given.iter().map(|(key, object)| {
            let mut object = object.clone();
            if text(&object, "/metadata/name").is_empty() {
                object["metadata"]["name"] = key.as_str().into();
            }
            object
        });
        let state = State {
            given: named.collect(),
            ..State::default()
        };
        Self {
            to_maestro,
            clock,
            state: Mutex::new(state),
        }
    }

    pub(super) fn operations(&self) -> Vec<ObjectOperation> {
        self.locked().operations.clone()
    }

    fn locked(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn find(&self, object: &ObjectId) -> Option<Value> {
        let given = self.given.iter().find(|given| is(given, object));
        given.or_else(|| self.objects.get(object)).cloned()
    }

    fn note(
        &mut self,
        operation: &'static str,
        object: &ObjectId,
        result: &'static str,
        value: Option<Value>,
    ) {
        self.operations.push(ObjectOperation {
            operation,
            object: object.clone(),
            result,
            value,
        });
    }
}

/// Whether a given object stands for this one; one without a namespace is in any.
fn is(given: &Value, object: &ObjectId) -> bool {
    let namespace = text(given, "/metadata/namespace");
    text(given, "/apiVersion") == object.kind.api_version
        && text(given, "/kind") == object.kind.kind
        && text(given, "/metadata/name") == object.name
        && (namespace.is_empty() || object.namespace.is_empty() || namespace == object.namespace)
}

#[async_trait]
impl ClusterTarget for MemoryCluster {
    async fn get(&self, object: &ObjectId) -> Result<Option<Value>, ClusterError> {
        let mut state = self.locked();
        let found = state.find(object);
        let result = if found.is_some() {
            "found"
        } else {
            "not found"
        };
        state.note("get", object, result, None);
        Ok(found)
    }

    async fn list(
        &self,
        kind: &ObjectKind,
        namespace: &str,
        labels: &BTreeMap<String, String>,
    ) -> Result<Vec<Value>, ClusterError> {
        let mut state = self.locked();
        let any_namespace = namespace.is_empty() || namespace == "*";
        let stored = state.objects.iter();
        let stored =
            stored.filter(|(object, _)| !state.given.iter().any(|given| is(given, object)));
        let found: Vec<Value> = stored
            .map(|(_, value)| value)
            .chain(&state.given)
            .filter(|object| text(object, "/kind") == kind.kind)
            .filter(|object| any_namespace || text(object, "/metadata/namespace") == namespace)
            .filter(|object| matches_labels(object, labels))
            .cloned()
            .collect();
        let object = ObjectId {
            kind: kind.clone(),
            namespace: namespace.to_owned(),
            name: String::new(),
        };
        let result = if found.is_empty() {
            "not found"
        } else {
            "found"
        };
        state.note("discover", &object, result, None);
        Ok(found)
    }

    async fn apply(&self, manifest: &Value, _manager: &str) -> Result<Value, ClusterError> {
        let mut state = self.locked();
        let Some(object) = ObjectId::of(manifest) else {
            return Err(ClusterError {
                operation: "apply",
                target: "a manifest".to_owned(),
                transient: false,
                conflict: false,
                source: "the manifest lacks apiVersion, kind or metadata.name".into(),
            });
        };
        let exists = state.find(&object).is_some();
        state.objects.insert(object.clone(), manifest.clone());
        let result = if exists { "updated" } else { "created" };
        state.note("apply", &object, result, Some(manifest.clone()));
        Ok(manifest.clone())
    }

    async fn delete(
        &self,
        object: &ObjectId,
        _policy: Option<PropagationPolicy>,
    ) -> Result<Deletion, ClusterError> {
        let now = self.clock.now().to_rfc3339_opts(SecondsFormat::Secs, true);
        let mut state = self.locked();
        let Some(before) = state.find(object) else {
            state.note("delete", object, "not found", None);
            return Ok(Deletion::AlreadyGone);
        };
        if self.to_maestro {
            let mut leaving = before.clone();
            leaving["metadata"]["deletionTimestamp"] = now.into();
            state.given.retain(|given| !is(given, object));
            state.objects.insert(object.clone(), leaving);
        } else {
            state.given.retain(|given| !is(given, object));
            state.objects.remove(object);
        }
        state.note("delete", object, "deleted", Some(before));
        Ok(Deletion::Accepted)
    }

    async fn watch(&self, _kind: &ObjectKind) -> Result<BoxStream<'static, Change>, ClusterError> {
        Ok(futures::stream::pending().boxed())
    }
}
