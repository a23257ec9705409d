//! Who gets which event.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use hyperfleet_broker::{Delivery, Handler, Outcome, PublishError, SubscribeError, Subscription};
use tokio::sync::{Barrier, mpsc};
use tokio::time::timeout;

use super::gate::Gate;
use super::support::{
    DEADLINE, QUIET, accept, consume, event, ids, publish, publish_all, publish_to, start,
};
use super::{Backend, Difference};

pub(crate) async fn b001_every_subscription_gets_every_event(backend: &dyn Backend) {
    // Given two subscriptions of one topic
    let subscribe = |id| Subscription::new(backend.topic(), id);
    let mut first = consume(backend, subscribe("first"), accept).await;
    let mut second = consume(backend, subscribe("second"), accept).await;
    // When five events are published
    publish(backend, &["1", "2", "3", "4", "5"]).await;
    // Then each gets all five, once
    for consumer in [&mut first, &mut second] {
        assert_eq!(consumer.next_ids(5).await, ["1", "2", "3", "4", "5"]);
        consumer.expect_quiet().await;
    }
}

pub(crate) async fn b002_consumers_of_one_subscription_share_its_events(backend: &dyn Backend) {
    // Given two consumers of one subscription, neither of which finishes before both have an event
    struct Meeting {
        barrier: Arc<Barrier>,
        met: AtomicUsize,
        handled: mpsc::UnboundedSender<(usize, String)>,
        number: usize,
    }
    #[async_trait]
    impl Handler for Meeting {
        async fn handle(&self, delivery: Delivery) -> Outcome {
            if self.met.fetch_add(1, Ordering::SeqCst) == 0 {
                self.barrier.wait().await;
            }
            let _ = self.handled.send((self.number, delivery.envelope.id));
            Outcome::Acknowledge
        }
    }
    let (handled, mut results) = mpsc::unbounded_channel();
    let barrier = Arc::new(Barrier::new(2));
    for number in 0..2 {
        let (barrier, handled) = (Arc::clone(&barrier), handled.clone());
        let met = AtomicUsize::new(0);
        let handler = Meeting {
            barrier,
            met,
            handled,
            number,
        };
        let subscription = Subscription::new(backend.topic(), "shared").with_prefetch(1);
        start(backend, subscription, Arc::new(handler)).await;
    }
    // When ten events are published
    let ids = ids(10);
    publish_all(backend, &ids).await;
    // Then both take part, and each event is handled once
    let mut handled_ids = Vec::new();
    let mut handled_by = [0, 0];
    for _ in &ids {
        let (number, id) = timeout(DEADLINE, results.recv()).await.unwrap().unwrap();
        handled_by[number] += 1;
        handled_ids.push(id);
    }
    handled_ids.sort();
    assert_eq!(handled_ids, ids);
    assert!(handled_by.iter().all(|count| *count > 0), "{handled_by:?}");
    let twice = timeout(QUIET, results.recv()).await;
    assert!(twice.is_err(), "{twice:?} was handled twice");
}

pub(crate) async fn b003_replicas_of_several_subscriptions_get_each_event_once_per_subscription(
    backend: &dyn Backend,
) {
    // Given three subscriptions with two consumers each
    let mut consumers = Vec::new();
    for id in ["one", "two", "three"] {
        for _ in 0..2 {
            let subscription = Subscription::new(backend.topic(), id).with_parallelism(4);
            consumers.push(consume(backend, subscription, accept).await);
        }
    }
    // When thirty events are published
    let ids = ids(30);
    publish_all(backend, &ids).await;
    // Then each pair handles all of them, each event once
    for pair in consumers.chunks_mut(2) {
        let [one, other] = pair else { unreachable!() };
        let mut handled = Vec::new();
        while handled.len() < ids.len() {
            let delivery = timeout(DEADLINE, async {
                tokio::select! {
                    delivery = one.next() => delivery,
                    delivery = other.next() => delivery,
                }
            });
            handled.push(delivery.await.unwrap().envelope.id);
        }
        handled.sort();
        assert_eq!(handled, ids);
        one.expect_quiet().await;
        other.expect_quiet().await;
    }
}

pub(crate) async fn b004_a_topic_without_subscription_is_an_error(backend: &dyn Backend) {
    let topic = backend.topic();
    let published = backend.publisher().publish(&topic, &event("lost")).await;
    let is_unroutable = matches!(published, Err(PublishError::Unroutable { .. }));
    assert!(is_unroutable, "{published:?}");
    // And it helps to try again once there is one
    let error = published.unwrap_err();
    assert!(error.is_transient());
    assert!(error.to_string().contains(&topic), "{error}");
}

