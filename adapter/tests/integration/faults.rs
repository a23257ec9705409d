//! A management cluster that changes under the adapter's hands, or refuses.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use futures::stream::BoxStream;
use hyperfleet_adapter::cluster::kube::KubeTarget;
use hyperfleet_adapter::cluster::{
    Change, ClusterError, ClusterTarget, Deletion, ObjectId, ObjectKind,
};
use hyperfleet_adapter::config::PropagationPolicy;
use hyperfleet_adapter::outcome::{Operation, Outcome};
use serde_json::{Value, json};

use crate::objects::{CONFIG_MAP, LIFECYCLE, Simulated};
use crate::support::{FakeApi, event, load, pipeline};

/// What goes wrong.
enum Fault {
    /// After the first read, somebody applies this.
    ChangeAfterRead(Value),
    /// Every call fails, and may pass by itself.
    Unavailable,
    /// Deleting this object is forbidden.
    DeleteForbidden(&'static str),
}

/// The simulated cluster with a fault in front.
struct Faulty {
    inner: Arc<KubeTarget>,
    fault: Fault,
    reads: AtomicUsize,
}

fn refusal(operation: &'static str, transient: bool) -> ClusterError {
    ClusterError {
        operation,
        target: "it".to_owned(),
        transient,
        conflict: false,
        source: "injected".into(),
    }
}

impl Faulty {
    fn check(&self, operation: &'static str) -> Result<(), ClusterError> {
        match self.fault {
            Fault::Unavailable => Err(refusal(operation, true)),
            Fault::ChangeAfterRead(_) | Fault::DeleteForbidden(_) => Ok(()),
        }
    }
}

#[async_trait]
impl ClusterTarget for Faulty {
    async fn get(&self, object: &ObjectId) -> Result<Option<Value>, ClusterError> {
        self.check("get")?;
        let found = self.inner.get(object).await?;
        let first = self.reads.fetch_add(1, Ordering::SeqCst) == 0;
        if first && let Fault::ChangeAfterRead(manifest) = &self.fault {
            self.inner.apply(manifest, "someone").await?;
        }
        Ok(found)
    }

    async fn list(
        &self,
        kind: &ObjectKind,
        namespace: &str,
        labels: &BTreeMap<String, String>,
    ) -> Result<Vec<Value>, ClusterError> {
        self.check("list")?;
        self.inner.list(kind, namespace, labels).await
    }

    async fn apply(&self, manifest: &Value, field_manager: &str) -> Result<Value, ClusterError> {
        self.check("apply")?;
        self.inner.apply(manifest, field_manager).await
    }

    async fn delete(
        &self,
        object: &ObjectId,
        policy: Option<PropagationPolicy>,
    ) -> Result<Deletion, ClusterError> {
        self.check("delete")?;
        match self.fault {
            Fault::DeleteForbidden(name) if name == object.name => Err(refusal("delete", false)),
            _ => self.inner.delete(object, policy).await,
        }
    }

    async fn watch(&self, kind: &ObjectKind) -> Result<BoxStream<'static, Change>, ClusterError> {
        self.inner.watch(kind).await
    }
}

async fn execute(
    simulated: &Simulated,
    api: &FakeApi,
    task: &str,
    fault: Fault,
    generation: i64,
) -> Outcome {
    let target = Arc::new(Faulty {
        inner: Arc::clone(&simulated.target),
        fault,
        reads: AtomicUsize::new(0),
    });
    pipeline(load(api, task, &[]), target)
        .execute(&event(generation))
        .await
}

fn config_map(generation: &str, text: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "map-c1", "namespace": "default",
        "annotations": {"hyperfleet.io/generation": generation}}, "data": {"text": text}})
}

#[tokio::test]
async fn a_concurrent_change_is_decided_again() {
    let simulated = Simulated::start().await;
    let api = FakeApi::start().await;
    simulated
        .pipeline(&api, CONFIG_MAP)
        .execute(&event(5))
        .await;

    // A harmless change meanwhile: the update is made on the new state.
    let harmless = json!({"apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "map-c1", "namespace": "default", "labels": {"x": "y"}}});
    let outcome = execute(
        &simulated,
        &api,
        CONFIG_MAP,
        Fault::ChangeAfterRead(harmless),
        6,
    )
    .await;
    assert_eq!(outcome.resources[0].operation, Operation::Update);
    let live = simulated.config_map("map-c1").await.unwrap();
    assert_eq!(
        (&live["data"]["text"], &live["metadata"]["labels"]["x"]),
        (&json!("6"), &json!("y"))
    );

    // A newer generation meanwhile: the older event loses, silently.
    let newer = Fault::ChangeAfterRead(config_map("9", "nine"));
    let outcome = execute(&simulated, &api, CONFIG_MAP, newer, 7).await;
    assert!(!outcome.is_failed(), "{}", outcome.error_summary());
    assert_eq!(
        outcome.resources[0].reason,
        "generation 9 is newer than 7 of this event"
    );
    let live = simulated.config_map("map-c1").await.unwrap();
    assert_eq!(live["data"]["text"], "nine");
}

#[tokio::test]
async fn an_unavailable_cluster_is_reported_and_tried_again() {
    let simulated = Simulated::start().await;
    let api = FakeApi::start().await;
    let outcome = execute(&simulated, &api, CONFIG_MAP, Fault::Unavailable, 5).await;
    assert!(outcome.is_failed() && outcome.transient);
    let seen = &api.reports()[0];
    assert_eq!(
        (&seen["phase"], &seen["step"]),
        (&json!("resources"), &json!("map"))
    );
    assert_eq!(
        seen["message"],
        "resource execution failed: [resources] map: K8s get operation failed: it: injected"
    );
}

#[tokio::test]
async fn a_failed_deletion_does_not_stop_the_others() {
    let simulated = Simulated::start().await;
    let api = FakeApi::start().await;
    let task = LIFECYCLE
        .replace("deleting && !resources.?first.hasValue()", "deleting")
        .replace(
            "first: {expression:",
            "message: {expression: 'adapter.resourceErrors.first.message'}\n      first: {expression:",
        );
    api.answer("GET", "/clusters/c1", 200, json!({"id": "c1"}))
        .answer(
            "GET",
            "/clusters/c1",
            200,
            json!({"id": "c1", "deleted_time": "x"}),
        );
    simulated.pipeline(&api, &task).execute(&event(1)).await;
    let outcome = execute(&simulated, &api, &task, Fault::DeleteForbidden("first"), 1).await;
    assert!(outcome.is_failed() && !outcome.transient);
    let seen = api.reports().pop().unwrap();
    assert_eq!(seen["message"], "K8s delete operation failed: it: injected");
    assert_eq!(
        (&seen["first"], &seen["second"]),
        (&json!(true), &json!(false))
    );
}
