//! The API in process on a database of its own, for component tests.
//!
//! Requests go through every layer that a real server has, without a socket. The clock stands still
//! between requests and moves by a millisecond with each, so that creation times differ and nothing
//! depends on how fast the machine is.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Method, Request, StatusCode};
use axum::response::Response;
use chrono::{DateTime, TimeDelta, Utc};
use http_body_util::BodyExt as _;
use hyperfleet_api_types::BASE_PATH;
use hyperfleet_command_api::identity::{Gate, IdentityConfig};
use hyperfleet_command_api::{BuildInfo, CommandMetrics, CommandState, SpecSchemas};
use hyperfleet_domain::registry::Registry;
use hyperfleet_event_store::{EventStore, EventStoreOptions};
use hyperfleet_projections::audit::{AuditLog, AuditMetrics};
use hyperfleet_projections::routes::Exports;
use hyperfleet_projections::{InlineProjector, QueryState, WatchHub, WatchOptions};
use hyperfleet_runtime::http::{HttpOptions, Limits, RequestLimits};
use hyperfleet_runtime::{Clock as _, ManualClock, UuidV7Source};
use hyperfleet_test_support::TestDatabase;
use serde_json::{Value, json};
use sqlx::PgPool;
use tokio_util::sync::{CancellationToken, DropGuard};
use tower::ServiceExt as _;

use crate::watching::WatchStream;

/// The API on a database of its own.
pub struct TestApp {
    router: Router,
    /// The event log.
    pub store: EventStore,
    /// The registered kinds.
    pub registry: Arc<Registry>,
    /// The clock of the API.
    pub clock: Arc<ManualClock>,
    /// What the API counts.
    pub metrics: prometheus::Registry,
    setup: Setup,
    database: Arc<TestDatabase>,
    /// Ends the watches with the API.
    shutdown: DropGuard,
}

/// What an API is made of, beside its database.
#[derive(Clone)]
struct Setup {
    registry: Arc<Registry>,
    schemas: Arc<SpecSchemas>,
    identity: Arc<IdentityConfig>,
    clock: Arc<ManualClock>,
    watch: WatchOptions,
}

/// An answer, read to its end.
#[derive(Debug)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Headers.
    pub headers: HeaderMap,
    /// The body as JSON; null when it is empty or no JSON.
    pub body: Value,
    /// The body as text.
    pub text: String,
    /// The body as it was sent.
    pub bytes: Vec<u8>,
}

impl Answer {
    /// A header as text; empty when absent.
    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }

    /// The names of a list's items, in its order.
    #[track_caller]
    pub fn names(&self) -> Vec<&str> {
        self.items()
            .iter()
            .map(|item| item["name"].as_str().expect("a name"))
            .collect()
    }

    /// A list's items.
    #[track_caller]
    pub fn items(&self) -> &[Value] {
        self.body["items"].as_array().expect("items")
    }

    /// A member of the body as text; empty when it is none.
    pub fn text_of(&self, member: &str) -> &str {
        self.body[member].as_str().unwrap_or_default()
    }

    /// The `id` of the body.
    pub fn id(&self) -> String {
        self.text_of("id").to_owned()
    }

    /// The condition of that type in the body.
    pub fn condition(&self, condition_type: &str) -> &Value {
        let conditions = self.body["status"]["conditions"].as_array();
        conditions
            .and_then(|all| {
                all.iter()
                    .find(|condition| condition["type"] == condition_type)
            })
            .unwrap_or(&Value::Null)
    }

    /// Asserts the status and gives the answer on.
    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.text);
        self
    }

    /// Asserts a problem document of that status, code (without its prefix) and detail.
    #[track_caller]
    pub fn expect_problem(self, status: u16, code: &str, detail: &str) -> Self {
        assert_eq!(self.status, status, "{}", self.text);
        assert_eq!(self.header("content-type"), "application/problem+json");
        assert_eq!(
            self.text_of("code"),
            format!("HYPERFLEET-{code}"),
            "{}",
            self.text
        );
        assert_eq!(self.text_of("detail"), detail);
        assert_eq!(self.body["status"], status);
        for member in ["type", "title", "instance", "timestamp", "trace_id"] {
            assert!(
                self.body[member].is_string(),
                "{member} is missing: {}",
                self.text
            );
        }
        self
    }
}

