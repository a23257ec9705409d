//! Transport and fixed endpoints.

use axum::http::Method;
use hyperfleet_tests::app::TestApp;
use serde_json::Value;

#[tokio::test]
async fn case_1_and_2_version_and_openapi_documents() {
    let app = TestApp::start().await;
    let version = app
        .send(Method::GET, "/api/hyperfleet", &[], "")
        .await
        .expect(200);
    assert_eq!(version.body["id"], "hyperfleet");
    assert_eq!(version.body["kind"], "API");
    assert_eq!(version.body["href"], "/api/hyperfleet");
    assert!(version.body["version"].is_string() && version.body["build_time"].is_string());
    let openapi = app.get("openapi").await.expect(200);
    assert_eq!(openapi.header("content-type"), "application/json");
    assert!(openapi.body["info"]["title"].is_string());
    assert!(
        openapi.body["paths"]
            .as_object()
            .is_some_and(|paths| !paths.is_empty())
    );
}

#[tokio::test]
async fn case_4_an_unknown_path_is_named() {
    let app = TestApp::start().await;
    let answer = app.get("nothing").await.expect_problem(
        404,
        "NTF-000",
        "The requested endpoint '/api/hyperfleet/v1/nothing' does not exist",
    );
    assert_eq!(answer.body["trace_id"], "");
    assert_eq!(answer.header("x-request-id"), "");
}

#[tokio::test]
async fn case_5_and_6_a_wrong_method_is_told_which_are_right() {
    let app = TestApp::start().await;
    let id = app.cluster("abc").await;
    for (method, path, allow) in [
        (Method::PUT, "clusters".to_owned(), "GET, HEAD, POST"),
        (
            Method::PUT,
            format!("clusters/{id}"),
            "DELETE, GET, HEAD, PATCH",
        ),
        (
            Method::POST,
            format!("clusters/{id}/statuses"),
            "GET, HEAD, PUT",
        ),
        (Method::GET, format!("clusters/{id}/force-delete"), "POST"),
        (
            Method::PUT,
            format!("clusters/{id}/nodepools"),
            "GET, HEAD, POST",
        ),
    ] {
        let answer = app.request(method, &path, &Value::Null).await.expect(405);
        assert_eq!(answer.header("allow"), allow, "{path}");
        assert!(
            answer.header("content-type").starts_with("text/plain"),
            "{path}"
        );
        assert_eq!(answer.text.trim_end(), "Method Not Allowed");
    }
}

#[tokio::test]
async fn case_7_and_8_trailing_slash_and_head() {
    let app = TestApp::start().await;
    app.cluster("abc").await;
    let with = app.get("clusters/").await.expect(200);
    let without = app.get("clusters").await.expect(200);
    assert_eq!(with.body, without.body);
    let head = app
        .request(Method::HEAD, "clusters", &Value::Null)
        .await
        .expect(200);
    assert_eq!(head.text, "");
}

#[tokio::test]
async fn case_9_the_request_id_is_the_servers_own() {
    let app = TestApp::start().await;
    let path = "/api/hyperfleet/v1/clusters";
    let answer = app
        .send(Method::GET, path, &[("x-request-id", "abc")], "")
        .await
        .expect(200);
    let id = uuid::Uuid::parse_str(answer.header("x-request-id")).expect("a UUID");
    assert_eq!(id.get_version_num(), 7);
}

#[tokio::test]
async fn case_10_a_missing_resource_is_a_full_problem() {
    let app = TestApp::start().await;
    let answer =
        app.get("clusters/x")
            .await
            .expect_problem(404, "NTF-001", "Cluster with id='x' not found");
    assert_eq!(answer.body["instance"], "/api/hyperfleet/v1/clusters/x");
    assert_eq!(answer.text_of("trace_id"), answer.header("x-request-id"));
    assert_eq!(answer.header("vary"), "Authorization");
    assert_eq!(answer.body["title"], "Resource Not Found");
    assert_eq!(
        answer.body["type"],
        "https://api.hyperfleet.io/errors/not-found"
    );
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused_before_it_is_read() {
    let app = TestApp::start().await;
    let body = "x".repeat(hyperfleet_command_api::routes::MAX_BODY_BYTES + 1);
    let answer = app
        .send(Method::POST, "/api/hyperfleet/v1/clusters", &[], body)
        .await;
    let detail = "the body must be at most 1048576 bytes";
    answer.expect_problem(413, "VAL-006", detail);
}

#[tokio::test]
async fn ids_that_cannot_be_are_not_found_and_texts_that_cannot_be_stored_are_refused() {
    let app = TestApp::start().await;
    let id = app.cluster("abc").await;
    let patch = serde_json::json!({"spec": {"a": 1}});
    for id in ["%00", "%FF", "a%2Fb", "%E2%98%83", "%27%3B--"] {
        for path in [
            format!("clusters/{id}"),
            format!("clusters/{id}/statuses"),
            format!("clusters/{id}/history"),
            format!("clusters/{id}/nodepools"),
            format!("clusters/{id}/nodepools/{id}"),
        ] {
            let answer = app.get(&path).await.expect(404);
            assert_eq!(answer.body["code"], "HYPERFLEET-NTF-001", "{path}");
        }
        app.patch(&format!("clusters/{id}"), &patch)
            .await
            .expect(404);
        app.delete(&format!("clusters/{id}")).await.expect(404);
    }
    app.get("clusters?name=%00").await.expect(400);
    app.get("history?kind=Cluster&name=%00").await.expect(400);
    for body in [r#"{"spec":{"a":"\u0000"}}"#, r#"{"spec":{"a\u0000":1}}"#] {
        let path = format!("/api/hyperfleet/v1/clusters/{id}");
        let answer = app.send(Method::PATCH, &path, &[], body).await.expect(400);
        assert_eq!(answer.body["code"], "HYPERFLEET-VAL-006");
    }
}

#[tokio::test]
async fn case_242_without_a_database_the_service_is_unavailable() {
    let app = TestApp::start().await;
    let id = app.cluster("abc").await;
    app.pool().close().await;
    app.store.pool().close().await;
    let detail = "Database connection unavailable";
    let patch = serde_json::json!({"spec": {"a": 1}});
    app.get("clusters")
        .await
        .expect_problem(503, "SVC-001", detail);
    app.get(&format!("clusters/{id}/history"))
        .await
        .expect_problem(503, "SVC-001", detail);
    let answer = app.patch(&format!("clusters/{id}"), &patch).await;
    answer.expect_problem(503, "SVC-001", detail);
}
