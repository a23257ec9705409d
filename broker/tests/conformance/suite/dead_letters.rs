//! Looking after what was given up.

use hyperfleet_broker::{DeadLetterError, Outcome, Subscription};

use super::Backend;
use super::support::{
    Consumer, SHORT, accept, consume, dead_letters, event, events_of, publish, retry, subscription,
    timed,
};

/// A consumer that gives every event up at once.
async fn refusing(backend: &dyn Backend, id: &str) -> Consumer {
    let wanted = subscription(backend, id, 1, SHORT);
    consume(backend, wanted, |_| retry()).await
}

/// Has events given up one after the other, so that their age differs.
async fn give_up(backend: &dyn Backend, consumer: &mut Consumer, id: &str, ids: &[&str]) {
    let before = backend.dead_letters();
    let before = before.list(&backend.topic(), id, 100).await.unwrap().len();
    for (number, event) in ids.iter().enumerate() {
        publish(backend, &[event]).await;
        consumer.next().await;
        dead_letters(backend, id, before + number + 1).await;
    }
}

pub(crate) async fn b085_dead_letters_are_listed_the_oldest_first(backend: &dyn Backend) {
    let backend = timed(backend);
    let backend = backend.as_ref();
    let mut consumer = refusing(backend, "s").await;
    give_up(backend, &mut consumer, "s", &["b", "a", "c"]).await;
    let letters = dead_letters(backend, "s", 3).await;
    assert_eq!(events_of(&letters), ["b", "a", "c"]);
    // And no more than asked for
    let topic = backend.topic();
    let two = backend.dead_letters().list(&topic, "s", 2).await.unwrap();
    assert_eq!(two, letters[..2]);
}

pub(crate) async fn b086_looking_takes_nothing_away(backend: &dyn Backend) {
    let backend = timed(backend);
    let backend = backend.as_ref();
    let mut consumer = refusing(backend, "s").await;
    give_up(backend, &mut consumer, "s", &["1", "2"]).await;
    let letters = dead_letters(backend, "s", 2).await;
    for _ in 0..3 {
        assert_eq!(dead_letters(backend, "s", 2).await, letters);
    }
}

pub(crate) async fn b087_one_can_be_inspected(backend: &dyn Backend) {
    let mut consumer = refusing(backend, "s").await;
    give_up(backend, &mut consumer, "s", &["1", "2"]).await;
    let topic = backend.topic();
    for letter in dead_letters(backend, "s", 2).await {
        let id = &letter.dead_letter_id;
        let inspected = backend.dead_letters().inspect(&topic, "s", id).await;
        assert_eq!(inspected.unwrap(), letter);
    }
}

pub(crate) async fn b088_one_can_be_requeued(backend: &dyn Backend) {
    // Given two subscriptions, one of which gave an event up
    let once = subscription(backend, "once", 1, SHORT);
    let mut consumer = consume(backend, once.clone(), |_| retry()).await;
    let other = subscription(backend, "other", 1, SHORT);
    let mut other = consume(backend, other, accept).await;
    publish(backend, &["second-chance"]).await;
    other.next().await;
    consumer.next().await;
    let letters = dead_letters(backend, "once", 1).await;
    consumer.stop().await;
    // When it is requeued after the handler was mended
    let mut mended = consume(backend, once, accept).await;
    let (topic, id) = (backend.topic(), &letters[0].dead_letter_id);
    let requeued = backend.dead_letters().requeue(&topic, "once", id).await;
    requeued.unwrap();
    // Then its own subscription gets it as a first attempt, and the other does not
    let delivery = mended.next().await;
    assert_eq!(
        (delivery.envelope.id.as_str(), delivery.attempt),
        ("second-chance", 1)
    );
    other.expect_quiet().await;
    dead_letters(backend, "once", 0).await;
}