impl TestApp {
    /// The API with the built-in kinds.
    pub async fn start() -> Self {
        Self::with(Registry::builtin()).await
    }

    /// The API with these kinds.
    pub async fn with(registry: Registry) -> Self {
        Self::set_up(registry, SpecSchemas::default(), IdentityConfig::default()).await
    }

    /// The API with the built-in kinds, whose watches may take so much.
    pub async fn with_watches(watch: WatchOptions) -> Self {
        Self::with_watches_for(watch, &IdentityConfig::default()).await
    }

    /// As [`Self::with_watches`], for these callers.
    pub async fn with_watches_for(watch: WatchOptions, identity: &IdentityConfig) -> Self {
        let database = Arc::new(hyperfleet_test_support::database().await);
        let setup = Setup {
            registry: Arc::new(Registry::builtin()),
            schemas: Arc::default(),
            identity: Arc::new(identity.clone()),
            clock: Arc::default(),
            watch,
        };
        Self::on(database, setup, None).await
    }

    /// The API with these kinds, whose specs must satisfy these schemas.
    pub async fn with_schemas(registry: Registry, schemas: SpecSchemas) -> Self {
        Self::set_up(registry, schemas, IdentityConfig::default()).await
    }

    /// The API with these kinds, for these callers.
    pub async fn with_identity(registry: Registry, identity: &IdentityConfig) -> Self {
        Self::set_up(registry, SpecSchemas::default(), identity.clone()).await
    }

    async fn set_up(registry: Registry, schemas: SpecSchemas, identity: IdentityConfig) -> Self {
        let database = Arc::new(hyperfleet_test_support::database().await);
        let setup = Setup {
            registry: Arc::new(registry),
            schemas: Arc::new(schemas),
            identity: Arc::new(identity),
            clock: Arc::new(ManualClock::default()),
            watch: WatchOptions::default(),
        };
        Self::on(database, setup, None).await
    }

    /// Another process's worth of the same API: on the same database, with an event store of its own.
    pub async fn beside(&self) -> Self {
        self.on_the_same(None).await
    }

    /// As [`Self::beside`], with an event store that reaches the database through another URL.
    pub async fn beside_through(&self, url: &str) -> Self {
        self.on_the_same(Some(url)).await
    }

    /// URL of the database.
    pub fn database_url(&self) -> &str {
        &self.database.url
    }

    async fn on_the_same(&self, url: Option<&str>) -> Self {
        Self::on(Arc::clone(&self.database), self.setup.clone(), url).await
    }

    async fn on(database: Arc<TestDatabase>, setup: Setup, url: Option<&str>) -> Self {
        let url = url.unwrap_or(&database.url);
        let options = EventStoreOptions::new(url).projection(Arc::new(InlineProjector));
        let store = EventStore::open(options)
            .await
            .expect("the test database answers");
        let metrics = prometheus::Registry::new();
        let shutdown = CancellationToken::new();
        let router = router(&database.pool, &store, &setup, &metrics, &shutdown);
        Self {
            router,
            store,
            registry: Arc::clone(&setup.registry),
            clock: Arc::clone(&setup.clock),
            metrics,
            setup,
            database,
            shutdown: shutdown.drop_guard(),
        }
    }

    /// Ends every watch, as the end of the process does.
    pub fn shut_down(self) {
        drop(self.shutdown);
    }

    /// The database of this API.
    pub fn pool(&self) -> &PgPool {
        &self.database.pool
    }

    /// The routes with every layer, to be served by a real server.
    pub fn router(&self) -> Router {
        self.router.clone()
    }

