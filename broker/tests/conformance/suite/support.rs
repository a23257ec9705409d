//! Consumers that record what they get and do what they are told.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use chrono::DateTime;
use hyperfleet_broker::{
    DeadLetter, Delivery, Envelope, Handler, MetricFamilies, Outcome, RedeliveryPolicy,
    SubscribeError, Subscription,
};
use hyperfleet_test_support::eventually;
use prometheus::Registry;
use prometheus::proto::MetricFamily;
use serde_json::json;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::Backend;

/// Longest wait for something that must happen. Generous, because real brokers run on busy machines.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

/// How long to look out for something that must not happen.
pub(crate) const QUIET: Duration = Duration::from_millis(150);

/// A delay that costs no time.
pub(crate) const SHORT: Duration = Duration::from_millis(10);

/// What a consumer does with a delivery.
type Behaviour = dyn Fn(&Delivery) -> Outcome + Send + Sync;

/// A running consumer.
pub(crate) struct Consumer {
    deliveries: mpsc::UnboundedReceiver<Delivery>,
    pub(crate) shutdown: CancellationToken,
    pub(crate) task: JoinHandle<Result<(), SubscribeError>>,
}

struct Recorder {
    deliveries: mpsc::UnboundedSender<Delivery>,
    behaviour: Box<Behaviour>,
}

#[async_trait]
impl Handler for Recorder {
    async fn handle(&self, delivery: Delivery) -> Outcome {
        let outcome =
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| (self.behaviour)(&delivery)));
        // Recorded also when the behaviour is to panic.
        let _ = self.deliveries.send(delivery);
        outcome.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

/// Starts a consumer and returns once its subscription exists.
pub(crate) async fn consume(
    backend: &dyn Backend,
    subscription: Subscription,
    behaviour: impl Fn(&Delivery) -> Outcome + Send + Sync + 'static,
) -> Consumer {
    let (sender, deliveries) = mpsc::unbounded_channel();
    let handler = Arc::new(Recorder {
        deliveries: sender,
        behaviour: Box::new(behaviour),
    });
    let (shutdown, task) = start(backend, subscription, handler).await;
    Consumer {
        deliveries,
        shutdown,
        task,
    }
}

/// Starts any handler and returns once its subscription exists.
pub(crate) async fn start(
    backend: &dyn Backend,
    subscription: Subscription,
    handler: Arc<dyn Handler>,
) -> (CancellationToken, JoinHandle<Result<(), SubscribeError>>) {
    let subscriber = backend.subscriber();
    subscriber.declare(&subscription).await.unwrap();
    let shutdown = CancellationToken::new();
    let token = shutdown.clone();
    let task = tokio::spawn(async move { subscriber.run(subscription, handler, token).await });
    (shutdown, task)
}

impl Consumer {
    /// The next delivery.
    pub(crate) async fn next(&mut self) -> Delivery {
        let next = timeout(DEADLINE, self.deliveries.recv()).await;
        next.expect("a delivery within the deadline")
            .expect("a running consumer")
    }

    /// The ids of the next deliveries, as they come.
    pub(crate) async fn next_in_order(&mut self, count: usize) -> Vec<String> {
        let mut ids = Vec::new();
        for _ in 0..count {
            ids.push(self.next().await.envelope.id);
        }
        ids
    }

    /// The ids of the next deliveries, sorted.
    pub(crate) async fn next_ids(&mut self, count: usize) -> Vec<String> {
        let mut ids = self.next_in_order(count).await;
        ids.sort();
        ids
    }

    /// Checks that nothing more comes for a while.
    pub(crate) async fn expect_quiet(&mut self) {
        if let Ok(Some(delivery)) = timeout(QUIET, self.deliveries.recv()).await {
            panic!("unexpected delivery {delivery:?}");
        }
    }

    /// Shuts down in order and returns what was delivered but not looked at.
    pub(crate) async fn stop(mut self) -> Vec<Delivery> {
        self.shutdown.cancel();
        timeout(DEADLINE, self.task)
            .await
            .expect("the consumer stops")
            .unwrap()
            .unwrap();
        let mut rest = Vec::new();
        while let Some(delivery) = self.deliveries.recv().await {
            rest.push(delivery);
        }
        rest
    }
}

