//! A publisher of some hundred events a second and a consumer, of which everything is written down.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use hyperfleet_broker::rabbitmq::RabbitMqBroker;
use hyperfleet_broker::{
    Delivery, Handler, Outcome, Publisher as _, Subscriber as _, Subscription,
};
use hyperfleet_test_support::eventually;
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::support::{DEADLINE, TOPIC, event};

/// Between two publishes: 500 a second.
const PACE: Duration = Duration::from_millis(2);

/// Handlers at a time, and so the most that one outage can deliver twice while they run.
const PARALLELISM: usize = 8;

/// What was published and handled so far.
#[derive(Default)]
struct Notes {
    /// How often each event was handled, by its number.
    handled: Mutex<HashMap<usize, u32>>,
    confirmed: Mutex<Vec<usize>>,
    begun: AtomicUsize,
    /// Publishes without an answer yet, and the most that there were.
    open: AtomicUsize,
    most_open: AtomicUsize,
}

struct Counter(Arc<Notes>);

#[async_trait]
impl Handler for Counter {
    async fn handle(&self, delivery: Delivery) -> Outcome {
        if let Ok(number) = delivery.envelope.id.parse() {
            *self.0.handled.lock().unwrap().entry(number).or_default() += 1;
        }
        Outcome::Acknowledge
    }
}

/// A load that goes on until it is ended.
pub(crate) struct Load {
    notes: Arc<Notes>,
    publishing: JoinHandle<()>,
    consuming: JoinHandle<()>,
    shutdown: CancellationToken,
}

/// What a load came to.
#[derive(Debug)]
pub(crate) struct Result {
    pub(crate) confirmed: usize,
    /// Deliveries beyond the first of each event.
    pub(crate) duplicates: u32,
    /// The most publishes that waited for an answer.
    pub(crate) most_open: usize,
}

impl Load {
    pub(crate) async fn start(broker: &RabbitMqBroker) -> Self {
        let subscription = Subscription::new(TOPIC, "dns").with_parallelism(PARALLELISM);
        eventually(DEADLINE, "the subscription", async || {
            broker.declare(&subscription).await
        })
        .await;
        let notes = Arc::<Notes>::default();
        let shutdown = CancellationToken::new();
        let consuming = {
            let (broker, shutdown) = (broker.clone(), shutdown.clone());
            let handler = Arc::new(Counter(Arc::clone(&notes)));
            tokio::spawn(async move { broker.run(subscription, handler, shutdown).await.unwrap() })
        };
        let publishing = tokio::spawn(publish(broker.clone(), Arc::clone(&notes)));
        let load = Self {
            notes,
            publishing,
            consuming,
            shutdown,
        };
        load.flows(DEADLINE).await;
        load
    }

    /// Waits until events arrive that were published from now on.
    pub(crate) async fn flows(&self, deadline: Duration) {
        let before = self.notes.begun.load(Ordering::SeqCst);
        eventually(deadline, "events flow", async || {
            let handled = self.notes.handled.lock().unwrap();
            let fresh = handled.keys().filter(|number| **number > before).count();
            if fresh > 20 { Ok(()) } else { Err(fresh) }
        })
        .await;
    }

    /// Waits until so many more were handled.
    pub(crate) async fn handles(&self, more: usize) {
        let handled = || self.notes.handled.lock().unwrap().len();
        let before = handled();
        eventually(DEADLINE, "more events", async || handled() > before + more).await;
    }

    /// Stops publishing, and waits until every confirmed event was handled.
    pub(crate) async fn end(self) -> Result {
        self.publishing.abort();
        let _ = self.publishing.await;
        let confirmed = self.notes.confirmed.lock().unwrap().clone();
        eventually(DEADLINE, "every confirmed event is handled", async || {
            let handled = self.notes.handled.lock().unwrap();
            let missing = confirmed.iter().filter(|one| !handled.contains_key(*one));
            match missing.count() {
                0 => Ok(()),
                missing => Err(format!("{missing} of {} are missing", confirmed.len())),
            }
        })
        .await;
        self.shutdown.cancel();
        self.consuming.await.unwrap();
        let handled = self.notes.handled.lock().unwrap();
        Result {
            confirmed: confirmed.len(),
            duplicates: handled.values().map(|times| times - 1).sum(),
            most_open: self.notes.most_open.load(Ordering::SeqCst),
        }
    }
}

async fn publish(broker: RabbitMqBroker, notes: Arc<Notes>) {
    let mut pace = tokio::time::interval(PACE);
    let mut publishes = JoinSet::new();
    for number in 0.. {
        pace.tick().await;
        while publishes.try_join_next().is_some() {}
        notes.begun.store(number, Ordering::SeqCst);
        let (broker, notes) = (broker.clone(), Arc::clone(&notes));
        publishes.spawn(async move {
            let open = notes.open.fetch_add(1, Ordering::SeqCst) + 1;
            notes.most_open.fetch_max(open, Ordering::SeqCst);
            let published = broker.publish(TOPIC, &event(&number.to_string())).await;
            notes.open.fetch_sub(1, Ordering::SeqCst);
            if published.is_ok() {
                notes.confirmed.lock().unwrap().push(number);
            }
        });
    }
}
