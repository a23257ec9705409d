//! How often each caller may ask.

use axum::http::Method;
use hyperfleet_api_types::BASE_PATH;
use hyperfleet_command_api::identity::{IdentityConfig, IdentitySections};
use hyperfleet_domain::Registry;
use hyperfleet_runtime::Clock as _;
use hyperfleet_tests::app::{Answer, TestApp};
use hyperfleet_tests::issuer::TestIssuer;
use serde_json::json;

/// Two requests at once, then one in a thousand seconds: no test waits for the next.
fn limited(issuer: Option<&TestIssuer>) -> IdentityConfig {
    let config = IdentityConfig::from_sections(IdentitySections {
        jwt: issuer.map(|issuer| json!({"configs": [issuer.config()]})),
        rate_limit: Some(json!({"enabled": true, "requests_per_second": 0.001, "burst": 2})),
        ..IdentitySections::default()
    });
    config.expect("valid")
}

#[tokio::test]
async fn each_caller_has_a_rate_of_its_own() {
    let issuer = TestIssuer::new("https://issuer.example.com", "key");
    let app = TestApp::with_identity(Registry::builtin(), &limited(Some(&issuer))).await;
    let read = async |email: &str| -> Answer {
        let token = issuer.bearer(app.clock.now(), email);
        let headers = [("authorization", token.as_str())];
        let path = format!("{BASE_PATH}/clusters");
        app.send(Method::GET, &path, &headers, "").await
    };
    read("a@x").await.expect(200);
    read("a@x").await.expect(200);
    let refused = read("a@x").await.expect(429);
    assert_eq!(refused.body["code"], "HYPERFLEET-LMT-001");
    assert_eq!(refused.body["title"], "Rate Limit Exceeded");
    let wait: u64 = refused
        .header("retry-after")
        .parse()
        .expect("whole seconds");
    assert!((1..=1000).contains(&wait), "{wait}");
    read("b@x").await.expect(200);
}

#[tokio::test]
async fn who_proves_nothing_is_limited_by_where_they_come_from() {
    let issuer = TestIssuer::new("https://issuer.example.com", "key");
    let app = TestApp::with_identity(Registry::builtin(), &limited(Some(&issuer))).await;
    let path = format!("{BASE_PATH}/clusters");
    let guess = async || {
        let headers = [("authorization", "Bearer a.b.c")];
        app.send(Method::GET, &path, &headers, "").await
    };
    guess().await.expect(401);
    guess().await.expect(401);
    guess().await.expect(429);
    let token = issuer.bearer(app.clock.now(), "a@x");
    let headers = [("authorization", token.as_str())];
    app.send(Method::GET, &path, &headers, "").await.expect(200);
}

#[tokio::test]
async fn without_tokens_every_address_has_a_rate_of_its_own() {
    let app = TestApp::with_identity(Registry::builtin(), &limited(None)).await;
    app.get("clusters").await.expect(200);
    app.get("clusters").await.expect(200);
    app.get("clusters").await.expect(429);
    app.get("openapi").await.expect(200);
}