    /// The sum of a counter or gauge over its labels; 0 when there is none.
    pub fn counted(&self, name: &str) -> f64 {
        let families = self.metrics.gather();
        let metrics = families.iter().filter(|family| family.name() == name);
        let metrics = metrics.flat_map(prometheus::proto::MetricFamily::get_metric);
        metrics
            .map(|metric| metric.get_counter().get_value() + metric.get_gauge().get_value())
            .sum()
    }

    /// Now, and a whole number of seconds ago.
    pub fn seconds_ago(&self, seconds: i64) -> DateTime<Utc> {
        self.clock.now() - TimeDelta::seconds(seconds)
    }

    /// Sends a request to an absolute path with these headers and this body.
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Body>,
    ) -> Answer {
        self.clock.advance(TimeDelta::milliseconds(1));
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(body.into()).expect("a valid request");
        let response = self
            .router
            .clone()
            .oneshot(request)
            .await
            .expect("routers never fail");
        read(response).await
    }

    /// Opens a watch of a path below the base path, with `watch=true` in it, with these headers.
    ///
    /// # Errors
    /// The answer, when it is no stream.
    pub async fn watch(
        &self,
        path: &str,
        headers: &[(&str, &str)],
    ) -> Result<WatchStream, Box<Answer>> {
        let mut request = Request::builder().uri(format!("{BASE_PATH}/{path}"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::empty()).expect("a valid request");
        let response = self.router.clone().oneshot(request).await;
        let response = response.expect("routers never fail");
        if response.status() == StatusCode::OK {
            return Ok(WatchStream::of(response));
        }
        Err(Box::new(read(response).await))
    }

    /// Sends a JSON document, or nothing when it is null, to a path below the base path.
    pub async fn request(&self, method: Method, path: &str, document: &Value) -> Answer {
        let body = if document.is_null() {
            String::new()
        } else {
            document.to_string()
        };
        self.send(method, &format!("{BASE_PATH}/{path}"), &[], body)
            .await
    }

    /// `GET` of a path below the base path.
    pub async fn get(&self, path: &str) -> Answer {
        self.request(Method::GET, path, &Value::Null).await
    }

    /// `POST` to a path below the base path.
    pub async fn post(&self, path: &str, document: &Value) -> Answer {
        self.request(Method::POST, path, document).await
    }

    /// `PATCH` of a path below the base path.
    pub async fn patch(&self, path: &str, document: &Value) -> Answer {
        self.request(Method::PATCH, path, document).await
    }

    /// `PUT` to a path below the base path.
    pub async fn put(&self, path: &str, document: &Value) -> Answer {
        self.request(Method::PUT, path, document).await
    }

    /// `DELETE` of a path below the base path.
    pub async fn delete(&self, path: &str) -> Answer {
        self.request(Method::DELETE, path, &Value::Null).await
    }

    /// Creates a resource with an empty spec and returns its id.
    pub async fn create(&self, collection: &str, kind: &str, name: &str) -> String {
        let document = json!({"kind": kind, "name": name, "spec": {}});
        self.post(collection, &document).await.expect(201).id()
    }

    /// Creates a cluster and returns its id.
    pub async fn cluster(&self, name: &str) -> String {
        self.create("clusters", "Cluster", name).await
    }

    /// Creates a node pool of a cluster and returns its id.
    pub async fn node_pool(&self, cluster: &str, name: &str) -> String {
        self.create(&format!("clusters/{cluster}/nodepools"), "NodePool", name)
            .await
    }

    /// Sends a report about the resource at `path`.
    pub async fn report(&self, path: &str, report: &Report<'_>) -> Answer {
        self.put(&format!("{path}/statuses"), &report.document())
            .await
    }
}

async fn read(response: Response) -> Answer {
    let (parts, body) = response.into_parts();
    let bytes = body.collect().await.expect("a complete body").to_bytes();
    Answer {
        status: parts.status.as_u16(),
        headers: parts.headers,
        body: serde_json::from_slice(&bytes).unwrap_or_default(),
        text: String::from_utf8_lossy(&bytes).into_owned(),
        bytes: bytes.into(),
    }
}

