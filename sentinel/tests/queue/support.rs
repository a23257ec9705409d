//! A fleet in a database, a topic, and sentinels on both.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use hyperfleet_broker::memory::MemoryBroker;
use hyperfleet_broker::{
    Delivery, Envelope, Handler, Outcome, PublishError, Publisher, Subscriber, Subscription,
};
use hyperfleet_domain::registry::Registry;
use hyperfleet_domain::resource::Resource;
use hyperfleet_runtime::{SystemClock, UuidV7Source};
use hyperfleet_sentinel::{
    ConfigError, SentinelConfig, SentinelMetrics, SentinelOptions, SentinelStatus,
};
use hyperfleet_test_support::TestDatabase;
use serde_json::json;
use sqlx::PgPool;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// Longest wait for what must happen.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// How long to look out for what must not happen.
pub(crate) const QUIET: Duration = Duration::from_millis(300);

pub(crate) const TOPIC: &str = "clusters";

/// A database with resources in it, as the projections leave them.
pub(crate) struct Fleet {
    database: TestDatabase,
}

impl Fleet {
    pub(crate) async fn empty() -> Self {
        Self {
            database: hyperfleet_test_support::database().await,
        }
    }

    pub(crate) fn pool(&self) -> &PgPool {
        &self.database.pool
    }

    /// Creates a cluster or raises its generation, and makes it due, as the inline projection does.
    pub(crate) async fn set(&self, id: &str, generation: i32, labels: &[(&str, &str)]) {
        let labels: BTreeMap<String, String> = labels
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect();
        let resource = Resource {
            id: id.to_owned(),
            kind: "Cluster".to_owned(),
            href: format!("/api/hyperfleet/v1/clusters/{id}"),
            generation,
            labels: labels.clone(),
            ..Resource::default()
        };
        let mut transaction = self.pool().begin().await.unwrap();
        sqlx::query(
            "INSERT INTO resources (id, kind, name, href, generation, spec, labels, tenancy, created_time,
                 updated_time, created_by, updated_by, version, state)
             VALUES ($1, 'Cluster', $1, $2, $3, '{}', $4, '{}', now(), now(), 't', 't', 1, $5)
             ON CONFLICT (id) DO UPDATE SET generation = $3, labels = $4, state = $5",
        )
        .bind(id)
        .bind(&resource.href)
        .bind(generation)
        .bind(json!(labels))
        .bind(json!(resource))
        .execute(&mut *transaction)
        .await
        .unwrap();
        sqlx::query(
            "INSERT INTO reconcile_queue (resource_id, kind, labels, due_time)
             VALUES ($1, 'Cluster', $2, now())
             ON CONFLICT (resource_id) DO UPDATE SET labels = $2, due_time = now(), attempt = 0,
                 claimed_until = NULL, claim_token = NULL",
        )
        .bind(id)
        .bind(json!(labels))
        .execute(&mut *transaction)
        .await
        .unwrap();
        transaction.commit().await.unwrap();
    }

    /// How many rows are due and free.
    pub(crate) async fn due(&self) -> i64 {
        self.count("due_time <= now() AND (claimed_until IS NULL OR claimed_until <= now())")
            .await
    }

    /// How many rows are claimed.
    pub(crate) async fn claimed(&self) -> i64 {
        self.count("claimed_until > now()").await
    }

    async fn count(&self, condition: &str) -> i64 {
        let sql = format!("SELECT count(*) FROM reconcile_queue WHERE {condition}");
        sqlx::query_scalar(&sql)
            .fetch_one(self.pool())
            .await
            .unwrap()
    }
}

/// A broker whose one subscription hands all events to the test.
pub(crate) struct Topic {
    pub(crate) broker: MemoryBroker,
    events: mpsc::UnboundedReceiver<Envelope>,
}

struct Forward(mpsc::UnboundedSender<Envelope>);

#[async_trait]
impl Handler for Forward {
    async fn handle(&self, delivery: Delivery) -> Outcome {
        let _ = self.0.send(delivery.envelope);
        Outcome::Acknowledge
    }
}

impl Topic {
    pub(crate) async fn subscribed() -> Self {
        Self::subscribe(MemoryBroker::default()).await
    }

