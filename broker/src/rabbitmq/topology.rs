//! Names of exchanges and queues, and their declaration.
//!
//! | Queue | Holds |
//! |---|---|
//! | `{topic}-{subscription}` | events to be handled |
//! | `{topic}-{subscription}-retry-{milliseconds}` | events that wait for that long, and go back then |
//! | `{topic}-{subscription}-dlq` | dead letters |

use std::time::Duration;

use lapin::Channel;
use lapin::options::{QueueBindOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable, LongString};

use super::link::{Link, declare_exchange, failed, short};
use super::{QueueType, RabbitMqError, RabbitMqOptions};
use crate::Subscription;

/// After how many returns by consumers that died a quorum queue itself makes an event a dead letter.
const DELIVERY_LIMIT: i64 = 20;

/// Looking at a dead letter counts as a delivery, and must never lose it.
const NO_DELIVERY_LIMIT: i64 = 2_147_483_647;

/// How long a queue for retries outlives the last event that it may hold.
const IDLE_RETRY_QUEUE: Duration = Duration::from_mins(1);

/// The longest wait that can be asked for, in milliseconds: what the server takes for a queue's expiry, two to
/// the 32nd, with room.
const LONGEST_WAIT: u64 = 2_000_000_000;

/// The queues of one subscription.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Queues {
    pub(super) work: String,
    pub(super) dead_letters: String,
}

impl RabbitMqOptions {
    pub(super) fn exchange_of<'a>(&'a self, topic: &'a str) -> &'a str {
        self.exchange.as_deref().unwrap_or(topic)
    }

    pub(super) fn queues_of(&self, topic: &str, subscription_id: &str) -> Queues {
        let base = self.queue.as_deref().unwrap_or(topic);
        let work = format!("{base}-{subscription_id}");
        Queues {
            dead_letters: format!("{work}-dlq"),
            work,
        }
    }
}

fn text(value: &str) -> AMQPValue {
    AMQPValue::LongString(LongString::from(value))
}

fn number(value: i64) -> AMQPValue {
    AMQPValue::LongLongInt(value)
}

fn table<const N: usize>(entries: [(&str, AMQPValue); N]) -> FieldTable {
    let mut table = FieldTable::default();
    for (name, value) in entries {
        table.insert(name.into(), value);
    }
    table
}

/// A queue that passes what leaves it unsettled on to another, without losing any.
fn passing_on_to(queue: &str, queue_type: QueueType) -> FieldTable {
    let mut table = table([
        ("x-dead-letter-exchange", text("")),
        ("x-dead-letter-routing-key", text(queue)),
    ]);
    if queue_type == QueueType::Quorum {
        table.insert("x-queue-type".into(), text("quorum"));
        table.insert("x-dead-letter-strategy".into(), text("at-least-once"));
        table.insert("x-overflow".into(), text("reject-publish"));
    }
    table
}

async fn declare_queue(
    channel: &Channel,
    name: &str,
    arguments: FieldTable,
) -> Result<(), RabbitMqError> {
    let options = QueueDeclareOptions {
        durable: true,
        ..QueueDeclareOptions::default()
    };
    let declared = channel
        .queue_declare(short(name)?, options, arguments)
        .await;
    declared
        .map(drop)
        .map_err(|source| failed("declare queue", name, source))
}

/// How many messages a queue that exists has ready.
pub(super) async fn depth(channel: &Channel, name: &str) -> Result<u32, RabbitMqError> {
    let options = QueueDeclareOptions {
        passive: true,
        ..QueueDeclareOptions::default()
    };
    let looked = channel.queue_declare(short(name)?, options, FieldTable::default());
    let queue = looked
        .await
        .map_err(|source| failed("tell about queue", name, source))?;
    Ok(queue.message_count())
}

/// Makes everything exist that a subscription needs.
pub(super) async fn declare(
    link: &Link,
    options: &RabbitMqOptions,
    subscription: &Subscription,
) -> Result<Queues, RabbitMqError> {
    let queues = options.queues_of(&subscription.topic, &subscription.subscription_id);
    let exchange = options.exchange_of(&subscription.topic);
    let channel = link.channel().await?;
    declare_exchange(&channel, options, exchange).await?;
    declare_dead_letters(&channel, options, &queues.dead_letters).await?;
    let declared = declare_work(&channel, options, &queues.work, &queues.dead_letters).await;
    let channel = match declared {
        Ok(()) => channel,
        Err(error) if error.is_mismatch() => {
            tracing::warn!(
                queue = queues.work,
                "the queue exists with other settings, as those of other implementations do, and is used as it \
                 is: an event that kills its consumers will not become a dead letter"
            );
            // The refusal closed the channel.
            let channel = link.channel().await?;
            depth(&channel, &queues.work).await?;
            channel
        }
        Err(error) => return Err(error),
    };
    let bound = channel.queue_bind(
        short(&queues.work)?,
        short(exchange)?,
        "".into(),
        QueueBindOptions::default(),
        FieldTable::default(),
    );
    bound
        .await
        .map_err(|source| failed("bind queue", &queues.work, source))?;
    let _ = channel.close(200, "OK".into()).await;
    Ok(queues)
}

