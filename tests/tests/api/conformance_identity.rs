//! Who calls: tokens and names.

use std::time::Duration;

use axum::http::Method;
use hyperfleet_api_types::BASE_PATH;
use hyperfleet_api_types::client::{Client, Collection, Credentials, ListOptions};
use hyperfleet_command_api::identity::{IdentityConfig, IdentitySections};
use hyperfleet_domain::Registry;
use hyperfleet_runtime::Clock as _;
use hyperfleet_runtime::http::serve;
use hyperfleet_tests::app::{Answer, Report, TestApp};
use hyperfleet_tests::issuer::TestIssuer;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

const ISSUER: &str = "https://issuer.example.com";

const INVALID: &str = "invalid JWT token";
const NOT_BEARER: &str = "authorization header does not use Bearer scheme";
const NO_NAME: &str = "Caller identity is required for mutating requests but could not be resolved";

/// An API that accepts the tokens of one issuer, configured with `more`.
struct Secured {
    app: TestApp,
    issuer: TestIssuer,
}

impl Secured {
    async fn with(more: Value) -> Self {
        let issuer = TestIssuer::new(ISSUER, "key-1");
        let mut config = issuer.config();
        let members = config.as_object_mut().expect("an object");
        members.extend(more.as_object().cloned().unwrap_or_default());
        let app = secured(&[config]).await;
        Self { app, issuer }
    }

    fn claims(&self) -> Value {
        self.issuer.claims(self.app.clock.now(), "a@x")
    }

    /// A request with the header `Authorization`, and others.
    async fn send(&self, method: Method, path: &str, token: &str, more: &[(&str, &str)]) -> Answer {
        let mut headers = vec![("authorization", token)];
        headers.extend_from_slice(more);
        self.send_body(method, path, &headers, "").await
    }

