//! What is created, and what is said when it is missing.

use std::error::Error as _;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use google_cloud_pubsub::model;
use hyperfleet_broker::pubsub::{PubSubBroker, PubSubOptions};
use hyperfleet_broker::{
    Delivery, Handler, Outcome, PublishError, Publisher as _, SubscribeError, Subscriber as _,
    Subscription,
};
use hyperfleet_test_support::eventually;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::support::{DEADLINE, SUBSCRIPTION, TOPIC, consume, event, project, subscription};

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_created_unless_allowed() {
    let Some(project) = project() else { return };
    // Given options that allow nothing
    let broker = PubSubBroker::connect(PubSubOptions {
        emulator_host: Some(project.host.clone()),
        ..PubSubOptions::new(&project.id)
    });
    let broker = broker.await.unwrap();
    // When somebody publishes or subscribes
    let published = broker.publish(TOPIC, &event("1")).await.unwrap_err();
    let declared = broker
        .declare(&Subscription::new(TOPIC, SUBSCRIPTION))
        .await;
    // Then they are told what is missing, the command that creates it, and the setting
    let published = published.source().unwrap().to_string();
    let topic = project.topic(TOPIC);
    assert!(
        published.starts_with(&format!("{topic} does not exist")),
        "{published}"
    );
    assert!(
        published.contains("gcloud pubsub topics create clusters"),
        "{published}"
    );
    let declared = declared.unwrap_err();
    let declared = declared.source().unwrap().to_string();
    assert!(
        declared.contains("--topic=clusters")
            && declared.contains("googlepubsub.create_subscription_if_missing"),
        "{declared}"
    );
    // And running is refused, not tried for ever
    let handler = Arc::new(Never);
    let run = broker.run(
        Subscription::new(TOPIC, SUBSCRIPTION),
        handler,
        CancellationToken::new(),
    );
    let ran = timeout(DEADLINE, run).await.expect("an end");
    assert!(
        matches!(ran, Err(SubscribeError::Refused { .. })),
        "{ran:?}"
    );
    let topics = project.topics().await;
    assert!(topics.get_topic().set_topic(topic).send().await.is_err());
}

struct Never;

