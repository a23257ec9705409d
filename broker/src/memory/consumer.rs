//! Runs a handler on the events of one subscription.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use super::queue::{Queue, Taken};
use crate::metrics::ErrorType;
use crate::subscribe;
use crate::{BrokerMetrics, Delivery, Envelope, Handler, Outcome, RedeliveryPolicy};

/// One call of `Subscriber::run`.
#[derive(Clone)]
pub(super) struct Consumer {
    pub(super) queue: Arc<Queue>,
    pub(super) handler: Arc<dyn Handler>,
    pub(super) redelivery: RedeliveryPolicy,
    pub(super) metrics: BrokerMetrics,
    pub(super) shutdown: CancellationToken,
}

impl Consumer {
    /// Runs until shutdown, then waits for running handlers. Dropping the future aborts the workers, and
    /// their events go back to the queue.
    pub(super) async fn run(self, parallelism: NonZeroUsize, drain_deadline: Duration) {
        let mut workers = JoinSet::new();
        for _ in 0..parallelism.get() {
            workers.spawn(self.clone().work());
        }
        self.shutdown.cancelled().await;
        let drained = timeout(drain_deadline, async {
            while let Some(joined) = workers.join_next().await {
                if let Err(error) = joined {
                    tracing::error!(%error, "a consumer's worker ended abnormally");
                }
            }
        });
        if drained.await.is_err() {
            tracing::warn!(
                topic = self.queue.topic(),
                subscription_id = self.queue.subscription_id(),
                "handlers still ran at the drain deadline; their events are given back"
            );
            workers.shutdown().await;
        }
    }

    async fn work(self) {
        loop {
            let taken = tokio::select! {
                biased;
                () = self.shutdown.cancelled() => return,
                taken = self.queue.next() => taken,
            };
            self.deliver(taken).await;
        }
    }

    async fn deliver(&self, taken: Taken) {
        let topic = self.queue.topic();
        self.metrics.consumed(topic);
        let envelope = match Envelope::from_bytes(taken.body()) {
            Ok(envelope) => envelope,
            Err(error) => {
                self.metrics.failed(topic, ErrorType::Conversion);
                self.bury(taken, 0, format!("the body is not an event: {error}"));
                return;
            }
        };
        let attempt = taken.attempt();
        self.metrics.delivered(topic, &envelope, attempt);
        let started = Instant::now();
        let outcome = subscribe::handle(&*self.handler, Delivery { envelope, attempt }).await;
        self.metrics.handled(topic, started.elapsed());
        if outcome != Outcome::Acknowledge {
            self.metrics.failed(topic, ErrorType::Handler);
        }
        match outcome {
            Outcome::Acknowledge => taken.acknowledge(),
            Outcome::DeadLetter { reason } => self.bury(taken, attempt, reason),
            Outcome::Retry { reason, after } => {
                if let Some(delay) = self.redelivery.delay_or(attempt, after) {
                    taken.retry_after(delay);
                } else {
                    let reason = format!("given up after {attempt} deliveries: {reason}");
                    self.bury(taken, attempt, reason);
                }
            }
        }
    }

    fn bury(&self, taken: Taken, attempts: u32, reason: String) {
        tracing::warn!(
            topic = self.queue.topic(),
            subscription_id = self.queue.subscription_id(),
            attempts,
            reason,
            "an event became a dead letter"
        );
        let (topic, id) = (self.queue.topic(), self.queue.subscription_id());
        self.metrics.buried(topic, id);
        taken.bury(attempts, reason, self.metrics.now());
    }
}
