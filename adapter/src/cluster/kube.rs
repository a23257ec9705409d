//! The management cluster through the Kubernetes API, with dynamic objects.

use std::collections::{BTreeMap, HashMap};

use async_trait::async_trait;
use futures::StreamExt;
use futures::stream::BoxStream;
use kube::api::{Api, DeleteParams, DynamicObject, ListParams, Patch, PatchParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::core::GroupVersionKind;
use kube::discovery::{ApiResource, Scope};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Client, Config, discovery};
use serde_json::Value;
use tokio::sync::RwLock;

use super::{Change, ClusterError, ClusterTarget, Deletion, ObjectId, ObjectKind};
use crate::config::{KubernetesSettings, PropagationPolicy};

/// A page of a list; bounds the memory of one answer.
const PAGE_SIZE: u32 = 500;

/// Speaks to a real (or simulated) Kubernetes API server.
pub struct KubeTarget {
    client: Client,
    /// Kinds that were looked up. Kinds are few and their mapping does not change.
    kinds: RwLock<HashMap<ObjectKind, (ApiResource, Scope)>>,
}

/// Connects as the configuration says: by the kubeconfig file it names, else from inside the
/// cluster. Neither `KUBECONFIG` nor the home folder is looked at.
///
/// # Errors
/// When the file or the in-cluster environment does not describe a cluster.
pub async fn client(
    settings: &KubernetesSettings,
) -> Result<Client, Box<dyn std::error::Error + Send + Sync>> {
    let config = if settings.kube_config_path.is_empty() {
        Config::incluster()?
    } else {
        let file = Kubeconfig::read_from(&settings.kube_config_path)?;
        Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await?
    };
    Ok(Client::try_from(config)?)
}

/// A namespaced kind was named without a namespace.
#[derive(Debug, thiserror::Error)]
#[error("kind {0} is namespaced: set metadata.namespace in the manifest and the discovery")]
struct NamespaceMissing(String);

impl KubeTarget {
    /// A target that uses this client.
    pub fn new(client: Client) -> Self {
        Self {
            client,
            kinds: RwLock::default(),
        }
    }

    /// The API's name of a kind, looked up once.
    async fn resolve(&self, kind: &ObjectKind) -> Result<(ApiResource, Scope), ClusterError> {
        if let Some(found) = self.kinds.read().await.get(kind) {
            return Ok(found.clone());
        }
        let (group, version) = kind
            .api_version
            .split_once('/')
            .unwrap_or(("", &kind.api_version));
        let gvk = GroupVersionKind::gvk(group, version, &kind.kind);
        let (resource, capabilities) =
            discovery::pinned_kind(&self.client, &gvk)
                .await
                .map_err(|error| {
                    failure(
                        "discover",
                        format!("{} {}", kind.api_version, kind.kind),
                        error,
                    )
                })?;
        let found = (resource, capabilities.scope);
        self.kinds.write().await.insert(kind.clone(), found.clone());
        Ok(found)
    }

    /// The API of one namespace, or of the whole cluster for cluster-scoped kinds.
    async fn api(
        &self,
        operation: &'static str,
        object: &ObjectId,
    ) -> Result<Api<DynamicObject>, ClusterError> {
        let (resource, scope) = self.resolve(&object.kind).await?;
        match scope {
            Scope::Cluster => Ok(Api::all_with(self.client.clone(), &resource)),
            Scope::Namespaced if object.namespace.is_empty() => Err(ClusterError {
                operation,
                target: object.to_string(),
                transient: false,
                conflict: false,
                source: Box::new(NamespaceMissing(object.kind.kind.clone())),
            }),
            Scope::Namespaced => Ok(Api::namespaced_with(
                self.client.clone(),
                &object.namespace,
                &resource,
            )),
        }
    }
}

fn failure(operation: &'static str, target: String, error: kube::Error) -> ClusterError {
    let (transient, conflict) = match &error {
        kube::Error::Api(status) => (
            matches!(status.code, 408 | 409 | 429 | 500 | 502 | 503 | 504),
            status.code == 409,
        ),
        kube::Error::HyperError(_) | kube::Error::Service(_) | kube::Error::ReadEvents(_) => {
            (true, false)
        }
        _ => (false, false),
    };
    ClusterError {
        operation,
        target,
        transient,
        conflict,
        source: Box::new(Cause(error)),
    }
}

/// The client's error without its debug dump.
#[derive(Debug)]
struct Cause(kube::Error);

impl std::fmt::Display for Cause {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.0 {
            kube::Error::Api(status) if !status.message.is_empty() => {
                write!(formatter, "{} ({})", status.message, status.code)
            }
            kube::Error::Api(status) => write!(formatter, "{} ({})", status.reason, status.code),
            other => write!(formatter, "{other}"),
        }
    }
}

impl std::error::Error for Cause {}

