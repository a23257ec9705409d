//! Under failing handlers, panics and consumers that die at any moment, every event ends up acknowledged or
//! as a dead letter, in every subscription.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use hyperfleet_broker::memory::MemoryBroker;
use hyperfleet_broker::{
    DeadLetters, Delivery, Envelope, Handler, Outcome, Publisher, RedeliveryPolicy, Subscriber,
    Subscription,
};
use proptest::prelude::*;
use serde_json::json;
use tokio_util::sync::CancellationToken;

const EVENTS: usize = 120;

/// Behaves by chance, but the same way for the same seed, event and attempt.
struct Unreliable {
    seed: u64,
    acknowledged: Arc<Mutex<BTreeSet<String>>>,
}

#[async_trait]
impl Handler for Unreliable {
    async fn handle(&self, delivery: Delivery) -> Outcome {
        let mut hasher = DefaultHasher::new();
        (self.seed, &delivery.envelope.id, delivery.attempt).hash(&mut hasher);
        let chance = hasher.finish() % 10;
        // Work of some length, so that consumers die in the middle of it.
        tokio::time::sleep(Duration::from_millis(chance % 3)).await;
        match chance {
            0..=2 => Outcome::retry("chance"),
            3 => Outcome::DeadLetter {
                reason: "chance".to_owned(),
            },
            4 => std::panic::resume_unwind(Box::new("chance")),
            _ => {
                if let Ok(mut acknowledged) = self.acknowledged.lock() {
                    acknowledged.insert(delivery.envelope.id);
                }
                Outcome::Acknowledge
            }
        }
    }
}

/// Publishes everything while consumers of one subscription are killed and replaced; gives back the ids
/// that were settled.
async fn settle(seed: u64, kills: &[u64], parallelism: usize) -> BTreeSet<String> {
    let broker = MemoryBroker::default();
    let redelivery = RedeliveryPolicy {
        initial_delay: Duration::from_millis(2),
        maximum_delay: Duration::from_millis(5),
        maximum_attempts: NonZeroU32::MIN.saturating_add(3),
    };
    let subscription = Subscription::new("t", "s")
        .with_parallelism(parallelism)
        .with_redelivery(redelivery);
    broker.declare(&subscription).await.expect("a subscription");
    let acknowledged = Arc::new(Mutex::new(BTreeSet::new()));
    let publisher = {
        let broker = broker.clone();
        tokio::spawn(async move {
            for number in 0..EVENTS {
                let event = Envelope::new(number.to_string(), "s", "t", json!({}));
                broker.publish("t", &event).await.expect("published");
                tokio::task::yield_now().await;
            }
        })
    };
    let start = || {
        let handler = Arc::new(Unreliable {
            seed,
            acknowledged: Arc::clone(&acknowledged),
        });
        let (broker, subscription) = (broker.clone(), subscription.clone());
        tokio::spawn(async move {
            broker
                .run(subscription, handler, CancellationToken::new())
                .await
        })
    };
    for lifetime in kills {
        let consumer = start();
        tokio::time::sleep(Duration::from_millis(*lifetime)).await;
        consumer.abort();
    }
    publisher.await.expect("all published");
    let survivor = start();
    let settled = async {
        loop {
            let dead = broker
                .list("t", "s", usize::MAX)
                .await
                .expect("dead letters");
            let dead = dead
                .iter()
                .map(|letter| Envelope::from_bytes(&letter.body).expect("an event").id);
            let mut settled = acknowledged.lock().expect("no poison").clone();
            settled.extend(dead);
            if settled.len() == EVENTS {
                return settled;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    let settled = tokio::time::timeout(Duration::from_secs(20), settled).await;
    survivor.abort();
    settled.expect("every event is settled")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn every_event_is_acknowledged_or_dead(
        seed in any::<u64>(),
        kills in prop::collection::vec(0..12_u64, 0..8),
        parallelism in 1..6_usize,
    ) {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let settled = runtime.block_on(settle(seed, &kills, parallelism));
        prop_assert_eq!(settled.len(), EVENTS);
    }
}
