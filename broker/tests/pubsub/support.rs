//! A project with the broker under test, and Google's client beside it, in place of a peer.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use google_cloud_auth::credentials::anonymous;
use google_cloud_pubsub::client::{
    Publisher as BarePublisher, Subscriber as BareSubscriber, SubscriptionAdmin, TopicAdmin,
};
use google_cloud_pubsub::model::{self, Message};
use hyperfleet_broker::pubsub::{PubSubBroker, PubSubOptions};
use hyperfleet_broker::{
    Delivery, Envelope, Handler, Outcome, RedeliveryPolicy, SubscribeError, Subscriber as _,
    Subscription,
};
use hyperfleet_test_support::pubsub_project;
use serde_json::json;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// Longest wait for something that must happen.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

pub(crate) const TOPIC: &str = "clusters";
pub(crate) const SUBSCRIPTION: &str = "dns-adapter";

/// A project of the test's own.
pub(crate) struct Project {
    pub(crate) id: String,
    pub(crate) host: String,
}

/// Nothing where there is no server.
pub(crate) fn project() -> Option<Project> {
    let project = pubsub_project()?;
    Some(Project {
        id: project.project_id,
        host: project.host,
    })
}

impl Project {
    /// Options under which all is created.
    pub(crate) fn options(&self) -> PubSubOptions {
        PubSubOptions {
            emulator_host: Some(self.host.clone()),
            create_topic_if_missing: true,
            create_subscription_if_missing: true,
            ..PubSubOptions::new(&self.id)
        }
    }

    pub(crate) async fn broker(&self) -> PubSubBroker {
        PubSubBroker::connect(self.options()).await.unwrap()
    }

    fn endpoint(&self) -> String {
        format!("http://{}", self.host)
    }

    pub(crate) fn topic(&self, id: &str) -> String {
        format!("projects/{}/topics/{id}", self.id)
    }

    pub(crate) fn subscription(&self, id: &str) -> String {
        format!("projects/{}/subscriptions/{id}", self.id)
    }

    pub(crate) async fn topics(&self) -> TopicAdmin {
        let builder = TopicAdmin::builder().with_endpoint(self.endpoint());
        let anonymous = anonymous::Builder::new().build();
        builder.with_credentials(anonymous).build().await.unwrap()
    }

    pub(crate) async fn subscriptions(&self) -> SubscriptionAdmin {
        let builder = SubscriptionAdmin::builder().with_endpoint(self.endpoint());
        let anonymous = anonymous::Builder::new().build();
        builder.with_credentials(anonymous).build().await.unwrap()
    }

    pub(crate) async fn create_topic(&self, id: &str) {
        let topics = self.topics().await;
        let create = topics.create_topic().set_name(self.topic(id));
        create.send().await.unwrap();
    }

    /// A subscription as somebody else would set it up.
    pub(crate) async fn create_subscription(&self, subscription: model::Subscription) {
        let subscriptions = self.subscriptions().await;
        let create = subscriptions.create_subscription();
        create.with_request(subscription).send().await.unwrap();
    }

    /// Publishes as a peer does.
    pub(crate) async fn publish_bare(&self, message: Message) {
        let builder = BarePublisher::builder(self.topic(TOPIC)).with_endpoint(self.endpoint());
        let anonymous = anonymous::Builder::new().build();
        let publisher = builder.with_credentials(anonymous).build().await.unwrap();
        publisher.publish(message).await.unwrap();
    }

    /// Receives and acknowledges as a peer does.
    pub(crate) async fn receive_bare(&self, subscription: &str) -> Message {
        let builder = BareSubscriber::builder().with_endpoint(self.endpoint());
        let anonymous = anonymous::Builder::new().build();
        let subscriber = builder.with_credentials(anonymous).build().await.unwrap();
        let mut stream = subscriber
            .subscribe(self.subscription(subscription))
            .build();
        let next = timeout(DEADLINE, stream.next()).await.expect("a message");
        let (message, lease) = next.unwrap().unwrap();
        lease.ack();
        let token = stream.shutdown_token();
        token.shutdown().await;
        message
    }
}

pub(crate) fn event(id: &str) -> Envelope {
    Envelope::new(id, "tests", "tests.event", json!({"id": id}))
}

/// The subscription of most tests: so many attempts, so far apart.
pub(crate) fn subscription(attempts: u32, delay: Duration) -> Subscription {
    Subscription::new(TOPIC, SUBSCRIPTION).with_redelivery(RedeliveryPolicy {
        initial_delay: delay,
        maximum_delay: delay,
        maximum_attempts: attempts.try_into().unwrap(),
    })
}

type Behaviour = dyn Fn(&Delivery) -> Outcome + Send + Sync;

struct Recorder {
    deliveries: mpsc::UnboundedSender<Delivery>,
    behaviour: Box<Behaviour>,
}

#[async_trait]
impl Handler for Recorder {
    async fn handle(&self, delivery: Delivery) -> Outcome {
        let outcome = (self.behaviour)(&delivery);
        let _ = self.deliveries.send(delivery);
        outcome
    }
}

/// A running consumer.
pub(crate) struct Consumer {
    pub(crate) deliveries: mpsc::UnboundedReceiver<Delivery>,
    pub(crate) shutdown: CancellationToken,
    pub(crate) task: JoinHandle<Result<(), SubscribeError>>,
}

/// Starts a consumer whose subscription exists when this returns.
pub(crate) async fn consume(
    broker: &PubSubBroker,
    subscription: Subscription,
    behaviour: impl Fn(&Delivery) -> Outcome + Send + Sync + 'static,
) -> Consumer {
    broker.declare(&subscription).await.unwrap();
    let (sender, deliveries) = mpsc::unbounded_channel();
    let handler = Arc::new(Recorder {
        deliveries: sender,
        behaviour: Box::new(behaviour),
    });
    let shutdown = CancellationToken::new();
    let (broker, token) = (broker.clone(), shutdown.clone());
    let task = tokio::spawn(async move { broker.run(subscription, handler, token).await });
    Consumer {
        deliveries,
        shutdown,
        task,
    }
}

impl Consumer {
    pub(crate) async fn next(&mut self) -> Delivery {
        let next = timeout(DEADLINE, self.deliveries.recv()).await;
        next.expect("a delivery within the deadline")
            .expect("a running consumer")
    }

    pub(crate) async fn stop(self) {
        self.shutdown.cancel();
        let ended = timeout(DEADLINE, self.task).await;
        ended.expect("an end").unwrap().unwrap();
    }
}

/// Attributes in a form that compares.
pub(crate) fn attributes(pairs: &[(&str, &str)]) -> HashMap<String, String> {
    pairs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}
