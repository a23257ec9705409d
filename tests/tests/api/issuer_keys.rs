//! The keys of issuers: rotation without a restart, and issuers that do not answer.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::http::{Method, StatusCode};
use axum::routing::get;
use chrono::TimeDelta;
use hyperfleet_api_types::BASE_PATH;
use hyperfleet_command_api::identity::{IdentityConfig, IdentitySections};
use hyperfleet_domain::Registry;
use hyperfleet_runtime::Clock as _;
use hyperfleet_tests::app::{Answer, TestApp};
use hyperfleet_tests::issuer::TestIssuer;
use serde_json::{Value, json};

const ISSUER: &str = "https://issuer.example.com";

/// A server that publishes keys, and counts how often it is asked.
#[derive(Clone, Default)]
struct KeyServer {
    document: Arc<Mutex<Option<Value>>>,
    asked: Arc<AtomicUsize>,
}

impl KeyServer {
    /// Starts it; the URL of its keys.
    async fn start(&self) -> String {
        let server = self.clone();
        let answer = move || async move {
            server.asked.fetch_add(1, Ordering::SeqCst);
            let document = server.document.lock().expect("not poisoned").clone();
            match document {
                Some(document) => (StatusCode::OK, document.to_string()),
                None => (StatusCode::INTERNAL_SERVER_ERROR, "no keys".to_owned()),
            }
        };
        let router = Router::new().route("/keys", get(answer));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a free port");
        let url = format!("http://{}/keys", listener.local_addr().expect("bound"));
        tokio::spawn(async move { axum::serve(listener, router).await });
        url
    }

    fn publish(&self, documents: &[Value]) {
        let keys: Vec<Value> = documents
            .iter()
            .flat_map(|document| document["keys"].as_array().cloned().unwrap_or_default())
            .collect();
        *self.document.lock().expect("not poisoned") = Some(json!({"keys": keys}));
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

async fn app(config: Value) -> TestApp {
    let config = IdentityConfig::from_sections(IdentitySections {
        jwt: Some(json!({"configs": [config]})),
        ..IdentitySections::default()
    });
    TestApp::with_identity(Registry::builtin(), &config.expect("valid")).await
}

async fn read(app: &TestApp, issuer: &TestIssuer) -> Answer {
    let token = issuer.bearer(app.clock.now(), "a@x");
    let headers = [("authorization", token.as_str())];
    let path = format!("{BASE_PATH}/clusters");
    app.send(Method::GET, &path, &headers, "").await
}

#[tokio::test]
async fn a_new_key_is_fetched_when_a_token_names_it_and_an_old_one_ends() {
    let server = KeyServer::default();
    let url = server.start().await;
    let app = app(json!({"issuer_url": ISSUER, "jwk_cert_url": url})).await;
    let (first, second) = (
        TestIssuer::new(ISSUER, "one"),
        TestIssuer::new(ISSUER, "two"),
    );
    server.publish(&[first.key_document()]);
    read(&app, &first).await.expect(200);
    assert_eq!(server.asked(), 1, "keys are kept");
    read(&app, &first).await.expect(200);
    assert_eq!(server.asked(), 1, "keys are kept");
    server.publish(&[second.key_document()]);
    // Fetched once already: made-up key ids must not become requests to the issuer.
    for _ in 0..5 {
        read(&app, &second).await.expect(401);
    }
    assert_eq!(server.asked(), 1);
    app.clock.advance(TimeDelta::seconds(31));
    read(&app, &second).await.expect(200);
    assert_eq!(server.asked(), 2);
    read(&app, &first)
        .await
        .expect_problem(401, "AUT-002", "invalid JWT token");
}

#[tokio::test]
async fn an_issuer_that_does_not_answer_stops_nothing_and_keeps_its_keys() {
    let server = KeyServer::default();
    let url = server.start().await;
    let app = app(json!({"issuer_url": ISSUER, "jwk_cert_url": url})).await;
    let (first, second) = (
        TestIssuer::new(ISSUER, "one"),
        TestIssuer::new(ISSUER, "two"),
    );
    read(&app, &first).await.expect(401);
    app.send(Method::GET, "/api/hyperfleet", &[], "")
        .await
        .expect(200);
    server.publish(&[first.key_document()]);
    app.clock.advance(TimeDelta::seconds(31));
    read(&app, &first).await.expect(200);
    *server.document.lock().expect("not poisoned") = None;
    app.clock.advance(TimeDelta::seconds(31));
    read(&app, &second).await.expect(401);
    read(&app, &first).await.expect(200);
    let refreshes =
        |outcome: &str| counted(&app, "hyperfleet_api_issuer_key_refreshes_total", outcome);
    assert_eq!(refreshes("read"), Some(1.0));
    assert_eq!(refreshes("failed"), Some(2.0));
}

fn counted(app: &TestApp, name: &str, label: &str) -> Option<f64> {
    let families = app.metrics.gather();
    let family = families.iter().find(|family| family.name() == name)?;
    let metric = family
        .get_metric()
        .iter()
        .find(|metric| metric.get_label().iter().any(|pair| pair.value() == label))?;
    Some(metric.get_counter().get_value())
}

#[tokio::test]
async fn a_changed_file_is_read_again() {
    let issuer = TestIssuer::new(ISSUER, "one");
    let app = app(issuer.config()).await;
    read(&app, &issuer).await.expect(200);
    let second = TestIssuer::new(ISSUER, "two");
    issuer.publish(&second.key_document());
    app.clock.advance(TimeDelta::seconds(31));
    read(&app, &second).await.expect(200);
    read(&app, &issuer).await.expect(401);
    // A file that is being written must not lock everybody out.
    issuer.publish(&json!("not keys"));
    app.clock.advance(TimeDelta::seconds(31));
    read(&app, &TestIssuer::new(ISSUER, "three"))
        .await
        .expect(401);
    read(&app, &second).await.expect(200);
}

#[tokio::test]
async fn a_file_and_a_url_count_together() {
    let server = KeyServer::default();
    let url = server.start().await;
    let (local, remote) = (
        TestIssuer::new(ISSUER, "local"),
        TestIssuer::new(ISSUER, "remote"),
    );
    server.publish(&[remote.key_document()]);
    let mut config = local.config();
    config["jwk_cert_url"] = json!(url);
    let app = app(config).await;
    read(&app, &local).await.expect(200);
    read(&app, &remote).await.expect(200);
}

#[tokio::test]
async fn tokens_of_others_do_not_make_an_issuer_be_asked() {
    let server = KeyServer::default();
    let url = server.start().await;
    let app = app(json!({"issuer_url": ISSUER, "jwk_cert_url": url})).await;
    let stranger = TestIssuer::new("https://else.example.com", "one");
    read(&app, &stranger).await.expect(401);
    assert_eq!(server.asked(), 0);
}