pub(crate) async fn b005_empty_names_are_refused(backend: &dyn Backend) {
    let published = backend.publisher().publish("", &event("lost")).await;
    let error = published.unwrap_err();
    assert!(matches!(error, PublishError::EmptyTopic), "{error:?}");
    assert!(!error.is_transient());
    let subscriber = backend.subscriber();
    let declared = subscriber.declare(&Subscription::new("", "s")).await;
    let is_empty = matches!(declared, Err(SubscribeError::EmptyTopic));
    assert!(is_empty, "{declared:?}");
    let nameless = Subscription::new(backend.topic(), "");
    let declared = subscriber.declare(&nameless).await;
    let is_empty = matches!(declared, Err(SubscribeError::EmptySubscriptionId { .. }));
    assert!(is_empty, "{declared:?}");
}

pub(crate) async fn b006_a_declared_subscription_keeps_events_until_it_is_consumed(
    backend: &dyn Backend,
) {
    // Given a subscription that is declared but not consumed
    let subscription = Subscription::new(backend.topic(), "later");
    backend.subscriber().declare(&subscription).await.unwrap();
    // When events are published before the consumer starts
    publish(backend, &["1", "2"]).await;
    // Then the consumer gets them
    let mut consumer = consume(backend, subscription, accept).await;
    assert_eq!(consumer.next_ids(2).await, ["1", "2"]);
    consumer.expect_quiet().await;
}

pub(crate) async fn b007_a_subscription_outlives_its_consumer(backend: &dyn Backend) {
    // Given a consumer that handled an event and stopped
    let subscription = Subscription::new(backend.topic(), "s");
    let mut consumer = consume(backend, subscription.clone(), accept).await;
    publish(backend, &["before"]).await;
    consumer.next().await;
    consumer.stop().await;
    // When another is published meanwhile, and a new consumer starts
    publish(backend, &["meanwhile"]).await;
    let mut consumer = consume(backend, subscription, accept).await;
    // Then it gets what it missed and nothing that was acknowledged
    assert_eq!(consumer.next_ids(1).await, ["meanwhile"]);
    consumer.expect_quiet().await;
}

pub(crate) async fn b008_a_subscription_gets_nothing_from_before_it_existed(backend: &dyn Backend) {
    let early = Subscription::new(backend.topic(), "early");
    let mut early = consume(backend, early, accept).await;
    publish(backend, &["before"]).await;
    // When another subscription comes after the first event
    let late = Subscription::new(backend.topic(), "late");
    let mut late = consume(backend, late, accept).await;
    publish(backend, &["after"]).await;
    // Then it gets only the second
    assert_eq!(early.next_ids(2).await, ["after", "before"]);
    assert_eq!(late.next_ids(1).await, ["after"]);
    late.expect_quiet().await;
}

pub(crate) async fn b009_one_id_on_two_topics_is_two_subscriptions(backend: &dyn Backend) {
    let (one, other) = (
        format!("{}-one", backend.topic()),
        format!("{}-other", backend.topic()),
    );
    let mut first = consume(backend, Subscription::new(&one, "same"), accept).await;
    let second = Subscription::new(&other, "same");
    if backend.differs(Difference::IdsAreGlobal) {
        // Then the second is refused, naming the first's topic
        let refused = backend.subscriber().declare(&second).await.unwrap_err();
        let SubscribeError::Refused { source, .. } = refused else {
            panic!("{refused:?}");
        };
        assert!(source.to_string().contains(&one), "{source}");
        return;
    }
    // Then each gets what is published to its own topic
    let mut second = consume(backend, second, accept).await;
    publish_to(backend, &one, &["1"]).await;
    publish_to(backend, &other, &["2"]).await;
    assert_eq!(first.next_ids(1).await, ["1"]);
    assert_eq!(second.next_ids(1).await, ["2"]);
    first.expect_quiet().await;
}

pub(crate) async fn b010_topics_do_not_see_each_other(backend: &dyn Backend) {
    // Given ten topics with a subscription each
    let mut consumers = Vec::new();
    for number in 0..10 {
        let topic = format!("{}-{number}", backend.topic());
        let subscription = Subscription::new(&topic, format!("of-{number}"));
        consumers.push((topic, consume(backend, subscription, accept).await));
    }
    // When each gets an event of its name
    for (topic, _) in &consumers {
        publish_to(backend, topic, &[topic]).await;
    }
    // Then that is what each subscription gets
    for (topic, consumer) in &mut consumers {
        assert_eq!(consumer.next().await.envelope.id, *topic);
    }
    for (_, consumer) in &mut consumers {
        consumer.expect_quiet().await;
    }
}

pub(crate) async fn b011_declaring_again_changes_nothing_and_loses_nothing(backend: &dyn Backend) {
    let subscription = Subscription::new(backend.topic(), "s");
    for id in ["1", "2", "3"] {
        backend.subscriber().declare(&subscription).await.unwrap();
        publish(backend, &[id]).await;
    }
    let mut consumer = consume(backend, subscription.clone(), accept).await;
    assert_eq!(consumer.next_ids(3).await, ["1", "2", "3"]);
    // And under a running consumer too
    backend.subscriber().declare(&subscription).await.unwrap();
    publish(backend, &["4"]).await;
    assert_eq!(consumer.next_ids(1).await, ["4"]);
    consumer.expect_quiet().await;
}

