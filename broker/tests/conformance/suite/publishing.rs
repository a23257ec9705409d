//! Publishing many events, and to a broker that is not there.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use hyperfleet_broker::{
    Delivery, Envelope, Handler, MetricFamilies, Outcome, PublishError, Subscription,
};
use hyperfleet_test_support::eventually;
use prometheus::Registry;
use tokio_util::sync::CancellationToken;

use super::support::{
    DEADLINE, SHORT, accept, consume, dead_letters, event, ids, metric, publish, retry,
    subscription,
};
use super::{Backend, Difference};

async fn window_of(backend: &dyn Backend, window: usize, count: usize) {
    let wanted = Subscription::new(backend.topic(), "s").with_parallelism(8);
    let mut consumer = consume(backend, wanted, accept).await;
    let ids = ids(count);
    let events: Vec<Envelope> = ids.iter().map(|id| event(id)).collect();
    let window = NonZeroUsize::new(window).unwrap();
    let (topic, publisher) = (backend.topic(), backend.publisher());
    let published = publisher.publish_many(&topic, &events, window).await;
    assert_eq!(published.len(), count);
    assert!(published.iter().all(Result::is_ok), "{published:?}");
    assert_eq!(consumer.next_ids(count).await, ids);
    consumer.expect_quiet().await;
}

pub(crate) async fn b099_many_are_published_one_at_a_time(backend: &dyn Backend) {
    window_of(backend, 1, 20).await;
}

pub(crate) async fn b100_many_are_published_with_ten_unconfirmed(backend: &dyn Backend) {
    window_of(backend, 10, 100).await;
}

pub(crate) async fn b101_many_are_published_with_a_thousand_unconfirmed(backend: &dyn Backend) {
    window_of(backend, 1000, 900).await;
}

pub(crate) async fn b102_every_event_that_is_not_published_has_its_error(backend: &dyn Backend) {
    let events: Vec<Envelope> = ids(10).iter().map(|id| event(id)).collect();
    let window = NonZeroUsize::new(5).unwrap();
    let (topic, publisher) = (backend.topic(), backend.publisher());
    let published = publisher.publish_many(&topic, &events, window).await;
    assert_eq!(published.len(), 10);
    for outcome in published {
        let is_unroutable = matches!(outcome, Err(PublishError::Unroutable { .. }));
        assert!(is_unroutable, "{outcome:?}");
    }
    // And nothing is nothing
    assert!(publisher.publish_many(&topic, &[], window).await.is_empty());
}

pub(crate) async fn b103_publishers_do_not_disturb_each_other(backend: &dyn Backend) {
    let wanted = Subscription::new(backend.topic(), "s").with_parallelism(4);
    let mut consumer = consume(backend, wanted, accept).await;
    let ids = ids(60);
    let handles =
        [(); 3].map(|()| backend.with_metrics(hyperfleet_broker::BrokerMetrics::default()));
    let topic = backend.topic();
    let window = NonZeroUsize::new(7).unwrap();
    let publish = |part: usize| {
        let events: Vec<Envelope> = ids
            .iter()
            .skip(part)
            .step_by(3)
            .map(|id| event(id))
            .collect();
        let (handle, topic) = (&handles[part], topic.clone());
        async move {
            handle
                .publisher()
                .publish_many(&topic, &events, window)
                .await
        }
    };
    let (one, two, three) = tokio::join!(publish(0), publish(1), publish(2));
    assert!([one, two, three].concat_ok(), "all are published");
    assert_eq!(consumer.next_ids(60).await, ids);
}

/// Whether all of several lists succeeded.
trait ConcatOk {
    fn concat_ok(self) -> bool;
}

impl ConcatOk for [Vec<Result<(), PublishError>>; 3] {
    fn concat_ok(self) -> bool {
        self.into_iter().flatten().all(|outcome| outcome.is_ok())
    }
}

pub(crate) async fn b104_a_broker_that_is_there_is_healthy(backend: &dyn Backend) {
    // Before anything exists, and after
    backend.publisher().check().await.unwrap();
    let wanted = Subscription::new(backend.topic(), "s");
    let mut consumer = consume(backend, wanted, accept).await;
    publish(backend, &["1"]).await;
    consumer.next().await;
    backend.publisher().check().await.unwrap();
}