    async fn send_body(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Answer {
        let path = format!("{BASE_PATH}/{path}");
        self.app.send(method, &path, headers, body.to_owned()).await
    }

    /// A read with a token of these claims.
    async fn read_with(&self, claims: &Value) -> Answer {
        let token = format!("Bearer {}", self.issuer.sign(claims));
        self.send(Method::GET, "clusters", &token, &[]).await
    }

    /// A creation with a token of these claims and other headers.
    async fn create_with(&self, claims: &Value, more: &[(&str, &str)], name: &str) -> Answer {
        let token = format!("Bearer {}", self.issuer.sign(claims));
        let mut headers = vec![("authorization", token.as_str())];
        headers.extend_from_slice(more);
        let body = json!({"kind": "Cluster", "name": name, "spec": {}}).to_string();
        self.send_body(Method::POST, "clusters", &headers, &body)
            .await
    }
}

async fn secured(issuers: &[Value]) -> TestApp {
    let config = IdentityConfig::from_sections(IdentitySections {
        jwt: Some(json!({"enabled": true, "configs": issuers})),
        ..IdentitySections::default()
    });
    TestApp::with_identity(Registry::builtin(), &config.expect("valid")).await
}

fn with(mut claims: Value, member: &str, value: Value) -> Value {
    claims[member] = value;
    claims
}

fn without(mut claims: Value, member: &str) -> Value {
    claims.as_object_mut().expect("claims").remove(member);
    claims
}

#[tokio::test]
async fn case_215_without_a_token_nobody_gets_in() {
    let api = Secured::with(json!({})).await;
    for (method, path) in [
        (Method::GET, "clusters"),
        (Method::POST, "clusters"),
        (Method::GET, "clusters/x"),
        (Method::GET, "history?kind=Cluster&name=x"),
        (Method::GET, "summary"),
    ] {
        let answer = api.send_body(method, path, &[], "").await;
        let answer = answer.expect_problem(401, "AUT-001", "missing authorization header");
        assert_eq!(answer.header("www-authenticate"), "");
        assert_eq!(answer.header("vary"), "Authorization");
        assert_eq!(answer.text_of("trace_id"), answer.header("x-request-id"));
    }
}

#[tokio::test]
async fn case_216_the_header_must_be_a_bearer_token() {
    let api = Secured::with(json!({})).await;
    for value in ["Basic x", "Bearer a b", "Bearer", "", "x"] {
        let answer = api.send(Method::GET, "clusters", value, &[]).await;
        answer.expect_problem(401, "AUT-002", NOT_BEARER);
    }
}

#[tokio::test]
async fn case_217_an_expired_token_is_good_for_half_a_minute_more() {
    let api = Secured::with(json!({})).await;
    let now = api.app.clock.now().timestamp();
    let expires = |at: i64| with(api.claims(), "exp", json!(at));
    api.read_with(&expires(now - 10)).await.expect(200);
    let late = api.read_with(&expires(now - 60)).await;
    late.expect_problem(401, "AUT-003", "JWT token has expired");
    // Also when there is more wrong with it.
    let other = with(expires(now - 60), "iss", json!("https://else.example.com"));
    let other = api.read_with(&other).await;
    other.expect_problem(401, "AUT-003", "JWT token has expired");
}

#[tokio::test]
async fn case_218_a_token_must_be_signed_by_the_issuer_for_this_audience_with_an_end() {
    let api = Secured::with(json!({"audience": "hyperfleet"})).await;
    let good = api.claims();
    api.read_with(&good).await.expect(200);
    let single = with(api.claims(), "aud", json!("hyperfleet"));
    api.read_with(&single).await.expect(200);
    let now = api.app.clock.now().timestamp();
    let stranger = TestIssuer::new(ISSUER, "key-1");
    let mut changed = api.issuer.sign(&good);
    let at = changed.rfind('.').expect("a signature");
    changed.replace_range(at..=at + 4, ".AAAA");
    for (what, token) in [
        ("bad signature", stranger.sign(&good)),
        ("changed signature", changed),
        ("HS256", api.issuer.sign_with_public_key(&good)),
        ("none", api.issuer.unsigned(&good)),
        (
            "wrong iss",
            api.issuer
                .sign(&with(good.clone(), "iss", json!(format!("{ISSUER}/")))),
        ),
        ("no iss", api.issuer.sign(&without(good.clone(), "iss"))),
        (
            "wrong aud",
            api.issuer
                .sign(&with(good.clone(), "aud", json!(["other"]))),
        ),
        ("no aud", api.issuer.sign(&without(good.clone(), "aud"))),
        ("no exp", api.issuer.sign(&without(good.clone(), "exp"))),
        (
            "exp no number",
            api.issuer.sign(&with(good.clone(), "exp", json!("2999"))),
        ),
        (
            "not yet",
            api.issuer
                .sign(&with(good.clone(), "nbf", json!(now + 3600))),
        ),
        ("unknown key", TestIssuer::new(ISSUER, "key-2").sign(&good)),
        ("no token", "a.b.c".to_owned()),
        ("not even parts", "abc".to_owned()),
    ] {
        let token = format!("Bearer {token}");
        let answer = api.send(Method::GET, "clusters", &token, &[]).await;
        assert_eq!(answer.status, 401, "{what}");
        answer.expect_problem(401, "AUT-002", INVALID);
    }
}

#[tokio::test]
async fn case_219_the_scheme_is_written_as_one_likes() {
    let api = Secured::with(json!({})).await;
    let token = api.issuer.sign(&api.claims());
    for scheme in ["bearer", "BEARER", "Bearer"] {
        let value = format!("{scheme} {token}");
        api.send(Method::GET, "clusters", &value, &[])
            .await
            .expect(200);
    }
}

#[tokio::test]
async fn case_220_documents_unknown_paths_and_wrong_methods_need_no_token() {
    let api = Secured::with(json!({})).await;
    api.send_body(Method::GET, "openapi", &[], "")
        .await
        .expect(200);
    let version = api.app.send(Method::GET, "/api/hyperfleet", &[], "").await;
    version.expect(200);
    let unknown = api.send_body(Method::GET, "nothing", &[], "").await;
    assert_eq!(unknown.expect(404).body["code"], "HYPERFLEET-NTF-000");
    for (method, path, allow) in [
        (Method::PUT, "clusters", "GET, HEAD, POST"),
        (Method::POST, "clusters/x/statuses", "GET, HEAD, PUT"),
        (Method::PUT, "clusters/x", "DELETE, GET, HEAD, PATCH"),
        (Method::GET, "clusters/x/force-delete", "POST"),
        (Method::OPTIONS, "clusters", "GET, HEAD, POST"),
        (Method::POST, "openapi", "GET, HEAD"),
    ] {
        let answer = api.send_body(method, path, &[], "").await.expect(405);
        assert_eq!(answer.header("allow"), allow, "{path}");
    }
    let head = api.send_body(Method::HEAD, "clusters", &[], "").await;
    head.expect(401);
}

#[tokio::test]
async fn case_221_only_reads_go_without_a_name() {
    let api = Secured::with(json!({})).await;
    let nameless = without(api.claims(), "email");
    api.read_with(&nameless).await.expect(200);
    let created = api.create_with(&nameless, &[], "abc").await;
    created.expect_problem(401, "AUT-001", NO_NAME);
    let id = api
        .create_with(&api.claims(), &[], "abc")
        .await
        .expect(201)
        .id();
    let token = format!("Bearer {}", api.issuer.sign(&nameless));
    let path = format!("clusters/{id}/statuses");
    let report = Report::new("validation", 1, "True").document().to_string();
    let headers = [("authorization", token.as_str())];
    let reported = api.send_body(Method::PUT, &path, &headers, &report).await;
    reported.expect_problem(401, "AUT-001", NO_NAME);
    for method in [Method::PATCH, Method::DELETE] {
        let path = format!("clusters/{id}");
        let answer = api.send_body(method, &path, &headers, "{}").await;
        answer.expect_problem(401, "AUT-001", NO_NAME);
    }
}

#[tokio::test]
async fn case_222_changes_are_recorded_under_the_name() {
    let api = Secured::with(json!({})).await;
    let created = api.create_with(&api.claims(), &[], "abc").await.expect(201);
    assert_eq!(created.text_of("created_by"), "a@x");
    assert_eq!(created.text_of("updated_by"), "a@x");
    let path = format!("clusters/{}", created.id());
    let other = api.issuer.bearer(api.app.clock.now(), "b@x");
    let headers = [("authorization", other.as_str())];
    let patched = api
        .send_body(Method::PATCH, &path, &headers, r#"{"labels":{"a":"b"}}"#)
        .await
        .expect(200);
    assert_eq!(patched.text_of("created_by"), "a@x");
    assert_eq!(patched.text_of("updated_by"), "b@x");
    let report = Report::new("validation", 2, "True").document().to_string();
    api.send_body(Method::PUT, &format!("{path}/statuses"), &headers, &report)
        .await
        .expect(201);
    let deleted = api
        .send_body(Method::DELETE, &path, &headers, "")
        .await
        .expect(202);
    assert_eq!(deleted.text_of("deleted_by"), "b@x");
    let history = api
        .send_body(Method::GET, &format!("{path}/history"), &headers, "")
        .await
        .expect(200);
    let actors: Vec<(&str, &str)> = history.body["items"]
        .as_array()
        .expect("items")
        .iter()
        .filter_map(|entry| Some((entry["cause"].as_str()?, entry["actor"].as_str()?)))
        .collect();
    for (cause, actor) in [
        ("CreateResource", "a@x"),
        ("PatchResource", "b@x"),
        ("ReportAdapterStatus", "b@x"),
        ("DeleteResource", "b@x"),
    ] {
        assert!(actors.contains(&(cause, actor)), "{cause}: {actors:?}");
    }
}

#[tokio::test]
async fn case_223_a_gateway_may_name_the_caller() {
    let api = Secured::with(json!({"identity_header": "X-Identity"})).await;
    let claims = api.claims();
    let named = api
        .create_with(&claims, &[("x-identity", " g@x ")], "one")
        .await;
    assert_eq!(named.expect(201).text_of("created_by"), "g@x");
    let empty = api
        .create_with(&claims, &[("x-identity", "  ")], "two")
        .await;
    assert_eq!(empty.expect(201).text_of("created_by"), "a@x");
    let absent = api.create_with(&claims, &[], "three").await;
    assert_eq!(absent.expect(201).text_of("created_by"), "a@x");
    let longest = "x".repeat(256);
    let headers = [("x-identity", longest.as_str())];
    api.create_with(&claims, &headers, "four").await.expect(201);
    let long = "x".repeat(257);
    let headers = [("x-identity", long.as_str())];
    let refused = api.create_with(&claims, &headers, "five").await;
    refused.expect_problem(
        401,
        "AUT-001",
        "Unable to resolve caller identity: identity header x-identity: it is longer than 256 bytes",
    );
    let twice = [("x-identity", "a"), ("x-identity", "b")];
    api.create_with(&claims, &twice, "six").await.expect(401);
    // Reads do not need a name, so a bad one does not stop them.
    let token = format!("Bearer {}", api.issuer.sign(&claims));
    let read = api.send(Method::GET, "clusters", &token, &headers).await;
    read.expect(200);
}

#[tokio::test]
async fn case_224_a_name_must_match_the_pattern() {
    let api = Secured::with(json!({"identity_claim_pattern": "@example[.]com$"})).await;
    let refused = api.create_with(&api.claims(), &[], "abc").await;
    refused.expect_problem(
        401,
        "AUT-001",
        "Unable to resolve caller identity: identity claim email: it does not match the configured \
         pattern",
    );
    let good = with(api.claims(), "email", json!("a@example.com"));
    api.create_with(&good, &[], "abc").await.expect(201);
}

#[tokio::test]
async fn case_225_each_of_several_issuers_is_trusted() {
    let first = TestIssuer::new("https://one.example.com", "same-id");
    let second = TestIssuer::new("https://two.example.com", "same-id");
    let mut named = second.config();
    named["identity_claim"] = json!("preferred_username");
    let app = secured(&[first.config(), named]).await;
    let now = app.clock.now();
    for (issuer, name) in [(&first, "a@x"), (&second, "u")] {
        let mut claims = issuer.claims(now, "a@x");
        claims["username"] = json!("u");
        let token = format!("Bearer {}", issuer.sign(&claims));
        let headers = [("authorization", token.as_str())];
        let path = format!("{BASE_PATH}/clusters");
        app.send(Method::GET, &path, &headers, "").await.expect(200);
        let cluster = format!("of-{}", name.trim_end_matches("@x"));
        let body = json!({"kind": "Cluster", "name": cluster, "spec": {}}).to_string();
        let created = app.send(Method::POST, &path, &headers, body).await;
        assert_eq!(created.expect(201).text_of("created_by"), name);
    }
    // An issuer cannot speak for the other.
    let borrowed = first.sign(&second.claims(now, "a@x"));
    let token = format!("Bearer {borrowed}");
    let headers = [("authorization", token.as_str())];
    let path = format!("{BASE_PATH}/clusters");
    let answer = app.send(Method::GET, &path, &headers, "").await;
    answer.expect_problem(401, "AUT-002", INVALID);
}

#[tokio::test]
async fn case_226_a_bad_token_is_refused_before_the_body_is_read() {
    let api = Secured::with(json!({})).await;
    let headers = [("authorization", "Bearer a.b.c")];
    for (method, path) in [
        (Method::POST, "clusters"),
        (Method::PATCH, "clusters/x"),
        (Method::PUT, "clusters/x/statuses"),
        (Method::POST, "clusters/x/force-delete"),
    ] {
        let answer = api.send_body(method, path, &headers, "{").await;
        answer.expect_problem(401, "AUT-002", INVALID);
    }
}

#[tokio::test]
async fn the_typed_client_says_who_it_is() {
    let api = Secured::with(json!({})).await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await;
    let listener = listener.expect("a free port");
    let server = format!("http://{}", listener.local_addr().expect("bound"));
    let shutdown = CancellationToken::new();
    let drain = Duration::from_secs(5);
    let router = api.app.router();
    let served = tokio::spawn(serve(listener, router, shutdown.clone(), drain));
    let clusters = Collection::of("clusters");
    let list = async |credentials: &Credentials| {
        let client = Client::with(&server, credentials).expect("a client");
        client.list(&clusters, &ListOptions::default()).await
    };
    let token = api.issuer.sign(&api.claims());
    let known = list(&Credentials::default().token(&token)).await;
    assert_eq!(known.expect("an answer").total, 0);
    let unknown = list(&Credentials::default()).await.expect_err("refused");
    assert_eq!(unknown.status(), Some(401));
    assert!(!unknown.is_transient());
    shutdown.cancel();
    served.await.expect("the server ends").expect("well");
}

#[tokio::test]
async fn refusals_are_counted_by_reason_and_tokens_are_not_shown() {
    let api = Secured::with(json!({})).await;
    api.send_body(Method::GET, "clusters", &[], "")
        .await
        .expect(401);
    let token = "Bearer secret.secret.secret";
    let answer = api.send(Method::GET, "clusters", token, &[]).await;
    assert!(!answer.expect(401).text.contains("secret"));
    let counted = |reason: &str| {
        let families = api.app.metrics.gather();
        let family = families
            .iter()
            .find(|family| family.name() == "hyperfleet_api_refused_requests_total")
            .expect("the metric is there");
        family
            .get_metric()
            .iter()
            .find(|metric| metric.get_label()[0].value() == reason)
            .map(|metric| metric.get_counter().get_value())
    };
    assert_eq!(counted("token_missing"), Some(1.0));
    assert_eq!(counted("token_invalid"), Some(1.0));
}
