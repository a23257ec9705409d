//! Every route of the OpenAPI document, asked by everybody: who may, who may not, and that no refusal
//! shows anything.
//!
//! What each route answers is decided here a second time, by its shape. A route of a new shape fails
//! the test until somebody decides who may use it.

use std::sync::Arc;

use axum::body::Body;
use axum::http::Method;
use axum::routing::get;
use http_body_util::BodyExt as _;
use hyperfleet_api_types::BASE_PATH;
use hyperfleet_command_api::identity::{Gate, IdentityConfig, IdentitySections};
use hyperfleet_domain::registry::{EntityDescriptor, Registry};
use hyperfleet_runtime::http::layered;
use hyperfleet_runtime::{Clock as _, ManualClock, UuidV7Source};
use hyperfleet_tests::app::{Answer, Report, TestApp};
use hyperfleet_tests::issuer::TestIssuer;
use serde_json::{Value, json};
use tower::ServiceExt as _;

use hyperfleet_tests::registries::registry_b;

/// Stands in every resource of tenant a, and must not stand in any answer to others.
const MARKER: &str = "only-for-tenant-a";

const ROLES: [&str; 5] = ["viewer", "editor", "adapter", "operator", "admin"];

/// Who may use a route, and what it then answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expected {
    Public,
    For(&'static [&'static str], &'static str, u16),
}

const READERS: &[&str] = &["viewer", "editor", "adapter", "operator", "admin"];
const WRITERS: &[&str] = &["editor", "operator", "admin"];
const REPORTERS: &[&str] = &["adapter", "admin"];
const FORCERS: &[&str] = &["operator", "admin"];

/// What a route answers whoever may use it, by the shape of its path below the base path.
fn expected(method: &str, path: &str, registry: &Registry) -> Option<Expected> {
    let read = Expected::For(READERS, "resources:read", 200);
    let write = |status| Expected::For(WRITERS, "resources:write", status);
    let Some(below) = path.strip_prefix(&format!("{BASE_PATH}/")) else {
        assert_eq!((method, path), ("get", "/api/hyperfleet"));
        return Some(Expected::Public);
    };
    let segments: Vec<&str> = below.split('/').collect();
    let is_child = |plural: &str| {
        let mut kinds = registry.iter().filter(|kind| kind.plural == plural);
        kinds.next().is_some_and(|kind| kind.parent_kind.is_some())
    };
    Some(match (method, segments.as_slice()) {
        ("get", ["openapi" | "openapi.html"] | ["openapi", "v3.1"]) => Expected::Public,
        (
            "get",
            [_]
            | [_, "{id}"]
            | [_, "{id}", "statuses" | "history"]
            | [_, "{parent_id}", _]
            | [_, "{parent_id}", _, "{id}"]
            | [_, "{parent_id}", _, "{id}", "statuses" | "history"],
        ) => read,
        ("post", [plural]) => write(if is_child(plural) { 422 } else { 201 }),
        ("post", [_, "{parent_id}", _]) => write(201),
        ("patch", [_, "{id}"] | [_, "{parent_id}", _, "{id}"]) => write(200),
        ("delete", [_, "{id}"] | [_, "{parent_id}", _, "{id}"]) => write(202),
        ("put", [.., "{id}", "statuses"]) => Expected::For(REPORTERS, "statuses:write", 201),
        // The resource is active, and so far only the state of the resource is in the way.
        ("post", [.., "{id}", "force-delete"]) => {
            Expected::For(FORCERS, "resources:force-delete", 409)
        }
        _ => return None,
    })
}

