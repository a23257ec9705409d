//! The layers that every server shares.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response, StatusCode};
use axum::routing::{get, post};
use http_body_util::BodyExt as _;
use hyperfleet_api_types::problem::{Fault, codes};
use hyperfleet_runtime::health::Health;
use hyperfleet_runtime::http::{FaultResponse, HttpMetrics, layered, serve};
use hyperfleet_runtime::{ManualClock, SequentialIds};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

/// Longer than any of these tests should take.
const PATIENCE: Duration = Duration::from_secs(20);

fn router() -> Router {
    let routes = Router::new()
        .route(
            "/v1/things/{id}",
            get(|| async { "thing" }).delete(|| async { "gone" }),
        )
        .route("/v1/things", post(|| async { "made" }))
        .route(
            "/v1/fault",
            get(|| async { FaultResponse(Fault::new(codes::STATE_CONFLICT, "not now")) }),
        )
        .route("/v1/panic", get(panics));
    let clock = ManualClock::new("2026-01-02T03:04:05Z".parse().expect("a time"));
    layered(routes, Arc::new(clock), Arc::new(SequentialIds::new()))
}

#[expect(clippy::panic, reason = "what a handler must never do")]
async fn panics() -> &'static str {
    panic!("oops")
}

async fn send(method: &str, path: &str) -> Response<Body> {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .body(Body::empty())
        .expect("a request");
    router().oneshot(request).await.expect("an answer")
}

async fn json_body(response: Response<Body>) -> Value {
    let body = response.into_body().collect().await.expect("a body");
    serde_json::from_slice(&body.to_bytes()).expect("JSON")
}

#[tokio::test]
async fn a_fault_becomes_a_problem_document_of_its_request() {
    let response = send("GET", "/v1/fault").await;
    assert_eq!(response.status(), StatusCode::CONFLICT);
    assert_eq!(
        response.headers()["content-type"],
        "application/problem+json"
    );
    let id = response.headers()["x-request-id"]
        .to_str()
        .unwrap()
        .to_owned();
    let problem = json_body(response).await;
    assert_eq!(problem["detail"], "not now");
    assert_eq!(problem["instance"], "/v1/fault");
    assert_eq!(problem["trace_id"], json!(id));
    assert_eq!(problem["timestamp"], "2026-01-02T03:04:05Z");
}

#[tokio::test]
async fn an_unknown_path_is_a_problem_without_a_request_id() {
    let response = send("GET", "/nowhere?x=1").await;
    assert_eq!(response.status(), StatusCode::NOT_FOUND);
    assert!(!response.headers().contains_key("x-request-id"));
    let problem = json_body(response).await;
    assert_eq!(problem["code"], "HYPERFLEET-NTF-000");
    assert_eq!(
        problem["detail"],
        "The requested endpoint '/nowhere' does not exist"
    );
    assert_eq!(problem["trace_id"], "");
}

#[tokio::test]
async fn a_wrong_method_names_the_right_ones_in_order() {
    let response = send("PUT", "/v1/things/1").await;
    assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(response.headers()["allow"], "DELETE, GET, HEAD");
    assert!(!response.headers().contains_key("x-request-id"));
    assert_eq!(
        response.into_body().collect().await.unwrap().to_bytes(),
        "Method Not Allowed"
    );
}

#[tokio::test]
async fn one_trailing_slash_is_forgiven() {
    assert_eq!(send("GET", "/v1/things/1/").await.status(), StatusCode::OK);
    assert_eq!(
        send("HEAD", "/v1/things/1/?x=1").await.status(),
        StatusCode::OK
    );
}

#[tokio::test]
async fn a_panic_is_a_problem_document() {
    let response = send("GET", "/v1/panic").await;
    assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
    let id = response.headers()["x-request-id"].clone();
    let problem = json_body(response).await;
    assert_eq!(problem["code"], "HYPERFLEET-INT-001");
    assert_eq!(problem["trace_id"], id.to_str().unwrap());
}

