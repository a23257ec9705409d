//! Limits on what a request may be.

use axum::body::Body;
use axum::http::Method;
use hyperfleet_runtime::http::{MAX_BODY_BYTES, MAX_HEADER_BYTES, MAX_TARGET_BYTES};
use hyperfleet_tests::app::TestApp;

const CLUSTERS: &str = "/api/hyperfleet/v1/clusters";

#[tokio::test]
async fn a_request_that_is_too_large_is_refused_with_the_limit() {
    let app = TestApp::start().await;
    let path = format!("{CLUSTERS}?name={}", "x".repeat(MAX_TARGET_BYTES));
    let answer = app.send(Method::GET, &path, &[], "").await;
    let detail = "the path and query must be at most 20480 bytes";
    answer.expect_problem(414, "VAL-005", detail);

    let value = "x".repeat(MAX_HEADER_BYTES);
    let answer = app
        .send(Method::GET, CLUSTERS, &[("x-large", &value)], "")
        .await;
    let detail = "the header fields must be at most 32768 bytes together";
    answer.expect_problem(431, "VAL-005", detail);

    let detail = "the body must be at most 1048576 bytes";
    let length = (MAX_BODY_BYTES + 1).to_string();
    let announced = [("content-length", length.as_str())];
    for method in [Method::POST, Method::PUT, Method::GET] {
        let path = if method == Method::PUT {
            format!("{CLUSTERS}/x/statuses")
        } else {
            CLUSTERS.to_owned()
        };
        let answer = app.send(method.clone(), &path, &announced, "").await;
        answer.expect_problem(413, "VAL-006", detail);
        let chunked = Body::from("x".repeat(MAX_BODY_BYTES + 1));
        let answer = app.send(method, &path, &[], chunked).await;
        answer.expect_problem(413, "VAL-006", detail);
    }
    let largest = format!(
        r#"{{"kind":"Cluster","name":"abc","spec":{{"a":"{}"}}}}"#,
        "x".repeat(MAX_BODY_BYTES - 48)
    );
    assert!(largest.len() <= MAX_BODY_BYTES);
    app.send(Method::POST, CLUSTERS, &[], largest)
        .await
        .expect(201);
}
