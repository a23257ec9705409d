//! The port to the management cluster, and its Kubernetes implementation in [`kube`].

pub mod kube;
mod none;

pub use none::NoCluster;

use std::collections::BTreeMap;
use std::fmt;

use async_trait::async_trait;
use futures::stream::BoxStream;
use serde_json::Value;

use crate::config::PropagationPolicy;

/// A kind of object.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectKind {
    /// `v1`, `batch/v1` …
    pub api_version: String,
    /// `Namespace`, `Job` …
    pub kind: String,
}

/// One object.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectId {
    /// Its kind.
    pub kind: ObjectKind,
    /// Its namespace; empty for cluster scope.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl fmt::Display for ObjectId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{}/{} (namespace: {})",
            self.kind.kind, self.name, self.namespace
        )
    }
}

impl ObjectId {
    /// The identity of a complete object, when it has one.
    pub fn of(object: &Value) -> Option<Self> {
        let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str);
        Some(Self {
            kind: ObjectKind {
                api_version: text("/apiVersion")?.to_owned(),
                kind: text("/kind")?.to_owned(),
            },
            namespace: text("/metadata/namespace").unwrap_or_default().to_owned(),
            name: text("/metadata/name")?.to_owned(),
        })
    }
}

/// The version of an object's last change, as opaque text.
pub fn resource_version(object: &Value) -> &str {
    object
        .pointer("/metadata/resourceVersion")
        .and_then(Value::as_str)
        .unwrap_or_default()
}

/// What a deletion request led to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deletion {
    /// The object existed; it is gone or on its way out.
    Accepted,
    /// It did not exist.
    AlreadyGone,
}

/// Something changed in the cluster.
#[derive(Debug, Clone)]
pub enum Change {
    /// The object exists in this version.
    Present {
        /// Which.
        object: ObjectId,
        /// Its version.
        resource_version: String,
    },
    /// The object was removed.
    Removed {
        /// Which.
        object: ObjectId,
    },
    /// A complete list begins: only what follows until [`Change::ListEnded`] exists.
    ListBegan,
    /// The complete list ended.
    ListEnded,
}

/// A call to the cluster failed.
#[derive(Debug, thiserror::Error)]
#[error("K8s {operation} operation failed: {target}")]
pub struct ClusterError {
    /// `get`, `list`, `apply`, `delete` or `discover`.
    pub operation: &'static str,
    /// What it was about.
    pub target: String,
    /// Whether the same call may succeed later by itself.
    pub transient: bool,
    /// Whether a concurrent change was the reason.
    pub conflict: bool,
    /// The client's reason.
    #[source]
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

/// Where objects are applied and observed.
#[async_trait]
pub trait ClusterTarget: Send + Sync {
    /// The object, if it exists.
    async fn get(&self, object: &ObjectId) -> Result<Option<Value>, ClusterError>;

    /// The objects of a kind that carry all labels; an empty namespace means all.
    async fn list(
        &self,
        kind: &ObjectKind,
        namespace: &str,
        labels: &BTreeMap<String, String>,
    ) -> Result<Vec<Value>, ClusterError>;

    /// Applies a manifest server-side as `field_manager`, taking over fields of others. A
    /// `metadata.resourceVersion` in the manifest makes a concurrent change a conflict.
    async fn apply(&self, manifest: &Value, field_manager: &str) -> Result<Value, ClusterError>;

    /// Deletes the object; without a policy the server's default applies.
    async fn delete(
        &self,
        object: &ObjectId,
        policy: Option<PropagationPolicy>,
    ) -> Result<Deletion, ClusterError>;

    /// Follows the objects of a kind in all namespaces, for ever: a broken connection is
    /// re-established and starts with a complete list.
    async fn watch(&self, kind: &ObjectKind) -> Result<BoxStream<'static, Change>, ClusterError>;
}
