//! A broker in memory that keeps everything in a folder finds it again.
#![expect(clippy::unwrap_used, reason = "test helpers fail the test")]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use hyperfleet_broker::memory::{MemoryBroker, MemoryOptions};
use hyperfleet_broker::{
    DeadLetters as _, Delivery, Envelope, Handler, Outcome, Publisher as _, RedeliveryPolicy,
    Subscriber as _, Subscription,
};
use hyperfleet_test_support::eventually;
use serde_json::json;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

const DEADLINE: Duration = Duration::from_secs(30);
const TOPIC: &str = "clusters";

fn open(folder: &Path) -> MemoryBroker {
    MemoryBroker::open(MemoryOptions::default(), folder).unwrap()
}

fn event(id: &str) -> Envelope {
    Envelope::new(id, "tests", "tests.event", json!({"id": id}))
}

fn subscription(id: &str) -> Subscription {
    Subscription::new(TOPIC, id).with_redelivery(RedeliveryPolicy {
        initial_delay: Duration::from_hours(1),
        maximum_delay: Duration::from_hours(1),
        ..RedeliveryPolicy::default()
    })
}

/// Tells of each delivery, and does with it what its id says; whether it gets stuck.
struct Recorder(mpsc::UnboundedSender<Delivery>, bool);

#[async_trait]
impl Handler for Recorder {
    async fn handle(&self, delivery: Delivery) -> Outcome {
        let outcome = match (delivery.envelope.id.as_str(), delivery.attempt) {
            ("retried", 1) => Outcome::retry("not yet"),
            ("dead", _) => Outcome::dead_letter("never"),
            ("stuck", 1) if self.1 => std::future::pending().await,
            _ => Outcome::Acknowledge,
        };
        let _ = self.0.send(delivery);
        outcome
    }
}

/// A consumer that is killed when the handle is aborted.
fn consume(
    broker: &MemoryBroker,
    id: &str,
    gets_stuck: bool,
) -> (
    mpsc::UnboundedReceiver<Delivery>,
    tokio::task::JoinHandle<()>,
) {
    let (sender, deliveries) = mpsc::unbounded_channel();
    let (broker, wanted) = (broker.clone(), subscription(id).with_parallelism(4));
    let running = tokio::spawn(async move {
        let handler = Arc::new(Recorder(sender, gets_stuck));
        let endless = CancellationToken::new();
        broker.run(wanted, handler, endless).await.unwrap();
    });
    (deliveries, running)
}

async fn next(deliveries: &mut mpsc::UnboundedReceiver<Delivery>) -> (String, u32) {
    let next = timeout(DEADLINE, deliveries.recv()).await.unwrap().unwrap();
    (next.envelope.id, next.attempt)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_confirmed_and_not_settled_is_there_again() {
    // Given a broker in which events have come to all sorts of ends in one of two subscriptions
    let folder = tempfile::tempdir().unwrap();
    let broker = open(folder.path());
    for id in ["busy", "idle"] {
        broker.declare(&subscription(id)).await.unwrap();
    }
    for id in ["settled", "retried", "dead", "stuck"] {
        broker.publish(TOPIC, &event(id)).await.unwrap();
    }
    let (mut deliveries, running) = consume(&broker, "busy", true);
    for _ in 0..3 {
        next(&mut deliveries).await;
    }
    eventually(DEADLINE, "the dead letter", async || {
        broker.list(TOPIC, "busy", 10).await.unwrap().len() == 1
    })
    .await;
    let letter = broker.list(TOPIC, "busy", 10).await.unwrap().remove(0);
    // When the process is killed, and this is what it leaves
    broker.publish(TOPIC, &event("last")).await.unwrap();
    next(&mut deliveries).await;
    let left = tempfile::tempdir().unwrap();
    eventually(DEADLINE, "the last acknowledgement on disk", async || {
        let (from, to) = (folder.path().join("journal"), left.path().join("journal"));
        std::fs::copy(from, &to).unwrap();
        let lines = std::fs::read_to_string(to).unwrap();
        lines
            .lines()
            .filter(|line| line.contains("settled"))
            .count()
            == 2
    })
    .await;
    running.abort();
    // Then another finds the event that was in work and the one that waited, at once, and nothing that was settled
    let broker = open(left.path());
    let (mut deliveries, _running) = consume(&broker, "busy", false);
    let mut found = [next(&mut deliveries).await, next(&mut deliveries).await];
    found.sort();
    assert_eq!(found, [("retried".to_owned(), 2), ("stuck".to_owned(), 1)]);
    // And the dead letter, which can be requeued
    let letters = broker.list(TOPIC, "busy", 10).await.unwrap();
    assert_eq!(letters, std::slice::from_ref(&letter));
    let id = &letter.dead_letter_id;
    broker.requeue(TOPIC, "busy", id).await.unwrap();
    assert_eq!(next(&mut deliveries).await, ("dead".to_owned(), 1));
    // And the subscription that nobody consumed has everything
    let (mut deliveries, _running) = consume(&broker, "idle", false);
    let mut found = Vec::new();
    for _ in 0..5 {
        found.push(next(&mut deliveries).await.0);
    }
    found.sort();
    assert_eq!(found, ["dead", "last", "retried", "settled", "stuck"]);
    // And new events do not take the numbers of old ones
    broker.publish(TOPIC, &event("new")).await.unwrap();
    assert_eq!(next(&mut deliveries).await, ("new".to_owned(), 1));
}
