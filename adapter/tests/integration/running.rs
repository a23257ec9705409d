//! From the broker to reports.

use std::sync::Arc;
use std::time::{Duration, Instant};

use hyperfleet_adapter::metrics::AdapterMetrics;
use hyperfleet_adapter::{Adapter, AdapterOptions};
use hyperfleet_broker::memory::MemoryBroker;
use hyperfleet_broker::{Envelope, Publisher};
use hyperfleet_runtime::clock::SystemClock;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::objects::Simulated;
use crate::support::{FakeApi, load};

const JOB: &str = r#"
params:
- {name: clusterId, source: event.id}
- {name: data, required: true, source: {api_call: {method: GET, url: "/clusters/{{ .clusterId }}", retry_attempts: 1}}}
resources:
- name: job
  manifest:
    apiVersion: batch/v1
    kind: Job
    metadata: {name: "job-{{ .clusterId }}", namespace: default, annotations: {hyperfleet.io/generation: "1"}}
    spec: {template: {spec: {restartPolicy: Never, containers: [{name: work, image: work}]}}}
  discovery: {namespace: default, by_name: "job-{{ .clusterId }}"}
post:
  payloads:
  - name: status
    build:
      id: "{{ .clusterId }}"
      available: {expression: 'resources.?job.?status.?conditions.orValue([]).exists(c, c.type == "Complete" && c.status == "True")'}
  post_actions: [{name: report, api_call: {method: PUT, url: "/clusters/{{ .clusterId }}/statuses", body: "{{ .status }}"}}]
"#;

struct Running {
    adapter: Adapter,
    broker: MemoryBroker,
    shutdown: CancellationToken,
}

async fn start(simulated: &Simulated, api: &FakeApi, task: &str) -> Running {
    let broker = MemoryBroker::new(hyperfleet_broker::memory::MemoryOptions::default());
    let shutdown = CancellationToken::new();
    let adapter = Adapter::start(AdapterOptions {
        config: load(api, task, &[]),
        broker: Arc::new(broker.clone()),
        kube: Some(simulated.client.clone()),
        http: reqwest::Client::new(),
        clock: Arc::new(SystemClock),
        parallelism: 4,
        metrics: AdapterMetrics::default(),
        shutdown: shutdown.clone(),
    })
    .await
    .unwrap();
    Running {
        adapter,
        broker,
        shutdown,
    }
}

impl Running {
    async fn pulse(&self, id: &str) {
        let data = json!({"id": id, "kind": "Cluster", "generation": 1});
        let envelope = Envelope::new(format!("pulse-{id}"), "test", "reconcile", data);
        self.broker.publish("clusters", &envelope).await.unwrap();
    }

    async fn stop(self) {
        self.shutdown.cancel();
        self.adapter.join().await.unwrap();
    }
}

