//! One delivery: given to the handler, then settled.

use std::sync::Arc;
use std::time::Duration;

use google_cloud_pubsub::model::Message;
use google_cloud_pubsub::subscriber::handler::Handler as Lease;
use tokio::time::Instant;

use super::history::Known;
use super::topology::Place;
use super::{PubSubBroker, dead_letters, message};
use crate::metrics::ErrorType;
use crate::subscribe;
use crate::{Delivery, Handler, Outcome, RedeliveryPolicy};

/// What a consumer does with each delivery.
#[derive(Clone)]
pub(super) struct Worker {
    pub(super) broker: PubSubBroker,
    pub(super) topic: String,
    pub(super) subscription_id: String,
    pub(super) place: Place,
    pub(super) redelivery: RedeliveryPolicy,
    pub(super) handler: Arc<dyn Handler>,
}

/// A message that this consumer holds. Dropping it gives it back.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) message: Message,
    pub(super) lease: Lease,
    /// Deliveries of it to this subscription, this one included.
    pub(super) attempt: u32,
    /// Not to be handled before.
    pub(super) due: Option<Instant>,
}

impl Worker {
    /// Takes a message on, unless it is not for this subscription or was settled before.
    pub(super) fn receive(&self, message: Message, lease: Lease) -> Option<Held> {
        if !message::is_for(&message, &self.subscription_id) {
            lease.ack();
            return None;
        }
        self.broker.metrics.consumed(&self.topic);
        let history = &self.broker.shared.history;
        let known = history.of(&self.place.subscription, &message);
        let failed = match known {
            Some(Known::Settled(_)) => {
                // The acknowledgement did not arrive.
                lease.ack();
                return None;
            }
            Some(Known::Failed(failed)) => Some(failed),
            None => None,
        };
        let counted_here = failed.map_or(1, |failed| failed.attempts + 1);
        let attempt = lease
            .delivery_attempt()
            .and_then(|attempt| u32::try_from(attempt).ok());
        Some(Held {
            attempt: attempt.unwrap_or(counted_here),
            due: failed.map(|failed| failed.due),
            message,
            lease,
        })
    }

    /// Handles a message and settles it.
    pub(super) async fn work(self, held: Held) {
        let envelope = match message::to_event(&held.message) {
            Ok(envelope) => envelope,
            Err(error) => {
                self.broker
                    .metrics
                    .failed(&self.topic, ErrorType::Conversion);
                let reason = format!("the body is not an event: {error}");
                self.bury(held, 0, &reason).await;
                return;
            }
        };
        let attempt = held.attempt;
        self.broker
            .metrics
            .delivered(&self.topic, &envelope, attempt);
        let started = Instant::now();
        let outcome = subscribe::handle(&*self.handler, Delivery { envelope, attempt }).await;
        self.broker.metrics.handled(&self.topic, started.elapsed());
        if outcome != Outcome::Acknowledge {
            self.broker.metrics.failed(&self.topic, ErrorType::Handler);
        }
        match outcome {
            Outcome::Acknowledge => self.acknowledge(held),
            Outcome::DeadLetter { reason } => self.bury(held, attempt, &reason).await,
            Outcome::Retry { reason, after } => {
                if let Some(delay) = self.delay_or(attempt, after) {
                    self.give_back(held, delay);
                } else {
                    let reason = format!("given up after {attempt} deliveries: {reason}");
                    self.bury(held, attempt, &reason).await;
                }
            }
        }
    }

    /// The delay before the next delivery; nothing when this was the last one, here or at Pub/Sub, which
    /// would not keep the reason.
    fn delay_or(&self, attempt: u32, own: Option<Duration>) -> Option<Duration> {
        let is_last = self
            .place
            .maximum_attempts
            .is_some_and(|maximum| attempt >= maximum);
        self.redelivery.delay_or(attempt, own).filter(|_| !is_last)
    }

    fn acknowledge(&self, held: Held) {
        let history = &self.broker.shared.history;
        history.settled(&self.place.subscription, &held.message);
        held.lease.ack();
    }

    fn give_back(&self, held: Held, delay: Duration) {
        self.broker.shared.history.failed(
            &self.place.subscription,
            &held.message,
            held.attempt,
            delay,
        );
        held.lease.nack();
    }

    /// Confirmed as a dead letter first, acknowledged then.
    async fn bury(&self, held: Held, attempts: u32, reason: &str) {
        let dead = dead_letters::of(
            &held.message,
            &self.topic,
            &self.subscription_id,
            attempts,
            reason,
        );
        let shared = &self.broker.shared;
        match shared.send(&self.place.dead_letter_topic, dead).await {
            Ok(()) => {
                let metrics = &self.broker.metrics;
                metrics.buried(&self.topic, &self.subscription_id);
                tracing::warn!(
                    topic = self.topic,
                    subscription_id = self.subscription_id,
                    attempts,
                    reason,
                    "an event became a dead letter"
                );
                self.acknowledge(held);
            }
            Err(error) => {
                tracing::error!(
                    topic = self.topic,
                    subscription_id = self.subscription_id,
                    attempts,
                    reason,
                    %error,
                    "an event could not be made a dead letter and will be delivered again"
                );
                self.give_back(held, self.redelivery.maximum_delay);
            }
        }
    }
}