/// The queue of events.
pub(super) async fn declare_work(
    channel: &Channel,
    options: &RabbitMqOptions,
    name: &str,
    dead_letters: &str,
) -> Result<(), RabbitMqError> {
    let arguments = match options.queue_type {
        QueueType::Quorum => {
            let mut table = passing_on_to(dead_letters, QueueType::Quorum);
            table.insert("x-delivery-limit".into(), number(DELIVERY_LIMIT));
            table
        }
        // To the byte as peers declare it.
        QueueType::Classic => FieldTable::default(),
    };
    declare_queue(channel, name, arguments).await
}

/// The queue of dead letters.
pub(super) async fn declare_dead_letters(
    channel: &Channel,
    options: &RabbitMqOptions,
    name: &str,
) -> Result<(), RabbitMqError> {
    let arguments = match options.queue_type {
        QueueType::Quorum => table([
            ("x-queue-type", text("quorum")),
            ("x-delivery-limit", number(NO_DELIVERY_LIMIT)),
        ]),
        QueueType::Classic => FieldTable::default(),
    };
    declare_queue(channel, name, arguments).await
}

/// The longest that events wait in the queue for a delay: the delay itself, rounded up to 1, 1.5, 2, 3, 5 or 7
/// times a power of ten. Delays that handlers choose are many, and queues are to be few.
///
/// Each event has its own delay beside that, after which it leaves the queue once it is the first there. So it is
/// late by at most the difference, and only behind one that waits for longer.
fn longest_wait(delay: Duration) -> u64 {
    let milliseconds = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
    let milliseconds = milliseconds.clamp(1, LONGEST_WAIT);
    let mut power = 1;
    loop {
        // Tenths, because of 1.5; a millisecond has no half.
        for tenths in [10, 15, 20, 30, 50, 70] {
            let step = tenths * power;
            if step >= milliseconds * 10 && step % 10 == 0 {
                return step / 10;
            }
        }
        power *= 10;
    }
}

/// The queue in which events wait for a delay, declared: that also prolongs its life, so that it never ends
/// while it holds an event.
pub(super) async fn declare_retry(
    link: &Link,
    options: &RabbitMqOptions,
    work: &str,
    delay: Duration,
) -> Result<String, RabbitMqError> {
    let milliseconds = i64::try_from(longest_wait(delay)).unwrap_or(i64::MAX);
    let idle = i64::try_from(IDLE_RETRY_QUEUE.as_millis()).unwrap_or(i64::MAX);
    let name = format!("{work}-retry-{milliseconds}");
    let mut arguments = passing_on_to(work, options.queue_type);
    arguments.insert("x-message-ttl".into(), number(milliseconds));
    arguments.insert(
        "x-expires".into(),
        number(milliseconds.saturating_add(idle)),
    );
    let channel = link.channel().await?;
    declare_queue(&channel, &name, arguments).await?;
    let _ = channel.close(200, "OK".into()).await;
    Ok(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_share_few_queues_and_none_waits_much_longer_than_it_has_to() {
        let wait = |milliseconds| longest_wait(Duration::from_millis(milliseconds));
        assert_eq!([0, 1, 2, 4, 10, 11].map(wait), [1, 1, 2, 5, 10, 15]);
        assert_eq!(
            [1000, 1001, 7001, 60_000].map(wait),
            [1000, 1500, 10_000, 70_000]
        );
        // And whatever is asked for has a queue
        assert_eq!(longest_wait(Duration::MAX), 2_000_000_000);
        let mut queues = std::collections::BTreeSet::new();
        for milliseconds in 10..100_000 {
            let longest = wait(milliseconds);
            assert!(longest >= milliseconds && longest <= milliseconds * 5 / 3 + 1);
            queues.insert(longest);
        }
        assert_eq!(queues.len(), 24 + 1);
    }

    #[test]
    fn queues_have_the_names_that_peers_use() {
        let mut options = RabbitMqOptions::from_url("amqp://mq").unwrap();
        let queues = options.queues_of("hyperfleet-clusters", "dns");
        assert_eq!(queues.work, "hyperfleet-clusters-dns");
        assert_eq!(queues.dead_letters, "hyperfleet-clusters-dns-dlq");
        assert_eq!(
            options.exchange_of("hyperfleet-clusters"),
            "hyperfleet-clusters"
        );
        // And with the names of the configuration
        options.queue = Some("events".to_owned());
        options.exchange = Some("everything".to_owned());
        assert_eq!(
            options.queues_of("hyperfleet-clusters", "dns").work,
            "events-dns"
        );
        assert_eq!(options.exchange_of("hyperfleet-clusters"), "everything");
    }
}