/// A report of an adapter: `Applied` and `Health` are True.
#[derive(Clone, Debug)]
pub struct Report<'a> {
    /// Name of the adapter.
    pub adapter: &'a str,
    /// The generation that it observed.
    pub generation: i32,
    /// Status of `Available`.
    pub available: &'a str,
    /// Status of `Finalized`, when reported.
    pub finalized: Option<&'a str>,
    /// When it observed; the server's time when absent.
    pub time: Option<DateTime<Utc>>,
}

impl<'a> Report<'a> {
    /// A report without `Finalized` and without a time.
    pub fn new(adapter: &'a str, generation: i32, available: &'a str) -> Self {
        Self {
            adapter,
            generation,
            available,
            finalized: None,
            time: None,
        }
    }

    /// The same report, observed at that time.
    pub fn at(mut self, time: DateTime<Utc>) -> Self {
        self.time = Some(time);
        self
    }

    /// The same report with `Finalized`.
    pub fn finalized(mut self, status: &'a str) -> Self {
        self.finalized = Some(status);
        self
    }

    /// The body of the report.
    pub fn document(&self) -> Value {
        let mut conditions = vec![
            json!({"type": "Available", "status": self.available}),
            json!({"type": "Applied", "status": "True"}),
            json!({"type": "Health", "status": "True"}),
        ];
        if let Some(finalized) = self.finalized {
            conditions.push(json!({"type": "Finalized", "status": finalized}));
        }
        let mut document = json!({
            "adapter": self.adapter,
            "observed_generation": self.generation,
            "conditions": conditions,
        });
        if let Some(time) = self.time {
            document["observed_time"] = json!(time);
        }
        document
    }
}

fn router(
    pool: &PgPool,
    store: &EventStore,
    setup: &Setup,
    metrics: &prometheus::Registry,
    shutdown: &CancellationToken,
) -> Router {
    let Setup {
        registry,
        schemas,
        identity,
        clock,
        watch,
    } = setup;
    let gate = Gate::new(identity, registry, &(Arc::clone(clock) as _), metrics);
    let gate = Arc::new(gate.expect("a usable configuration"));
    let watches = WatchHub::new(
        store.clone(),
        Arc::clone(clock) as _,
        *watch,
        shutdown.clone(),
    );
    for collector in watches.collectors() {
        metrics
            .register(collector)
            .expect("each is registered once");
    }
    let queries = hyperfleet_projections::routes::router(QueryState {
        pool: pool.clone(),
        store: store.clone(),
        registry: Arc::clone(registry),
        watches,
        exports: Exports::default(),
    });
    let state = CommandState::new(
        store.clone(),
        Arc::clone(registry),
        Arc::clone(clock) as _,
        Arc::new(UuidV7Source),
        BuildInfo {
            version: "0.0.0-test".to_owned(),
            build_time: "unknown".to_owned(),
        },
    );
    let counted = CommandMetrics::register(metrics, "api", "0.0.0-test").expect("registered once");
    let state = state
        .with_schemas(Arc::clone(schemas))
        .with_metrics(counted);
    let limits = RequestLimits::new(Limits::default());
    for collector in limits.collectors() {
        metrics
            .register(collector)
            .expect("each is registered once");
    }
    let commands = hyperfleet_command_api::routes::router(state);
    let mut document = hyperfleet_command_api::openapi::document(registry, "0.0.0-test");
    document.merge(hyperfleet_projections::openapi::document(
        registry,
        "0.0.0-test",
    ));
    let documents = hyperfleet_command_api::routes::openapi_router(&document);
    let routes = queries.merge(commands).merge(documents);
    // The writer ends with the router.
    let refusals = AuditMetrics::register(metrics).expect("registered once");
    let (sink, _) = AuditLog::start(pool.clone(), refusals);
    let options = HttpOptions {
        audit: Some(sink),
        ..HttpOptions::default()
    };
    hyperfleet_runtime::http::layered_with(
        gate.guard(limits.around(hyperfleet_runtime::http::compressed(routes, BASE_PATH))),
        Arc::clone(clock) as _,
        Arc::new(UuidV7Source),
        &options,
    )
}
