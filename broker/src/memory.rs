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
//! What it holds ends with the process, unless it is opened on a folder ([`MemoryBroker::open`]): then a publish is
//! confirmed when the event is on disk, and a process that was killed finds everything again. Delays of retried
//! events are not kept, so those come at once then.

mod consumer;
mod dead_letters;
mod journal;
mod queue;

use std::collections::{BTreeMap, HashMap};
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::subscribe::{Handler, SubscribeError, Subscriber, Subscription};
use crate::{BrokerMetrics, Envelope, PublishError, Publisher};
use journal::{Change, Journal};
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
    journal: Option<Journal>,
    /// The number of the latest event.
    last_number: AtomicU64,
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
        Self::with_journal(options, None, 0)
    }

    fn with_journal(options: MemoryOptions, journal: Option<Journal>, last_number: u64) -> Self {
        let shared = Shared {
            options,
            journal,
            last_number: AtomicU64::new(last_number),
            topics: Mutex::default(),
        };
        Self {
            shared: Arc::new(shared),
            metrics: BrokerMetrics::default(),
        }
    }

    /// A broker that keeps everything in a folder, with what was kept there before. One process at a time may
    /// open a folder; whoever calls this sees to that.
    ///
    /// # Errors
    /// The folder cannot be read or written to, or what is in it is damaged.
    pub fn open(options: MemoryOptions, folder: &Path) -> std::io::Result<Self> {
        let (journal, contents) = Journal::open(folder)?;
        let last = contents.events.last_key_value();
        let last_number = last.map_or(0, |(number, _)| *number);
        let broker = Self::with_journal(options, Some(journal), last_number);
        for (topic, id) in &contents.subscriptions {
            broker.add_queue(topic, id);
        }
        for (number, kept) in contents.events {
            for (id, place) in kept.places {
                let queue = broker.add_queue(&kept.topic, &id);
                queue.restore(number, Arc::clone(&kept.body), place);
            }
        }
        Ok(broker)
    }

    /// The same broker, counting under the name of another component.
    pub fn with_metrics(&self, metrics: BrokerMetrics) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            metrics,
        }
    }

    /// Publishes a message as it stands, whether or not it is an event.
    ///
    /// Messages have no attributes here: an event in binary mode is kept as a structured one.
    ///
    /// # Errors
    /// As [`Publisher::publish`].
    pub async fn publish_message(
        &self,
        topic: &str,
        attributes: &[(&str, &str)],
        body: Vec<u8>,
    ) -> Result<(), PublishError> {
        let body = Envelope::structured(attributes.iter().copied(), body);
        self.publish_counted(topic, body).await
    }

    async fn publish_counted(&self, topic: &str, body: Vec<u8>) -> Result<(), PublishError> {
        let publishing = self.metrics.publishing(topic);
        let published = self.fan_out(topic, body.into()).await;
        publishing.ended(&published);
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
        let number = self.shared.last_number.fetch_add(1, Ordering::Relaxed) + 1;
        if let Some(journal) = &self.shared.journal {
            let ids = places
                .iter()
                .map(|(queue, _)| queue.subscription_id().to_owned());
            let published = Change::Published {
                number,
                topic: topic.to_owned(),
                ids: ids.collect(),
                body: Arc::clone(&body),
            };
            let written = journal.write(published).await;
            written.map_err(|error| PublishError::Unconfirmed {
                topic: topic.to_owned(),
                source: error.into(),
            })?;
        }
        for (queue, room) in places {
            queue.push(number, Arc::clone(&body), room);
        }
        Ok(())
    }

    /// The subscription's queue, created if it does not exist.
    fn queue(&self, subscription: &Subscription) -> Result<Arc<Queue>, SubscribeError> {
        subscription.validate()?;
        Ok(self.add_queue(&subscription.topic, &subscription.subscription_id))
    }

    fn add_queue(&self, topic: &str, subscription_id: &str) -> Arc<Queue> {
        let mut topics = self.topics();
        let queues = topics.entry(topic.to_owned()).or_default();
        let queue = queues.entry(subscription_id.to_owned()).or_insert_with(|| {
            let (options, journal) = (&self.shared.options, &self.shared.journal);
            if let Some(journal) = journal {
                journal.note(Change::Subscribed {
                    topic: topic.to_owned(),
                    id: subscription_id.to_owned(),
                });
            }
            Arc::new(Queue::new(topic, subscription_id, options, journal.clone()))
        });
        Arc::clone(queue)
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
        self.publish_counted(topic, envelope.to_bytes()).await
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
