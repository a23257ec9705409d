//! Cases 198 to 204: events and metrics.

use std::sync::Arc;

use hyperfleet_adapter::health::AdapterHealth;
use hyperfleet_adapter::metrics::{AdapterMetrics, ERRORS, EVENTS_PROCESSED, short_name};
use hyperfleet_adapter::{Adapter, AdapterOptions};
use hyperfleet_broker::memory::{MemoryBroker, MemoryOptions};
use hyperfleet_broker::{Envelope, MetricFamilies, Publisher as _};
use hyperfleet_runtime::clock::SystemClock;
use prometheus::Registry;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::objects::Simulated;
use crate::running::eventually;
use crate::support::{FakeApi, load};

const REPORT: &str = "post: {post_actions: [{name: report, api_call: {method: PUT, url: '/report/{{ .event.id }}'}}]}";

struct Running {
    adapter: Adapter,
    broker: MemoryBroker,
    registry: Registry,
    shutdown: CancellationToken,
    _simulated: Simulated,
}

async fn start(api: &FakeApi, task: &str) -> Running {
    start_on(&MemoryBroker::new(MemoryOptions::default()), api, task).await
}

async fn start_on(broker: &MemoryBroker, api: &FakeApi, task: &str) -> Running {
    let simulated = Simulated::start().await;
    let (registry, shutdown) = (Registry::new(), CancellationToken::new());
    let families =
        MetricFamilies::register(&registry, Arc::new(|| chrono::DateTime::UNIX_EPOCH)).unwrap();
    let broker = broker.with_metrics(families.component("widget", "0.1.0"));
    let adapter = Adapter::start(AdapterOptions {
        config: load(api, task, &[]),
        broker: Arc::new(broker.clone()),
        kube: Some(simulated.client.clone()),
        http: reqwest::Client::new(),
        clock: Arc::new(SystemClock),
        parallelism: 2,
        metrics: AdapterMetrics::register(&registry).unwrap(),
        shutdown: shutdown.clone(),
    })
    .await
    .unwrap();
    Running {
        adapter,
        broker,
        registry,
        shutdown,
        _simulated: simulated,
    }
}

impl Running {
    async fn publish(&self, id: &str, data: Value) {
        let envelope = Envelope::new(id, "test", "reconcile", data);
        self.broker.publish("clusters", &envelope).await.unwrap();
    }

    /// The counter of a family with this label value.
    fn count(&self, family: &str, label: &str) -> u64 {
        let families = self.registry.gather();
        let found = families.iter().filter(|found| found.name() == family);
        let metrics = found.flat_map(|found| found.get_metric().to_vec());
        let total: f64 = metrics
            .filter(|metric| {
                metric
                    .get_label()
                    .iter()
                    .any(|found| found.value() == label)
            })
            .map(|metric| metric.get_counter().get_value())
            .sum();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a count"
        )]
        let total = total as u64;
        total
    }

    async fn processed(&self, status: &str, count: u64) {
        eventually(&format!("{count} {status}"), || {
            (self.count(EVENTS_PROCESSED, status) == count).then_some(())
        })
        .await;
    }

    async fn stop(self) {
        self.shutdown.cancel();
        self.adapter.join().await.unwrap();
    }
}

#[tokio::test]
async fn a198_a_failure_that_lasts_is_acknowledged() {
    let api = FakeApi::start().await;
    let task = format!(
        "preconditions: [{{name: p, conditions: [{{field: nope, operator: contains, value: x}}]}}]\n{REPORT}"
    );
    let running = start(&api, &task).await;
    running
        .publish("e1", json!({"id": "c1", "kind": "Cluster"}))
        .await;
    running.processed("failed", 1).await;
    running
        .publish("e2", json!({"id": "c2", "kind": "Cluster"}))
        .await;
    running.processed("failed", 2).await;
    // The next start gets what was not acknowledged, and then a third event.
    let broker = running.broker.clone();
    running.stop().await;
    let running = start_on(&broker, &api, &task).await;
    running
        .publish("e3", json!({"id": "c3", "kind": "Cluster"}))
        .await;
    running.processed("failed", 1).await;
    let reported: Vec<String> = api.requests_of("PUT").into_iter().map(|r| r.path).collect();
    assert_eq!(reported.len(), 3, "{reported:?}");
    assert!(reported[2].ends_with("/c3"), "{reported:?}");
    running.stop().await;
}

#[tokio::test]
async fn a199_what_is_no_cloud_event_is_left_to_the_broker() {
    let api = FakeApi::start().await;
    let running = start(&api, REPORT).await;
    running
        .broker
        .publish_message("clusters", &[], b"not a CloudEvent".to_vec())
        .await
        .unwrap();
    let errors = "hyperfleet_broker_errors_total";
    eventually("the refusal", || {
        (running.count(errors, "conversion") > 0).then_some(())
    })
    .await;
    assert!(api.requests().is_empty());
    for status in ["success", "skipped", "failed"] {
        assert_eq!(running.count(EVENTS_PROCESSED, status), 0, "{status}");
    }
    running.stop().await;
}

