//! What survives the end of a sentinel, whichever way it ends.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hyperfleet_sentinel::{MetricFamilies, SentinelMetrics};
use hyperfleet_test_support::eventually;
use prometheus::Registry;

use crate::support::{DEADLINE, Fleet, Gate, Sentinel, Stop, Topic, config};

#[tokio::test]
async fn a_sentinel_killed_before_publishing_loses_nothing() {
    // Given a sentinel that is killed between claiming and publishing
    let fleet = Fleet::empty().await;
    fleet.set("c1", 1, &[]).await;
    let mut topic = Topic::subscribed().await;
    let gate = Gate::new(topic.broker.clone(), Stop::Before);
    let sentinel = Sentinel::start(&fleet, Arc::<Gate>::clone(&gate));
    gate.reached().await;
    sentinel.kill().await;
    assert_eq!(fleet.claimed().await, 1);
    // When another one runs
    let _sentinel = Sentinel::start(&fleet, Arc::new(topic.broker.clone()));
    // Then the event is published once the claim has run out
    assert_eq!(topic.next_subject().await, ("c1".to_owned(), 1));
    topic.expect_quiet().await;
}

#[tokio::test]
async fn a_sentinel_killed_after_publishing_publishes_again() {
    // Given a sentinel that is killed between publishing and completing
    let fleet = Fleet::empty().await;
    fleet.set("c1", 1, &[]).await;
    let mut topic = Topic::subscribed().await;
    let gate = Gate::new(topic.broker.clone(), Stop::After);
    let sentinel = Sentinel::start(&fleet, Arc::<Gate>::clone(&gate));
    gate.reached().await;
    sentinel.kill().await;
    let first = topic.next().await;
    // When another one runs
    let _sentinel = Sentinel::start(&fleet, Arc::new(topic.broker.clone()));
    // Then the event comes again, under another id: at least once, never less
    let second = topic.next().await;
    assert_eq!(first.data, second.data);
    assert_ne!(first.id, second.id);
    topic.expect_quiet().await;
}

#[tokio::test]
async fn shutdown_finishes_what_was_begun_and_releases_the_rest() {
    // Given a sentinel in the middle of the first of three claimed resources
    let fleet = Fleet::empty().await;
    for id in ["c1", "c2", "c3"] {
        fleet.set(id, 1, &[]).await;
    }
    let mut topic = Topic::subscribed().await;
    let gate = Gate::new(topic.broker.clone(), Stop::Before);
    let mut config = config();
    config.claims.publish_parallelism = 1;
    config.claims.visibility_timeout = Duration::from_mins(10);
    let publisher = Arc::<Gate>::clone(&gate);
    let metrics = SentinelMetrics::default();
    let sentinel = Sentinel::start_with(&fleet, publisher, config, metrics);
    gate.reached().await;
    assert_eq!(fleet.claimed().await, 3);
    // When it is shut down and may finish
    sentinel.shutdown.cancel();
    gate.permits.add_permits(10);
    sentinel.result().await.unwrap();
    // Then the first is published and settled, and the others are free at once
    assert_eq!(topic.next_subject().await, ("c1".to_owned(), 1));
    topic.expect_quiet().await;
    assert_eq!((fleet.due().await, fleet.claimed().await), (2, 0));
    // And the next sentinel publishes them without waiting
    let _sentinel = Sentinel::start(&fleet, Arc::new(topic.broker.clone()));
    topic.next().await;
    topic.next().await;
    topic.expect_quiet().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_generation_is_missed_while_sentinels_and_writers_race() {
    // Given two sentinels that race for every row
    let fleet = Arc::new(Fleet::empty().await);
    let mut topic = Topic::subscribed().await;
    let sentinels = [(); 2].map(|()| Sentinel::start(&fleet, Arc::new(topic.broker.clone())));
    // When resources change faster than they are published
    let (resources, generations) = (8, 60);
    let writers: Vec<_> = (0..resources)
        .map(|number| {
            let fleet = Arc::clone(&fleet);
            tokio::spawn(async move {
                for generation in 1..=generations {
                    fleet.set(&format!("c{number}"), generation, &[]).await;
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
    // Then the last generation of each is published, long before the policy would repeat anything
    let written = Instant::now();
    let mut finished = BTreeSet::new();
    while finished.len() < resources {
        let (id, generation) = topic.next_subject().await;
        if generation == i64::from(generations) {
            finished.insert(id);
        }
    }
    let took = written.elapsed();
    assert!(
        took < Duration::from_secs(6),
        "only the repetition, after {took:?}, brought the last"
    );
    drop(sentinels);
}

#[tokio::test]
async fn a_sentinel_that_stood_still_is_told_from_the_others() {
    // Given a sentinel that stands still after publishing, until another one has taken over
    let fleet = Fleet::empty().await;
    fleet.set("c1", 1, &[]).await;
    let mut topic = Topic::subscribed().await;
    let gate = Gate::new(topic.broker.clone(), Stop::After);
    let registry = Registry::new();
    let families = MetricFamilies::register(&registry).unwrap();
    let metrics = families.sentinel("1.2.3", "clusters", "all");
    let publisher = Arc::<Gate>::clone(&gate);
    let _still = Sentinel::start_with(&fleet, publisher, config(), metrics);
    gate.reached().await;
    assert_eq!(topic.next_subject().await, ("c1".to_owned(), 1));
    let _other = Sentinel::start(&fleet, Arc::new(topic.broker.clone()));
    assert_eq!(topic.next_subject().await, ("c1".to_owned(), 1));
    eventually(DEADLINE, "the other one completes", async || {
        fleet.claimed().await == 0 && fleet.due().await == 0
    })
    .await;
    // When it goes on
    gate.permits.add_permits(10);
    // Then its publish is counted, and brings nothing more
    eventually(DEADLINE, "the late publish is counted", async || {
        registry.gather().iter().any(|family| {
            let metric = family.get_metric().first();
            let count = metric.map(|metric| metric.get_counter().get_value());
            family.name() == "hyperfleet_sentinel_fenced_total" && count == Some(1.0)
        })
    })
    .await;
    topic.expect_quiet().await;
}
