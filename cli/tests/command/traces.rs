//! Exported traces, received by a collector that keeps them.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::State;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;

use crate::dev::{Dev, cluster_file};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const CALLER: &str = "b7ad6b7169203331";

/// What was received.
#[derive(Clone, Default)]
struct Received(Arc<Mutex<Vec<Exported>>>);

/// A span and who exported it.
#[derive(Clone)]
struct Exported {
    service: String,
    team: String,
    span: Span,
}

impl Received {
    fn keep(&self, request: ExportTraceServiceRequest, team: &str) {
        let mut all = self.0.lock().unwrap();
        for resource_spans in request.resource_spans {
            let resource = resource_spans.resource.unwrap_or_default();
            let service = resource
                .attributes
                .iter()
                .find(|attribute| attribute.key == "service.name");
            let service = format!("{:?}", service.and_then(|service| service.value.clone()));
            for span in resource_spans
                .scope_spans
                .into_iter()
                .flat_map(|scope| scope.spans)
            {
                all.push(Exported {
                    service: service.clone(),
                    team: team.to_owned(),
                    span,
                });
            }
        }
    }

    fn all(&self) -> Vec<Exported> {
        self.0.lock().unwrap().clone()
    }

    /// The spans of the trace that the caller began.
    fn of_trace(&self) -> Vec<Span> {
        let all = self.all().into_iter().map(|exported| exported.span);
        all.filter(|span| hex::encode(&span.trace_id) == TRACE)
            .collect()
    }
}

#[tonic::async_trait]
impl TraceService for Received {
    async fn export(
        &self,
        request: tonic::Request<ExportTraceServiceRequest>,
    ) -> Result<tonic::Response<ExportTraceServiceResponse>, tonic::Status> {
        let team = request.metadata().get("x-team");
        let team = team.and_then(|team| team.to_str().ok()).unwrap_or_default();
        let team = team.to_owned();
        self.keep(request.into_inner(), &team);
        Ok(tonic::Response::new(ExportTraceServiceResponse::default()))
    }
}

async fn listener() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    (listener, url)
}

/// A collector that speaks HTTP.
async fn http_collector() -> (Received, String) {
    let received = Received::default();
    let take = async |State(received): State<Received>, body: Bytes| {
        received.keep(ExportTraceServiceRequest::decode(body).unwrap(), "");
    };
    let router = axum::Router::new()
        .route("/v1/traces", axum::routing::post(take))
        .with_state(received.clone());
    let (listener, url) = listener().await;
    tokio::spawn(async move { axum::serve(listener, router).await });
    (received, url)
}

/// A collector that speaks gRPC.
async fn grpc_collector() -> (Received, String) {
    let received = Received::default();
    let service = TraceServiceServer::new(received.clone());
    let (listener, url) = listener().await;
    let server = tonic::transport::Server::builder().add_service(service);
    tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
    (received, url)
}

fn named<'a>(spans: &'a [Span], name: &str) -> Vec<&'a Span> {
    let found: Vec<&Span> = spans.iter().filter(|span| span.name == name).collect();
    let names: Vec<&str> = spans.iter().map(|span| span.name.as_str()).collect();
    assert!(!found.is_empty(), "no span {name:?} among {names:?}");
    found
}

/// Whether some span of `children` was caused by one of `parents`, however indirectly.
fn follows(spans: &[Span], children: &[&Span], parents: &[&Span]) -> bool {
    children.iter().any(|child| {
        let mut current = *child;
        loop {
            if parents
                .iter()
                .any(|parent| parent.span_id == current.parent_span_id)
            {
                return true;
            }
            let next = spans
                .iter()
                .find(|span| span.span_id == current.parent_span_id);
            let Some(next) = next else { return false };
            current = next;
        }
    })
}

