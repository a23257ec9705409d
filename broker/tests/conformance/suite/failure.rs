//! What happens to events whose handling fails.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hyperfleet_broker::{ExtensionValue, Outcome, Subscription};

use super::Backend;
use super::gate::Gate;
use super::support::{
    SHORT, accept, consume, dead_letters, event, ids, publish, publish_all, retry, start,
    subscription,
};

pub(crate) async fn b061_a_retried_event_comes_again_with_its_attempt(backend: &dyn Backend) {
    // Given a handler that fails twice and then succeeds
    let subscription = subscription(backend, "s", 10, SHORT);
    let mut consumer = consume(backend, subscription, |delivery| match delivery.attempt {
        1 | 2 => retry(),
        _ => Outcome::Acknowledge,
    })
    .await;
    // When an event is published
    publish(backend, &["1"]).await;
    // Then it is delivered three times, counting
    for attempt in 1..=3 {
        let delivery = consumer.next().await;
        assert_eq!(
            (delivery.envelope.id.as_str(), delivery.attempt),
            ("1", attempt)
        );
    }
    consumer.expect_quiet().await;
    dead_letters(backend, "s", 0).await;
}

pub(crate) async fn b062_an_event_is_given_up_after_the_last_attempt(backend: &dyn Backend) {
    // Given three attempts and a handler that never succeeds
    let mut consumer = consume(backend, subscription(backend, "s", 3, SHORT), |_| retry()).await;
    // When an event is published
    publish(backend, &["poison"]).await;
    // Then it is delivered three times and ends as a dead letter that tells why
    assert_eq!(consumer.next_ids(3).await, ["poison", "poison", "poison"]);
    let letters = dead_letters(backend, "s", 1).await;
    assert_eq!(letters[0].attempts, 3);
    assert_eq!(letters[0].reason, "given up after 3 deliveries: not yet");
    assert_eq!(letters[0].subscription_id, "s");
    assert_eq!(letters[0].topic, backend.topic());
    consumer.expect_quiet().await;
}

pub(crate) async fn b063_one_attempt_means_one(backend: &dyn Backend) {
    let mut consumer = consume(backend, subscription(backend, "s", 1, SHORT), |_| retry()).await;
    publish(backend, &["1"]).await;
    consumer.next().await;
    let letters = dead_letters(backend, "s", 1).await;
    assert_eq!(letters[0].attempts, 1);
    consumer.expect_quiet().await;
}

pub(crate) async fn b064_a_handler_can_give_up_at_once(backend: &dyn Backend) {
    let mut consumer = consume(backend, subscription(backend, "s", 10, SHORT), |_| {
        Outcome::dead_letter("makes no sense")
    })
    .await;
    publish(backend, &["senseless"]).await;
    consumer.next().await;
    let letters = dead_letters(backend, "s", 1).await;
    assert_eq!(
        (letters[0].reason.as_str(), letters[0].attempts),
        ("makes no sense", 1)
    );
    consumer.expect_quiet().await;
}

pub(crate) async fn b065_a_handler_can_give_up_later(backend: &dyn Backend) {
    let wanted = subscription(backend, "s", 10, SHORT);
    let mut consumer = consume(backend, wanted, |delivery| match delivery.attempt {
        1 => retry(),
        _ => Outcome::dead_letter("still makes no sense"),
    })
    .await;
    publish(backend, &["senseless"]).await;
    consumer.next_ids(2).await;
    let letters = dead_letters(backend, "s", 1).await;
    assert_eq!(
        (letters[0].reason.as_str(), letters[0].attempts),
        ("still makes no sense", 2)
    );
}

pub(crate) async fn b066_a_panic_is_a_retry(backend: &dyn Backend) {
    // Given a handler that panics once
    let subscription = subscription(backend, "s", 10, SHORT);
    let mut consumer = consume(backend, subscription, |delivery| {
        assert_ne!(delivery.attempt, 1, "a panic on purpose");
        Outcome::Acknowledge
    })
    .await;
    // When an event is published
    publish(backend, &["1"]).await;
    // Then it is delivered again, and the consumer goes on with others and stops in order
    assert_eq!(consumer.next().await.attempt, 1);
    assert_eq!(consumer.next().await.attempt, 2);
    publish(backend, &["2"]).await;
    assert_eq!(consumer.next().await.attempt, 1);
    assert_eq!(consumer.next().await.attempt, 2);
    assert!(consumer.stop().await.is_empty());
}

pub(crate) async fn b067_panics_without_end_become_a_dead_letter(backend: &dyn Backend) {
    let wanted = subscription(backend, "s", 2, SHORT);
    let mut consumer = consume(backend, wanted, |_| panic!("a panic on purpose")).await;
    publish(backend, &["1"]).await;
    consumer.next_ids(2).await;
    let letters = dead_letters(backend, "s", 1).await;
    assert_eq!(letters[0].attempts, 2);
    assert!(
        letters[0].reason.contains("panicked"),
        "{}",
        letters[0].reason
    );
}

pub(crate) async fn b068_a_failing_subscription_does_not_disturb_another(backend: &dyn Backend) {
    let failing = subscription(backend, "failing", 2, SHORT);
    let _failing = consume(backend, failing, |_| retry()).await;
    let healthy = subscription(backend, "healthy", 2, SHORT);
    let mut healthy = consume(backend, healthy, accept).await;
    publish(backend, &["1", "2", "3"]).await;
    assert_eq!(healthy.next_ids(3).await, ["1", "2", "3"]);
    dead_letters(backend, "failing", 3).await;
    healthy.expect_quiet().await;
    dead_letters(backend, "healthy", 0).await;
}

