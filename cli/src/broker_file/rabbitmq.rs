//! The part about RabbitMQ.

use std::num::NonZeroU16;

use anyhow::{Context as _, anyhow, bail};
use hyperfleet_broker::rabbitmq::{QueueType, RabbitMqOptions};

use super::ensure;
use super::keys::Keys;

/// What peers take where the file says nothing.
const EXCHANGE_TYPE: &str = "fanout";

pub(super) fn options(keys: &Keys) -> anyhow::Result<RabbitMqOptions> {
    let text = |name: &str| keys.text(&format!("broker.rabbitmq.{name}"));
    let url = text("url").context("rabbitmq.url is required")?;
    let is_known = url.starts_with("amqp://") || url.starts_with("amqps://");
    ensure(
        is_known,
        "rabbitmq.url must start with 'amqp://' or 'amqps://'",
    )?;
    let mut options = RabbitMqOptions::from_url(&url)
        .map_err(|error| anyhow!("rabbitmq.url cannot be used: {error}"))?;
    let exchange_type = text("exchange_type");
    // A URL may say it too, which peers' do not.
    if exchange_type.is_some() || !url.contains("exchange_type=") {
        let exchange_type = exchange_type.as_deref().unwrap_or(EXCHANGE_TYPE);
        ensure(
            options.set_exchange_type(exchange_type),
            "rabbitmq.exchange_type must be one of: direct, fanout, topic, headers",
        )?;
    }
    options.exchange = text("exchange");
    options.queue = text("queue");
    options.routing_key = text("routing_key").unwrap_or_default();
    options.ca_file = text("ca_file").map(Into::into).or(options.ca_file);
    match text("queue_type").as_deref() {
        None => {}
        Some("quorum") => options.queue_type = QueueType::Quorum,
        Some("classic") => options.queue_type = QueueType::Classic,
        Some(other) => bail!("rabbitmq.queue_type must be quorum or classic, not {other:?}"),
    }
    if let Some(count) = not_negative(keys, "prefetch_count")? {
        let count = u16::try_from(count).context("rabbitmq.prefetch_count is at most 65535")?;
        options.prefetch = NonZeroU16::new(count).or(options.prefetch);
    }
    not_negative(keys, "prefetch_size")?;
    if keys.flag("broker.rabbitmq.tolerate_no_subscription")? {
        options.tolerate_no_subscription = true;
    }
    Ok(options)
}

fn not_negative(keys: &Keys, name: &str) -> anyhow::Result<Option<i64>> {
    let number = keys.whole(&format!("broker.rabbitmq.{name}"))?;
    ensure(
        number.is_none_or(|number| number >= 0),
        &format!("rabbitmq.{name} must be non-negative"),
    )?;
    Ok(number)
}
