//! The audit: every change that was sent over HTTP is found by the id of its request, accepted or
//! refused, and who may look.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use axum::http::Method;
use hyperfleet_api_types::BASE_PATH;
use hyperfleet_command_api::identity::{IdentityConfig, IdentitySections};
use hyperfleet_domain::Registry;
use hyperfleet_projections::audit;
use hyperfleet_runtime::Clock as _;
use hyperfleet_test_support::eventually;
use hyperfleet_tests::app::{Report, TestApp};
use hyperfleet_tests::issuer::TestIssuer;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

const DEADLINE: Duration = Duration::from_secs(20);

/// An API with tokens, tenants, roles and rates, on a socket.
struct Served {
    app: TestApp,
    issuer: TestIssuer,
    base: String,
    http: reqwest::Client,
    shutdown: CancellationToken,
    server: tokio::task::JoinHandle<std::io::Result<()>>,
}

/// A change that was sent, and its answer.
struct Sent {
    request_id: String,
    status: u16,
    code: Value,
    /// What the answer says that it did; empty when it was refused.
    effect: String,
}

impl Sent {
    /// How the history tells of it.
    fn outcome(&self) -> &str {
        match self.effect.as_str() {
            "" => "refused",
            "changed" => "accepted",
            "dropped" => "unchanged",
            other => other,
        }
    }
}

impl Served {
    async fn start() -> Self {
        let issuer = TestIssuer::new("https://issuer.example.com", "key");
        let roles = ["viewer", "editor", "adapter", "operator"];
        let bindings = roles.map(|role| json!({"role": role, "subjects": [format!("{role}@x")]}));
        let config = IdentityConfig::from_sections(IdentitySections {
            jwt: Some(json!({"configs": [issuer.config()]})),
            tenant: Some(json!({
                "enabled": true,
                "system_header": "X-System",
                "dimensions": [{"header": "X-Org", "key": "org", "required": true}],
            })),
            authorization: Some(json!({"bindings": bindings})),
            rate_limit: None,
        });
        let app = TestApp::with_identity(Registry::builtin(), &config.expect("valid")).await;
        let address = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
        let listener = TcpListener::bind(address).await.expect("a free port");
        let base = format!(
            "http://{}{BASE_PATH}",
            listener.local_addr().expect("a bound address")
        );
        let shutdown = CancellationToken::new();
        let served = hyperfleet_runtime::http::serve(
            listener,
            app.router(),
            shutdown.clone(),
            Duration::from_secs(5),
        );
        Self {
            server: tokio::spawn(served),
            app,
            issuer,
            base,
            http: reqwest::Client::new(),
            shutdown,
        }
    }

    fn token(&self, name: &str) -> String {
        let email = format!("{name}@x");
        self.issuer.bearer(self.app.clock.now(), &email)
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> (Sent, Value) {
        let url = format!("{}/{path}", self.base);
        let mut request = self.http.request(method, url).body(body.to_owned());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = request.send().await.expect("an answer");
        let status = answer.status().as_u16();
        let header = |name| {
            let value = answer.headers().get(name);
            let value = value.and_then(|value| value.to_str().ok());
            value.unwrap_or_default().to_owned()
        };
        let (request_id, effect) = (header("x-request-id"), header("hyperfleet-effect"));
        let body: Value =
            serde_json::from_slice(&answer.bytes().await.expect("a body")).unwrap_or_default();
        let code = body["code"].clone();
        let sent = Sent {
            request_id,
            status,
            code,
            effect,
        };
        (sent, body)
    }

    /// Everything in the audit that somebody sees, by request id.
    async fn audit(&self, name: &str, org: &str, query: &str) -> BTreeMap<String, Vec<Value>> {
        let token = self.token(name);
        let headers = [
            ("authorization", token.as_str()),
            ("x-org", org),
            ("accept", "application/x-ndjson"),
        ];
        let url = format!("{}/history?{query}", self.base);
        let mut request = self.http.get(url);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let answer = request.send().await.expect("an answer");
        assert_eq!(answer.status(), 200);
        let mut found: BTreeMap<String, Vec<Value>> = BTreeMap::new();
        for line in answer.text().await.expect("lines").lines() {
            let item: Value = serde_json::from_str(line).expect("JSON");
            let id = item["request_id"].as_str().expect("an id").to_owned();
            found.entry(id).or_default().push(item);
        }
        found
    }

    async fn stop(self) {
        self.shutdown.cancel();
        let served = self.server.await.expect("the server ends");
        served.expect("it served to its end");
    }
}

/// Method, path, headers and body of a request, and the status of its answer.
type Request<'a> = (Method, &'a str, &'a [(&'a str, &'a str)], &'a str, u16);

