//! Events that no handler takes are set aside, and hold up nobody.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::StreamExt as _;
use hyperfleet_broker::{DeadLetters as _, Outcome, Publisher as _};
use hyperfleet_test_support::eventually;

use crate::support::{DEADLINE, SUBSCRIPTION, TOPIC, consume, event, project, subscription};

const EVENTS: usize = 10_000;
const POISON: usize = 10;
const ATTEMPTS: u32 = 5;

/// Unconfirmed events at a time.
const WINDOW: usize = 200;

fn id(number: usize) -> String {
    if number.is_multiple_of(EVENTS / POISON) {
        format!("poison-{number}")
    } else {
        format!("good-{number}")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_among_ten_thousand_end_as_dead_letters_without_a_hot_loop() {
    let Some(project) = project() else { return };
    // Given a handler that never takes ten of ten thousand events
    let broker = project.broker().await;
    let deliveries: Arc<Mutex<HashMap<String, u32>>> = Arc::default();
    let record = Arc::clone(&deliveries);
    let delay = Duration::from_millis(500);
    let wanted = subscription(ATTEMPTS, delay).with_parallelism(16);
    let consumer = consume(&broker, wanted, move |delivery| {
        let id = delivery.envelope.id.clone();
        let is_poison = id.starts_with("poison");
        *record.lock().unwrap().entry(id).or_default() += 1;
        if is_poison {
            Outcome::retry("it does not parse")
        } else {
            Outcome::Acknowledge
        }
    })
    .await;
    // When all are published
    let published: Vec<_> = futures::stream::iter(0..EVENTS)
        .map(|number| {
            let broker = &broker;
            async move { broker.publish(TOPIC, &event(&id(number))).await }
        })
        .buffer_unordered(WINDOW)
        .collect()
        .await;
    assert!(published.iter().all(Result::is_ok));
    // Then the others are all handled
    let handled = |prefix: &str| {
        let deliveries = deliveries.lock().unwrap();
        let counts = deliveries.iter().filter(|(id, _)| id.starts_with(prefix));
        counts.map(|(_, count)| *count).collect::<Vec<_>>()
    };
    eventually(DEADLINE, "the good ones are handled", async || {
        handled("good").len() == EVENTS - POISON
    })
    .await;
    // And the ten become dead letters that tell why, after exactly their deliveries
    eventually(DEADLINE, "the poison is set aside", async || {
        handled("poison") == [ATTEMPTS; POISON]
    })
    .await;
    let letters = eventually(DEADLINE, "ten dead letters", async || {
        let letters = broker.list(TOPIC, SUBSCRIPTION, 100).await.unwrap();
        (letters.len() == POISON).then_some(letters)
    })
    .await;
    for letter in letters {
        assert_eq!(letter.attempts, ATTEMPTS);
        assert_eq!(
            letter.reason,
            "given up after 5 deliveries: it does not parse"
        );
    }
    // Redeliveries of the others are those of lost answers, and there are none
    assert_eq!(handled("good"), vec![1; EVENTS - POISON]);
    consumer.stop().await;
}
