//! All shipped adapters against a simulated cluster and an API that keeps statuses in memory.
//!
//! The API here knows the rules that the configurations lean on: reports that are not newer are dropped, a deletion adds one
//! generation and cascades, a resource goes when every required adapter has finalized and no child is left.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, Once};
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::{Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use hyperfleet_adapter::config::{Config, load};
use hyperfleet_adapter::metrics::AdapterMetrics;
use hyperfleet_adapter::{Adapter, AdapterOptions};
use hyperfleet_broker::memory::{MemoryBroker, MemoryOptions};
use hyperfleet_broker::{Envelope, Publisher};
use hyperfleet_cluster_sim::{ClusterSim, Handle, SimConfig};
use hyperfleet_runtime::clock::SystemClock;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

/// Folder, reported name, topic.
pub(crate) const ADAPTERS: &[(&str, &str, &str)] = &[
    ("validation", "validation", "hyperfleet-clusters"),
    ("dns", "dns", "hyperfleet-clusters"),
    ("placement", "placement", "hyperfleet-clusters"),
    ("pull-secret", "pullsecret", "hyperfleet-clusters"),
    ("hypershift", "hypershift", "hyperfleet-clusters"),
    ("nodepool-validation", "validation", "hyperfleet-nodepools"),
    ("nodepool-hypershift", "hypershift", "hyperfleet-nodepools"),
];

pub(crate) const CLUSTER_ADAPTERS: &[&str] =
    &["validation", "dns", "placement", "pullsecret", "hypershift"];
pub(crate) const NODE_POOL_ADAPTERS: &[&str] = &["validation", "hypershift"];

const PREFIX: &str = "/api/hyperfleet/v1/";
const DEADLINE: Duration = Duration::from_mins(1);

pub(crate) fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../deploy/adapters")
}

pub(crate) fn configuration(folder: &str, url: &str) -> Config {
    let folder = root().join(folder);
    let mut config = load(
        &folder.join("adapter-config.yaml"),
        &folder.join("adapter-task-config.yaml"),
        &BTreeMap::new(),
    )
    .unwrap_or_else(|error| {
        panic!(
            "{}: {error}: {:?}",
            folder.display(),
            std::error::Error::source(&error)
        )
    });
    url.clone_into(&mut config.adapter.api.base_url);
    config
}

/// What the API knows of a resource.
#[derive(Clone, Default)]
struct Entry {
    document: Value,
    statuses: BTreeMap<String, Value>,
}

/// Paths below the prefix to resources; every accepted report in order.
#[derive(Clone, Default)]
pub(crate) struct Api {
    entries: Arc<Mutex<BTreeMap<String, Entry>>>,
    accepted: Arc<Mutex<Vec<(String, Value)>>>,
}

fn condition<'a>(status: &'a Value, kind: &str) -> Option<&'a Value> {
    status["conditions"]
        .as_array()?
        .iter()
        .find(|one| one["type"] == kind)
}

pub(crate) fn is_true(status: &Value, kind: &str) -> bool {
    condition(status, kind).is_some_and(|one| one["status"] == "True")
}

impl Api {
    pub(crate) fn put(&self, path: &str, document: Value) {
        let entry = Entry {
            document,
            statuses: BTreeMap::new(),
        };
        self.entries.lock().unwrap().insert(path.to_owned(), entry);
    }

    pub(crate) fn statuses(&self, path: &str) -> BTreeMap<String, Value> {
        self.entries
            .lock()
            .unwrap()
            .get(path)
            .map(|entry| entry.statuses.clone())
            .unwrap_or_default()
    }

    pub(crate) fn exists(&self, path: &str) -> bool {
        self.entries.lock().unwrap().contains_key(path)
    }

    /// A new spec.
    pub(crate) fn patch(&self, path: &str, change: impl FnOnce(&mut Value)) {
        let mut entries = self.entries.lock().unwrap();
        let document = &mut entries.get_mut(path).unwrap().document;
        change(document);
        document["generation"] = (document["generation"].as_i64().unwrap() + 1).into();
    }