/// Sends a round of good and bad changes.
async fn round(served: &Served, number: usize, sent: &mut Vec<Sent>) {
    let editor = served.token("editor");
    let editor = [("authorization", editor.as_str()), ("x-org", "a")];
    let adapter = served.token("adapter");
    let adapter = [("authorization", adapter.as_str()), ("x-org", "a")];
    let viewer = served.token("viewer");
    let viewer = [("authorization", viewer.as_str()), ("x-org", "a")];
    let no_tenant = [editor[0]];
    let create =
        json!({"kind": "Cluster", "name": format!("c{number:03}"), "spec": {}}).to_string();
    let (created, cluster) = served
        .send(Method::POST, "clusters", &editor, &create)
        .await;
    assert_eq!(created.status, 201, "{cluster}");
    sent.push(created);
    let id = cluster["id"].as_str().expect("an id");
    let path = format!("clusters/{id}");
    let patch = json!({"spec": {"a": number}}).to_string();
    let outdated = [editor[0], editor[1], ("if-match", "\"99-0\"")];
    let keyed = [editor[0], editor[1], ("idempotency-key", path.as_str())];
    let report = Report::new("validation", 2, "True").document().to_string();
    let outdated_report = Report::new("validation", 1, "True").document().to_string();
    let large = "x".repeat(hyperfleet_runtime::http::MAX_BODY_BYTES + 1);
    let other = json!({"spec": {"b": number}}).to_string();
    let parent = format!("{path}/nodepools");
    let child = json!({"kind": "NodePool", "name": "workers", "spec": {}}).to_string();
    let statuses = format!("{path}/statuses");
    let forced = format!("{path}/force-delete");
    let requests: Vec<Request<'_>> = vec![
        (Method::PATCH, &path, &editor, &patch, 200),
        (Method::PATCH, &path, &[], &patch, 401),
        (
            Method::PATCH,
            &path,
            &[("authorization", "Bearer x")],
            &patch,
            401,
        ),
        (Method::PATCH, &path, &no_tenant, &patch, 403),
        (Method::PATCH, &path, &viewer, &patch, 403),
        (Method::POST, &forced, &editor, "{}", 403),
        (Method::PATCH, "clusters/nosuch", &editor, &patch, 404),
        (Method::DELETE, "nodepools/nosuch", &editor, "", 404),
        (Method::POST, "clusters", &editor, &create, 409),
        (Method::PATCH, &path, &outdated, &patch, 412),
        (Method::POST, "clusters", &editor, "{no json", 400),
        (Method::POST, "clusters", &editor, "{}", 400),
        (Method::POST, "clusters", &editor, &large, 413),
        (Method::POST, "nodepools", &editor, &child, 422),
        (Method::POST, &parent, &editor, &child, 201),
        (Method::PATCH, &path, &keyed, &other, 200),
        (Method::PATCH, &path, &keyed, &patch, 422),
        // The same again, by key and without.
        (Method::PATCH, &path, &keyed, &other, 200),
        (Method::PATCH, &path, &editor, &other, 200),
        (Method::PUT, &statuses, &adapter, &report, 201),
        (Method::PUT, &statuses, &adapter, &outdated_report, 204),
        (Method::PUT, &statuses, &adapter, "[]", 400),
        (Method::DELETE, &path, &editor, "", 202),
        (Method::DELETE, &path, &editor, "", 202),
    ];
    for (method, path, headers, body, status) in requests {
        let (answered, document) = served.send(method.clone(), path, headers, body).await;
        assert_eq!(answered.status, status, "{method} {path}: {document}");
        sent.push(answered);
    }
}

