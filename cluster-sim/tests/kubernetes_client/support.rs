//! A cluster per test, a client for it, and waiting.

use std::future::Future;
use std::sync::Once;
use std::time::Duration;

use hyperfleet_cluster_sim::{ClusterSim, Handle, SimConfig};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use kube::api::{Api, ApiResource, DynamicObject, ObjectMeta, PostParams};
use kube::{Client, Config};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

/// Long enough for a busy machine; nothing waits for its end.
const DEADLINE: Duration = Duration::from_secs(20);

pub(crate) fn fast() -> SimConfig {
    SimConfig {
        job_delay: Duration::from_millis(60),
        deployment_delay: Duration::from_millis(30),
        hosted_cluster_delay: Duration::from_millis(60),
        node_pool_delay: Duration::from_millis(30),
        config_connector_delay: Duration::from_millis(30),
        deletion_delay: Duration::from_millis(60),
        ..SimConfig::default()
    }
}

pub(crate) async fn start(config: SimConfig) -> (Handle, Client) {
    let handle = ClusterSim::start(config, CancellationToken::new())
        .await
        .unwrap();
    let client = client(&handle);
    (handle, client)
}

pub(crate) fn client(handle: &Handle) -> Client {
    static PROVIDER: Once = Once::new();
    PROVIDER.call_once(|| {
        rustls::crypto::aws_lc_rs::default_provider()
            .install_default()
            .unwrap();
    });
    let config = Config::new(handle.url().parse().unwrap());
    Client::try_from(config).unwrap()
}

/// Calls `look` until it finds something.
pub(crate) async fn eventually<T, F>(what: &str, mut look: impl FnMut() -> F) -> T
where
    F: Future<Output = Option<T>>,
{
    let search = async {
        loop {
            if let Some(found) = look().await {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(DEADLINE, search)
        .await
        .unwrap_or_else(|_| panic!("never: {what}"))
}

pub(crate) async fn namespace(client: &Client, name: &str) {
    let namespace = Namespace {
        metadata: ObjectMeta {
            name: Some(name.into()),
            ..ObjectMeta::default()
        },
        ..Namespace::default()
    };
    Api::all(client.clone())
        .create(&PostParams::default(), &namespace)
        .await
        .unwrap();
}

pub(crate) fn config_map(name: &str) -> ConfigMap {
    ConfigMap {
        metadata: ObjectMeta {
            name: Some(name.into()),
            ..ObjectMeta::default()
        },
        data: Some([("a".to_owned(), "1".to_owned())].into()),
        ..ConfigMap::default()
    }
}

pub(crate) fn resource(group: &str, version: &str, kind: &str, plural: &str) -> ApiResource {
    ApiResource {
        group: group.into(),
        version: version.into(),
        api_version: if group.is_empty() {
            version.into()
        } else {
            format!("{group}/{version}")
        },
        kind: kind.into(),
        plural: plural.into(),
    }
}

pub(crate) fn object(value: Value) -> DynamicObject {
    serde_json::from_value(value).unwrap()
}

pub(crate) fn job(name: &str, annotations: Value) -> Value {
    json!({
        "apiVersion": "batch/v1", "kind": "Job",
        "metadata": {"name": name, "annotations": annotations},
        "spec": {"backoffLimit": 0, "template": {"spec": {
            "restartPolicy": "Never", "containers": [{"name": "worker", "image": "worker:1"}]}}},
    })
}

/// Status, reason of a condition.
pub(crate) fn condition(object: &DynamicObject, kind: &str) -> Option<(String, String)> {
    let conditions = object.data.pointer("/status/conditions")?.as_array()?;
    let found = conditions.iter().find(|one| one["type"] == kind)?;
    Some((
        found["status"].as_str()?.to_owned(),
        found["reason"].as_str().unwrap_or_default().to_owned(),
    ))
}

/// The refusal that an answer must be.
pub(crate) fn refusal<T: std::fmt::Debug>(answer: kube::Result<T>) -> (u16, String, String) {
    match answer.unwrap_err() {
        kube::Error::Api(status) => (status.code, status.reason.clone(), status.message.clone()),
        other => panic!("not a refusal: {other}"),
    }
}