    /// Marks a resource and its children.
    pub(crate) fn delete(&self, path: &str) {
        for (key, entry) in self.entries.lock().unwrap().iter_mut() {
            let below = key == path || key.starts_with(&format!("{path}/"));
            if below && entry.document.get("deleted_time").is_none() {
                entry.document["deleted_time"] = "2026-01-01T00:00:00Z".into();
                entry.document["generation"] =
                    (entry.document["generation"].as_i64().unwrap() + 1).into();
            }
        }
    }

    /// Positions of the first accepted report that satisfies `which`.
    pub(crate) fn first(&self, which: impl Fn(&str, &Value) -> bool) -> Option<usize> {
        self.accepted
            .lock()
            .unwrap()
            .iter()
            .position(|(path, report)| which(path, report))
    }

    fn required(path: &str) -> &'static [&'static str] {
        if path.contains("/nodepools/") {
            NODE_POOL_ADAPTERS
        } else {
            CLUSTER_ADAPTERS
        }
    }

    pub(crate) fn is_reconciled(&self, path: &str) -> bool {
        let entries = self.entries.lock().unwrap();
        let Some(entry) = entries.get(path) else {
            return false;
        };
        Self::required(path).iter().all(|adapter| {
            entry.statuses.get(*adapter).is_some_and(|status| {
                status["observed_generation"] == entry.document["generation"]
                    && is_true(status, "Available")
            })
        })
    }

    fn report(&self, path: &str, report: Value) -> StatusCode {
        let mut entries = self.entries.lock().unwrap();
        let Some(entry) = entries.get_mut(path) else {
            return StatusCode::NOT_FOUND;
        };
        let adapter = report["adapter"].as_str().unwrap().to_owned();
        for kind in ["Available", "Applied", "Health"] {
            if condition(&report, kind).is_none() {
                return StatusCode::BAD_REQUEST;
            }
        }
        let generation = |value: &Value| value["observed_generation"].as_i64().unwrap();
        let observed = |value: &Value| value["observed_time"].as_str().unwrap().to_owned();
        let stale = entry.statuses.get(&adapter).is_some_and(|stored| {
            generation(&report) < generation(stored)
                || (generation(&report) == generation(stored)
                    && observed(&report) <= observed(stored))
        });
        if stale || generation(&report) > entry.document["generation"].as_i64().unwrap() {
            return StatusCode::NO_CONTENT;
        }
        self.accepted
            .lock()
            .unwrap()
            .push((path.to_owned(), report.clone()));
        entry.statuses.insert(adapter, report);
        Self::remove_finalized(&mut entries);
        StatusCode::CREATED
    }

    /// Removes what every adapter has finalized, children first.
    fn remove_finalized(entries: &mut BTreeMap<String, Entry>) {
        let keys: Vec<String> = entries.keys().rev().cloned().collect();
        for key in keys {
            let childless = !entries
                .keys()
                .any(|other| other.starts_with(&format!("{key}/")));
            let entry = &entries[&key];
            let done = entry.document.get("deleted_time").is_some()
                && Self::required(&key).iter().all(|adapter| {
                    entry.statuses.get(*adapter).is_some_and(|status| {
                        status["observed_generation"] == entry.document["generation"]
                            && is_true(status, "Finalized")
                    })
                });
            if childless && done {
                entries.remove(&key);
            }
        }
    }
}

fn list(items: &[Value]) -> Value {
    json!({"items": items, "page": 1, "size": items.len(), "total": items.len()})
}