#[tokio::test]
async fn every_change_that_was_sent_is_found_by_its_request() {
    let served = Served::start().await;
    let mut sent = Vec::new();
    for number in 0..15 {
        round(&served, number, &mut sent).await;
    }
    assert!(sent.len() >= 300);
    // Whoever sees every tenant would see those without one too; the operator of a tenant sees its own.
    let refused = sent
        .iter()
        .filter(|sent| sent.outcome() != "accepted")
        .count();
    let (pool, deadline) = (served.app.pool().clone(), DEADLINE);
    eventually(deadline, "every entry is written", async || {
        let written: i64 = sqlx::query_scalar("SELECT count(*) FROM audit_requests")
            .fetch_one(&pool)
            .await
            .expect("a count");
        written == i64::try_from(refused).expect("a number")
    })
    .await;
    let seen = served.audit("operator", "a", "outcome=all").await;
    let strangers = [401, 403];
    for sent in &sent {
        if let Some(items) = seen.get(&sent.request_id) {
            let outcome = sent.outcome();
            for item in items {
                assert_eq!(item["outcome"], outcome, "{item}");
                assert_eq!(item["source_address"], "127.0.0.1");
                if outcome != "accepted" {
                    assert_eq!(item["status"], json!(sent.status));
                }
                if outcome == "refused" {
                    assert_eq!(item["code"], sent.code);
                }
            }
        } else {
            assert!(
                strangers.contains(&sent.status),
                "{} is missing",
                sent.status
            );
        }
        let everywhere: i64 = sqlx::query_scalar(
            "SELECT (SELECT count(*) FROM events WHERE metadata ->> 'correlation_id' = $1)
                 + (SELECT count(*) FROM audit_requests WHERE request_id = $1)",
        )
        .bind(&sent.request_id)
        .fetch_one(served.app.pool())
        .await
        .expect("a count");
        assert!(everywhere > 0, "{} {}", sent.status, sent.request_id);
    }
    for outcome in ["accepted", "refused", "unchanged", "replayed"] {
        assert!(
            sent.iter().any(|sent| sent.outcome() == outcome),
            "{outcome} was not tried"
        );
        let only = served
            .audit("operator", "a", &format!("outcome={outcome}"))
            .await;
        let mut items = only.values().flatten();
        assert!(items.all(|item| item["outcome"] == outcome));
    }
    by_time(&served).await;
    let other = served.audit("operator", "b", "outcome=all").await;
    assert!(other.is_empty(), "another tenant sees {other:?}");
    served.stop().await;
}

/// Everything together comes by time.
async fn by_time(served: &Served) {
    let token = served.token("operator");
    let headers = [("authorization", token.as_str()), ("x-org", "a")];
    let (_, page) = served
        .send(Method::GET, "history?outcome=all&size=100", &headers, "")
        .await;
    let items = page["items"].as_array().expect("items");
    let times: Vec<&str> = items
        .iter()
        .filter_map(|item| item["time"].as_str())
        .collect();
    let times: Vec<chrono::DateTime<chrono::Utc>> = times
        .iter()
        .map(|time| time.parse().expect("a time"))
        .collect();
    assert!(times.is_sorted(), "{times:?}");
}

#[tokio::test]
async fn only_operators_see_what_was_refused() {
    let served = Served::start().await;
    let mut sent = Vec::new();
    round(&served, 0, &mut sent).await;
    for role in ["viewer", "editor", "adapter"] {
        let token = served.token(role);
        let headers = [("authorization", token.as_str()), ("x-org", "a")];
        for outcome in ["refused", "unchanged", "accepted,replayed", "all"] {
            let path = format!("history?outcome={outcome}");
            let (answer, body) = served.send(Method::GET, &path, &headers, "").await;
            assert_eq!(answer.status, 403, "{role}: {body}");
            assert_eq!(answer.code, "HYPERFLEET-AUZ-001");
        }
        let (answer, _) = served.send(Method::GET, "history", &headers, "").await;
        assert_eq!(answer.status, 200);
    }
    served.stop().await;
}