#[tokio::test]
async fn a_path_with_an_empty_segment_is_sent_to_the_clean_one() {
    let response = send("GET", "/v1//things///1?x=//").await;
    assert_eq!(response.status(), StatusCode::MOVED_PERMANENTLY);
    assert_eq!(response.headers()["location"], "/v1/things/1?x=//");
}

#[tokio::test]
async fn open_requests_are_answered_before_the_server_ends() {
    // Given a server with a request that waits
    let (entered, mut inside) = tokio::sync::mpsc::channel::<()>(1);
    let release = Arc::new(tokio::sync::Notify::new());
    let gate = Arc::clone(&release);
    let handler = move || async move {
        entered.send(()).await.unwrap();
        gate.notified().await;
        "late"
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/slow", listener.local_addr().unwrap());
    let shutdown = CancellationToken::new();
    let routes = Router::new().route("/slow", get(handler));
    let server = tokio::spawn(serve(listener, routes, shutdown.clone(), PATIENCE));
    let request = tokio::spawn(async move { reqwest::get(url).await?.text().await });
    inside.recv().await.unwrap();

    // When the server is asked to end, and the request may go on
    shutdown.cancel();
    release.notify_one();

    // Then the request is answered and the server ends well before its patience does
    assert_eq!(request.await.unwrap().unwrap(), "late");
    server.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_request_that_never_ends_does_not_hold_the_server() {
    let (entered, mut inside) = tokio::sync::mpsc::channel::<()>(1);
    let handler = move || async move {
        entered.send(()).await.unwrap();
        std::future::pending::<()>().await;
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/stuck", listener.local_addr().unwrap());
    let shutdown = CancellationToken::new();
    let routes = Router::new().route("/stuck", get(handler));
    let server = tokio::spawn(serve(
        listener,
        routes,
        shutdown.clone(),
        Duration::from_millis(50),
    ));
    let _request = tokio::spawn(reqwest::get(url));
    inside.recv().await.unwrap();

    shutdown.cancel();

    let ended = tokio::time::timeout(PATIENCE, server).await;
    ended.expect("the drain has a deadline").unwrap().unwrap();
}

#[tokio::test]
async fn requests_are_counted_by_route() {
    let registry = prometheus::Registry::new();
    let metrics = HttpMetrics::register(&registry, "api", "1.2.3").unwrap();
    let routes = metrics.count(Router::new().route("/things/{id}", get(|| async { "thing" })));
    let request = Request::builder()
        .uri("/things/7")
        .body(Body::empty())
        .unwrap();
    routes.oneshot(request).await.unwrap();
    let response = hyperfleet_runtime::metrics::router(registry)
        .oneshot(
            Request::builder()
                .uri("/metrics")
                .body(Body::empty())
                .unwrap(),
        )
        .await
        .unwrap();
    let text = String::from_utf8(
        response
            .into_body()
            .collect()
            .await
            .unwrap()
            .to_bytes()
            .to_vec(),
    )
    .unwrap();
    let expected = r#"hyperfleet_api_requests_total{code="200",component="api",method="GET",path="/things/-",version="1.2.3"} 1"#;
    assert!(text.contains(expected), "{text}");
}

#[tokio::test]
async fn readiness_follows_the_life_of_the_process() {
    let health = Health::new(|| async { Err("database unavailable".to_owned()) });
    let ask = async |path: &'static str| {
        let request = Request::builder().uri(path).body(Body::empty()).unwrap();
        json_body(health.clone().router().oneshot(request).await.unwrap()).await
    };
    assert_eq!(ask("/healthz").await, json!({"status": "ok"}));
    assert_eq!(
        ask("/readyz").await,
        json!({"status": "not_ready", "reason": "Application is not ready"})
    );
    health.ready();
    assert_eq!(
        ask("/readyz").await,
        json!({"status": "not_ready", "reason": "database unavailable"})
    );
    health.shutting_down();
    assert_eq!(
        ask("/readyz").await,
        json!({"status": "shutting_down", "reason": "Application is shutting down"})
    );
}
