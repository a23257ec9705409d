//! A simulated cluster with a script in front: it notes calls and refuses those it is told to.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use futures::stream::BoxStream;
use hyperfleet_adapter::cluster::kube::KubeTarget;
use hyperfleet_adapter::cluster::{
    Change, ClusterError, ClusterTarget, Deletion, ObjectId, ObjectKind,
};
use hyperfleet_adapter::config::PropagationPolicy;
use hyperfleet_adapter::outcome::Outcome;
use serde_json::Value;

use crate::objects::Simulated;
use crate::support::{FakeApi, event, load, pipeline};

/// How a call is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// For good.
    Forbidden,
    /// Because somebody else changed the object.
    Conflict,
}

/// A call as noted: the operation and the object's name, with the policy of a deletion.
pub type Call = (&'static str, String);

/// The cluster with its script.
pub struct Scripted {
    inner: Arc<KubeTarget>,
    refusals: Vec<(&'static str, &'static str, Refusal)>,
    calls: Mutex<Vec<Call>>,
}

impl Scripted {
    /// Refuses `(operation, name)`; an empty name means every object.
    pub fn new(
        simulated: &Simulated,
        refusals: &[(&'static str, &'static str, Refusal)],
    ) -> Arc<Self> {
        Arc::new(Self {
            inner: Arc::clone(&simulated.target),
            refusals: refusals.to_vec(),
            calls: Mutex::default(),
        })
    }

    pub fn calls(&self) -> Vec<Call> {
        self.calls.lock().unwrap().clone()
    }

    /// How many calls of an operation were made.
    pub fn count(&self, operation: &str) -> usize {
        let calls = self.calls();
        calls.iter().filter(|call| call.0 == operation).count()
    }

    fn check(
        &self,
        operation: &'static str,
        name: &str,
        noted: String,
    ) -> Result<(), ClusterError> {
        self.calls.lock().unwrap().push((operation, noted));
        let matches = |refusal: &&(&str, &str, Refusal)| {
            refusal.0 == operation && (refusal.1.is_empty() || refusal.1 == name)
        };
        let Some((_, _, refusal)) = self.refusals.iter().find(matches) else {
            return Ok(());
        };
        Err(ClusterError {
            operation,
            target: format!("ConfigMap/{name} (namespace: default)"),
            transient: *refusal == Refusal::Conflict,
            conflict: *refusal == Refusal::Conflict,
            source: format!("{refusal:?} by the script").into(),
        })
    }
}

#[async_trait]
impl ClusterTarget for Scripted {
    async fn get(&self, object: &ObjectId) -> Result<Option<Value>, ClusterError> {
        self.check("get", &object.name, object.name.clone())?;
        self.inner.get(object).await
    }

    async fn list(
        &self,
        kind: &ObjectKind,
        namespace: &str,
        labels: &BTreeMap<String, String>,
    ) -> Result<Vec<Value>, ClusterError> {
        self.check("list", &kind.kind, kind.kind.clone())?;
        self.inner.list(kind, namespace, labels).await
    }

    async fn apply(&self, manifest: &Value, manager: &str) -> Result<Value, ClusterError> {
        let name = manifest["metadata"]["name"].as_str().unwrap_or_default();
        self.check("apply", name, name.to_owned())?;
        self.inner.apply(manifest, manager).await
    }

    async fn delete(
        &self,
        object: &ObjectId,
        policy: Option<PropagationPolicy>,
    ) -> Result<Deletion, ClusterError> {
        let noted = format!("{} {policy:?}", object.name);
        self.check("delete", &object.name, noted)?;
        self.inner.delete(object, policy).await
    }

    async fn watch(&self, kind: &ObjectKind) -> Result<BoxStream<'static, Change>, ClusterError> {
        self.inner.watch(kind).await
    }
}

/// Runs a task on a scripted cluster.
pub async fn run(target: &Arc<Scripted>, api: &FakeApi, task: &str, generation: i64) -> Outcome {
    let target: Arc<dyn ClusterTarget> = Arc::clone(target) as _;
    pipeline(load(api, task, &[]), target)
        .execute(&event(generation))
        .await
}
