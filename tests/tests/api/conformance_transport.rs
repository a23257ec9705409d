//! Transport and fixed endpoints.

use std::io::Read as _;

use axum::http::Method;
use hyperfleet_tests::app::{Answer, TestApp};
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
    assert_eq!(openapi.body["openapi"], "3.0.0");
    assert!(openapi.body["info"]["version"].is_string());
    assert!(openapi.body["info"]["title"].is_string());
    assert!(
        openapi.body["paths"]
            .as_object()
            .is_some_and(|paths| !paths.is_empty())
    );
}

#[tokio::test]
async fn case_3_the_page_loads_everything_from_here() {
    let app = TestApp::start().await;
    let page = app.get("openapi.html").await.expect(200);
    assert!(page.header("content-type").starts_with("text/html"));
    assert!(
        page.header("content-security-policy")
            .starts_with("default-src 'self'")
    );
    let addresses: Vec<&str> = page
        .text
        .split(['"', '\''])
        .filter(|text| text.contains("openapi/"))
        .collect();
    assert!(addresses.len() >= 4, "{}", page.text);
    assert!(!page.text.contains("://"), "{}", page.text);
    for address in addresses {
        let file = app.get(address).await.expect(200);
        assert!(!file.bytes.is_empty(), "{address}");
    }
    let configuration = app
        .get("openapi/ui/swagger-initializer.js")
        .await
        .expect(200);
    assert!(
        configuration.text.contains("\"url\": \"openapi\""),
        "{}",
        configuration.text
    );
    let unknown = app.get("openapi/ui/nothing.js").await.expect(404);
    assert_eq!(unknown.text_of("code"), "HYPERFLEET-NTF-000");
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

/// A request for the list of clusters with an `Accept-Encoding`.
async fn list_encoded(app: &TestApp, accepted: &str) -> Answer {
    let path = "/api/hyperfleet/v1/clusters";
    app.send(Method::GET, path, &[("accept-encoding", accepted)], "")
        .await
        .expect(200)
}

#[tokio::test]
async fn case_11_an_answer_is_compressed_for_those_who_want_it() {
    let app = TestApp::start().await;
    for accepted in ["gzip", "deflate, GZIP;q=0.1", "*"] {
        for clusters in 0..2 {
            if clusters == 1 {
                app.create(
                    "clusters",
                    "Cluster",
                    &format!("cluster-{}", accepted.len()),
                )
                .await;
            }
            let plain = list_encoded(&app, "identity").await;
            let answer = list_encoded(&app, accepted).await;
            assert_eq!(answer.header("content-encoding"), "gzip", "{accepted}");
            assert_eq!(answer.header("vary"), "Authorization, Accept-Encoding");
            assert_eq!(unzipped(&answer), plain.body);
        }
    }
    // Outside of the base path, without content, and for problems: as it is.
    let accepts = [("accept-encoding", "gzip")];
    let version = app
        .send(Method::GET, "/api/hyperfleet", &accepts, "")
        .await
        .expect(200);
    assert_eq!(version.header("content-encoding"), "");
    let missing = app
        .send(Method::GET, "/api/hyperfleet/v1/clusters/x", &accepts, "")
        .await;
    let missing = missing.expect_problem(404, "NTF-001", "Cluster with id='x' not found");
    assert_eq!(missing.header("content-encoding"), "");
    assert_eq!(missing.header("vary"), "Authorization");
}

fn unzipped(answer: &Answer) -> Value {
    let mut text = String::new();
    flate2::read::GzDecoder::new(answer.bytes.as_slice())
        .read_to_string(&mut text)
        .expect("gzip");
    serde_json::from_str(&text).expect("JSON")
}

#[tokio::test]
async fn case_12_an_answer_is_not_compressed_for_those_who_refuse_it() {
    let app = TestApp::start().await;
    for refused in ["gzip;q=0", "gzip;q=0.0, *", "br", "", "*;q=0"] {
        let answer = list_encoded(&app, refused).await;
        assert_eq!(answer.header("content-encoding"), "", "{refused}");
        assert_eq!(answer.header("vary"), "Authorization", "{refused}");
        assert_eq!(answer.body["total"], 0);
    }
}

#[tokio::test]
async fn every_get_answers_head_and_no_other_method_is_let_through() {
    let app = TestApp::start().await;
    let id = app.cluster("abc").await;
    for (path, allow) in [
        ("openapi".to_owned(), "GET, HEAD"),
        ("openapi/v3.1".to_owned(), "GET, HEAD"),
        ("openapi.html".to_owned(), "GET, HEAD"),
        ("summary".to_owned(), "GET, HEAD"),
        ("clusters".to_owned(), "GET, HEAD, POST"),
        ("resources".to_owned(), "GET, HEAD, POST"),
        (format!("resources/{id}"), "DELETE, GET, HEAD, PATCH"),
        (format!("resources/{id}/statuses"), "GET, HEAD, PUT"),
        (format!("resources/{id}/history"), "GET, HEAD"),
        (format!("clusters/{id}/nodepools"), "GET, HEAD, POST"),
    ] {
        let head = app.request(Method::HEAD, &path, &Value::Null).await;
        assert_eq!((head.status, head.text.as_str()), (200, ""), "{path}");
        let get = app.get(&path).await.expect(200);
        assert_eq!(head.header("content-type"), get.header("content-type"));
        let wrong = app.request(Method::OPTIONS, &path, &Value::Null).await;
        assert_eq!(
            (wrong.status, wrong.header("allow")),
            (405, allow),
            "{path}"
        );
        assert_eq!(wrong.header("x-request-id"), "", "{path}");
    }
    let force = format!("resources/{id}/force-delete");
    let wrong = app.get(&force).await.expect(405);
    assert_eq!(wrong.header("allow"), "POST");
}

#[tokio::test]
async fn a_path_with_an_empty_segment_is_sent_to_the_clean_one() {
    let app = TestApp::start().await;
    let answer = app.get("/clusters//x?size=1").await.expect(301);
    assert_eq!(
        answer.header("location"),
        "/api/hyperfleet/v1/clusters/x?size=1"
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
    let search = "labels.a%5B%00%5D%3D%27b%27";
    app.get(&format!("clusters?search={search}"))
        .await
        .expect(400);
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