async fn answer(State(api): State<Api>, method: Method, uri: Uri, body: String) -> Response {
    let path = uri.path().strip_prefix(PREFIX).unwrap_or_default();
    if let Some(resource) = path.strip_suffix("/statuses") {
        if method == Method::PUT {
            return api
                .report(resource, serde_json::from_str(&body).unwrap())
                .into_response();
        }
        if !api.exists(resource) {
            return StatusCode::NOT_FOUND.into_response();
        }
        let items: Vec<Value> = api.statuses(resource).into_values().collect();
        return Json(list(&items)).into_response();
    }
    let entries = api.entries.lock().unwrap();
    if path.ends_with("/nodepools") {
        let items: Vec<Value> = entries
            .iter()
            .filter(|(key, _)| key.starts_with(&format!("{path}/")))
            .map(|(_, entry)| entry.document.clone())
            .collect();
        return Json(list(&items)).into_response();
    }
    match entries.get(path) {
        Some(entry) => Json(entry.document.clone()).into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

/// Everything together; pulses stand in for sentinels.
pub(crate) struct Fleet {
    pub(crate) api: Api,
    pub(crate) kube: kube::Client,
    shutdown: CancellationToken,
    adapters: Vec<Adapter>,
    _cluster: Handle,
}

impl Fleet {
    pub(crate) async fn start() -> Self {
        static PROVIDER: Once = Once::new();
        PROVIDER.call_once(|| {
            rustls::crypto::aws_lc_rs::default_provider()
                .install_default()
                .unwrap();
        });
        let shutdown = CancellationToken::new();
        let short = Duration::from_millis(50);
        let sim = SimConfig {
            job_delay: short,
            hosted_cluster_delay: short,
            node_pool_delay: short,
            config_connector_delay: short,
            deletion_delay: short,
            ..SimConfig::default()
        };
        let cluster = ClusterSim::start(sim, shutdown.clone()).await.unwrap();
        let kube =
            kube::Client::try_from(kube::Config::new(cluster.url().parse().unwrap())).unwrap();
        let api = Api::default();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = axum::Router::new().fallback(answer).with_state(api.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        let broker = MemoryBroker::new(MemoryOptions::default());
        let mut adapters = Vec::new();
        for (folder, ..) in ADAPTERS {
            let options = AdapterOptions {
                config: configuration(folder, &url),
                broker: Arc::new(broker.clone()),
                kube: Some(kube.clone()),
                http: reqwest::Client::new(),
                clock: Arc::new(SystemClock),
                parallelism: 4,
                metrics: AdapterMetrics::default(),
                shutdown: shutdown.clone(),
            };
            adapters.push(Adapter::start(options).await.unwrap());
        }
        tokio::spawn(pulse(api.clone(), broker, shutdown.clone()));
        Self {
            api,
            kube,
            shutdown,
            adapters,
            _cluster: cluster,
        }
    }

    pub(crate) async fn until(&self, what: &str, holds: impl Fn(&Api) -> bool) {
        let wait = async {
            while !holds(&self.api) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        if tokio::time::timeout(DEADLINE, wait).await.is_err() {
            let entries = self.api.entries.lock().unwrap();
            let state: Vec<String> = entries
                .iter()
                .flat_map(|(path, entry)| {
                    entry
                        .statuses
                        .values()
                        .map(move |status| format!("{path}: {status}"))
                })
                .collect();
            panic!("never: {what}\n{}", state.join("\n"));
        }
    }

    pub(crate) async fn stop(self) {
        self.shutdown.cancel();
        for adapter in self.adapters {
            adapter.join().await.unwrap();
        }
    }
}

/// What a sentinel reacts to: generations, deletions and the outcome of conditions.
fn fingerprint(entry: &Entry) -> String {
    let outcome: Vec<String> = entry
        .statuses
        .values()
        .flat_map(|status| status["conditions"].as_array().into_iter().flatten())
        .map(|one| format!("{}={}", one["type"], one["status"]))
        .collect();
    let document = &entry.document;
    format!(
        "{}{:?}{}",
        document["generation"],
        document.get("deleted_time"),
        outcome.join(",")
    )
}

/// Publishes an event for every resource when anything changed in a way that matters, and once in a while anyway.
async fn pulse(api: Api, broker: MemoryBroker, shutdown: CancellationToken) {
    let mut known = String::new();
    for number in 0_u64.. {
        if shutdown.is_cancelled() {
            return;
        }
        let entries: Vec<Entry> = api.entries.lock().unwrap().values().cloned().collect();
        let state: String = entries.iter().map(fingerprint).collect();
        if state != known || number % 50 == 0 {
            known = state;
            for entry in &entries {
                publish(&entry.document, number, &broker).await;
            }
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn publish(document: &Value, number: u64, broker: &MemoryBroker) {
    let pool = document["kind"] == "NodePool";
    let topic = if pool {
        "hyperfleet-nodepools"
    } else {
        "hyperfleet-clusters"
    };
    let mut data = json!({"id": document["id"], "kind": document["kind"],
        "href": document["href"], "generation": document["generation"]});
    if pool {
        data["owner_references"] = document["owner_references"].clone();
    }
    let envelope = Envelope::new(format!("pulse-{number}"), "test", "reconcile", data);
    broker.publish(topic, &envelope).await.unwrap();
}
