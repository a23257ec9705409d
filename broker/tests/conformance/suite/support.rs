//! Consumers that record what they get and do what they are told.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use hyperfleet_broker::{
    Delivery, Envelope, Handler, Outcome, RedeliveryPolicy, SubscribeError, Subscription,
};
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

    /// The ids of the next deliveries, sorted.
    pub(crate) async fn next_ids(&mut self, count: usize) -> Vec<String> {
        let mut ids = Vec::new();
        for _ in 0..count {
            ids.push(self.next().await.envelope.id);
        }
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

/// Publishes events with these ids.
pub(crate) async fn publish(backend: &dyn Backend, ids: &[&str]) {
    for id in ids {
        backend
            .publisher()
            .publish(&backend.topic(), &event(id))
            .await
            .unwrap();
    }
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
    Outcome::Retry {
        reason: "not yet".to_owned(),
    }
}
