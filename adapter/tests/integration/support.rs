//! A scripted HTTP API and short ways to load configurations and run executions.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::IntoResponse;
use hyperfleet_adapter::cluster::{ClusterTarget, NoCluster};
use hyperfleet_adapter::config::{Config, load_text};
use hyperfleet_adapter::event::Event;
use hyperfleet_adapter::outcome::Outcome;
use hyperfleet_adapter::pipeline::Pipeline;
use hyperfleet_runtime::clock::SystemClock;
use serde_json::{Value, json};

/// The prefix of relative URLs.
pub const PREFIX: &str = "/api/hyperfleet/v1";

/// A request as received.
#[derive(Debug, Clone)]
pub struct Recorded {
    pub method: String,
    pub path: String,
    pub headers: HeaderMap,
    pub body: String,
}

impl Recorded {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

type Answers = BTreeMap<(String, String), Vec<(u16, Value)>>;

#[derive(Default)]
struct Script {
    answers: Mutex<Answers>,
    requests: Mutex<Vec<Recorded>>,
}

/// An HTTP API that answers as scripted and remembers what it was asked. Answers to one endpoint
/// are used in order and the last one repeats; PUT, POST and PATCH answer 200 unless scripted.
#[derive(Clone)]
pub struct FakeApi {
    pub url: String,
    script: Arc<Script>,
}

impl FakeApi {
    pub async fn start() -> Self {
        let script = Arc::new(Script::default());
        let router = Router::new()
            .fallback(answer)
            .with_state(Arc::clone(&script));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, script }
    }

    /// Scripts an answer for a path below the API prefix.
    pub fn answer(&self, method: &str, path: &str, status: u16, body: Value) -> &Self {
        self.script
            .answers
            .lock()
            .unwrap()
            .entry((method.to_owned(), format!("{PREFIX}{path}")))
            .or_default()
            .push((status, body));
        self
    }

    /// Forgets the answers of a path.
    pub fn forget(&self, method: &str, path: &str) {
        let key = (method.to_owned(), format!("{PREFIX}{path}"));
        self.script.answers.lock().unwrap().remove(&key);
    }

    pub fn requests(&self) -> Vec<Recorded> {
        self.script.requests.lock().unwrap().clone()
    }

    /// Requests of a method, below the prefix.
    pub fn requests_of(&self, method: &str) -> Vec<Recorded> {
        let mut requests = self.requests();
        requests.retain(|request| request.method == method);
        requests
    }

    /// The bodies of all reports, in order.
    pub fn reports(&self) -> Vec<Value> {
        self.requests_of("PUT").iter().map(Recorded::json).collect()
    }
}

async fn answer(
    State(script): State<Arc<Script>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> impl IntoResponse {
    let key = (method.to_string(), uri.path().to_owned());
    script.requests.lock().unwrap().push(Recorded {
        method: key.0.clone(),
        path: uri.to_string(),
        headers,
        body: String::from_utf8(body.to_vec()).unwrap(),
    });
    let mut answers = script.answers.lock().unwrap();
    let (status, body) = match answers.get_mut(&key) {
        Some(queue) if queue.len() > 1 => queue.remove(0),
        Some(queue) => queue[0].clone(),
        None if method == Method::GET => (404, json!({"code": "HYPERFLEET-NTF-001"})),
        None => (200, json!({})),
    };
    let status = StatusCode::from_u16(status).unwrap();
    (status, body.to_string())
}

pub fn load(api: &FakeApi, task: &str, environment: &[(&str, &str)]) -> Config {
    load_under(api, "    timeout: 5s\n", task, environment)
}

/// Loads a task under further settings of the API, lines with an indent of four.
pub fn load_under(
    api: &FakeApi,
    settings: &str,
    task: &str,
    environment: &[(&str, &str)],
) -> Config {
    let adapter = format!(
        "adapter: {{name: widget, version: 0.2.0}}\nclients:\n  broker: {{subscription_id: widget, topic: clusters}}\n  hyperfleet_api:\n    base_url: '{}'\n    base_delay: 1ms\n{settings}",
        api.url
    );
    let environment = environment
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    load_text(
        (&adapter, Path::new("/nowhere/adapter.yaml")),
        (task, Path::new("/nowhere/task.yaml")),
        &environment,
    )
    .unwrap_or_else(|error| panic!("{error}"))
}

pub fn pipeline(config: Config, cluster: Arc<dyn ClusterTarget>) -> Pipeline {
    Pipeline::new(
        config,
        reqwest::Client::new(),
        cluster,
        Arc::new(SystemClock),
    )
}

pub fn event(generation: i64) -> Event {
    Event::from_data(json!({
        "id": "c1", "kind": "Cluster", "href": "/clusters/c1", "generation": generation,
        "nothing": null, "empty": "", "owner_references": {"id": "p1"}
    }))
    .unwrap()
}

/// Runs a task without objects on one event.
pub async fn execute(api: &FakeApi, task: &str) -> Outcome {
    let config = load(api, task, &[("SET", "value"), ("BLANK", "")]);
    pipeline(config, Arc::new(NoCluster))
        .execute(&event(5))
        .await
}

/// Runs a task without objects under further settings of the API.
pub async fn execute_under(api: &FakeApi, settings: &str, task: &str) -> Outcome {
    let config = load_under(api, settings, task, &[]);
    pipeline(config, Arc::new(NoCluster))
        .execute(&event(5))
        .await
}

/// A cluster as the API answers it.
pub fn cluster(generation: i64) -> Value {
    json!({
        "id": "c1", "kind": "Cluster", "generation": generation, "name": "n", "list": [1], "none": null, "blank": "",
        "status": {"conditions": [
            {"type": "Reconciled", "status": "True", "last_transition_time": "2020-01-01T00:00:00Z"}
        ]}
    })
}
