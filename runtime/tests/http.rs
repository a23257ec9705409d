//! The layers that every server shares.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response, StatusCode};
use axum::routing::{get, post};
use http_body_util::BodyExt as _;
use hyperfleet_api_types::problem::{Fault, codes};
use hyperfleet_runtime::health::Health;
use hyperfleet_runtime::http::{FaultResponse, HttpMetrics, layered};
use hyperfleet_runtime::{ManualClock, SequentialIds};
use serde_json::{Value, json};
use tower::ServiceExt as _;

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
        .route(
            "/v1/panic",
            get(async || -> &'static str { panic!("oops") }),
        );
    let clock = ManualClock::new("2026-01-02T03:04:05Z".parse().unwrap());
    layered(routes, Arc::new(clock), Arc::new(SequentialIds::new()))
}

async fn send(method: &str, path: &str) -> Response<Body> {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .body(Body::empty())
        .unwrap();
    router().oneshot(request).await.unwrap()
}

async fn json_body(response: Response<Body>) -> Value {
    serde_json::from_slice(&response.into_body().collect().await.unwrap().to_bytes()).unwrap()
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
    assert_eq!(json_body(response).await["code"], "HYPERFLEET-INT-001");
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