#[tokio::test]
async fn a200_data_that_is_no_object_fails_and_is_acknowledged() {
    let api = FakeApi::start().await;
    let running = start(&api, REPORT).await;
    running.publish("e1", json!(["not", "an", "object"])).await;
    running.processed("failed", 1).await;
    assert!(api.requests().is_empty());
    // Nothing of it is left for the next start, which gets another event.
    let broker = running.broker.clone();
    running.stop().await;
    let running = start_on(&broker, &api, REPORT).await;
    running
        .publish("e2", json!({"id": "c2", "kind": "Cluster"}))
        .await;
    running.processed("success", 1).await;
    assert_eq!(running.count(EVENTS_PROCESSED, "failed"), 0);
}

#[tokio::test]
async fn a201_an_end_is_told_at_once_and_comes_soon() {
    let api = FakeApi::start().await;
    let running = start(&api, REPORT).await;
    let health = AdapterHealth::new(&load(&api, REPORT, &[]), running.shutdown.clone());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/readyz", listener.local_addr().unwrap());
    let router = health.clone().router();
    tokio::spawn(async move { axum::serve(listener, router).await });
    let ready = async || {
        let answer = reqwest::get(&url).await.unwrap();
        (
            answer.status().as_u16(),
            answer.json::<Value>().await.unwrap(),
        )
    };
    let checks = |broker: &str| json!({"config": "ok", "broker": broker});
    let (status, body) = ready().await;
    assert_eq!(status, 503);
    assert_eq!(
        body,
        json!({"status": "error", "message": "not ready", "checks": checks("error")})
    );
    health.subscribed();
    let (status, body) = ready().await;
    assert_eq!(
        (status, &body),
        (200, &json!({"status": "ok", "checks": checks("ok")}))
    );
    running
        .publish("e1", json!({"id": "c1", "kind": "Cluster"}))
        .await;
    running.shutdown.cancel();
    let (status, body) = ready().await;
    assert_eq!(status, 503);
    assert_eq!(body["message"], "server is shutting down");
    let soon = std::time::Duration::from_secs(30);
    tokio::time::timeout(soon, running.stop()).await.unwrap();
}

#[tokio::test]
async fn a202_events_of_one_cluster_never_overlap() {
    // There they may, and a concurrent creation resolves to a skip; listed as a correction.
    let api = FakeApi::start().await;
    let resources = "resources: [{name: a, manifest: {apiVersion: v1, kind: ConfigMap, metadata: {name: a, namespace: default}}, discovery: {namespace: default, by_name: a}}]";
    let running = start(&api, &format!("{resources}\n{REPORT}")).await;
    for number in 0..10 {
        running
            .publish(
                &format!("e{number}"),
                json!({"id": "c1", "kind": "Cluster"}),
            )
            .await;
    }
    eventually("the events", || {
        (running.count(EVENTS_PROCESSED, "success") >= 2).then_some(())
    })
    .await;
    running.shutdown.cancel();
    let failed = running.count(EVENTS_PROCESSED, "failed");
    assert_eq!(failed, 0);
    assert!(
        api.requests_of("PUT").len() < 10,
        "what waits together is done together"
    );
    running.stop().await;
}

#[tokio::test]
async fn a203_events_are_counted_by_how_they_ended() {
    let api = FakeApi::start().await;
    let task = format!(
        "preconditions: [{{name: p, expression: 'event.id != \"unmet\"'}}]\nresources: [{{name: a, manifest: {{apiVersion: v1, kind: ConfigMap, metadata: {{name: '{{{{ .event.id }}}}', namespace: default}}}}, discovery: {{namespace: default, by_name: '{{{{ .event.id }}}}'}}}}]\n{REPORT}"
    );
    let running = start(&api, &task).await;
    for id in ["good", "unmet", "Not_A_Name"] {
        running
            .publish(id, json!({"id": id, "kind": "Cluster"}))
            .await;
    }
    for status in ["success", "skipped", "failed"] {
        running.processed(status, 1).await;
    }
    assert_eq!(running.count(ERRORS, "resources"), 1);
    running.stop().await;
}

#[test]
fn a204_names_without_the_usual_prefix_or_suffix() {
    assert_eq!(short_name("hyperfleet-adapter-dns"), "dns");
    assert_eq!(short_name("dns-adapter"), "dns");
    assert_eq!(short_name("adapter-dns"), "dns");
    assert_eq!(short_name("dns"), "dns");
}
