//! One delivery: given to the handler, then settled.

use std::sync::Arc;
use std::time::Duration;

use lapin::BasicProperties;
use lapin::message::Delivery as Message;
use lapin::options::{BasicAckOptions, BasicNackOptions};
use tokio::time::{Instant, sleep, timeout};

use super::link::{Link, Sent};
use super::topology::{Queues, declare_retry};
use super::{RabbitMqBroker, RabbitMqError, dead_letters, message};
use crate::metrics::ErrorType;
use crate::{Delivery, Handler, Outcome, RedeliveryPolicy, subscribe};

/// How long an event is kept back that could be neither retried nor made a dead letter, so that it does not
/// come again at once and for ever.
const PAUSE: Duration = Duration::from_secs(1);

/// What a consumer does with each delivery.
#[derive(Clone)]
pub(super) struct Worker {
    pub(super) broker: RabbitMqBroker,
    pub(super) topic: String,
    pub(super) subscription_id: String,
    pub(super) redelivery: RedeliveryPolicy,
    pub(super) handler: Arc<dyn Handler>,
}

/// Where deliveries come from, and where their copies go.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) link: Link,
    pub(super) queues: Queues,
}

impl Worker {
    /// Handles a message and settles it.
    pub(super) async fn work(self, session: Arc<Session>, message: Message) {
        self.broker.metrics.consumed(&self.topic);
        let envelope = match message::to_event(&message) {
            Ok(envelope) => envelope,
            Err(error) => {
                let metrics = &self.broker.metrics;
                metrics.failed(&self.topic, ErrorType::Conversion);
                let reason = format!("the body is not an event: {error}");
                self.bury(&session, &message, 0, &reason).await;
                return;
            }
        };
        let attempt = message::attempt(&message);
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
            Outcome::Acknowledge => acknowledge(&message).await,
            Outcome::DeadLetter { reason } => {
                self.bury(&session, &message, attempt, &reason).await;
            }
            Outcome::Retry { reason, after } => {
                if let Some(delay) = self.redelivery.delay_or(attempt, after) {
                    self.retry(&session, &message, attempt, delay).await;
                } else {
                    let reason = format!("given up after {attempt} deliveries: {reason}");
                    self.bury(&session, &message, attempt, &reason).await;
                }
            }
        }
    }

    /// Confirmed as waiting first, acknowledged then.
    async fn retry(&self, session: &Session, message: &Message, attempt: u32, delay: Duration) {
        let options = &self.broker.shared.options;
        let moved = async {
            let work = &session.queues.work;
            let queue = declare_retry(&session.link, options, work, delay).await?;
            let properties = message::to_retry(message, attempt, delay);
            self.copy(session, &queue, message, properties).await
        };
        let moved = self.within_deadline(moved).await;
        self.settle(moved, message, "retried").await;
    }

    /// Confirmed as a dead letter first, acknowledged then.
    async fn bury(&self, session: &Session, message: &Message, attempts: u32, reason: &str) {
        let properties = dead_letters::properties(
            message,
            &self.topic,
            &self.subscription_id,
            attempts,
            reason,
            self.broker.metrics.now(),
        );
        let queue = &session.queues.dead_letters;
        let moved = self.copy(session, queue, message, properties);
        let moved = self.within_deadline(moved).await;
        if moved.is_ok() {
            let metrics = &self.broker.metrics;
            metrics.buried(&self.topic, &self.subscription_id);
            tracing::warn!(
                topic = self.topic,
                subscription_id = self.subscription_id,
                attempts,
                reason,
                "an event became a dead letter"
            );
        }
        self.settle(moved, message, "made a dead letter").await;
    }

    async fn copy(
        &self,
        session: &Session,
        queue: &str,
        message: &Message,
        properties: BasicProperties,
    ) -> Result<(), RabbitMqError> {
        let options = &self.broker.shared.options;
        let sent = session
            .link
            .send(options, "", queue, &message.data, properties)
            .await?;
        match sent {
            Sent::Stored => Ok(()),
            Sent::Unroutable => Err(RabbitMqError::QueueGone {
                name: queue.to_owned(),
            }),
        }
    }

    async fn within_deadline(
        &self,
        moved: impl Future<Output = Result<(), RabbitMqError>>,
    ) -> Result<(), RabbitMqError> {
        let options = &self.broker.shared.options;
        let waited = options.publish_deadline;
        timeout(waited, moved).await.unwrap_or_else(|_| {
            Err(RabbitMqError::Deadline {
                address: options.address(),
                waited,
            })
        })
    }

    async fn settle(&self, moved: Result<(), RabbitMqError>, message: &Message, what: &str) {
        let Err(error) = moved else {
            acknowledge(message).await;
            return;
        };
        tracing::error!(
            topic = self.topic,
            subscription_id = self.subscription_id,
            error = &error as &dyn std::error::Error,
            "an event could not be {what} and will be delivered again"
        );
        sleep(PAUSE).await;
        let requeue = BasicNackOptions {
            requeue: true,
            ..BasicNackOptions::default()
        };
        // Fails when the connection is gone; the server has then taken the event back by itself.
        let _ = timeout(PAUSE, message.acker.nack(requeue)).await;
    }
}

/// When the connection is gone the event comes again; handlers are idempotent.
async fn acknowledge(message: &Message) {
    // Bounded: on a connection that breaks meanwhile the client may never answer.
    let acknowledged = message.acker.ack(BasicAckOptions::default());
    if !matches!(timeout(PAUSE, acknowledged).await, Ok(Ok(_))) {
        tracing::debug!("an event was not acknowledged and will be delivered again");
    }
}
