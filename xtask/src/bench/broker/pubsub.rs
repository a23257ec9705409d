//! Google Pub/Sub, on the server in memory, against a loop over Google's client.

use std::num::NonZeroUsize;

use anyhow::Result;
use google_cloud_auth::credentials::anonymous;
use google_cloud_pubsub::client::{Publisher as Client, Subscriber as Receiver};
use google_cloud_pubsub::model::Message;
use hyperfleet_broker::pubsub::{PubSubBroker, PubSubOptions};
use hyperfleet_broker::{Subscriber as _, Subscription};
use tokio::sync::mpsc;

use super::{
    DEADLINE, MESSAGE_UUID, POISON_EVERY, ROUNDS, Report, Round, SUBSCRIPTION, TOPIC, compare,
    event, poison, product, round,
};
use crate::bench::figure::Figure;

/// Unconfirmed events at a time, and how many events that takes some seconds for.
const WINDOWS: [(usize, usize); 3] = [(1, 500), (100, 10_000), (1000, 20_000)];

/// Events that a consumer of either kind may hold. More than the client gathers before it sends answers, a thousand:
/// with as many, one event that is not acknowledged makes all others wait for its timer, a tenth of a second.
const OUTSTANDING: usize = 2000;

pub(super) async fn measure(host: &str) -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for (window, events) in WINDOWS {
        let (mut bare, mut ours) = (Vec::new(), Vec::new());
        for number in 0..ROUNDS {
            let project = |side| format!("bench-{side}-{window}-{number}");
            bare.push(bare_round(host, &project("bare"), window, events).await?);
            let broker = broker(host, &project("product")).await?;
            ours.push(product(broker, window, events, None).await?);
        }
        figures.extend(compare("pubsub", window, &bare, &ours));
    }
    let (window, events) = WINDOWS[1];
    let (mut without, mut with) = (Vec::new(), Vec::new());
    for number in 0..ROUNDS {
        let pure = broker(host, &format!("bench-pure-{number}")).await?;
        let measured = product(pure, window, events, None).await?;
        without.push(measured.p99_milliseconds);
        let poisoned = broker(host, &format!("bench-poison-{number}")).await?;
        let measured = product(poisoned, window, events, Some(POISON_EVERY)).await?;
        with.push(measured.p99_milliseconds);
    }
    figures.push(poison("pubsub", without, with));
    Ok(figures)
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
