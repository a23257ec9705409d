//! The target of an adapter that manages no objects.

use std::collections::BTreeMap;

use async_trait::async_trait;
use futures::stream::BoxStream;
use serde_json::Value;

use super::{Change, ClusterError, ClusterTarget, Deletion, ObjectId, ObjectKind};
use crate::config::PropagationPolicy;

/// Refuses every call; for configurations without resources, which never make one.
pub struct NoCluster;

fn refused(operation: &'static str, target: &impl ToString) -> ClusterError {
    ClusterError {
        operation,
        target: target.to_string(),
        transient: false,
        conflict: false,
        source: "the adapter is not connected to a management cluster".into(),
    }
}

#[async_trait]
impl ClusterTarget for NoCluster {
    async fn get(&self, object: &ObjectId) -> Result<Option<Value>, ClusterError> {
        Err(refused("get", object))
    }

    async fn list(
        &self,
        kind: &ObjectKind,
        _namespace: &str,
        _labels: &BTreeMap<String, String>,
    ) -> Result<Vec<Value>, ClusterError> {
        Err(refused("list", &kind.kind))
    }

    async fn apply(&self, _manifest: &Value, _manager: &str) -> Result<Value, ClusterError> {
        Err(refused("apply", &"a manifest"))
    }

    async fn delete(
        &self,
        object: &ObjectId,
        _policy: Option<PropagationPolicy>,
    ) -> Result<Deletion, ClusterError> {
        Err(refused("delete", object))
    }

    async fn watch(&self, kind: &ObjectKind) -> Result<BoxStream<'static, Change>, ClusterError> {
        Err(refused("watch", &kind.kind))
    }
}