/// An event with this id.
pub(crate) fn event(id: &str) -> Envelope {
    Envelope::new(id, "conformance", "conformance.event", json!({"id": id}))
}

/// Publishes events with these ids to the backend's topic.
pub(crate) async fn publish(backend: &dyn Backend, ids: &[&str]) {
    publish_to(backend, &backend.topic(), ids).await;
}

/// Publishes events with these ids.
pub(crate) async fn publish_to(backend: &dyn Backend, topic: &str, ids: &[&str]) {
    for id in ids {
        let published = backend.publisher().publish(topic, &event(id)).await;
        published.unwrap();
    }
}

/// So many ids that sort as they count.
pub(crate) fn ids(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("{number:03}")).collect()
}

/// Publishes events with these ids, many at a time.
pub(crate) async fn publish_all(backend: &dyn Backend, ids: &[String]) {
    let events: Vec<Envelope> = ids.iter().map(|id| event(id)).collect();
    let window = NonZeroUsize::new(50).unwrap();
    let published = backend.publisher();
    let published = published
        .publish_many(&backend.topic(), &events, window)
        .await;
    for outcome in published {
        outcome.unwrap();
    }
}

/// The same broker, which knows the time: a second passes whenever it asks.
pub(crate) fn timed(backend: &dyn Backend) -> Box<dyn Backend> {
    let seconds = AtomicI64::new(0);
    let clock = move || {
        let now = seconds.fetch_add(1, Ordering::SeqCst);
        DateTime::from_timestamp_secs(now).unwrap()
    };
    let families = MetricFamilies::register(&Registry::new(), Arc::new(clock)).unwrap();
    backend.with_metrics(families.component("conformance", "1"))
}

/// Acknowledges everything.
pub(crate) fn accept(_: &Delivery) -> Outcome {
    Outcome::Acknowledge
}

/// Waits until a subscription has this many dead letters.
pub(crate) async fn dead_letters(backend: &dyn Backend, id: &str, count: usize) -> Vec<DeadLetter> {
    let topic = backend.topic();
    eventually(DEADLINE, "the dead letters", async || {
        let letters = backend.dead_letters().list(&topic, id, 100).await.unwrap();
        (letters.len() == count).then_some(letters)
    })
    .await
}

/// The ids of the events that these dead letters are.
pub(crate) fn events_of(letters: &[DeadLetter]) -> Vec<String> {
    let event = |letter: &DeadLetter| Envelope::from_bytes(&letter.body).unwrap().id;
    letters.iter().map(event).collect()
}

/// A subscription of the backend's topic that tries `attempts` times, `delay` apart.
pub(crate) fn subscription(
    backend: &dyn Backend,
    id: &str,
    attempts: u32,
    delay: Duration,
) -> Subscription {
    Subscription::new(backend.topic(), id).with_redelivery(RedeliveryPolicy {
        initial_delay: delay,
        maximum_delay: delay,
        maximum_attempts: attempts.try_into().unwrap(),
    })
}

/// Retry, with a reason to recognise.
pub(crate) fn retry() -> Outcome {
    Outcome::retry("not yet")
}

/// The sum of a family's counters and gauges, or the number of its observations, where a label has this value.
pub(crate) fn metric(registry: &Registry, name: &str, label: &str) -> f64 {
    let families = registry.gather();
    let family = families.iter().find(|family| family.name() == name);
    let metrics = family.into_iter().flat_map(MetricFamily::get_metric);
    let chosen = metrics.filter(|metric| {
        label.is_empty() || metric.get_label().iter().any(|pair| pair.value() == label)
    });
    chosen
        .map(|metric| {
            let observations = u32::try_from(metric.get_histogram().get_sample_count()).unwrap();
            metric.get_counter().get_value()
                + metric.get_gauge().get_value()
                + f64::from(observations)
        })
        .sum()
}
