//! When an event that failed comes again.

use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use hyperfleet_broker::{Outcome, RedeliveryPolicy, Subscription};

use super::support::{SHORT, accept, consume, dead_letters, publish, retry, subscription};
use super::{Backend, Difference};

/// How much earlier than its delay an event may come: brokers and we have different clocks.
fn nearly(delay: Duration) -> Duration {
    delay * 8 / 10
}

pub(crate) async fn b075_a_retried_event_waits_without_blocking_others(backend: &dyn Backend) {
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
    // And it comes again after the delay
    let delivery = consumer.next().await;
    assert_eq!(
        (delivery.envelope.id.as_str(), delivery.attempt),
        ("poison", 2)
    );
    let waited = failed_at.elapsed();
    assert!(waited >= nearly(delay), "{waited:?}");
}

pub(crate) async fn b076_delays_grow_up_to_their_ceiling(backend: &dyn Backend) {
    // Given a policy whose delay doubles once
    let wanted = Subscription::new(backend.topic(), "s").with_redelivery(RedeliveryPolicy {
        initial_delay: Duration::from_millis(300),
        maximum_delay: Duration::from_millis(600),
        maximum_attempts: NonZeroU32::new(4).unwrap(),
    });
    let mut consumer = consume(backend, wanted, |_| retry()).await;
    publish(backend, &["1"]).await;
    consumer.next().await;
    // Then the event comes again after each of them
    for milliseconds in [300, 600, 600] {
        let failed_at = Instant::now();
        consumer.next().await;
        let waited = failed_at.elapsed();
        let delay = Duration::from_millis(milliseconds);
        assert!(waited >= nearly(delay), "{waited:?} of {delay:?}");
    }
    dead_letters(backend, "s", 1).await;
}

pub(crate) async fn b077_a_handler_can_lengthen_the_delay(backend: &dyn Backend) {
    // Given a handler that knows better than a policy of hardly any delay
    let own = Duration::from_millis(1200);
    let wanted = subscription(backend, "s", 10, SHORT);
    let mut consumer = consume(backend, wanted, move |delivery| match delivery.attempt {
        1 => Outcome::retry_after(own, "busy until then"),
        _ => Outcome::Acknowledge,
    })
    .await;
    publish(backend, &["1"]).await;
    consumer.next().await;
    let failed_at = Instant::now();
    // Then the event comes again after its delay, and counts as a second attempt
    assert_eq!(consumer.next().await.attempt, 2);
    let waited = failed_at.elapsed();
    assert!(waited >= nearly(own), "{waited:?}");
}

pub(crate) async fn b078_a_handler_can_shorten_the_delay(backend: &dyn Backend) {
    // Given a policy of two seconds, and a handler that wants the event back at once
    let policy = Duration::from_secs(2);
    let wanted = subscription(backend, "s", 10, policy);
    let mut consumer = consume(backend, wanted, |delivery| match delivery.attempt {
        1 => Outcome::retry_after(SHORT, "a moment"),
        _ => Outcome::Acknowledge,
    })
    .await;
    publish(backend, &["1"]).await;
    consumer.next().await;
    let failed_at = Instant::now();
    assert_eq!(consumer.next().await.attempt, 2);
    // Then it comes before the policy's delay, unless that is the broker's own
    let waited = failed_at.elapsed();
    let is_early = waited < nearly(policy);
    let expected = !backend.differs(Difference::OwnDelaysOnlyLengthen);
    assert_eq!(is_early, expected, "{waited:?}");
}

pub(crate) async fn b079_own_delays_end_with_the_policys_attempts(backend: &dyn Backend) {
    let wanted = subscription(backend, "s", 3, SHORT);
    let mut consumer = consume(backend, wanted, |_| Outcome::retry_after(SHORT, "busy")).await;
    publish(backend, &["1"]).await;
    consumer.next_ids(3).await;
    let letters = dead_letters(backend, "s", 1).await;
    assert_eq!(letters[0].reason, "given up after 3 deliveries: busy");
    consumer.expect_quiet().await;
}

pub(crate) async fn b080_a_short_delay_overtakes_a_long_one(backend: &dyn Backend) {
    // Given one event that waits for long, and one that waits for less
    let wanted = subscription(backend, "s", 10, SHORT);
    let mut consumer = consume(backend, wanted, |delivery| {
        let seconds = match (delivery.envelope.id.as_str(), delivery.attempt) {
            ("long", 1) => 3,
            ("short", 1) => 1,
            _ => return Outcome::Acknowledge,
        };
        Outcome::retry_after(Duration::from_secs(seconds), "later")
    })
    .await;
    publish(backend, &["long"]).await;
    consumer.next().await;
    publish(backend, &["short"]).await;
    consumer.next().await;
    // Then the latter comes first, though it failed later
    assert_eq!(consumer.next_in_order(2).await, ["short", "long"]);
}

pub(crate) async fn b081_waiting_events_survive_their_consumer(backend: &dyn Backend) {
    // Given an event that waits
    let wanted = subscription(backend, "s", 10, Duration::from_millis(500));
    let mut consumer = consume(backend, wanted.clone(), |_| retry()).await;
    publish(backend, &["1"]).await;
    consumer.next().await;
    // When its consumer stops in order, and another starts
    assert!(consumer.stop().await.is_empty());
    let mut consumer = consume(backend, wanted, accept).await;
    // Then that one gets it, as a second attempt
    assert_eq!(consumer.next().await.attempt, 2);
    consumer.expect_quiet().await;
}

pub(crate) async fn b082_a_retry_is_for_its_subscription_only(backend: &dyn Backend) {
    let failing = subscription(backend, "failing", 10, SHORT);
    let mut failing = consume(backend, failing, |delivery| match delivery.attempt {
        1 => retry(),
        _ => Outcome::Acknowledge,
    })
    .await;
    let other = Subscription::new(backend.topic(), "other");
    let mut other = consume(backend, other, accept).await;
    publish(backend, &["1"]).await;
    failing.next_ids(2).await;
    other.next().await;
    other.expect_quiet().await;
}

pub(crate) async fn b083_a_whole_wave_of_retries_comes_again(backend: &dyn Backend) {
    // Given more events that fail at once than a consumer holds
    let wanted = subscription(backend, "s", 10, Duration::from_millis(300))
        .with_parallelism(2)
        .with_prefetch(4);
    let mut consumer = consume(backend, wanted, |delivery| match delivery.attempt {
        1 => retry(),
        _ => Outcome::Acknowledge,
    })
    .await;
    let ids = super::support::ids(40);
    super::support::publish_all(backend, &ids).await;
    let mut twice = [ids.clone(), ids].concat();
    twice.sort();
    assert_eq!(consumer.next_ids(80).await, twice);
}

pub(crate) async fn b084_an_endless_delay_is_cut_and_holds_up_nobody(backend: &dyn Backend) {
    let wanted = subscription(backend, "s", 10, SHORT);
    let mut consumer = consume(backend, wanted, |delivery| {
        if delivery.envelope.id == "endless" {
            Outcome::retry_after(Duration::MAX, "never mind")
        } else {
            Outcome::Acknowledge
        }
    })
    .await;
    publish(backend, &["endless"]).await;
    consumer.next().await;
    publish(backend, &["1", "2"]).await;
    assert_eq!(consumer.next_ids(2).await, ["1", "2"]);
    consumer.expect_quiet().await;
    dead_letters(backend, "s", 0).await;
    assert!(consumer.stop().await.is_empty());
}