pub(crate) async fn b012_a_consumer_that_joins_later_takes_part(backend: &dyn Backend) {
    // Given a consumer that is stuck with one event
    let (gate, mut ends) = Gate::new(Outcome::Acknowledge);
    let subscription = Subscription::new(backend.topic(), "s").with_prefetch(1);
    start(backend, subscription.clone(), gate).await;
    publish(backend, &["stuck"]).await;
    ends.started().await;
    // When another one joins
    let mut joined = consume(backend, subscription, accept).await;
    publish(backend, &["1", "2", "3"]).await;
    // Then it gets what follows
    assert_eq!(joined.next_ids(3).await, ["1", "2", "3"]);
    ends.none_starts().await;
}

pub(crate) async fn b013_when_one_of_two_consumers_stops_the_other_gets_everything(
    backend: &dyn Backend,
) {
    let subscription = Subscription::new(backend.topic(), "s");
    let stopping = consume(backend, subscription.clone(), accept).await;
    let mut staying = consume(backend, subscription, accept).await;
    stopping.stop().await;
    let ids = ids(20);
    publish_all(backend, &ids).await;
    assert_eq!(staying.next_ids(20).await, ids);
}

pub(crate) async fn b014_parallelism_bounds_concurrency(backend: &dyn Backend) {
    // Given a consumer with parallelism 3 and six events
    let (gate, mut ends) = Gate::new(Outcome::Acknowledge);
    let subscription = Subscription::new(backend.topic(), "s").with_parallelism(3);
    start(backend, subscription, Arc::<Gate>::clone(&gate)).await;
    publish(backend, &["1", "2", "3", "4", "5", "6"]).await;
    // When none is allowed to finish
    for _ in 0..3 {
        ends.started().await;
    }
    // Then no fourth one starts
    ends.none_starts().await;
    // And all finish once they may, never more than three at a time
    gate.open(6);
    for _ in 0..6 {
        ends.finished().await;
    }
    assert_eq!(gate.most(), 3);
}

pub(crate) async fn b015_prefetch_bounds_what_a_consumer_keeps_from_others(backend: &dyn Backend) {
    // Given a stuck consumer that may hold three of ten events
    let (gate, mut ends) = Gate::new(Outcome::Acknowledge);
    let subscription = Subscription::new(backend.topic(), "s").with_prefetch(3);
    start(backend, subscription.clone(), Arc::<Gate>::clone(&gate)).await;
    let ids = ids(10);
    publish_all(backend, &ids).await;
    ends.started().await;
    // When another one comes
    let mut quick = consume(backend, subscription, accept).await;
    // Then it gets at least all but those three, and the other the rest
    let mut handled = quick.next_ids(7).await;
    gate.open(10);
    while handled.len() < 10 {
        tokio::select! {
            id = ends.finished() => handled.push(id),
            delivery = quick.next() => handled.push(delivery.envelope.id),
        }
    }
    handled.sort();
    assert_eq!(handled, ids);
}

pub(crate) async fn b016_a_slow_subscription_does_not_hold_up_another(backend: &dyn Backend) {
    let (gate, mut ends) = Gate::new(Outcome::Acknowledge);
    start(
        backend,
        Subscription::new(backend.topic(), "slow"),
        Arc::<Gate>::clone(&gate),
    )
    .await;
    let quick = Subscription::new(backend.topic(), "quick");
    let mut quick = consume(backend, quick, accept).await;
    let ids = ids(50);
    publish_all(backend, &ids).await;
    ends.started().await;
    assert_eq!(quick.next_ids(50).await, ids);
    ends.none_finished();
    // And the slow one loses nothing by that
    gate.open(50);
    for _ in 0..50 {
        ends.finished().await;
    }
}

pub(crate) async fn b017_a_publisher_of_its_own_reaches_the_same_subscriptions(
    backend: &dyn Backend,
) {
    // Given two handles on one broker
    let other = backend.with_metrics(hyperfleet_broker::BrokerMetrics::default());
    let subscription = Subscription::new(backend.topic(), "s");
    let mut consumer = consume(backend, subscription, accept).await;
    // When both publish
    publish(backend, &["1"]).await;
    publish(other.as_ref(), &["2"]).await;
    // Then both events arrive
    assert_eq!(consumer.next_ids(2).await, ["1", "2"]);
}

pub(crate) async fn b018_events_that_no_handler_fails_come_in_order(backend: &dyn Backend) {
    // Given events that were published one after the other, and one handler at a time
    let subscription = Subscription::new(backend.topic(), "s");
    backend.subscriber().declare(&subscription).await.unwrap();
    let ids = ids(30);
    for id in &ids {
        publish(backend, &[id]).await;
    }
    let mut consumer = consume(backend, subscription, accept).await;
    // Then they come in that order, where the backend has one
    let mut handled = consumer.next_in_order(30).await;
    if backend.differs(Difference::Unordered) {
        handled.sort();
    }
    assert_eq!(handled, ids);
}
