//! What happens to events whose handling fails.

use std::time::{Duration, Instant};

use hyperfleet_broker::{DeadLetter, DeadLetterError, Outcome, Subscription};
use tokio::time::timeout;

use super::Backend;
use super::support::{DEADLINE, consume, publish, retry, subscription};

const SHORT: Duration = Duration::from_millis(10);

/// Waits until the subscription has this many dead letters.
async fn dead_letters(backend: &dyn Backend, id: &str, count: usize) -> Vec<DeadLetter> {
    let all = async {
        loop {
            let letters = backend
                .dead_letters()
                .list(&backend.topic(), id, 100)
                .await
                .unwrap();
            if letters.len() == count {
                return letters;
            }
            tokio::time::sleep(SHORT).await;
        }
    };
    timeout(DEADLINE, all)
        .await
        .expect("dead letters within the deadline")
}

pub(crate) async fn a_retried_event_comes_again_with_its_attempt(backend: &dyn Backend) {
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

pub(crate) async fn a_retried_event_waits_without_blocking_others(backend: &dyn Backend) {
    // Given a consumer that handles one event at a time, and fails the first delivery of one of them
    let delay = Duration::from_secs(1);
    let subscription = subscription(backend, "s", 10, delay);
    let mut consumer = consume(backend, subscription, |delivery| {
        if delivery.envelope.id == "poison" && delivery.attempt == 1 {
            retry()
        } else {
            Outcome::Acknowledge
        }
    })
    .await;
    // When that one is published ahead of two others
    publish(backend, &["poison"]).await;
    assert_eq!(consumer.next().await.envelope.id, "poison");
    let failed_at = Instant::now();
    publish(backend, &["good-1", "good-2"]).await;
    // Then the others are handled while it waits
    assert_eq!(consumer.next_ids(2).await, ["good-1", "good-2"]);
    // And it comes again after the delay (with some allowance for its start)
    let delivery = consumer.next().await;
    assert_eq!(
        (delivery.envelope.id.as_str(), delivery.attempt),
        ("poison", 2)
    );
    assert!(
        failed_at.elapsed() >= delay * 8 / 10,
        "came back after {:?}",
        failed_at.elapsed()
    );
}

pub(crate) async fn an_event_is_given_up_after_the_last_attempt(backend: &dyn Backend) {
    // Given three attempts and a handler that never succeeds
    let mut consumer = consume(backend, subscription(backend, "s", 3, SHORT), |_| retry()).await;
    // When an event is published
    publish(backend, &["poison"]).await;
    // Then it is delivered three times and ends as a dead letter that tells why
    assert_eq!(consumer.next_ids(3).await, ["poison", "poison", "poison"]);
    let letters = dead_letters(backend, "s", 1).await;
    assert_eq!(letters[0].attempts, 3);
    assert!(
        letters[0].reason.contains("not yet"),
        "{}",
        letters[0].reason
    );
    assert_eq!(letters[0].subscription_id, "s");
    assert!(String::from_utf8_lossy(&letters[0].body).contains(r#""id":"poison""#));
    consumer.expect_quiet().await;
    // And it can be inspected by itself
    let id = &letters[0].dead_letter_id;
    let letter = backend
        .dead_letters()
        .inspect(&backend.topic(), "s", id)
        .await
        .unwrap();
    assert_eq!(letter, letters[0]);
}

pub(crate) async fn a_handler_can_give_up_at_once(backend: &dyn Backend) {
    let mut consumer = consume(backend, subscription(backend, "s", 10, SHORT), |_| {
        Outcome::DeadLetter {
            reason: "makes no sense".to_owned(),
        }
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

pub(crate) async fn a_panic_is_a_retry(backend: &dyn Backend) {
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
    assert!(consumer.stop().await.is_empty());
}

pub(crate) async fn a_failing_subscription_does_not_disturb_another(backend: &dyn Backend) {
    let failing = subscription(backend, "failing", 2, SHORT);
    let _failing = consume(backend, failing, |_| retry()).await;
    let healthy = subscription(backend, "healthy", 2, SHORT);
    let mut healthy = consume(backend, healthy, |_| Outcome::Acknowledge).await;
    publish(backend, &["1", "2", "3"]).await;
    assert_eq!(healthy.next_ids(3).await, ["1", "2", "3"]);
    healthy.expect_quiet().await;
    dead_letters(backend, "failing", 3).await;
    dead_letters(backend, "healthy", 0).await;
}

pub(crate) async fn an_undecodable_body_becomes_a_dead_letter(backend: &dyn Backend) {
    // Given a consumer
    let subscription = Subscription::new(backend.topic(), "s");
    let mut consumer = consume(backend, subscription, |_| Outcome::Acknowledge).await;
    // When something that is no event is published, and then an event
    backend
        .publish_body(&backend.topic(), b"no event")
        .await
        .unwrap();
    publish(backend, &["good"]).await;
    // Then the handler sees only the event, and the other is kept with the reason
    assert_eq!(consumer.next().await.envelope.id, "good");
    consumer.expect_quiet().await;
    let letters = dead_letters(backend, "s", 1).await;
    assert_eq!(
        (letters[0].body.as_slice(), letters[0].attempts),
        (b"no event".as_slice(), 0)
    );
    assert!(
        letters[0].reason.contains("not one JSON document"),
        "{}",
        letters[0].reason
    );
}

pub(crate) async fn a_dead_letter_can_be_requeued(backend: &dyn Backend) {
    // Given two subscriptions, one of which gave an event up
    let once = subscription(backend, "once", 1, SHORT);
    let mut consumer = consume(backend, once.clone(), |_| retry()).await;
    let other = subscription(backend, "other", 1, SHORT);
    let mut other = consume(backend, other, |_| Outcome::Acknowledge).await;
    publish(backend, &["second-chance"]).await;
    other.next().await;
    consumer.next().await;
    let letters = dead_letters(backend, "once", 1).await;
    consumer.stop().await;
    // When it is requeued after the handler was mended
    let mut mended = consume(backend, once, |_| Outcome::Acknowledge).await;
    let id = &letters[0].dead_letter_id;
    backend
        .dead_letters()
        .requeue(&backend.topic(), "once", id)
        .await
        .unwrap();
    // Then its own subscription gets it as a first attempt, and the other does not
    let delivery = mended.next().await;
    assert_eq!(
        (delivery.envelope.id.as_str(), delivery.attempt),
        ("second-chance", 1)
    );
    other.expect_quiet().await;
    dead_letters(backend, "once", 0).await;
}

pub(crate) async fn dead_letters_can_be_purged(backend: &dyn Backend) {
    let subscription = subscription(backend, "s", 1, SHORT);
    let _consumer = consume(backend, subscription, |_| retry()).await;
    publish(backend, &["1", "2", "3"]).await;
    dead_letters(backend, "s", 3).await;
    let first = backend
        .dead_letters()
        .list(&backend.topic(), "s", 1)
        .await
        .unwrap();
    assert_eq!(first.len(), 1);
    assert_eq!(
        backend
            .dead_letters()
            .purge(&backend.topic(), "s")
            .await
            .unwrap(),
        3
    );
    dead_letters(backend, "s", 0).await;
}

pub(crate) async fn unknown_dead_letters_are_an_error(backend: &dyn Backend) {
    let topic = backend.topic();
    let listed = backend.dead_letters().list(&topic, "nobody", 1).await;
    assert!(
        matches!(listed, Err(DeadLetterError::UnknownSubscription { .. })),
        "{listed:?}"
    );
    backend
        .subscriber()
        .declare(&Subscription::new(&topic, "s"))
        .await
        .unwrap();
    let requeued = backend.dead_letters().requeue(&topic, "s", "nothing").await;
    assert!(
        matches!(requeued, Err(DeadLetterError::UnknownDeadLetter { .. })),
        "{requeued:?}"
    );
}