/// Waits until `probe` gives something.
pub async fn eventually<T>(what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        if let Some(found) = probe() {
            return found;
        }
        assert!(Instant::now() < deadline, "{what} did not happen");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn report_of(api: &FakeApi, id: &str, available: bool) -> Option<Value> {
    api.reports()
        .into_iter()
        .find(|report| report["id"] == id && report["available"] == available)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_finished_job_is_reported_without_another_pulse() {
    let simulated = Simulated::start().await;
    let api = FakeApi::start().await;
    api.answer("GET", "/clusters/c1", 200, json!({"id": "c1"}));
    let running = start(&simulated, &api, JOB).await;
    // Given one pulse, reported while the Job runs
    running.pulse("c1").await;
    eventually("the first report", || report_of(&api, "c1", false)).await;
    // When the Job ends, then that is reported by itself
    eventually("the report of the end", || report_of(&api, "c1", true)).await;
    // And nothing more is reported once nothing changes
    let settled = api.reports().len();
    assert!(settled <= 6, "{settled} reports for one Job");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failing_api_is_tried_again_through_the_broker() {
    let simulated = Simulated::start().await;
    let api = FakeApi::start().await;
    api.answer("GET", "/clusters/c1", 503, json!({})).answer(
        "GET",
        "/clusters/c1",
        200,
        json!({"id": "c1"}),
    );
    let running = start(&simulated, &api, JOB).await;
    running.pulse("c1").await;
    eventually("the report after redelivery", || {
        report_of(&api, "c1", true)
    })
    .await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pulses_of_one_resource_coalesce_and_never_overlap() {
    let simulated = Simulated::start().await;
    let api = FakeApi::start().await;
    api.answer("GET", "/clusters/c1", 200, json!({"id": "c1"}));
    api.answer("GET", "/clusters/c2", 200, json!({"id": "c2"}));
    let running = start(&simulated, &api, JOB).await;
    for _ in 0..20 {
        running.pulse("c1").await;
    }
    running.pulse("c2").await;
    eventually("both reports", || {
        report_of(&api, "c1", true).and(report_of(&api, "c2", true))
    })
    .await;
    let fetches = api
        .requests_of("GET")
        .iter()
        .filter(|request| request.path.ends_with("/c1"))
        .count();
    assert!(fetches < 20, "{fetches} executions for 20 pulses");
    running.stop().await;
}

#[tokio::test]
async fn a_missing_topic_is_refused_at_start() {
    let api = FakeApi::start().await;
    let mut config = load(&api, "params: []", &[]);
    config.adapter.broker.topic = None;
    let error = Adapter::start(AdapterOptions {
        config,
        broker: Arc::new(MemoryBroker::new(
            hyperfleet_broker::memory::MemoryOptions::default(),
        )),
        kube: None,
        http: reqwest::Client::new(),
        clock: Arc::new(SystemClock),
        parallelism: 1,
        metrics: AdapterMetrics::default(),
        shutdown: CancellationToken::new(),
    })
    .await
    .err()
    .unwrap();
    assert!(
        error
            .to_string()
            .starts_with("clients.broker.topic is required")
    );
}

const NAMESPACE: &str = r#"
params:
- {name: clusterId, source: event.id}
- {name: data, required: true, source: {api_call: {method: GET, url: "/clusters/{{ .clusterId }}"}}}
- {name: deleting, source: {expression: "has(data.deleted_time)"}}
resources:
- name: home
  manifest:
    apiVersion: v1
    kind: Namespace
    metadata: {name: "home-{{ .clusterId }}", annotations: {hyperfleet.io/generation: "1"}}
  discovery: {by_name: "home-{{ .clusterId }}"}
  lifecycle: {create: {when: {expression: "!deleting"}}, delete: {when: {expression: deleting}}}
post:
  payloads:
  - name: status
    build:
      id: "{{ .clusterId }}"
      available: {expression: 'deleting && !resources.?home.hasValue()'}
      active: {expression: 'resources.?home.?status.?phase.orValue("") == "Active"'}
  post_actions: [{name: report, api_call: {method: PUT, url: "/clusters/{{ .clusterId }}/statuses", body: "{{ .status }}"}}]
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_finished_deletion_is_reported_without_another_pulse() {
    let simulated = Simulated::start().await;
    let api = FakeApi::start().await;
    api.answer("GET", "/clusters/c1", 200, json!({"id": "c1"}));
    let running = start(&simulated, &api, NAMESPACE).await;
    running.pulse("c1").await;
    eventually("the namespace's report", || {
        api.reports()
            .into_iter()
            .find(|report| report["active"] == true)
    })
    .await;
    // When the cluster is deleted and pulsed once
    api.forget("GET", "/clusters/c1");
    api.answer(
        "GET",
        "/clusters/c1",
        200,
        json!({"id": "c1", "deleted_time": "x"}),
    );
    running.pulse("c1").await;
    // Then the end of the deletion is reported, however long the namespace takes to go
    eventually("the report that all is gone", || {
        report_of(&api, "c1", true)
    })
    .await;
    running.stop().await;
}
