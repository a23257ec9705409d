//! How consumers end.

use std::sync::Arc;
use std::time::{Duration, Instant};

use hyperfleet_broker::{Outcome, Subscription};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::gate::{Gate, GateEnds};
use super::support::{
    DEADLINE, QUIET, SHORT, accept, consume, dead_letters, ids, publish, publish_all, start,
    subscription,
};
use super::{Backend, Difference};

type Task = tokio::task::JoinHandle<Result<(), hyperfleet_broker::SubscribeError>>;

/// A consumer in the middle of the event `running`, which will end with an outcome.
async fn in_the_middle(
    backend: &dyn Backend,
    subscription: Subscription,
    outcome: Outcome,
) -> (Arc<Gate>, GateEnds, CancellationToken, Task) {
    let (gate, mut ends) = Gate::new(outcome);
    let (shutdown, task) = start(backend, subscription, Arc::<Gate>::clone(&gate)).await;
    publish(backend, &["running"]).await;
    assert_eq!(ends.started().await, "running");
    (gate, ends, shutdown, task)
}

async fn ends(task: Task) {
    let ended = timeout(DEADLINE, task).await.expect("shutdown ends");
    ended.unwrap().unwrap();
}

pub(crate) async fn b109_shutdown_waits_for_running_handlers(backend: &dyn Backend) {
    // Given a consumer in the middle of an event, with another one waiting
    let wanted = Subscription::new(backend.topic(), "s");
    let (gate, mut told, shutdown, mut task) =
        in_the_middle(backend, wanted.clone(), Outcome::Acknowledge).await;
    publish(backend, &["waiting"]).await;
    // When it is shut down
    shutdown.cancel();
    // Then it goes on until the handler is done, and takes nothing more
    let early = timeout(QUIET, &mut task).await;
    assert!(early.is_err(), "shutdown did not wait");
    gate.open(2);
    ends(task).await;
    assert_eq!(told.finished().await, "running");
    told.none_finished();
    // And the finished event is settled: the next consumer gets only the waiting one
    let mut consumer = consume(backend, wanted, accept).await;
    assert_eq!(consumer.next_ids(1).await, ["waiting"]);
    consumer.expect_quiet().await;
}

pub(crate) async fn b110_what_was_held_and_not_begun_is_given_back(backend: &dyn Backend) {
    // Given a consumer in the middle of an event, which holds five more
    let wanted = Subscription::new(backend.topic(), "s").with_prefetch(10);
    let (gate, _told, shutdown, task) =
        in_the_middle(backend, wanted.clone(), Outcome::Acknowledge).await;
    let ids = ids(5);
    publish_all(backend, &ids).await;
    // So that they are held by now, where anything is
    backend.publisher().check().await.unwrap();
    tokio::time::sleep(QUIET).await;
    // When it ends
    shutdown.cancel();
    gate.open(1);
    ends(task).await;
    // Then another gets all of them
    let mut consumer = consume(backend, wanted, accept).await;
    let mut handled = Vec::new();
    for _ in &ids {
        let delivery = consumer.next().await;
        let expected = if backend.differs(Difference::GivingBackCounts) {
            2
        } else {
            1
        };
        assert_eq!(delivery.attempt, expected, "{delivery:?}");
        handled.push(delivery.envelope.id);
    }
    handled.sort();
    assert_eq!(handled, ids);
    consumer.expect_quiet().await;
}

pub(crate) async fn b111_an_idle_consumer_ends_at_once(backend: &dyn Backend) {
    let wanted = Subscription::new(backend.topic(), "s");
    let mut consumer = consume(backend, wanted, accept).await;
    publish(backend, &["1"]).await;
    consumer.next().await;
    let start = Instant::now();
    assert!(consumer.stop().await.is_empty());
    assert!(
        start.elapsed() < Duration::from_secs(5),
        "{:?}",
        start.elapsed()
    );
}

pub(crate) async fn b112_a_consumer_that_was_shut_down_before_takes_nothing(backend: &dyn Backend) {
    let wanted = Subscription::new(backend.topic(), "s");
    backend.subscriber().declare(&wanted).await.unwrap();
    publish(backend, &["1"]).await;
    let (gate, mut told) = Gate::new(Outcome::Acknowledge);
    let shutdown = CancellationToken::new();
    shutdown.cancel();
    let subscriber = backend.subscriber();
    let run = subscriber.run(wanted.clone(), gate, shutdown);
    timeout(DEADLINE, run).await.unwrap().unwrap();
    told.none_starts().await;
    // And the event is there for the next
    let mut consumer = consume(backend, wanted, accept).await;
    assert_eq!(consumer.next_ids(1).await, ["1"]);
}

pub(crate) async fn b113_what_fails_during_shutdown_is_retried(backend: &dyn Backend) {
    let wanted = subscription(backend, "s", 10, SHORT);
    let (gate, _told, shutdown, task) =
        in_the_middle(backend, wanted.clone(), super::support::retry()).await;
    shutdown.cancel();
    gate.open(1);
    ends(task).await;
    let mut consumer = consume(backend, wanted, accept).await;
    let delivery = consumer.next().await;
    assert_eq!(
        (delivery.envelope.id.as_str(), delivery.attempt),
        ("running", 2)
    );
    consumer.expect_quiet().await;
}

pub(crate) async fn b114_what_is_given_up_during_shutdown_is_kept(backend: &dyn Backend) {
    let wanted = subscription(backend, "s", 10, SHORT);
    let outcome = Outcome::dead_letter("too late");
    let (gate, _told, shutdown, task) = in_the_middle(backend, wanted, outcome).await;
    shutdown.cancel();
    gate.open(1);
    ends(task).await;
    let letters = dead_letters(backend, "s", 1).await;
    assert_eq!(letters[0].reason, "too late");
}

pub(crate) async fn b115_events_of_the_meantime_are_kept(backend: &dyn Backend) {
    let wanted = Subscription::new(backend.topic(), "s");
    let (gate, _told, shutdown, task) =
        in_the_middle(backend, wanted.clone(), Outcome::Acknowledge).await;
    // When events are published during shutdown, and after it
    shutdown.cancel();
    publish(backend, &["during"]).await;
    gate.open(1);
    ends(task).await;
    publish(backend, &["after"]).await;
    // Then the next consumer gets them
    let mut consumer = consume(backend, wanted, accept).await;
    assert_eq!(consumer.next_ids(2).await, ["after", "during"]);
    consumer.expect_quiet().await;
}

pub(crate) async fn b116_consumers_come_and_go_and_nothing_is_lost(backend: &dyn Backend) {
    // Given a subscription whose consumers change all the time
    let wanted = Subscription::new(backend.topic(), "s").with_parallelism(2);
    backend.subscriber().declare(&wanted).await.unwrap();
    let ids = ids(40);
    let mut handled = Vec::new();
    for part in ids.chunks(10) {
        let mut consumer = consume(backend, wanted.clone(), accept).await;
        publish_all(backend, part).await;
        // When each is stopped in the middle of its work
        handled.extend(consumer.next_ids(3).await);
        let rest = consumer.stop().await;
        handled.extend(rest.into_iter().map(|delivery| delivery.envelope.id));
    }
    // Then the last one finds what the others left, and everything was handled once
    let mut last = consume(backend, wanted, accept).await;
    while handled.len() < ids.len() {
        handled.push(last.next().await.envelope.id);
    }
    last.expect_quiet().await;
    handled.sort();
    assert_eq!(handled, ids);
}
