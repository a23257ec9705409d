//! Google Pub/Sub, on the server in memory, against a loop over Google's client.

use std::num::NonZeroUsize;

use anyhow::Result;
use google_cloud_auth::credentials::anonymous;
use google_cloud_pubsub::client::{Publisher as Client, Subscriber as Receiver};
use google_cloud_pubsub::model::Message;
use hyperfleet_broker::pubsub::{PubSubBroker, PubSubOptions};
use hyperfleet_broker::{Subscriber as _, Subscription};
use tokio::sync::mpsc;

use super::{DEADLINE, MESSAGE_UUID, Report, Round, SUBSCRIPTION, TOPIC, event, round};
use crate::bench::figure::Figure;

/// Unconfirmed events at a time, and how many events that takes some seconds for.
const WINDOWS: [(usize, usize); 3] = [(1, 500), (100, 10_000), (1000, 20_000)];

/// Events that a consumer of either kind may hold. More than the client gathers before it sends answers, a thousand:
/// with as many, one event that is not acknowledged makes all others wait for its timer, a tenth of a second.
const OUTSTANDING: usize = 2000;

pub(super) async fn measure(host: &str) -> Result<Vec<Figure>> {
    super::measure(
        "pubsub",
        WINDOWS,
        async |name, window, events| bare_round(host, name, window, events).await,
        async |name| broker(host, name).await,
    )
    .await
}

async fn broker(host: &str, project: &str) -> Result<PubSubBroker> {
    let options = PubSubOptions {
        emulator_host: Some(host.to_owned()),
        create_topic_if_missing: true,
        create_subscription_if_missing: true,
        max_outstanding_messages: NonZeroUsize::new(OUTSTANDING),
        publish_deadline: DEADLINE,
        ..PubSubOptions::new(project)
    };
    let broker = PubSubBroker::connect(options).await?;
    broker
        .declare(&Subscription::new(TOPIC, SUBSCRIPTION))
        .await?;
    Ok(broker)
}

async fn bare_round(host: &str, project: &str, window: usize, events: usize) -> Result<Round> {
    // For its topic and subscription only.
    broker(host, project).await?;
    let endpoint = format!("http://{host}");
    let anonymous = anonymous::Builder::new().build();
    let client = Client::builder(format!("projects/{project}/topics/{TOPIC}"))
        .with_endpoint(&endpoint)
        .with_credentials(anonymous.clone())
        .build()
        .await?;
    let receiver = Receiver::builder()
        .with_endpoint(&endpoint)
        .with_credentials(anonymous)
        .build()
        .await?;
    let mut stream = receiver
        .subscribe(format!("projects/{project}/subscriptions/{SUBSCRIPTION}"))
        .set_max_outstanding_messages(i64::try_from(OUTSTANDING)?)
        .build();
    let (sender, handled) = mpsc::unbounded_channel();
    let report = Report {
        handled: sender,
        poison_every: None,
    };
    let consumer = tokio::spawn(async move {
        while let Some(Ok((message, lease))) = stream.next().await {
            if let Some(id) = message.attributes.get(MESSAGE_UUID) {
                report.takes(id);
            }
            lease.ack();
        }
    });
    let measured = round(
        window,
        events,
        handled,
        async |number| {
            let event = event(number);
            let message = Message::new()
                .set_data(event.to_bytes())
                .set_attributes([(MESSAGE_UUID, event.id.as_str())]);
            client.publish(message).await?;
            Ok(())
        },
        None,
    )
    .await;
    consumer.abort();
    measured
}
