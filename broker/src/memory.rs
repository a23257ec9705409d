//! A broker inside this process, for local use and tests.
//!
//! Invariants:
//! - A subscription holds at most [`MemoryOptions::capacity`] unsettled events: waiting, delayed and being
//!   handled together. Memory is bounded whatever the consumers do.
//! - A publish reaches all subscriptions of the topic or none: room is taken in each before the event is
//!   put into any. Room is taken in the order of subscription ids, so publishers cannot deadlock.
//! - An event leaves its subscription only by being acknowledged or by becoming a dead letter.
//! - Events travel encoded, so that what works here works on the wire.
//!
//! Nothing survives the process. That is enough: the sentinel publishes anew whatever is not reconciled.

mod consumer;
mod dead_letters;
mod queue;

use std::collections::{BTreeMap, HashMap};
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::metrics::ErrorType;
use crate::subscribe::{Handler, SubscribeError, Subscriber, Subscription};
use crate::{BrokerMetrics, Envelope, PublishError, Publisher};
use queue::Queue;

/// Limits of a [`MemoryBroker`].
#[derive(Debug, Clone)]
pub struct MemoryOptions {
    /// Unsettled events that one subscription may hold.
    pub capacity: NonZeroUsize,
    /// How long a publish waits for room.
    pub publish_deadline: Duration,
    /// Dead letters that one subscription keeps; the oldest is forgotten, and logged, beyond that.
    pub dead_letter_capacity: NonZeroUsize,
    /// How long a consumer that shuts down waits for its running handlers; those still running then are
    /// dropped and their events given back.
    pub drain_deadline: Duration,
}

impl Default for MemoryOptions {
    /// An event takes about half a kilobyte, so a full subscription takes about 50 MB.
    fn default() -> Self {
        Self {
            capacity: NonZeroUsize::MIN.saturating_add(99_999),
            publish_deadline: Duration::from_secs(5),
            dead_letter_capacity: NonZeroUsize::MIN.saturating_add(999),
            drain_deadline: Duration::from_secs(30),
        }
    }
}

/// A handle on the broker; clones share everything.
#[derive(Debug, Clone)]
pub struct MemoryBroker {
    shared: Arc<Shared>,
    metrics: BrokerMetrics,
}

#[derive(Debug)]
struct Shared {
    options: MemoryOptions,
    /// By topic, then by subscription id.
    topics: Mutex<HashMap<String, BTreeMap<String, Arc<Queue>>>>,
}

impl Default for MemoryBroker {
    fn default() -> Self {
        Self::new(MemoryOptions::default())
    }
}

impl MemoryBroker {
    /// An empty broker.
    pub fn new(options: MemoryOptions) -> Self {
        let shared = Shared {
            options,
            topics: Mutex::default(),
        };
        Self {
            shared: Arc::new(shared),
            metrics: BrokerMetrics::default(),
        }
    }

    /// The same broker, counting under the name of another component.
    pub fn with_metrics(&self, metrics: BrokerMetrics) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            metrics,
        }
    }

    /// Publishes a body as it stands, whether or not it is an event.
    ///
    /// # Errors
    /// As [`Publisher::publish`].
    pub async fn publish_body(&self, topic: &str, body: Vec<u8>) -> Result<(), PublishError> {
        let published = self.fan_out(topic, body.into()).await;
        match &published {
            Ok(()) => self.metrics.published(topic),
            Err(_) => self.metrics.failed(topic, ErrorType::Publish),
        }
        published
    }

    async fn fan_out(&self, topic: &str, body: Arc<[u8]>) -> Result<(), PublishError> {
        if topic.is_empty() {
            return Err(PublishError::EmptyTopic);
        }
        let queues: Vec<_> = self
            .topics()
            .get(topic)
            .map(|queues| queues.values().cloned().collect())
            .unwrap_or_default();
        if queues.is_empty() {
            return Err(PublishError::Unroutable {
                topic: topic.to_owned(),
            });
        }
        let waited = self.shared.options.publish_deadline;
        let deadline = Instant::now() + waited;
        let mut places = Vec::with_capacity(queues.len());
        for queue in queues {
            let Some(room) = queue.room_before(deadline).await else {
                return Err(PublishError::Full {
                    topic: topic.to_owned(),
                    subscription_id: queue.subscription_id().to_owned(),
                    waited,
                });
            };
            places.push((queue, room));
        }
        for (queue, room) in places {
            queue.push(Arc::clone(&body), room);
        }
        Ok(())
    }

    /// The subscription's queue, created if it does not exist.
    fn queue(&self, subscription: &Subscription) -> Result<Arc<Queue>, SubscribeError> {
        subscription.validate()?;
        let mut topics = self.topics();
        let queues = topics.entry(subscription.topic.clone()).or_default();
        let queue = queues
            .entry(subscription.subscription_id.clone())
            .or_insert_with(|| {
                let options = &self.shared.options;
                Arc::new(Queue::new(
                    &subscription.topic,
                    &subscription.subscription_id,
                    options,
                ))
            });
        Ok(Arc::clone(queue))
    }

    fn topics(&self) -> MutexGuard<'_, HashMap<String, BTreeMap<String, Arc<Queue>>>> {
        self.shared
            .topics
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Publisher for MemoryBroker {
    async fn publish(&self, topic: &str, envelope: &Envelope) -> Result<(), PublishError> {
        self.publish_body(topic, envelope.to_bytes()).await
    }
}

#[async_trait]
impl Subscriber for MemoryBroker {
    async fn declare(&self, subscription: &Subscription) -> Result<(), SubscribeError> {
        self.queue(subscription).map(drop)
    }

    async fn run(
        &self,
        subscription: Subscription,
        handler: Arc<dyn Handler>,
        shutdown: CancellationToken,
    ) -> Result<(), SubscribeError> {
        let queue = self.queue(&subscription)?;
        let consumer = consumer::Consumer {
            queue,
            handler,
            redelivery: subscription.redelivery,
            metrics: self.metrics.clone(),
            shutdown,
        };
        consumer
            .run(subscription.parallelism, self.shared.options.drain_deadline)
            .await;
        Ok(())
    }
}