/// Who asks, what they send, and what becomes of them.
type TestCaller = (String, Vec<(&'static str, String)>, Verdict);

struct Matrix {
    app: TestApp,
    issuer: TestIssuer,
    stranger: TestIssuer,
    made: std::cell::Cell<usize>,
}

/// Whether a caller is served, and what is said otherwise.
enum Verdict {
    Refused(u16, &'static str),
    Served(u16),
    /// Served, but nothing of tenant a.
    OtherTenant,
}

impl Matrix {
    async fn start() -> Self {
        let issuer = TestIssuer::new("https://issuer.example.com", "key");
        let stranger = TestIssuer::new("https://issuer.example.com", "key");
        let mut trusted = issuer.config();
        trusted["audience"] = json!("hyperfleet");
        let bindings = ROLES.map(|role| json!({"role": role, "subjects": [format!("{role}@x")]}));
        let config = IdentityConfig::from_sections(IdentitySections {
            jwt: Some(json!({"configs": [trusted]})),
            tenant: Some(json!({
                "enabled": true,
                "system_header": "X-System",
                "dimensions": [{"header": "X-Org", "key": "org", "required": true}],
            })),
            authorization: Some(json!({"bindings": bindings})),
            rate_limit: None,
        });
        // References would have to be made first; who may make them is what the other routes show.
        let mut kinds: Vec<EntityDescriptor> = registry_b().iter().cloned().collect();
        for kind in &mut kinds {
            kind.references.clear();
        }
        let registry = Registry::new(kinds).expect("the kinds agree with each other");
        let app = TestApp::with_identity(registry, &config.expect("valid")).await;
        Self {
            app,
            issuer,
            stranger,
            made: std::cell::Cell::new(0),
        }
    }

    fn token(&self, email: &str) -> String {
        self.issuer.bearer(self.app.clock.now(), email)
    }

    /// Whoever may use no route that is not public, with the other tenant.
    fn strangers(&self) -> Vec<TestCaller> {
        let now = self.app.clock.now();
        let claims = |changes: Value| {
            let mut claims = self.issuer.claims(now, "admin@x");
            for (name, value) in changes.as_object().expect("changes") {
                claims[name] = value.clone();
            }
            claims
        };
        let signed = |claims: &Value| format!("Bearer {}", self.issuer.sign(claims));
        let org = |value: &str| ("x-org", value.to_owned());
        let bearer = |value: String| ("authorization", value);
        let good = claims(json!({}));
        let forged = format!("Bearer {}", self.stranger.sign(&good));
        let expired = signed(&claims(json!({"exp": now.timestamp() - 60})));
        let elsewhere = signed(&claims(json!({"aud": "elsewhere"})));
        let missing = Verdict::Refused(401, "AUT-001");
        let invalid = || Verdict::Refused(401, "AUT-002");
        vec![
            ("no token".to_owned(), vec![org("a")], missing),
            (
                "bad".to_owned(),
                vec![org("a"), bearer("Bearer a.b.c".to_owned())],
                invalid(),
            ),
            (
                "forged".to_owned(),
                vec![org("a"), bearer(forged)],
                invalid(),
            ),
            (
                "expired".to_owned(),
                vec![org("a"), bearer(expired)],
                Verdict::Refused(401, "AUT-003"),
            ),
            (
                "wrong audience".to_owned(),
                vec![org("a"), bearer(elsewhere)],
                invalid(),
            ),
            (
                "no tenant".to_owned(),
                vec![bearer(self.token("admin@x"))],
                Verdict::Refused(403, "AUZ-001"),
            ),
            (
                "no role".to_owned(),
                vec![org("a"), bearer(self.token("nobody@x"))],
                Verdict::Refused(403, "AUZ-001"),
            ),
            (
                "other tenant".to_owned(),
                vec![org("b"), bearer(self.token("admin@x"))],
                Verdict::OtherTenant,
            ),
        ]
    }

    /// Everybody: what they send, and what becomes of them on a route.
    fn callers(&self, expected: Expected) -> Vec<TestCaller> {
        let mut callers = self.strangers();
        let org = |value: &str| ("x-org", value.to_owned());
        let bearer = |value: String| ("authorization", value);
        let Expected::For(roles, _, status) = expected else {
            return callers;
        };
        let verdict = |role: &str| {
            if roles.contains(&role) {
                Verdict::Served(status)
            } else {
                Verdict::Refused(403, "AUZ-001")
            }
        };
        for role in ROLES {
            let headers = vec![org("a"), bearer(self.token(&format!("{role}@x")))];
            callers.push((role.to_owned(), headers, verdict(role)));
        }
        // A system identity reads and reports, whatever roles its token has.
        let system = vec![
            ("x-system", "true".to_owned()),
            bearer(self.token("admin@x")),
        ];
        callers.push(("system".to_owned(), system, verdict("adapter")));
        callers
    }

    async fn send(
        &self,
        method: &Method,
        path: &str,
        caller: &[(&str, String)],
        body: &Value,
    ) -> Answer {
        let headers: Vec<(&str, &str)> = caller
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        self.app.send(method.clone(), path, &headers, body).await
    }

    fn creation(&self, plural: &str) -> Value {
        let plural = of_any_kind(plural);
        let kind = self.app.registry.iter().find(|kind| kind.plural == plural);
        let number = self.made.get() + 1;
        self.made.set(number);
        json!({
            "kind": kind.expect("a registered kind").kind,
            "name": format!("a{number:04}"),
            "spec": {"marker": MARKER},
            "labels": {"marker": MARKER},
        })
    }

    /// Makes a resource of tenant a, with its parent when it is a child; the path to it, in two forms.
    async fn make(&self, plural: &str) -> (String, Option<String>) {
        let admin = [
            ("x-org", "a".to_owned()),
            ("authorization", self.token("admin@x")),
        ];
        let registry = &self.app.registry;
        let own = of_any_kind(plural);
        let kind = registry.iter().find(|kind| kind.plural == own);
        let parent = kind
            .and_then(|kind| kind.parent_kind.as_deref())
            .and_then(|parent| registry.by_kind(parent));
        let mut parent_id = None;
        let mut collection = format!("{BASE_PATH}/{plural}");
        if let Some(parent) = parent {
            let parents = format!("{BASE_PATH}/{}", parent.plural);
            let body = self.creation(&parent.plural);
            let made = self.send(&Method::POST, &parents, &admin, &body).await;
            let id = made.expect(201).id();
            collection = format!("{parents}/{id}/{plural}");
            parent_id = Some(id);
        }
        let body = self.creation(plural);
        let made = self.send(&Method::POST, &collection, &admin, &body).await;
        (made.expect(201).id(), parent_id)
    }

    /// A path with ids of resources that were just made.
    async fn filled(&self, template: &str) -> String {
        let below = template
            .strip_prefix(&format!("{BASE_PATH}/"))
            .unwrap_or_default();
        let segments: Vec<&str> = below.split('/').collect();
        let plural = if template.contains("{parent_id}") {
            segments.get(2)
        } else {
            segments.first()
        };
        if !template.contains('{') {
            return match below {
                "history" => format!("{template}?kind=Cluster&name=a0001"),
                _ => template.to_owned(),
            };
        }
        let (id, parent_id) = self.make(plural.expect("a collection")).await;
        template
            .replace("{parent_id}", &parent_id.unwrap_or_default())
            .replace("{id}", &id)
    }

    fn body(&self, method: &str, template: &str) -> Value {
        match method {
            "patch" => json!({"labels": {"changed": "yes"}}),
            "put" => Report::new("alpha", 1, "True").document(),
            "post" if template.ends_with("force-delete") => json!({"reason": "test"}),
            "post" => self.creation(template.rsplit('/').next().unwrap_or_default()),
            _ => Value::Null,
        }
    }
}

/// The collection of a kind that resources of any kind are made as.
fn of_any_kind(plural: &str) -> &str {
    if plural == "resources" {
        "clusters"
    } else {
        plural
    }
}

/// What the other tenant gets: its own empty fleet, and 404 for everything of tenant a.
fn check_other_tenant(what: &str, template: &str, expected: Expected, answer: &Answer) {
    assert!(
        !answer.text.contains(MARKER) || answer.status == 201,
        "{what}: {}",
        answer.text
    );
    if template.contains('{') {
        assert_eq!(answer.status, 404, "{what}: {}", answer.text);
        return;
    }
    let Expected::For(_, _, status) = expected else {
        return;
    };
    assert_eq!(answer.status, status, "{what}: {}", answer.text);
    if status == 201 {
        assert_eq!(answer.body["tenancy"], json!({"org": "b"}), "{what}");
    }
}

#[tokio::test]
async fn every_route_serves_whom_it_is_for_and_nobody_else() {
    let matrix = Matrix::start().await;
    // There is something to see for whoever sees too much.
    matrix.make("clusters").await;
    let document = matrix.app.get("openapi").await.expect(200).body;
    let mut asked = 0;
    for (template, item) in document["paths"].as_object().expect("paths") {
        for name in item.as_object().expect("operations").keys() {
            let method: Method = name.to_uppercase().parse().expect("a method");
            let Some(expected) = expected(name, template, &matrix.app.registry) else {
                panic!("decide who may use {name} {template}, in the table of access and here");
            };
            let shared = matrix.filled(template).await;
            for (caller, headers, verdict) in matrix.callers(expected) {
                asked += 1;
                let what = format!("{caller}: {method} {template}");
                // Who is served gets a resource of their own: it may be gone afterwards.
                let path = match verdict {
                    Verdict::Served(_) if method != Method::GET => matrix.filled(template).await,
                    _ => shared.clone(),
                };
                let mut body = matrix.body(name, template);
                if matches!(verdict, Verdict::OtherTenant) && body["spec"].is_object() {
                    // What the other tenant makes is its own to see.
                    body["spec"]["marker"] = Value::Null;
                    body["labels"] = json!({});
                }
                let answer = matrix.send(&method, &path, &headers, &body).await;
                if expected == Expected::Public {
                    assert_eq!(answer.status, 200, "{what}");
                    continue;
                }
                check(&what, template, expected, &verdict, &answer);
            }
            check_documented(template, name, &item[name], expected);
        }
    }
    assert!(asked > 500, "only {asked} requests");
}

fn check(what: &str, template: &str, expected: Expected, verdict: &Verdict, answer: &Answer) {
    match verdict {
        Verdict::Served(status) => assert_eq!(answer.status, *status, "{what}: {}", answer.text),
        Verdict::OtherTenant => check_other_tenant(what, template, expected, answer),
        Verdict::Refused(status, code) => {
            assert_eq!(answer.status, *status, "{what}: {}", answer.text);
            assert_eq!(answer.body["code"], format!("HYPERFLEET-{code}"), "{what}");
            assert!(!answer.text.contains(MARKER), "{what}: {}", answer.text);
            assert!(
                !answer
                    .body
                    .as_object()
                    .is_some_and(|body| body.contains_key("items"))
            );
            let Expected::For(roles, permission, _) = expected else {
                return;
            };
            if what.starts_with("viewer") || what.starts_with("no role") {
                let detail = answer.text_of("detail");
                let names_all = roles.iter().all(|role| detail.contains(role));
                assert!(detail.contains(permission) && names_all, "{what}: {detail}");
            }
        }
    }
}

/// The document says what a caller has to expect.
fn check_documented(template: &str, method: &str, operation: &Value, expected: Expected) {
    let responses = operation["responses"].as_object().expect("responses");
    let is_public = expected == Expected::Public;
    for status in ["401", "403", "429"] {
        assert_eq!(
            responses.contains_key(status),
            !is_public,
            "{method} {template}: {status}"
        );
    }
    assert_eq!(
        operation["security"].is_array(),
        !is_public,
        "{method} {template}"
    );
}

#[tokio::test]
async fn a_head_request_needs_what_its_get_needs() {
    let matrix = Matrix::start().await;
    let (id, _) = matrix.make("clusters").await;
    let viewer = [
        ("x-org", "a".to_owned()),
        ("authorization", matrix.token("viewer@x")),
    ];
    let nobody = [
        ("x-org", "a".to_owned()),
        ("authorization", matrix.token("nobody@x")),
    ];
    for path in [
        format!("{BASE_PATH}/clusters"),
        format!("{BASE_PATH}/clusters/{id}"),
    ] {
        let head = async |caller: &[(&str, String)]| {
            matrix
                .send(&Method::HEAD, &path, caller, &Value::Null)
                .await
                .status
        };
        assert_eq!(head(&viewer).await, 200);
        assert_eq!(head(&nobody).await, 403);
        assert_eq!(head(&[]).await, 401);
    }
}

/// A gate that asks nobody who they are, before routes that nobody decided about.
fn undecided() -> axum::Router {
    let served = || async { "served" };
    let routes = axum::Router::new()
        .route(&format!("{BASE_PATH}/undecided"), get(served).post(served))
        .route(&format!("{BASE_PATH}/clusters"), get(served).put(served));
    let clock: Arc<dyn hyperfleet_runtime::Clock> = Arc::new(ManualClock::default());
    let gate = Gate::new(
        &IdentityConfig::default(),
        &Registry::builtin(),
        &clock,
        &prometheus::Registry::new(),
    );
    let gate = Arc::new(gate.expect("a usable configuration"));
    layered(gate.guard(routes), clock, Arc::new(UuidV7Source))
}

#[tokio::test]
async fn a_route_that_nobody_decided_about_serves_nobody() {
    for (method, path, status) in [
        ("GET", "undecided", 403),
        ("HEAD", "undecided", 403),
        ("POST", "undecided", 403),
        ("DELETE", "undecided", 405),
        ("GET", "clusters", 200),
        ("PUT", "clusters", 403),
        ("DELETE", "clusters", 405),
        ("PROBE", "clusters", 405),
    ] {
        let request = axum::http::Request::builder()
            .method(method)
            .uri(format!("{BASE_PATH}/{path}"))
            .body(Body::empty())
            .expect("a request");
        let response = undecided().oneshot(request).await.expect("an answer");
        assert_eq!(response.status(), status, "{method} {path}");
        let body = response.into_body().collect().await.expect("a body");
        let text = String::from_utf8_lossy(&body.to_bytes()).into_owned();
        assert_eq!(text == "served", status == 200, "{method} {path}: {text}");
        if status == 403 && method != "HEAD" {
            let route = format!("{method} {BASE_PATH}/{path}");
            assert!(text.contains(&route), "{text}");
        }
    }
}
