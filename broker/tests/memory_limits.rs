//! What only the in-process broker promises: its limits, and its metrics.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use hyperfleet_broker::memory::{MemoryBroker, MemoryOptions};
use hyperfleet_broker::{
    DeadLetters, Delivery, Envelope, Handler, MetricFamilies, Outcome, PublishError, Publisher,
    RedeliveryPolicy, Subscriber, Subscription,
};
use prometheus::{Encoder as _, Registry, TextEncoder};
use serde_json::json;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

fn event(id: &str) -> Envelope {
    Envelope::new(id, "s", "t", json!({}))
}

fn options(capacity: usize) -> MemoryOptions {
    MemoryOptions {
        capacity: NonZeroUsize::MIN.saturating_add(capacity - 1),
        publish_deadline: Duration::from_millis(50),
        ..MemoryOptions::default()
    }
}

/// Answers according to the event's id, and reports each delivery.
struct ById(mpsc::UnboundedSender<String>);

#[async_trait]
impl Handler for ById {
    async fn handle(&self, delivery: Delivery) -> Outcome {
        let id = delivery.envelope.id;
        let outcome = if id.starts_with("dead") {
            Outcome::DeadLetter {
                reason: "dead".into(),
            }
        } else {
            Outcome::Acknowledge
        };
        let _ = self.0.send(id);
        outcome
    }
}

#[tokio::test]
async fn a_full_subscription_refuses_after_the_deadline_and_nobody_gets_the_event() {
    // Given room for two events, and a subscription that nobody consumes beside one that is consumed
    let broker = MemoryBroker::new(options(2));
    broker
        .declare(&Subscription::new("t", "stuck"))
        .await
        .unwrap();
    let consumed = Subscription::new("t", "consumed");
    broker.declare(&consumed).await.unwrap();
    broker.publish("t", &event("1")).await.unwrap();
    broker.publish("t", &event("2")).await.unwrap();
    let (sender, mut handled) = mpsc::unbounded_channel();
    let shutdown = CancellationToken::new();
    let consumer = {
        let (broker, shutdown) = (broker.clone(), shutdown.clone());
        tokio::spawn(async move { broker.run(consumed, Arc::new(ById(sender)), shutdown).await })
    };
    assert_eq!(handled.recv().await.as_deref(), Some("1"));
    assert_eq!(handled.recv().await.as_deref(), Some("2"));
    // When a third is published
    let published = broker.publish("t", &event("3")).await;
    // Then it is refused, naming the full one, and the other does not get it either
    assert!(
        matches!(&published, Err(PublishError::Full { subscription_id, .. }) if subscription_id == "stuck"),
        "{published:?}"
    );
    shutdown.cancel();
    consumer.await.unwrap().unwrap();
    assert_eq!(handled.recv().await, None);
}

#[tokio::test]
async fn a_waiting_publish_goes_on_when_room_is_made() {
    // Given a full subscription
    let broker = MemoryBroker::new(MemoryOptions {
        publish_deadline: Duration::from_secs(30),
        ..options(1)
    });
    let subscription = Subscription::new("t", "s");
    broker.declare(&subscription).await.unwrap();
    broker.publish("t", &event("1")).await.unwrap();
    // When a publish waits and a consumer starts
    let waiting = {
        let broker = broker.clone();
        tokio::spawn(async move { broker.publish("t", &event("2")).await })
    };
    let (sender, mut handled) = mpsc::unbounded_channel();
    let run = broker.run(
        subscription,
        Arc::new(ById(sender)),
        CancellationToken::new(),
    );
    // Then both events arrive
    tokio::select! {
        _ = run => panic!("the consumer ended"),
        () = async {
            assert_eq!(handled.recv().await.as_deref(), Some("1"));
            assert_eq!(handled.recv().await.as_deref(), Some("2"));
        } => {}
    }
    waiting.await.unwrap().unwrap();
}

#[tokio::test]
async fn dead_letters_are_bounded_and_free_their_room() {
    // Given room for one event and two dead letters
    let broker = MemoryBroker::new(MemoryOptions {
        dead_letter_capacity: NonZeroUsize::new(2).unwrap(),
        publish_deadline: Duration::from_secs(30),
        ..options(1)
    });
    let subscription = Subscription::new("t", "s");
    broker.declare(&subscription).await.unwrap();
    let (sender, _handled) = mpsc::unbounded_channel();
    let shutdown = CancellationToken::new();
    let consumer = {
        let (broker, shutdown) = (broker.clone(), shutdown.clone());
        tokio::spawn(async move {
            broker
                .run(subscription, Arc::new(ById(sender)), shutdown)
                .await
        })
    };
    // When three events are given up
    for id in ["dead-1", "dead-2", "dead-3", "last"] {
        broker.publish("t", &event(id)).await.unwrap();
    }
    // Then the newest two are kept
    shutdown.cancel();
    consumer.await.unwrap().unwrap();
    let letters = broker.list("t", "s", 10).await.unwrap();
    let ids: Vec<_> = letters
        .iter()
        .map(|letter| Envelope::from_bytes(&letter.body).unwrap().id)
        .collect();
    assert_eq!(ids, ["dead-2", "dead-3"]);
}

#[tokio::test]
async fn everything_is_counted() {
    // Given a broker that counts for a publisher and for a consumer
    let registry = Registry::new();
    let families =
        MetricFamilies::register(&registry, Arc::new(|| chrono::DateTime::UNIX_EPOCH)).unwrap();
    let broker = MemoryBroker::default();
    let publisher = broker.with_metrics(families.component("sentinel", "1.2.3"));
    let subscriber = broker.with_metrics(families.component("dns", "1.2.3"));
    // When one publish fails, and one event is acknowledged, one given up and one not an event
    assert!(publisher.publish("t", &event("unroutable")).await.is_err());
    let subscription = Subscription::new("t", "s").with_redelivery(RedeliveryPolicy::default());
    subscriber.declare(&subscription).await.unwrap();
    publisher.publish("t", &event("good")).await.unwrap();
    publisher.publish("t", &event("dead")).await.unwrap();
    publisher
        .publish_message("t", &[], b"{}".to_vec())
        .await
        .unwrap();
    publisher.publish("t", &event("last")).await.unwrap();
    let (sender, mut handled) = mpsc::unbounded_channel();
    let shutdown = CancellationToken::new();
    let consumer = subscriber.run(subscription, Arc::new(ById(sender)), shutdown.clone());
    let stop = async {
        while handled.recv().await.as_deref() != Some("last") {}
        shutdown.cancel();
    };
    let (ended, ()) = tokio::join!(consumer, stop);
    ended.unwrap();
    // Then the counters tell so
    let mut text = Vec::new();
    TextEncoder::new()
        .encode(&registry.gather(), &mut text)
        .unwrap();
    let text = String::from_utf8(text).unwrap();
    for line in [
        r#"hyperfleet_broker_messages_published_total{component="sentinel",topic="t",version="1.2.3"} 4"#,
        r#"hyperfleet_broker_messages_consumed_total{component="dns",topic="t",version="1.2.3"} 4"#,
        r#"hyperfleet_broker_errors_total{component="sentinel",error_type="publish",topic="t",version="1.2.3"} 1"#,
        r#"hyperfleet_broker_errors_total{component="dns",error_type="conversion",topic="t",version="1.2.3"} 1"#,
        r#"hyperfleet_broker_errors_total{component="dns",error_type="handler",topic="t",version="1.2.3"} 1"#,
        r#"hyperfleet_broker_message_duration_seconds_count{component="dns",topic="t",version="1.2.3"} 3"#,
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
}
