//! Who has an event, and for how long.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use hyperfleet_broker::pubsub::{PubSubBroker, PubSubOptions};
use hyperfleet_broker::{
    Delivery, Handler, Outcome, Publisher as _, Subscriber as _, Subscription,
};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::support::{DEADLINE, SUBSCRIPTION, TOPIC, event, project};

/// The shortest lease that Pub/Sub knows.
const LEASE: Duration = Duration::from_secs(10);

/// Tells what it was given, and ends when it may.
struct Slow {
    begun: mpsc::UnboundedSender<Delivery>,
    may_end: Semaphore,
}

#[async_trait]
impl Handler for Slow {
    async fn handle(&self, delivery: Delivery) -> Outcome {
        let _ = self.begun.send(delivery);
        self.may_end.acquire().await.unwrap().forget();
        Outcome::Acknowledge
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_handler_keeps_its_event_beyond_the_lease() {
    let Some(project) = project() else { return };
    // Given the shortest lease, and two consumers that do not end
    let broker = PubSubBroker::connect(PubSubOptions {
        ack_deadline: Some(LEASE),
        ..project.options()
    });
    let broker = broker.await.unwrap();
    let subscription = Subscription::new(TOPIC, SUBSCRIPTION);
    broker.declare(&subscription).await.unwrap();
    let (sender, mut begun) = mpsc::unbounded_channel();
    let slow = Arc::new(Slow {
        begun: sender,
        may_end: Semaphore::new(0),
    });
    let shutdown = CancellationToken::new();
    let consumers: Vec<_> = (0..2)
        .map(|_| {
            let (broker, subscription) = (broker.clone(), subscription.clone());
            let (slow, shutdown) = (Arc::<Slow>::clone(&slow), shutdown.clone());
            tokio::spawn(async move { broker.run(subscription, slow, shutdown).await })
        })
        .collect();
    // When one of them has an event for longer than the lease
    broker.publish(TOPIC, &event("long")).await.unwrap();
    timeout(DEADLINE, begun.recv()).await.unwrap().unwrap();
    let again = timeout(LEASE + Duration::from_secs(3), begun.recv()).await;
    // Then the other does not get it, and it can still be acknowledged
    assert!(again.is_err(), "{again:?}");
    slow.may_end.add_permits(1);
    shutdown.cancel();
    for consumer in consumers {
        timeout(DEADLINE, consumer).await.unwrap().unwrap().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_holds_no_more_than_it_may_and_others_get_the_rest() {
    let Some(project) = project() else { return };
    // Given a consumer that may hold three events and does not end
    let broker = PubSubBroker::connect(PubSubOptions {
        max_outstanding_messages: NonZeroUsize::new(3),
        ..project.options()
    });
    let broker = broker.await.unwrap();
    let subscription = Subscription::new(TOPIC, SUBSCRIPTION);
    broker.declare(&subscription).await.unwrap();
    let consumer = |permits| {
        let (sender, begun) = mpsc::unbounded_channel();
        let handler = Arc::new(Slow {
            begun: sender,
            may_end: Semaphore::new(permits),
        });
        let (broker, subscription) = (broker.clone(), subscription.clone());
        let run = async move {
            let shutdown = CancellationToken::new();
            broker.run(subscription, handler, shutdown).await
        };
        (begun, tokio::spawn(run))
    };
    let (mut stuck, _stuck) = consumer(0);
    for number in 0..10 {
        broker
            .publish(TOPIC, &event(&number.to_string()))
            .await
            .unwrap();
    }
    timeout(DEADLINE, stuck.recv()).await.unwrap().unwrap();
    // When another comes
    let (mut quick, _quick) = consumer(100);
    // Then it gets all but those three
    for _ in 0..7 {
        timeout(DEADLINE, quick.recv()).await.unwrap().unwrap();
    }
}
