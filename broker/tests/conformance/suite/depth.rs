//! How much a broker holds, for metrics.

use std::sync::Arc;
use std::time::Duration;

use hyperfleet_broker::{DeadLetterError, MetricFamilies, watch_depth};
use hyperfleet_test_support::eventually;
use prometheus::Registry;
use tokio_util::sync::CancellationToken;

use super::support::{
    DEADLINE, SHORT, consume, dead_letters, metric, publish, retry, subscription,
};
use super::{Backend, Difference};

pub(crate) async fn b117_what_waits_and_what_is_dead_is_told(backend: &dyn Backend) {
    // Given events that nobody consumes
    let wanted = subscription(backend, "s", 1, SHORT);
    backend.subscriber().declare(&wanted).await.unwrap();
    publish(backend, &["1", "2", "3"]).await;
    let topic = backend.topic();
    let letters = backend.dead_letters();
    // Then they wait, as far as the broker tells
    let expected = (!backend.differs(Difference::WaitingIsNotTold)).then_some(3);
    eventually(DEADLINE, "the events that wait", async || {
        let depth = letters.depth(&topic, "s").await.unwrap();
        assert_eq!((depth.dead_letters, depth.oldest_dead_letter), (0, None));
        if depth.waiting == expected {
            Ok(())
        } else {
            Err(depth)
        }
    })
    .await;
    // And when a consumer gave them up, they are dead letters
    let mut consumer = consume(backend, wanted, |_| retry()).await;
    consumer.next_ids(3).await;
    dead_letters(backend, "s", 3).await;
    eventually(DEADLINE, "three dead letters", async || {
        let depth = letters.depth(&topic, "s").await.unwrap();
        if depth.dead_letters == 3 && depth.waiting == expected.map(|_| 0) {
            Ok(())
        } else {
            Err(depth)
        }
    })
    .await;
    let unknown = letters.depth(&topic, "nobody").await.unwrap_err();
    let is_unknown = matches!(unknown, DeadLetterError::UnknownSubscription { .. });
    assert!(is_unknown, "{unknown:?}");
}

pub(crate) async fn b118_depth_and_age_are_watched(backend: &dyn Backend) {
    // Given a broker that counts, whose clock is ahead of everybody's
    let registry = Registry::new();
    let begun = "2100-01-01T00:00:00Z".parse().unwrap();
    let families = MetricFamilies::register(&registry, Arc::new(move || begun)).unwrap();
    let counted = backend.with_metrics(families.component("conformance", "1"));
    let wanted = subscription(counted.as_ref(), "s", 1, SHORT);
    let mut consumer = consume(counted.as_ref(), wanted, |_| retry()).await;
    publish(backend, &["1"]).await;
    consumer.next().await;
    dead_letters(backend, "s", 1).await;
    // When somebody watches an hour later
    let registry = Registry::new();
    let later = begun + Duration::from_hours(1);
    let families = MetricFamilies::register(&registry, Arc::new(move || later)).unwrap();
    let shutdown = CancellationToken::new();
    let watching = tokio::spawn(watch_depth(
        backend.shared_dead_letters(),
        families.component("conformance", "1"),
        backend.topic(),
        "s".to_owned(),
        SHORT,
        shutdown.clone(),
    ));
    // Then the gauges tell so
    let gauge = |name: &str| metric(&registry, name, "s");
    eventually(DEADLINE, "the gauges", async || {
        let depth = gauge("hyperfleet_broker_dead_letters");
        let age = gauge("hyperfleet_broker_dead_letters_oldest_age_seconds");
        if depth >= 1.0 && age >= 3600.0 {
            Ok(())
        } else {
            Err((depth, age))
        }
    })
    .await;
    // And when there is none any more, that
    let topic = backend.topic();
    eventually(DEADLINE, "an empty gauge", async || {
        backend.dead_letters().purge(&topic, "s").await.unwrap();
        let depth = gauge("hyperfleet_broker_dead_letters");
        let age = gauge("hyperfleet_broker_dead_letters_oldest_age_seconds");
        if depth + age <= 0.0 {
            Ok(())
        } else {
            Err((depth, age))
        }
    })
    .await;
    shutdown.cancel();
    watching.await.unwrap();
}