#[tokio::test]
async fn a_refusal_says_who_what_where_and_why() {
    let served = Served::start().await;
    let token = served.token("editor");
    let trace = "0af7651916cd43dd8448eb211c80319c";
    let parent = format!("00-{trace}-b7ad6b7169203331-01");
    let headers = [
        ("authorization", token.as_str()),
        ("x-org", "a"),
        ("traceparent", parent.as_str()),
    ];
    let (sent, _) = served
        .send(Method::PATCH, "clusters/some-id?x=y", &headers, "{}")
        .await;
    let operator = served.token("operator");
    let operator = [("authorization", operator.as_str()), ("x-org", "a")];
    let path = format!("history?outcome=refused&request_id={}", sent.request_id);
    let item = eventually(DEADLINE, "the refusal is written", async || {
        let (_, page) = served.send(Method::GET, &path, &operator, "").await;
        page["items"].get(0).cloned()
    })
    .await;
    let mut item = item;
    assert!(item["time"].take().is_string());
    assert!(item["detail"].take().is_string());
    let expected = json!({
        "outcome": "refused", "time": null, "detail": null,
        "actor": "editor@x", "source_address": "127.0.0.1",
        "method": "PATCH", "route": format!("{BASE_PATH}/clusters/{{id}}"),
        "path": format!("{BASE_PATH}/clusters/some-id"), "resource_id": "some-id",
        "status": sent.status, "code": sent.code, "request_id": sent.request_id, "trace_id": trace,
    });
    assert_eq!(item, expected);
    // Reads that are refused change nothing, and are not recorded.
    let (read, _) = served
        .send(Method::GET, "clusters/some-id", &operator, "")
        .await;
    assert_eq!(read.status, 404);
    let (_, page) = served
        .send(Method::GET, "history?outcome=refused", &operator, "")
        .await;
    assert_eq!(page["items"].as_array().map(Vec::len), Some(1));
    served.stop().await;
}

#[tokio::test]
async fn what_is_too_old_or_too_many_is_removed() {
    let app = TestApp::start().await;
    for _ in 0..10 {
        app.post("clusters", &json!({})).await.expect(400);
    }
    let count = async || -> i64 {
        sqlx::query_scalar("SELECT count(*) FROM audit_requests")
            .fetch_one(app.pool())
            .await
            .expect("a count")
    };
    eventually(DEADLINE, "every refusal is written", async || {
        count().await == 10
    })
    .await;
    let day = Duration::from_hours(24);
    let purged = audit::purge(app.pool(), day, (100, 0))
        .await
        .expect("purged");
    assert_eq!((purged, count().await), (0, 10));
    let purged = audit::purge(app.pool(), day, (4, 0)).await.expect("purged");
    assert_eq!((purged, count().await), (6, 4));
    sqlx::query(
        "UPDATE audit_requests SET recorded_at = recorded_at - interval '2 days' WHERE id % 2 = 0",
    )
    .execute(app.pool())
    .await
    .expect("older");
    let purged = audit::purge(app.pool(), day, (100, 0))
        .await
        .expect("purged");
    assert_eq!((purged, count().await), (2, 2));
}

#[tokio::test]
async fn what_is_queued_when_the_log_is_closed_is_written() {
    let app = TestApp::start().await;
    let metrics = prometheus::Registry::new();
    let registered = audit::AuditMetrics::register(&metrics).expect("registered once");
    let (sink, log) = audit::AuditLog::start(app.pool().clone(), registered);
    let options = hyperfleet_runtime::http::HttpOptions {
        audit: Some(sink),
        ..Default::default()
    };
    let router = hyperfleet_runtime::http::layered_with(
        axum::Router::new().route("/known", axum::routing::get(async || "")),
        std::sync::Arc::clone(&app.clock) as _,
        std::sync::Arc::new(hyperfleet_runtime::UuidV7Source),
        &options,
    );
    for number in 0..2000 {
        let request = axum::http::Request::post(format!("/nosuch/{number}"));
        let request = request.body(axum::body::Body::empty()).expect("a request");
        let answered = tower::ServiceExt::oneshot(router.clone(), request).await;
        assert_eq!(answered.expect("routers never fail").status(), 404);
    }
    log.close().await;
    let written: Vec<(i64, bool)> = sqlx::query_as(
        "SELECT count(*), bool_and(is_anonymous AND actor = 'anonymous') FROM audit_requests",
    )
    .fetch_all(app.pool())
    .await
    .expect("a count");
    assert_eq!(written, [(2000, true)]);
}
