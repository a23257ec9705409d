//! Who gets which event, and when.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use hyperfleet_broker::{
    Delivery, ExtensionValue, Handler, Outcome, PublishError, SubscribeError, Subscription,
};
use serde_json::json;
use tokio::sync::{Barrier, Semaphore, mpsc};
use tokio::time::timeout;

use super::Backend;
use super::support::{DEADLINE, QUIET, consume, event, publish, start};

pub(crate) async fn every_subscription_gets_every_event(backend: &dyn Backend) {
    // Given two subscriptions of one topic
    let subscribe = |id| Subscription::new(backend.topic(), id);
    let mut first = consume(backend, subscribe("first"), |_| Outcome::Acknowledge).await;
    let mut second = consume(backend, subscribe("second"), |_| Outcome::Acknowledge).await;
    // When five events are published
    publish(backend, &["1", "2", "3", "4", "5"]).await;
    // Then each gets all five, once
    for consumer in [&mut first, &mut second] {
        assert_eq!(consumer.next_ids(5).await, ["1", "2", "3", "4", "5"]);
        consumer.expect_quiet().await;
    }
}

pub(crate) async fn consumers_of_one_subscription_share_its_events(backend: &dyn Backend) {
    // Given two consumers of one subscription, neither of which finishes before both have an event
    struct Meeting {
        barrier: Arc<Barrier>,
        met: AtomicUsize,
        handled: mpsc::UnboundedSender<(usize, String)>,
        number: usize,
    }
    #[async_trait]
    impl Handler for Meeting {
        async fn handle(&self, delivery: Delivery) -> Outcome {
            if self.met.fetch_add(1, Ordering::SeqCst) == 0 {
                self.barrier.wait().await;
            }
            let _ = self.handled.send((self.number, delivery.envelope.id));
            Outcome::Acknowledge
        }
    }
    let (handled, mut results) = mpsc::unbounded_channel();
    let barrier = Arc::new(Barrier::new(2));
    for number in 0..2 {
        let (barrier, handled) = (Arc::clone(&barrier), handled.clone());
        let handler = Meeting {
            barrier,
            met: AtomicUsize::new(0),
            handled,
            number,
        };
        start(
            backend,
            Subscription::new(backend.topic(), "shared"),
            Arc::new(handler),
        )
        .await;
    }
    // When ten events are published
    let ids = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"];
    publish(backend, &ids).await;
    // Then both take part, and each event is handled once
    let mut handled_ids = Vec::new();
    let mut handled_by = [0, 0];
    for _ in ids {
        let (number, id) = timeout(DEADLINE, results.recv()).await.unwrap().unwrap();
        handled_by[number] += 1;
        handled_ids.push(id);
    }
    handled_ids.sort();
    assert_eq!(handled_ids, ids);
    assert!(handled_by.iter().all(|count| *count > 0), "{handled_by:?}");
    assert!(
        timeout(QUIET, results.recv()).await.is_err(),
        "an event was handled twice"
    );
}