async fn post_cluster(dev: &Dev, folder: &std::path::Path, name: &str) -> Value {
    let body = std::fs::read_to_string(cluster_file(folder, name)).unwrap();
    let answer = reqwest::Client::new()
        .post(format!("{}/api/hyperfleet/v1/clusters", dev.url))
        .header("traceparent", format!("00-{TRACE}-{CALLER}-01"))
        .header("content-type", "application/json")
        .body(body)
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 201);
    serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_one_trace_through_sentinel_and_adapters_and_back() {
    // Given a whole control plane that exports to a collector
    let (received, url) = http_collector().await;
    let folder = tempfile::tempdir().unwrap();
    let environment = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", url.as_str()),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"),
    ];
    let data_dir = folder.path().join("data");
    let dev = Dev::start_with(&["dev", "--job-delay", "200"], &data_dir, &environment).await;
    // When a caller with a trace creates a cluster, and it becomes reconciled
    let cluster = post_cluster(&dev, folder.path(), "traced").await;
    dev.ok(&["wait", "cluster", "traced", "--timeout", "120"])
        .await;
    let history = dev
        .ok(&["history", "cluster", "traced", "-o", "json"])
        .await;
    dev.stop().await;
    // Then everything that it caused is in the caller's trace, each span below its cause
    let spans = received.of_trace();
    let post = named(&spans, "POST /api/hyperfleet/v1/clusters");
    let post = post.as_slice();
    assert_eq!(hex::encode(&post[0].parent_span_id), CALLER);
    assert!(follows(&spans, &named(&spans, "append"), post));
    let publish = named(&spans, "hyperfleet-clusters publish");
    assert!(follows(&spans, &publish, post));
    let execute = named(&spans, "Execute");
    assert!(follows(&spans, &execute, &publish));
    let put = named(&spans, "HTTP PUT");
    assert!(follows(&spans, &put, &execute));
    let report = named(&spans, "PUT /api/hyperfleet/v1/clusters/{id}/statuses");
    assert!(follows(&spans, &report, &put));
    // And the history names the trace
    let history: Value = serde_json::from_str(&history).unwrap();
    let id = cluster["id"].as_str().unwrap();
    assert!(history.to_string().contains(id), "{history}");
    assert_eq!(history["items"][0]["trace_id"], json!(TRACE), "{history}");
}

#[tokio::test(flavor = "multi_thread")]
async fn spans_go_by_grpc_with_headers_and_the_services_name_unless_none_is_sampled() {
    let (received, url) = grpc_collector().await;
    let folder = tempfile::tempdir().unwrap();
    let environment = |ratio| {
        [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", url.as_str()),
            ("OTEL_EXPORTER_OTLP_HEADERS", "x-team=fleet"),
            ("OTEL_TRACES_SAMPLER_ARG", ratio),
        ]
    };
    // Given an API that exports no trace of its own, when it is asked, then nothing is exported
    let data_dir = folder.path().join("data");
    let api = Dev::start_with(&["api"], &data_dir, &environment("0")).await;
    api.ok(&["get", "clusters"]).await;
    api.stop().await;
    assert_eq!(received.all().len(), 0);
    // But a trace that its caller exports goes on
    let api = Dev::start_with(&["api"], &data_dir, &environment("0")).await;
    post_cluster(&api, folder.path(), "sampled").await;
    api.stop().await;
    named(&received.of_trace(), "POST /api/hyperfleet/v1/clusters");
    // Given one that exports all, when it is asked, then the span says who answered
    let api = Dev::start_with(&["api"], &data_dir, &environment("1")).await;
    api.ok(&["get", "clusters"]).await;
    api.stop().await;
    let all = received.all();
    let list = all
        .iter()
        .find(|exported| exported.span.name == "GET /api/hyperfleet/v1/clusters");
    let list = list.expect("the list is exported");
    assert!(list.service.contains("hyperfleet-api"), "{}", list.service);
    assert_eq!(list.team, "fleet");
    let attributes = format!("{:?}", list.span.attributes);
    assert!(
        attributes.contains("http.response.status_code"),
        "{attributes}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_is_away_holds_up_nobody() {
    // Given an API whose collector does not answer
    let (listener, url) = listener().await;
    let folder = tempfile::tempdir().unwrap();
    let environment = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", url.as_str()),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"),
    ];
    let mut api = Dev::start_with(&["api"], &folder.path().join("data"), &environment).await;
    drop(listener);
    // When clusters are created
    let started = std::time::Instant::now();
    for index in 0..20 {
        post_cluster(&api, folder.path(), &format!("alone-{index}")).await;
    }
    // Then none waits for it
    assert!(
        started.elapsed() < Duration::from_secs(10),
        "{:?}",
        started.elapsed()
    );
    // And the lost spans are counted
    let metrics = format!("{}/metrics", api.metrics_url().await);
    let lost = async {
        loop {
            let text = reqwest::get(&metrics).await.unwrap().text().await.unwrap();
            let failed = text.lines().find_map(|line| {
                line.strip_prefix("hyperfleet_trace_spans_total{result=\"failed\"} ")
            });
            if failed.is_some_and(|failed| failed.parse::<f64>().unwrap() >= 20.0) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(Duration::from_mins(1), lost)
        .await
        .expect("failed exports are counted");
    api.stop().await;
}
