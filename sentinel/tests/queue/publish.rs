//! What is published.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hyperfleet_broker::memory::MemoryBroker;
use hyperfleet_sentinel::config::LabelSelector;
use hyperfleet_sentinel::{MetricFamilies, SentinelMetrics};
use hyperfleet_test_support::eventually;
use prometheus::{Encoder as _, Registry, TextEncoder};

use crate::support::{DEADLINE, Fleet, Gate, Sentinel, Stop, Topic, config};

#[tokio::test]
async fn a_new_resource_gives_one_event_within_a_second() {
    // Given a sentinel on an empty fleet
    let fleet = Fleet::empty().await;
    let mut topic = Topic::subscribed().await;
    let sentinel = Sentinel::start(&fleet, Arc::new(topic.broker.clone()));
    eventually(DEADLINE, "the sentinel polls", async || {
        sentinel.status.last_successful_poll().is_some()
    })
    .await;
    // When a cluster is created
    let created = Instant::now();
    fleet.set("c1", 1, &[]).await;
    // Then one event about it is published, at once
    let event = topic.next().await;
    assert!(
        created.elapsed() < Duration::from_secs(1),
        "took {:?}",
        created.elapsed()
    );
    assert_eq!(event.source, "hyperfleet-sentinel");
    assert_eq!(event.r#type, "com.redhat.hyperfleet.cluster.reconcile");
    assert_eq!(
        event.data,
        serde_json::json!({"id": "c1", "kind": "Cluster", "generation": 1,
                           "href": "/api/hyperfleet/v1/clusters/c1"})
    );
    let traceparent = event.traceparent.unwrap();
    assert!(
        traceparent.len() == 55 && traceparent.ends_with("-01"),
        "{traceparent}"
    );
    assert_eq!(event.id.as_bytes()[14], b'7', "{} is a UUIDv7", event.id);
    // And no more for now
    topic.expect_quiet().await;
    assert_eq!((fleet.due().await, fleet.claimed().await), (0, 0));
}

#[tokio::test]
async fn a_change_gives_another_event() {
    let fleet = Fleet::empty().await;
    let mut topic = Topic::subscribed().await;
    let _sentinel = Sentinel::start(&fleet, Arc::new(topic.broker.clone()));
    for generation in 1..=3 {
        fleet.set("c1", generation, &[]).await;
        assert_eq!(
            topic.next_subject().await,
            ("c1".to_owned(), i64::from(generation))
        );
    }
    // Also one that leaves the generation as it is
    fleet.set("c1", 3, &[]).await;
    assert_eq!(topic.next_subject().await, ("c1".to_owned(), 3));
    topic.expect_quiet().await;
}

#[tokio::test]
async fn a_change_during_a_publish_is_not_lost() {
    // Given a sentinel in the middle of publishing
    let fleet = Fleet::empty().await;
    fleet.set("c1", 1, &[]).await;
    let mut topic = Topic::subscribed().await;
    let gate = Gate::new(topic.broker.clone(), Stop::Before);
    let _sentinel = Sentinel::start(&fleet, Arc::<Gate>::clone(&gate));
    gate.reached().await;
    // When the resource changes
    fleet.set("c1", 2, &[]).await;
    gate.permits.add_permits(10);
    // Then the new generation is published too
    assert_eq!(topic.next_subject().await, ("c1".to_owned(), 1));
    assert_eq!(topic.next_subject().await, ("c1".to_owned(), 2));
    topic.expect_quiet().await;
}

#[tokio::test]
async fn replicas_never_publish_the_same_change_twice() {
    // Given a fleet that is due, in batches that are much smaller
    let fleet = Fleet::empty().await;
    let ids: BTreeSet<String> = (0..200).map(|number| format!("c{number:03}")).collect();
    for id in &ids {
        fleet.set(id, 1, &[]).await;
    }
    let mut topic = Topic::subscribed().await;
    // When three sentinels start
    let mut config = config();
    config.claims.batch_size = 7;
    config.claims.visibility_timeout = Duration::from_secs(30);
    let sentinels: Vec<_> = (0..3)
        .map(|_| {
            let publisher = Arc::new(topic.broker.clone());
            Sentinel::start_with(
                &fleet,
                publisher,
                config.clone(),
                SentinelMetrics::default(),
            )
        })
        .collect();
    // Then each resource is published exactly once
    let mut published = BTreeSet::new();
    for _ in &ids {
        let (id, _) = topic.next_subject().await;
        assert!(published.insert(id.clone()), "{id} was published twice");
    }
    assert_eq!(published, ids);
    topic.expect_quiet().await;
    drop(sentinels);
}

#[tokio::test]
async fn only_selected_resources_are_published() {
    // Given resources of two shards and one of none
    let fleet = Fleet::empty().await;
    fleet
        .set("first", 1, &[("shard", "1"), ("region", "eu")])
        .await;
    fleet.set("second", 1, &[("shard", "2")]).await;
    fleet.set("none", 1, &[]).await;
    let mut topic = Topic::subscribed().await;
    // When the sentinel of one shard runs
    let mut config = config();
    config.resource_selector = vec![LabelSelector {
        label: "shard".into(),
        value: "1".into(),
    }];
    let registry = Registry::new();
    let metrics = MetricFamilies::register(&registry).unwrap();
    let metrics = metrics.sentinel("1.2.3", "clusters", &config.selector_label());
    let publisher = Arc::new(topic.broker.clone());
    let _sentinel = Sentinel::start_with(&fleet, publisher, config, metrics);
    // Then only its resource is published, and the others stay due and are counted
    assert_eq!(topic.next_subject().await, ("first".to_owned(), 1));
    topic.expect_quiet().await;
    assert_eq!(fleet.due().await, 2);
    let mut text = Vec::new();
    TextEncoder::new()
        .encode(&registry.gather(), &mut text)
        .unwrap();
    let text = String::from_utf8(text).unwrap();
    let labels = r#"resource_selector="shard:1",resource_type="clusters",version="1.2.3""#;
    for line in [
        format!(
            "events_published_total{{component=\"sentinel\",reason=\"new generation\",{labels}}} 1"
        ),
        format!("pending_resources{{component=\"sentinel\",{labels}}} 3"),
        format!("publish_lag_seconds_count{{component=\"sentinel\",{labels}}} 1"),
        format!("poll_duration_seconds_count{{component=\"sentinel\",{labels}}} 1"),
    ] {
        assert!(
            text.contains(&format!("hyperfleet_sentinel_{line}")),
            "{line} is not in\n{text}"
        );
    }
}

#[tokio::test]
async fn what_cannot_be_published_stays_due() {
    // Given a topic without subscription
    let fleet = Fleet::empty().await;
    fleet.set("c1", 1, &[]).await;
    let broker = MemoryBroker::default();
    let registry = Registry::new();
    let families = MetricFamilies::register(&registry).unwrap();
    let metrics = families.sentinel("1.2.3", "clusters", "all");
    let _sentinel = Sentinel::start_with(&fleet, Arc::new(broker.clone()), config(), metrics);
    eventually(DEADLINE, "a publish fails", async || {
        let family = registry.gather();
        family
            .iter()
            .any(|family| family.name() == "hyperfleet_sentinel_broker_errors_total")
    })
    .await;
    // When somebody subscribes
    let mut topic = Topic::subscribe(broker).await;
    // Then the event comes
    assert_eq!(topic.next_subject().await, ("c1".to_owned(), 1));
    topic.expect_quiet().await;
}

#[tokio::test]
async fn an_unknown_kind_is_refused() {
    let fleet = Fleet::empty().await;
    let mut config = config();
    config.resource_type = "castles".to_owned();
    let publisher = Arc::new(MemoryBroker::default());
    let sentinel = Sentinel::start_with(&fleet, publisher, config, SentinelMetrics::default());
    let refused = sentinel.result().await.unwrap_err();
    assert_eq!(
        refused.to_string(),
        "resource_type: no kind has the plural name \"castles\"; known are clusters, nodepools, channels, versions, wifconfigs"
    );
}
