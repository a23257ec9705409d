//! Dead letters of every origin.

use std::time::Duration;

use google_cloud_pubsub::model::{self, Message};
use hyperfleet_broker::{DeadLetters as _, Outcome, Publisher as _, Subscriber as _};
use hyperfleet_test_support::eventually;

use crate::support::{DEADLINE, SUBSCRIPTION, TOPIC, consume, event, project, subscription};

const SHORT: Duration = Duration::from_millis(10);

#[tokio::test(flavor = "multi_thread")]
async fn an_event_whose_consumers_die_becomes_a_dead_letter_by_pubsub_itself() {
    let Some(project) = project() else { return };
    // Given an event that no consumer survives
    let broker = project.broker().await;
    let wanted = subscription(5, SHORT);
    broker.declare(&wanted).await.unwrap();
    broker.publish(TOPIC, &event("deadly")).await.unwrap();
    for attempt in 1..=5 {
        let (entered, handler) = Stuck::new();
        let (broker, wanted) = (broker.clone(), wanted.clone());
        let task = tokio::spawn(async move {
            let shutdown = tokio_util::sync::CancellationToken::new();
            broker.run(wanted, handler, shutdown).await
        });
        let entered = tokio::time::timeout(DEADLINE, entered).await;
        assert_eq!(entered.expect("a delivery").unwrap(), attempt);
        task.abort();
    }
    // When one more consumer comes
    let mut consumer = consume(&broker, wanted, |_| Outcome::Acknowledge).await;
    // Then the event is given up instead, after as many deliveries, and the rest goes on
    broker.publish(TOPIC, &event("next")).await.unwrap();
    assert_eq!(consumer.next().await.envelope.id, "next");
    let letter = eventually(DEADLINE, "a dead letter", async || {
        let letters = broker.list(TOPIC, SUBSCRIPTION, 10).await;
        letters.ok().and_then(|mut letters| letters.pop())
    })
    .await;
    assert_eq!(letter.attempts, 5);
    assert!(
        letter.reason.starts_with("given up by Pub/Sub"),
        "{}",
        letter.reason
    );
    consumer.stop().await;
}

/// Tells which attempt it was given, and never ends.
struct Stuck(std::sync::Mutex<Option<tokio::sync::oneshot::Sender<u32>>>);

impl Stuck {
    fn new() -> (tokio::sync::oneshot::Receiver<u32>, std::sync::Arc<Self>) {
        let (sender, receiver) = tokio::sync::oneshot::channel();
        (
            receiver,
            std::sync::Arc::new(Self(std::sync::Mutex::new(Some(sender)))),
        )
    }
}

#[async_trait::async_trait]
impl hyperfleet_broker::Handler for Stuck {
    async fn handle(&self, delivery: hyperfleet_broker::Delivery) -> Outcome {
        let entered = self.0.lock().unwrap().take();
        if let Some(entered) = entered {
            let _ = entered.send(delivery.attempt);
        }
        std::future::pending().await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn subscriptions_that_share_a_dead_letter_topic_see_their_own() {
    let Some(project) = project() else { return };
    // Given the layout of one topic for all dead letters of a topic
    for topic in [TOPIC, "clusters-dlq"] {
        project.create_topic(topic).await;
    }
    let policy = model::DeadLetterPolicy::new()
        .set_dead_letter_topic(project.topic("clusters-dlq"))
        .set_max_delivery_attempts(5);
    for id in [SUBSCRIPTION, "validation-adapter"] {
        let shared = model::Subscription::new()
            .set_name(project.subscription(id))
            .set_topic(project.topic(TOPIC))
            .set_dead_letter_policy(policy.clone());
        project.create_subscription(shared).await;
    }
    // When each of two subscriptions gives an event up
    let broker = project.broker().await;
    let mut consumers = Vec::new();
    for id in [SUBSCRIPTION, "validation-adapter"] {
        let mut wanted = subscription(1, SHORT);
        id.clone_into(&mut wanted.subscription_id);
        let reason = format!("of {id}");
        let consumer = consume(&broker, wanted, move |_| Outcome::DeadLetter {
            reason: reason.clone(),
        });
        consumers.push(consumer.await);
    }
    broker.publish(TOPIC, &event("1")).await.unwrap();
    for consumer in &mut consumers {
        consumer.next().await;
    }
    // Then each sees its own, and purging one leaves the other
    for id in [SUBSCRIPTION, "validation-adapter"] {
        eventually(DEADLINE, "a dead letter", async || {
            let letters = broker.list(TOPIC, id, 10).await.unwrap();
            letters.len() == 1 && letters[0].reason == format!("of {id}")
        })
        .await;
    }
    assert_eq!(broker.purge(TOPIC, SUBSCRIPTION).await.unwrap(), 1);
    let left = broker.list(TOPIC, "validation-adapter", 10).await.unwrap();
    assert_eq!(left.len(), 1);
    for consumer in consumers {
        consumer.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_requeued_event_keeps_its_bytes_and_reaches_peers_too() {
    let Some(project) = project() else { return };
    // Given a dead letter that carries attributes of its own, and a peer's subscription
    let broker = project.broker().await;
    let wanted = subscription(1, SHORT);
    broker.declare(&wanted).await.unwrap();
    let body = event("again").to_bytes();
    let original = Message::new()
        .set_data(body.clone())
        .set_attributes([("zone", "a")]);
    project.publish_bare(original).await;
    let mut consumer = consume(&broker, wanted.clone(), |_| Outcome::DeadLetter {
        reason: "broken".to_owned(),
    })
    .await;
    consumer.next().await;
    consumer.stop().await;
    let peers = model::Subscription::new()
        .set_name(project.subscription("peer"))
        .set_topic(project.topic(TOPIC));
    project.create_subscription(peers).await;
    let letter = eventually(DEADLINE, "a dead letter", async || {
        let letters = broker.list(TOPIC, SUBSCRIPTION, 1).await;
        letters.ok().and_then(|mut letters| letters.pop())
    })
    .await;
    assert_eq!(letter.body, body);
    // When it is requeued
    broker
        .requeue(TOPIC, SUBSCRIPTION, &letter.dead_letter_id)
        .await
        .unwrap();
    // Then its own subscription gets it as a first attempt
    let mut mended = consume(&broker, wanted, |_| Outcome::Acknowledge).await;
    let delivery = mended.next().await;
    assert_eq!(
        (delivery.envelope.id.as_str(), delivery.attempt),
        ("again", 1)
    );
    mended.stop().await;
    // And a peer, which cannot know for whom it is, gets the same bytes and attributes
    let message = project.receive_bare("peer").await;
    assert_eq!(message.data, body);
    assert_eq!(
        message.attributes.get("zone").map(String::as_str),
        Some("a")
    );
    assert!(
        message
            .attributes
            .keys()
            .all(|name| !name.contains("dead_letter"))
    );
}
