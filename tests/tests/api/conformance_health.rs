//! The health and metrics servers.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use http_body_util::BodyExt as _;
use hyperfleet_runtime::health::Health;
use hyperfleet_runtime::{ManualClock, UuidV7Source};
use serde_json::{Value, json};
use sqlx::PgPool;
use tower::ServiceExt as _;

fn layered(router: Router) -> Router {
    let clock = Arc::new(ManualClock::default());
    hyperfleet_runtime::http::layered(router, clock, Arc::new(UuidV7Source))
}

/// The health server of a process that has started, with readiness as long as the pool answers.
fn health(pool: PgPool) -> Router {
    let health = Health::new(move || {
        let pool = pool.clone();
        async move {
            let answer = sqlx::query("SELECT 1").execute(&pool).await;
            answer.map(|_| ()).map_err(|error| error.to_string())
        }
    });
    health.ready();
    layered(health.router())
}

async fn get(router: &Router, path: &str) -> (u16, Value) {
    let request = Request::get(path).body(Body::empty()).expect("a request");
    let response = router.clone().oneshot(request).await.expect("an answer");
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.expect("a body");
    let body = serde_json::from_slice(&body.to_bytes()).unwrap_or_default();
    (status, body)
}

#[tokio::test]
async fn case_13_and_14_health_and_readiness() {
    let database = hyperfleet_test_support::database().await;
    let server = health(database.pool.clone());
    let ok = json!({"status": "ok"});
    assert_eq!(get(&server, "/healthz").await, (200, ok.clone()));
    assert_eq!(get(&server, "/readyz").await, (200, ok.clone()));
    database.pool.close().await;
    let (status, body) = get(&server, "/readyz").await;
    assert_eq!((status, &body["status"]), (503, &json!("not_ready")));
    assert!(body["reason"].as_str().is_some_and(|text| !text.is_empty()));
    assert_eq!(get(&server, "/healthz").await, (200, ok));
}

#[tokio::test]
async fn case_15_unknown_paths_of_the_side_servers() {
    let pool = PgPool::connect_lazy("postgres://127.0.0.1/none").expect("a valid address");
    let metrics = hyperfleet_runtime::metrics::router(prometheus::Registry::new());
    for server in [health(pool), layered(metrics)] {
        let (status, body) = get(&server, "/x").await;
        assert_eq!(status, 404);
        assert_eq!(body["code"], "HYPERFLEET-NTF-000");
        assert_eq!(body["detail"], "The requested endpoint '/x' does not exist");
    }
}