pub(crate) async fn b105_a_broker_that_is_away_fails_a_publish_in_time(backend: &dyn Backend) {
    let away = backend.unreachable().await;
    assert_eq!(away.is_none(), backend.differs(Difference::IsAlwaysThere));
    let Some(away) = away else { return };
    let start = Instant::now();
    let topic = backend.topic();
    let error = away.publisher().publish(&topic, &event("lost")).await;
    let error = error.unwrap_err();
    assert!(
        start.elapsed() < Duration::from_secs(12),
        "{:?}",
        start.elapsed()
    );
    assert!(error.is_transient(), "{error:?}");
    assert!(
        matches!(error, PublishError::Unconfirmed { .. }),
        "{error:?}"
    );
}

pub(crate) async fn b106_a_broker_that_is_away_is_not_healthy(backend: &dyn Backend) {
    let Some(away) = backend.unreachable().await else {
        return;
    };
    let start = Instant::now();
    let error = away.publisher().check().await.unwrap_err();
    assert!(
        start.elapsed() < Duration::from_secs(6),
        "{:?}",
        start.elapsed()
    );
    assert!(error.is_transient(), "{error:?}");
}

pub(crate) async fn b107_a_consumer_without_a_broker_waits_and_can_be_stopped(
    backend: &dyn Backend,
) {
    let Some(away) = backend.unreachable().await else {
        return;
    };
    let wanted = Subscription::new(backend.topic(), "s");
    let shutdown = CancellationToken::new();
    let (subscriber, token) = (away.subscriber(), shutdown.clone());
    let running =
        tokio::spawn(async move { subscriber.run(wanted, Arc::new(Nothing), token).await });
    // While it waits it goes on trying, and ends when it is asked to
    let early = tokio::time::timeout(Duration::from_secs(1), async {
        while !running.is_finished() {
            tokio::time::sleep(SHORT).await;
        }
    });
    assert!(early.await.is_err(), "it ended by itself");
    shutdown.cancel();
    let ended = tokio::time::timeout(DEADLINE, running).await;
    ended.unwrap().unwrap().unwrap();
}

/// Acknowledges everything, and tells nobody.
struct Nothing;

#[async_trait]
impl Handler for Nothing {
    async fn handle(&self, _: Delivery) -> Outcome {
        Outcome::Acknowledge
    }
}

/// Ids that tell when they were made.
const WORKING: &str = "01a206be-4497-76f4-a843-66c22fed4d4e";
const FAILING: &str = "01a206be-4497-7dd3-aa8e-c72cb6cf7d2c";

pub(crate) async fn b108_everything_is_counted(backend: &dyn Backend) {
    // Given a broker that counts
    let registry = Registry::new();
    let now = "2027-01-01T00:00:00Z".parse().unwrap();
    let families = MetricFamilies::register(&registry, Arc::new(move || now)).unwrap();
    let counted = backend.with_metrics(families.component("conformance", "1"));
    let backend = counted.as_ref();
    let lost = backend
        .publisher()
        .publish("nobody-listens", &event("lost"))
        .await;
    lost.unwrap_err();
    let wanted = subscription(backend, "s", 2, SHORT);
    let mut consumer = consume(backend, wanted, |delivery| {
        match delivery.envelope.id.as_str() {
            FAILING => retry(),
            _ => Outcome::Acknowledge,
        }
    })
    .await;
    // When two events are published, one of which fails twice, and something that is none
    publish(backend, &[WORKING, FAILING]).await;
    let topic = backend.topic();
    let published = backend.publish_message(&topic, &[], b"no event").await;
    published.unwrap();
    consumer.next_ids(3).await;
    dead_letters(backend, "s", 2).await;
    // Then that is what the metrics say
    let expected = [
        ("hyperfleet_broker_messages_published_total", "", 3.0),
        ("hyperfleet_broker_messages_consumed_total", "", 4.0),
        ("hyperfleet_broker_redeliveries_total", "", 1.0),
        ("hyperfleet_broker_dead_letters_total", "", 2.0),
        ("hyperfleet_broker_errors_total", "publish", 1.0),
        ("hyperfleet_broker_errors_total", "conversion", 1.0),
        ("hyperfleet_broker_errors_total", "handler", 2.0),
        ("hyperfleet_broker_message_duration_seconds", "", 3.0),
        ("hyperfleet_broker_publish_duration_seconds", "", 3.0),
        ("hyperfleet_broker_publishes_outstanding", "", 0.0),
        ("hyperfleet_broker_consumer_lag_seconds", "", 2.0),
    ];
    eventually(DEADLINE, "the counts", async || {
        let found = expected.map(|(name, label, _)| (name, label, metric(&registry, name, label)));
        if found == expected {
            Ok(())
        } else {
            Err(format!("{found:?}"))
        }
    })
    .await;
}