#[async_trait]
impl Handler for Never {
    async fn handle(&self, delivery: Delivery) -> Outcome {
        panic!("unexpected delivery {delivery:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_created_subscription_has_a_dead_letter_topic_that_is_kept() {
    let Some(project) = project() else { return };
    // When a subscription is declared, twice even
    let broker = project.broker().await;
    let wanted = subscription(7, Duration::from_secs(2));
    broker.declare(&wanted).await.unwrap();
    broker.declare(&wanted).await.unwrap();
    // Then it is set up as documented, and something keeps its dead letters
    let subscriptions = project.subscriptions().await;
    let get = async |id: &str| {
        let get = subscriptions.get_subscription();
        get.set_subscription(project.subscription(id))
            .send()
            .await
            .unwrap()
    };
    let made = get(SUBSCRIPTION).await;
    assert_eq!(made.topic, project.topic(TOPIC));
    let dead = made.dead_letter_policy.unwrap();
    assert_eq!(dead.dead_letter_topic, project.topic("dns-adapter-dlq"));
    assert_eq!(dead.max_delivery_attempts, 7);
    assert_eq!(made.expiration_policy.unwrap().ttl, None);
    let retry = made.retry_policy.unwrap();
    assert_eq!(retry.minimum_backoff.unwrap().seconds(), 2);
    let keeper = get("dns-adapter-dlq-sub").await;
    assert_eq!(keeper.topic, project.topic("dns-adapter-dlq"));
    assert_eq!(keeper.expiration_policy.unwrap().ttl, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_of_another_topic_is_refused() {
    let Some(project) = project() else { return };
    let broker = project.broker().await;
    let taken = Subscription::new("nodepools", SUBSCRIPTION);
    broker.declare(&taken).await.unwrap();
    let declared = broker
        .declare(&Subscription::new(TOPIC, SUBSCRIPTION))
        .await;
    let declared = declared.unwrap_err();
    let text = declared.source().unwrap().to_string();
    assert!(
        text.starts_with(
            "requested subscription already exists, but for other topic than expected"
        ),
        "{text}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_without_subscriptions_is_an_error_unless_tolerated() {
    let Some(project) = project() else { return };
    let broker = project.broker().await;
    let refused = broker.publish(TOPIC, &event("1")).await;
    assert!(
        matches!(refused, Err(PublishError::Unroutable { .. })),
        "{refused:?}"
    );
    let tolerant = PubSubBroker::connect(PubSubOptions {
        tolerate_no_subscription: true,
        ..project.options()
    });
    let tolerant = tolerant.await.unwrap();
    tolerant.publish(TOPIC, &event("1")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_subscription_is_made_again_under_a_running_consumer() {
    let Some(project) = project() else { return };
    // Given a running consumer
    let broker = project.broker().await;
    let wanted = subscription(5, Duration::from_secs(1));
    let mut consumer = consume(&broker, wanted, |_| Outcome::Acknowledge).await;
    broker.publish(TOPIC, &event("before")).await.unwrap();
    consumer.next().await;
    // When its subscription is deleted
    let subscriptions = project.subscriptions().await;
    let name = project.subscription(SUBSCRIPTION);
    let delete = subscriptions.delete_subscription();
    delete.set_subscription(&name).send().await.unwrap();
    // Then it comes back, and so do events
    eventually(DEADLINE, "the subscription is there again", async || {
        let get = subscriptions.get_subscription().set_subscription(&name);
        get.send().await.is_ok()
    })
    .await;
    broker.publish(TOPIC, &event("after")).await.unwrap();
    assert_eq!(consumer.next().await.envelope.id, "after");
    consumer.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_topic_is_made_again_by_the_next_publish() {
    let Some(project) = project() else { return };
    // Given a publisher at work
    let broker = project.broker().await;
    let wanted = Subscription::new(TOPIC, SUBSCRIPTION);
    broker.declare(&wanted).await.unwrap();
    broker.publish(TOPIC, &event("before")).await.unwrap();
    // When the topic is deleted
    let topics = project.topics().await;
    let delete = topics.delete_topic().set_topic(project.topic(TOPIC));
    delete.send().await.unwrap();
    // Then a publish says that it is missing
    let published = broker.publish(TOPIC, &event("lost")).await.unwrap_err();
    let text = published.source().unwrap().to_string();
    assert!(text.contains("does not exist"), "{text}");
    // And the next makes it. At the service it has no subscriptions then; the server in memory does not know
    // that, so the outcome is not looked at.
    let _ = broker.publish(TOPIC, &event("early")).await;
    let get = topics.get_topic().set_topic(project.topic(TOPIC));
    get.send().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn health_is_whether_the_service_answers() {
    let Some(project) = project() else { return };
    // A service that answers is healthy, though there is no topic
    project.broker().await.check().await.unwrap();
    // One that does not is not, and that is known soon
    let nobody = PubSubBroker::connect(PubSubOptions {
        emulator_host: Some("127.0.0.1:1".to_owned()),
        ..project.options()
    });
    let start = Instant::now();
    nobody.await.unwrap().check().await.unwrap_err();
    assert!(
        start.elapsed() < Duration::from_secs(4),
        "{:?}",
        start.elapsed()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_that_others_set_up_is_used_as_it_is() {
    let Some(project) = project() else { return };
    // Given a subscription without dead-letter and retry policies, and only its topic for dead letters
    project.create_topic(TOPIC).await;
    project.create_topic("dns-adapter-dlq").await;
    let bare = model::Subscription::new()
        .set_name(project.subscription(SUBSCRIPTION))
        .set_topic(project.topic(TOPIC));
    project.create_subscription(bare).await;
    // When more events fail than a stream has places, and one does not
    let broker = PubSubBroker::connect(PubSubOptions {
        max_outstanding_messages: NonZeroUsize::new(4),
        ..project.options()
    });
    let broker = broker.await.unwrap();
    let delay = Duration::from_secs(2);
    let mut consumer = consume(&broker, subscription(2, delay), |delivery| {
        if delivery.envelope.id == "good" {
            Outcome::Acknowledge
        } else {
            Outcome::retry("not yet")
        }
    })
    .await;
    for number in 0..12 {
        broker
            .publish(TOPIC, &event(&format!("poison-{number}")))
            .await
            .unwrap();
    }
    for _ in 0..12 {
        assert_eq!(consumer.next().await.attempt, 1);
    }
    let failed = Instant::now();
    broker.publish(TOPIC, &event("good")).await.unwrap();
    // Then the good one passes those that wait, which are counted and delayed all the same
    assert_eq!(consumer.next().await.envelope.id, "good");
    assert!(failed.elapsed() < delay, "{:?}", failed.elapsed());
    for _ in 0..12 {
        let delivery = consumer.next().await;
        assert!(delivery.envelope.id.starts_with("poison"), "{delivery:?}");
        assert_eq!(delivery.attempt, 2);
    }
    assert!(failed.elapsed() > delay / 2, "{:?}", failed.elapsed());
    consumer.stop().await;
}