fn is_not_found(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 404)
}

/// An object as a value that says what it is, also when it came out of a list.
fn to_value(object: &DynamicObject, kind: &ObjectKind) -> Value {
    let mut value = serde_json::to_value(object).unwrap_or_default();
    if let Value::Object(map) = &mut value {
        map.insert("apiVersion".to_owned(), kind.api_version.clone().into());
        map.insert("kind".to_owned(), kind.kind.clone().into());
    }
    value
}

#[async_trait]
impl ClusterTarget for KubeTarget {
    async fn get(&self, object: &ObjectId) -> Result<Option<Value>, ClusterError> {
        let api = self.api("get", object).await?;
        let found = api
            .get_opt(&object.name)
            .await
            .map_err(|error| failure("get", object.to_string(), error))?;
        Ok(found.map(|found| to_value(&found, &object.kind)))
    }

    async fn list(
        &self,
        kind: &ObjectKind,
        namespace: &str,
        labels: &BTreeMap<String, String>,
    ) -> Result<Vec<Value>, ClusterError> {
        let (resource, scope) = self.resolve(kind).await?;
        let api: Api<DynamicObject> = if namespace.is_empty() || scope == Scope::Cluster {
            Api::all_with(self.client.clone(), &resource)
        } else {
            Api::namespaced_with(self.client.clone(), namespace, &resource)
        };
        let selector: Vec<String> = labels
            .iter()
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        let selector = selector.join(",");
        let mut parameters = ListParams::default().labels(&selector).limit(PAGE_SIZE);
        let mut found = Vec::new();
        loop {
            let page = api
                .list(&parameters)
                .await
                .map_err(|error| failure("list", format!("{} {selector}", kind.kind), error))?;
            found.extend(page.items.iter().map(|object| to_value(object, kind)));
            match page.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => parameters = parameters.continue_token(&token),
                None => return Ok(found),
            }
        }
    }

    async fn apply(&self, manifest: &Value, field_manager: &str) -> Result<Value, ClusterError> {
        let Some(object) = ObjectId::of(manifest) else {
            return Err(ClusterError {
                operation: "apply",
                target: "a manifest".to_owned(),
                transient: false,
                conflict: false,
                source: "the manifest lacks apiVersion, kind or metadata.name".into(),
            });
        };
        let api = self.api("apply", &object).await?;
        let parameters = PatchParams::apply(field_manager).force();
        let applied = api
            .patch(&object.name, &parameters, &Patch::Apply(manifest))
            .await
            .map_err(|error| failure("apply", object.to_string(), error))?;
        Ok(to_value(&applied, &object.kind))
    }

    async fn delete(
        &self,
        object: &ObjectId,
        policy: Option<PropagationPolicy>,
    ) -> Result<Deletion, ClusterError> {
        let api = self.api("delete", object).await?;
        let parameters = match policy {
            None => DeleteParams::default(),
            Some(PropagationPolicy::Background) => DeleteParams::background(),
            Some(PropagationPolicy::Foreground) => DeleteParams::foreground(),
            Some(PropagationPolicy::Orphan) => DeleteParams::orphan(),
        };
        match api.delete(&object.name, &parameters).await {
            Ok(_) => Ok(Deletion::Accepted),
            Err(error) if is_not_found(&error) => Ok(Deletion::AlreadyGone),
            Err(error) => Err(failure("delete", object.to_string(), error)),
        }
    }

    async fn watch(&self, kind: &ObjectKind) -> Result<BoxStream<'static, Change>, ClusterError> {
        let (resource, _) = self.resolve(kind).await?;
        let api: Api<DynamicObject> = Api::all_with(self.client.clone(), &resource);
        let kind = kind.clone();
        let stream = watcher(api, watcher::Config::default())
            .default_backoff()
            .filter_map(move |event| {
                let change = match event {
                    Ok(event) => Some(to_change(&event, &kind)),
                    Err(error) => {
                        tracing::debug!(kind = %kind.kind, error = %error, "watch interrupted");
                        None
                    }
                };
                futures::future::ready(change)
            });
        Ok(stream.boxed())
    }
}

fn to_change(event: &watcher::Event<DynamicObject>, kind: &ObjectKind) -> Change {
    let identity = |object: &DynamicObject| ObjectId {
        kind: kind.clone(),
        namespace: object.metadata.namespace.clone().unwrap_or_default(),
        name: object.metadata.name.clone().unwrap_or_default(),
    };
    match event {
        watcher::Event::Apply(object) | watcher::Event::InitApply(object) => Change::Present {
            object: identity(object),
            resource_version: object.metadata.resource_version.clone().unwrap_or_default(),
        },
        watcher::Event::Delete(object) => Change::Removed {
            object: identity(object),
        },
        watcher::Event::Init => Change::ListBegan,
        watcher::Event::InitDone => Change::ListEnded,
    }
}