pub(crate) async fn b069_a_dropped_consumer_gives_its_event_back(backend: &dyn Backend) {
    // Given a consumer that dies in the middle of an event
    let (gate, mut ends) = Gate::new(Outcome::Acknowledge);
    let subscription = Subscription::new(backend.topic(), "s");
    let (_shutdown, task) = start(backend, subscription.clone(), gate).await;
    publish(backend, &["interrupted"]).await;
    ends.started().await;
    task.abort();
    // When another takes over
    let mut consumer = consume(backend, subscription, accept).await;
    // Then the event is delivered again, and counted
    let delivery = consumer.next().await;
    assert_eq!(
        (delivery.envelope.id.as_str(), delivery.attempt),
        ("interrupted", 2)
    );
    consumer.expect_quiet().await;
}

pub(crate) async fn b070_a_retried_event_is_the_same_event(backend: &dyn Backend) {
    // Given an event with all sorts of content, which fails once
    let mut sent =
        event("ü").with_traceparent("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
    sent.data = serde_json::json!({"text": "🚀<&>\u{2028}"});
    let zone = ExtensionValue::Number(7.into());
    sent.extensions.insert("zone".to_owned(), zone);
    let wanted = subscription(backend, "s", 10, SHORT);
    let mut consumer = consume(backend, wanted, |delivery| match delivery.attempt {
        1 => retry(),
        _ => Outcome::Acknowledge,
    })
    .await;
    let topic = backend.topic();
    backend.publisher().publish(&topic, &sent).await.unwrap();
    // Then it comes again as it was
    for _ in 0..2 {
        assert_eq!(consumer.next().await.envelope, sent);
    }
}

pub(crate) async fn b071_an_event_in_binary_mode_can_be_retried(backend: &dyn Backend) {
    let wanted = subscription(backend, "s", 10, SHORT);
    let mut consumer = consume(backend, wanted, |delivery| match delivery.attempt {
        1 => retry(),
        _ => Outcome::Acknowledge,
    })
    .await;
    let attributes = [
        ("ce-specversion", "1.0"),
        ("ce-id", "binary"),
        ("ce-type", "t"),
    ];
    let topic = backend.topic();
    let published = backend.publish_message(&topic, &attributes, b"[1]").await;
    published.unwrap();
    let first = consumer.next().await;
    let second = consumer.next().await;
    assert_eq!((first.attempt, second.attempt), (1, 2));
    assert_eq!(first.envelope, second.envelope);
    assert_eq!(second.envelope.data, serde_json::json!([1]));
}

pub(crate) async fn b072_fifty_events_that_fail_once_are_handled_twice_each(backend: &dyn Backend) {
    let wanted = subscription(backend, "s", 10, SHORT).with_parallelism(4);
    let mut consumer = consume(backend, wanted, |delivery| match delivery.attempt {
        1 => retry(),
        _ => Outcome::Acknowledge,
    })
    .await;
    let ids = ids(50);
    publish_all(backend, &ids).await;
    let mut twice = [ids.clone(), ids].concat();
    twice.sort();
    assert_eq!(consumer.next_ids(100).await, twice);
    consumer.expect_quiet().await;
}

pub(crate) async fn b073_poison_is_delivered_as_often_as_it_may_be(backend: &dyn Backend) {
    // Given a handler that takes all but three of a hundred events
    let counts: Arc<Mutex<HashMap<String, u32>>> = Arc::default();
    let record = Arc::clone(&counts);
    let wanted = subscription(backend, "s", 5, Duration::from_millis(50)).with_parallelism(4);
    let mut consumer = consume(backend, wanted, move |delivery| {
        let id = delivery.envelope.id.clone();
        let is_poison = id.ends_with("33");
        *record.lock().unwrap().entry(id).or_default() += 1;
        if is_poison {
            retry()
        } else {
            Outcome::Acknowledge
        }
    })
    .await;
    let ids = ids(300);
    publish_all(backend, &ids).await;
    consumer.next_ids(297 + 3 * 5).await;
    // Then each of those is delivered five times and kept, and the others once
    let letters = dead_letters(backend, "s", 3).await;
    assert!(letters.iter().all(|letter| letter.attempts == 5));
    consumer.expect_quiet().await;
    let counts = counts.lock().unwrap();
    for id in &ids {
        assert_eq!(counts[id], if id.ends_with("33") { 5 } else { 1 }, "{id}");
    }
}

pub(crate) async fn b074_each_subscription_counts_attempts_for_itself(backend: &dyn Backend) {
    let failing = subscription(backend, "failing", 10, SHORT);
    let mut failing = consume(backend, failing, |delivery| match delivery.attempt {
        1 | 2 => retry(),
        _ => Outcome::Acknowledge,
    })
    .await;
    publish(backend, &["1"]).await;
    failing.next_ids(3).await;
    // When another subscription gets the next event
    let other = subscription(backend, "other", 10, SHORT);
    let mut other = consume(backend, other, accept).await;
    publish(backend, &["2"]).await;
    // Then its attempts are its own
    assert_eq!(other.next().await.attempt, 1);
    assert_eq!(failing.next().await.attempt, 1);
}