pub(crate) async fn b089_a_requeued_event_is_the_same_event(backend: &dyn Backend) {
    let wanted = subscription(backend, "s", 10, SHORT);
    let mut consumer = consume(backend, wanted, |_| Outcome::dead_letter("no")).await;
    let mut sent =
        event("ü🚀").with_traceparent("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
    sent.data = serde_json::json!({"<&>": "\u{2028}"});
    let topic = backend.topic();
    backend.publisher().publish(&topic, &sent).await.unwrap();
    // When it was given up and requeued, twice
    for _ in 0..2 {
        assert_eq!(consumer.next().await.envelope, sent);
        let letters = dead_letters(backend, "s", 1).await;
        assert_eq!(letters[0].body, sent.to_bytes());
        let id = &letters[0].dead_letter_id;
        let requeued = backend.dead_letters().requeue(&topic, "s", id).await;
        requeued.unwrap();
    }
    // Then it is what it was
    assert_eq!(consumer.next().await.envelope, sent);
    dead_letters(backend, "s", 1).await;
}

pub(crate) async fn b090_a_requeued_event_has_all_its_attempts_again(backend: &dyn Backend) {
    let wanted = subscription(backend, "s", 2, SHORT);
    let mut consumer = consume(backend, wanted, |_| retry()).await;
    publish(backend, &["1"]).await;
    let topic = backend.topic();
    for _ in 0..2 {
        assert_eq!(consumer.next().await.attempt, 1);
        assert_eq!(consumer.next().await.attempt, 2);
        let letters = dead_letters(backend, "s", 1).await;
        assert_eq!(letters[0].attempts, 2);
        let id = &letters[0].dead_letter_id;
        let requeued = backend.dead_letters().requeue(&topic, "s", id).await;
        requeued.unwrap();
    }
}

pub(crate) async fn b091_a_dead_letter_can_be_requeued_once(backend: &dyn Backend) {
    let mut consumer = refusing(backend, "s").await;
    give_up(backend, &mut consumer, "s", &["1"]).await;
    let letters = dead_letters(backend, "s", 1).await;
    consumer.stop().await;
    let (topic, id) = (backend.topic(), &letters[0].dead_letter_id);
    let requeued = backend.dead_letters().requeue(&topic, "s", id).await;
    requeued.unwrap();
    let again = backend.dead_letters().requeue(&topic, "s", id).await;
    let is_unknown = matches!(again, Err(DeadLetterError::UnknownDeadLetter { .. }));
    assert!(is_unknown, "{again:?}");
}

pub(crate) async fn b092_requeueing_one_leaves_the_others(backend: &dyn Backend) {
    let backend = timed(backend);
    let backend = backend.as_ref();
    let mut consumer = refusing(backend, "s").await;
    give_up(backend, &mut consumer, "s", &["1", "2", "3"]).await;
    consumer.stop().await;
    let letters = dead_letters(backend, "s", 3).await;
    let (topic, id) = (backend.topic(), &letters[1].dead_letter_id);
    let requeued = backend.dead_letters().requeue(&topic, "s", id).await;
    requeued.unwrap();
    let left = dead_letters(backend, "s", 2).await;
    assert_eq!(events_of(&left), ["1", "3"]);
}

pub(crate) async fn b093_all_can_be_purged(backend: &dyn Backend) {
    let mut consumer = refusing(backend, "s").await;
    let mut other = refusing(backend, "other").await;
    publish(backend, &["1", "2", "3"]).await;
    consumer.next_ids(3).await;
    other.next_ids(3).await;
    dead_letters(backend, "s", 3).await;
    // When those of one subscription are purged
    let topic = backend.topic();
    let purged = backend.dead_letters().purge(&topic, "s").await;
    assert_eq!(purged.unwrap(), 3);
    // Then they are gone, and those of the other are not
    dead_letters(backend, "s", 0).await;
    dead_letters(backend, "other", 3).await;
}

pub(crate) async fn b094_purging_nothing_is_no_error(backend: &dyn Backend) {
    let subscription = Subscription::new(backend.topic(), "s");
    backend.subscriber().declare(&subscription).await.unwrap();
    let topic = backend.topic();
    let purged = backend.dead_letters().purge(&topic, "s").await;
    assert_eq!(purged.unwrap(), 0);
}

pub(crate) async fn b095_unknown_dead_letters_are_an_error(backend: &dyn Backend) {
    let topic = backend.topic();
    let letters = backend.dead_letters();
    let listed = letters.list(&topic, "nobody", 1).await.unwrap_err();
    let purged = letters.purge(&topic, "nobody").await.unwrap_err();
    for error in [listed, purged] {
        let is_unknown = matches!(error, DeadLetterError::UnknownSubscription { .. });
        assert!(is_unknown, "{error:?}");
    }
    let subscription = Subscription::new(&topic, "s");
    backend.subscriber().declare(&subscription).await.unwrap();
    let requeued = letters.requeue(&topic, "s", "0").await.unwrap_err();
    let inspected = letters.inspect(&topic, "s", "0").await.unwrap_err();
    for error in [requeued, inspected] {
        let is_unknown = matches!(error, DeadLetterError::UnknownDeadLetter { .. });
        assert!(is_unknown, "{error:?}");
    }
}

pub(crate) async fn b096_reasons_keep_their_text(backend: &dyn Backend) {
    let reason = "no: „ü“\n\tsecond line, 100 % \"quoted\" 🚀";
    let wanted = subscription(backend, "s", 1, SHORT);
    let mut consumer = consume(backend, wanted, move |_| Outcome::dead_letter(reason)).await;
    publish(backend, &["1"]).await;
    consumer.next().await;
    assert_eq!(dead_letters(backend, "s", 1).await[0].reason, reason);
}

pub(crate) async fn b097_reasons_may_be_long(backend: &dyn Backend) {
    // Given a reason of which a broker keeps a kilobyte at least
    let wanted = subscription(backend, "s", 1, SHORT);
    let reason = "ü".repeat(5000);
    let text = reason.clone();
    let mut consumer = consume(backend, wanted, move |_| Outcome::dead_letter(&text)).await;
    publish(backend, &["1"]).await;
    consumer.next().await;
    let kept = &dead_letters(backend, "s", 1).await[0].reason;
    assert!(
        kept.len() >= 1024 && reason.starts_with(kept),
        "{}",
        kept.len()
    );
}

pub(crate) async fn b098_equal_events_are_kept_apart(backend: &dyn Backend) {
    // Given the same event three times, given up for the same reason
    let mut consumer = refusing(backend, "s").await;
    give_up(backend, &mut consumer, "s", &["same", "same", "same"]).await;
    consumer.stop().await;
    let letters = dead_letters(backend, "s", 3).await;
    let mut ids: Vec<_> = letters.iter().map(|one| &one.dead_letter_id).collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 3);
    // When one is requeued, two are left
    let topic = backend.topic();
    let last = &letters[2].dead_letter_id;
    let requeued = backend.dead_letters().requeue(&topic, "s", last).await;
    requeued.unwrap();
    dead_letters(backend, "s", 2).await;
}