    pub(crate) async fn subscribe(broker: MemoryBroker) -> Self {
        let (sender, events) = mpsc::unbounded_channel();
        let subscription = Subscription::new(TOPIC, "test");
        broker.declare(&subscription).await.unwrap();
        let subscriber = broker.clone();
        tokio::spawn(async move {
            let shutdown = CancellationToken::new();
            subscriber
                .run(subscription, Arc::new(Forward(sender)), shutdown)
                .await
        });
        Self { broker, events }
    }

    pub(crate) async fn next(&mut self) -> Envelope {
        let next = timeout(DEADLINE, self.events.recv()).await;
        next.expect("an event within the deadline")
            .expect("a running subscription")
    }

    /// The resource and generation that the next event is about.
    pub(crate) async fn next_subject(&mut self) -> (String, i64) {
        let event = self.next().await;
        let id = event.data["id"].as_str().unwrap().to_owned();
        (id, event.data["generation"].as_i64().unwrap())
    }

    pub(crate) async fn expect_quiet(&mut self) {
        if let Ok(Some(event)) = timeout(QUIET, self.events.recv()).await {
            panic!("unexpected event {event:?}");
        }
    }
}

/// Where a [`Gate`] stops a publish.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stop {
    Before,
    After,
}

/// A publisher that stops at each publish until it gets a permit.
pub(crate) struct Gate {
    broker: MemoryBroker,
    stop: Stop,
    pub(crate) permits: Semaphore,
    reached: Semaphore,
}

impl Gate {
    pub(crate) fn new(broker: MemoryBroker, stop: Stop) -> Arc<Self> {
        let (permits, reached) = (Semaphore::new(0), Semaphore::new(0));
        Arc::new(Self {
            broker,
            stop,
            permits,
            reached,
        })
    }

    /// Waits until a publish has reached the gate.
    pub(crate) async fn reached(&self) {
        timeout(DEADLINE, self.reached.acquire())
            .await
            .unwrap()
            .unwrap()
            .forget();
    }

    async fn wait(&self) {
        self.reached.add_permits(1);
        self.permits.acquire().await.unwrap().forget();
    }
}

#[async_trait]
impl Publisher for Gate {
    async fn publish(&self, topic: &str, envelope: &Envelope) -> Result<(), PublishError> {
        if self.stop == Stop::Before {
            self.wait().await;
        }
        let published = self.broker.publish(topic, envelope).await;
        if self.stop == Stop::After {
            self.wait().await;
        }
        published
    }
}

/// A running sentinel.
pub(crate) struct Sentinel {
    pub(crate) shutdown: CancellationToken,
    pub(crate) status: SentinelStatus,
    task: JoinHandle<Result<(), ConfigError>>,
}

impl Sentinel {
    pub(crate) fn start(fleet: &Fleet, publisher: Arc<dyn Publisher>) -> Self {
        Self::start_with(fleet, publisher, config(), SentinelMetrics::default())
    }

    pub(crate) fn start_with(
        fleet: &Fleet,
        publisher: Arc<dyn Publisher>,
        config: SentinelConfig,
        metrics: SentinelMetrics,
    ) -> Self {
        let shutdown = CancellationToken::new();
        let status = SentinelStatus::default();
        let options = SentinelOptions {
            config,
            registry: Arc::new(Registry::builtin()),
            pool: fleet.pool().clone(),
            // Nobody tells of commits, so it looks by itself.
            commits: tokio::sync::watch::channel(0).1,
            publisher,
            clock: Arc::new(SystemClock),
            ids: Arc::new(UuidV7Source),
            metrics,
            status: status.clone(),
            shutdown: shutdown.clone(),
        };
        Self {
            shutdown,
            status,
            task: tokio::spawn(hyperfleet_sentinel::run(options)),
        }
    }

    /// Ends as a killed process does.
    pub(crate) async fn kill(self) {
        self.task.abort();
        let _ = self.task.await;
    }

    /// Waits for its end and tells how it ended.
    pub(crate) async fn result(self) -> Result<(), ConfigError> {
        timeout(DEADLINE, self.task)
            .await
            .expect("it stops")
            .unwrap()
    }
}

/// The usual sentinel, but with claims that come back soon.
pub(crate) fn config() -> SentinelConfig {
    let mut config = SentinelConfig::builtin("clusters", TOPIC, false);
    config.claims.visibility_timeout = Duration::from_secs(1);
    config
}
