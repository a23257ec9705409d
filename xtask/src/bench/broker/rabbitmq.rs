//! RabbitMQ, against a loop over lapin.

use anyhow::{Context as _, Result, ensure};
use futures::StreamExt as _;
use hyperfleet_broker::rabbitmq::{RabbitMqBroker, RabbitMqOptions};
use hyperfleet_broker::{Subscriber as _, Subscription};
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, BasicQosOptions,
    ConfirmSelectOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Confirmation, Connection, ConnectionProperties};
use tokio::sync::mpsc;

use super::{
    DEADLINE, MESSAGE_UUID, PARALLELISM, Report, Round, SUBSCRIPTION, TOPIC, event, round,
};
use crate::bench::figure::Figure;

/// Unconfirmed events at a time, and how many events that takes some seconds for.
const WINDOWS: [(usize, usize); 3] = [(1, 500), (100, 10_000), (1000, 10_000)];

pub(super) async fn measure(url: &str) -> Result<Vec<Figure>> {
    super::measure(
        "rabbitmq",
        WINDOWS,
        async |name, window, events| bare_round(url, name, window, events).await,
        async |name| broker(url, name).await,
    )
    .await
}

/// A broker with exchange and queue of its own, which exist.
async fn broker(url: &str, name: &str) -> Result<RabbitMqBroker> {
    let mut options = RabbitMqOptions::from_url(url)?;
    options.exchange = Some(name.to_owned());
    options.queue = Some(name.to_owned());
    options.publish_deadline = DEADLINE;
    let broker = RabbitMqBroker::new(options);
    let subscription = Subscription::new(TOPIC, SUBSCRIPTION);
    broker.declare(&subscription).await?;
    Ok(broker)
}

/// One connection to publish and one to consume, as the product has it, with the same queue, prefetch,
/// confirmations and `mandatory`.
async fn bare_round(url: &str, name: &str, window: usize, events: usize) -> Result<Round> {
    // For its exchange and queue only.
    broker(url, name).await?;
    let connect = || Connection::connect(url, ConnectionProperties::default());
    let (publishing, consuming) = (connect().await?, connect().await?);
    let (sender, handled) = mpsc::unbounded_channel();
    let report = Report {
        handled: sender,
        poison_every: None,
    };
    let channel = consuming.create_channel().await?;
    let prefetch = u16::try_from(PARALLELISM)?;
    let none = FieldTable::default;
    channel
        .basic_qos(prefetch, BasicQosOptions::default())
        .await?;
    let queue = format!("{name}-{SUBSCRIPTION}");
    let options = BasicConsumeOptions::default();
    let mut consumer = channel
        .basic_consume(queue.into(), "".into(), options, none())
        .await?;
    let consumer = tokio::spawn(async move {
        while let Some(Ok(message)) = consumer.next().await {
            let headers = message.properties.headers().as_ref();
            if let Some(AMQPValue::LongString(id)) =
                headers.and_then(|headers| headers.inner().get(MESSAGE_UUID))
            {
                report.takes(&String::from_utf8_lossy(id.as_bytes()));
            }
            let _ = message.acker.ack(BasicAckOptions::default()).await;
        }
    });
    let channel = publishing.create_channel().await?;
    let options = ConfirmSelectOptions::default();
    channel.confirm_select(options).await?;
    let mandatory = BasicPublishOptions {
        mandatory: true,
        ..BasicPublishOptions::default()
    };
    let measured = round(
        window,
        events,
        handled,
        async |number| {
            let event = event(number);
            let mut headers = none();
            let id = AMQPValue::LongString(event.id.as_str().into());
            headers.insert(MESSAGE_UUID.into(), id);
            let properties = BasicProperties::default()
                .with_delivery_mode(2)
                .with_headers(headers);
            let body = event.to_bytes();
            let published =
                channel.basic_publish(name.into(), "".into(), mandatory, &body, properties);
            let confirmed = published.await?.await?;
            ensure!(
                matches!(confirmed, Confirmation::Ack(None)),
                "{confirmed:?}"
            );
            Ok(())
        },
        None,
    )
    .await;
    consumer.abort();
    let closed = publishing.close(200, "OK".into()).await;
    closed.context("the connection of the bare client did not end")?;
    measured
}