pub(crate) async fn an_event_arrives_as_it_was_published(backend: &dyn Backend) {
    // Given an event with everything that an event can have
    let mut sent = event("full")
        .with_time("2026-01-02T03:04:05Z".parse().unwrap())
        .with_traceparent("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
    sent.data = json!({"id": "<&>\u{2028}", "list": [1, -2, 0.5, null, true], "nested": {"b": {}, "a": []}});
    sent.extensions
        .insert("zone".into(), ExtensionValue::String("a".into()));
    let subscription = Subscription::new(backend.topic(), "s");
    let mut consumer = consume(backend, subscription, |_| Outcome::Acknowledge).await;
    // When it is published
    backend
        .publisher()
        .publish(&backend.topic(), &sent)
        .await
        .unwrap();
    // Then it arrives equal, as a first attempt
    assert_eq!(
        consumer.next().await,
        Delivery {
            envelope: sent,
            attempt: 1
        }
    );
}

pub(crate) async fn a_topic_without_subscription_is_an_error(backend: &dyn Backend) {
    let published = backend
        .publisher()
        .publish(&backend.topic(), &event("lost"))
        .await;
    assert!(
        matches!(published, Err(PublishError::Unroutable { .. })),
        "{published:?}"
    );
}

pub(crate) async fn empty_names_are_refused(backend: &dyn Backend) {
    let published = backend.publisher().publish("", &event("lost")).await;
    assert!(
        matches!(published, Err(PublishError::EmptyTopic)),
        "{published:?}"
    );
    let subscriber = backend.subscriber();
    let declared = subscriber.declare(&Subscription::new("", "s")).await;
    assert!(
        matches!(declared, Err(SubscribeError::EmptyTopic)),
        "{declared:?}"
    );
    let declared = subscriber
        .declare(&Subscription::new(backend.topic(), ""))
        .await;
    assert!(
        matches!(declared, Err(SubscribeError::EmptySubscriptionId { .. })),
        "{declared:?}"
    );
}

pub(crate) async fn a_declared_subscription_keeps_events_until_it_is_consumed(
    backend: &dyn Backend,
) {
    // Given a subscription that is declared, twice even, but not consumed
    let subscription = Subscription::new(backend.topic(), "later");
    backend.subscriber().declare(&subscription).await.unwrap();
    backend.subscriber().declare(&subscription).await.unwrap();
    // When events are published before the consumer starts
    publish(backend, &["1", "2"]).await;
    // Then the consumer gets them
    let mut consumer = consume(backend, subscription, |_| Outcome::Acknowledge).await;
    assert_eq!(consumer.next_ids(2).await, ["1", "2"]);
    consumer.expect_quiet().await;
}

pub(crate) async fn a_subscription_outlives_its_consumer(backend: &dyn Backend) {
    // Given a consumer that handled an event and stopped
    let subscription = Subscription::new(backend.topic(), "s");
    let mut consumer = consume(backend, subscription.clone(), |_| Outcome::Acknowledge).await;
    publish(backend, &["before"]).await;
    consumer.next().await;
    consumer.stop().await;
    // When another is published meanwhile, and a new consumer starts
    publish(backend, &["meanwhile"]).await;
    let mut consumer = consume(backend, subscription, |_| Outcome::Acknowledge).await;
    // Then it gets what it missed and nothing that was acknowledged
    assert_eq!(consumer.next_ids(1).await, ["meanwhile"]);
    consumer.expect_quiet().await;
}

/// Holds each event until it gets a permit, and counts how many it holds.
struct Gate {
    permits: Semaphore,
    running: AtomicUsize,
    most: AtomicUsize,
    started: mpsc::UnboundedSender<()>,
    finished: mpsc::UnboundedSender<String>,
}

struct GateEnds {
    started: mpsc::UnboundedReceiver<()>,
    finished: mpsc::UnboundedReceiver<String>,
}

impl Gate {
    fn new() -> (Arc<Self>, GateEnds) {
        let (started, started_end) = mpsc::unbounded_channel();
        let (finished, finished_end) = mpsc::unbounded_channel();
        let gate = Self {
            permits: Semaphore::new(0),
            running: AtomicUsize::new(0),
            most: AtomicUsize::new(0),
            started,
            finished,
        };
        (
            Arc::new(gate),
            GateEnds {
                started: started_end,
                finished: finished_end,
            },
        )
    }
}

#[async_trait]
impl Handler for Gate {
    async fn handle(&self, delivery: Delivery) -> Outcome {
        let running = self.running.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(running, Ordering::SeqCst);
        let _ = self.started.send(());
        self.permits.acquire().await.unwrap().forget();
        self.running.fetch_sub(1, Ordering::SeqCst);
        let _ = self.finished.send(delivery.envelope.id);
        Outcome::Acknowledge
    }
}

pub(crate) async fn parallelism_bounds_concurrency(backend: &dyn Backend) {
    // Given a consumer with parallelism 3 and six events
    let (gate, mut ends) = Gate::new();
    let subscription = Subscription::new(backend.topic(), "s").with_parallelism(3);
    start(backend, subscription, Arc::<Gate>::clone(&gate)).await;
    publish(backend, &["1", "2", "3", "4", "5", "6"]).await;
    // When none is allowed to finish
    for _ in 0..3 {
        timeout(DEADLINE, ends.started.recv())
            .await
            .expect("three run at a time");
    }
    // Then no fourth one starts
    assert!(timeout(QUIET, ends.started.recv()).await.is_err());
    // And all finish once they may, never more than three at a time
    gate.permits.add_permits(6);
    for _ in 0..6 {
        timeout(DEADLINE, ends.finished.recv())
            .await
            .expect("all are handled");
    }
    assert_eq!(gate.most.load(Ordering::SeqCst), 3);
}

pub(crate) async fn shutdown_waits_for_running_handlers(backend: &dyn Backend) {
    // Given a consumer in the middle of an event, with another one waiting
    let (gate, mut ends) = Gate::new();
    let subscription = Subscription::new(backend.topic(), "s");
    let (shutdown, mut task) =
        start(backend, subscription.clone(), Arc::<Gate>::clone(&gate)).await;
    publish(backend, &["running", "waiting"]).await;
    timeout(DEADLINE, ends.started.recv()).await.unwrap();
    // When it is shut down
    shutdown.cancel();
    // Then it goes on until the handler is done, and takes nothing more
    assert!(
        timeout(QUIET, &mut task).await.is_err(),
        "shutdown did not wait"
    );
    gate.permits.add_permits(2);
    timeout(DEADLINE, task)
        .await
        .expect("shutdown ends")
        .unwrap()
        .unwrap();
    assert_eq!(ends.finished.recv().await.as_deref(), Some("running"));
    assert!(ends.finished.try_recv().is_err());
    // And the finished event is settled: the next consumer gets only the waiting one
    let mut consumer = consume(backend, subscription, |_| Outcome::Acknowledge).await;
    assert_eq!(consumer.next_ids(1).await, ["waiting"]);
    consumer.expect_quiet().await;
}

pub(crate) async fn a_dropped_consumer_gives_its_event_back(backend: &dyn Backend) {
    // Given a consumer that dies in the middle of an event
    let (gate, mut ends) = Gate::new();
    let subscription = Subscription::new(backend.topic(), "s");
    let (_shutdown, task) = start(backend, subscription.clone(), gate).await;
    publish(backend, &["interrupted"]).await;
    timeout(DEADLINE, ends.started.recv()).await.unwrap();
    task.abort();
    // When another takes over
    let mut consumer = consume(backend, subscription, |_| Outcome::Acknowledge).await;
    // Then the event is delivered again
    assert_eq!(consumer.next_ids(1).await, ["interrupted"]);
    consumer.expect_quiet().await;
}
