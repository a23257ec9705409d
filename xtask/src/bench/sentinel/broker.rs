//! The other end of the broker: a queue that takes what nobody measures, and a consumer that notes when events
//! arrive.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use anyhow::{Context as _, Result};
use futures::StreamExt as _;
use lapin::options::{
    BasicConsumeOptions, ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions,
    QueueDeleteOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Channel, Connection, ConnectionProperties, ExchangeKind};
use serde_json::Value;
use tokio::task::JoinHandle;

/// The topics of the built-in sentinels.
const TOPICS: [&str; 2] = ["hyperfleet-clusters", "hyperfleet-nodepools"];

/// A connection to the broker.
pub(super) struct Broker {
    channel: Channel,
    _connection: Connection,
}

/// Which events have arrived, and when.
pub(super) struct Received {
    times: Arc<Mutex<HashMap<(String, i64), Instant>>>,
    queue: String,
    consuming: JoinHandle<()>,
}

impl Received {
    /// When the event of a resource's generation arrived.
    pub(super) fn time(&self, id: &str, generation: i32) -> Option<Instant> {
        let times = self.times.lock().unwrap_or_else(PoisonError::into_inner);
        times.get(&(id.to_owned(), generation.into())).copied()
    }
}

impl Broker {
    /// Connects, and makes a queue for each topic that keeps only the latest events.
    pub(super) async fn connect(url: &str) -> Result<Self> {
        let connection = Connection::connect(url, ConnectionProperties::default())
            .await
            .context("cannot connect to RabbitMQ")?;
        let channel = connection.create_channel().await?;
        for topic in TOPICS {
            let durable = ExchangeDeclareOptions {
                durable: true,
                ..ExchangeDeclareOptions::default()
            };
            channel
                .exchange_declare(
                    topic.into(),
                    ExchangeKind::Topic,
                    durable,
                    FieldTable::default(),
                )
                .await?;
            let mut short = FieldTable::default();
            short.insert("x-max-length".into(), AMQPValue::LongInt(100));
            let queue = format!("{topic}-sink");
            channel
                .queue_declare(queue.as_str().into(), QueueDeclareOptions::default(), short)
                .await?;
            bind(&channel, &queue, topic).await?;
        }
        Ok(Self {
            channel,
            _connection: connection,
        })
    }

    /// Notes from now on when events of clusters arrive.
    pub(super) async fn consume(&self) -> Result<Received> {
        let [topic, _] = TOPICS;
        let options = QueueDeclareOptions {
            exclusive: true,
            ..QueueDeclareOptions::default()
        };
        let queue = self
            .channel
            .queue_declare("".into(), options, FieldTable::default())
            .await?;
        let queue = queue.name().as_str().to_owned();
        bind(&self.channel, &queue, topic).await?;
        let options = BasicConsumeOptions {
            no_ack: true,
            ..BasicConsumeOptions::default()
        };
        let mut consumer = self
            .channel
            .basic_consume(
                queue.as_str().into(),
                "bench".into(),
                options,
                FieldTable::default(),
            )
            .await?;
        let times = Arc::new(Mutex::new(HashMap::new()));
        let noted = Arc::clone(&times);
        let consuming = tokio::spawn(async move {
            while let Some(Ok(delivery)) = consumer.next().await {
                let arrived = Instant::now();
                let event: Value = serde_json::from_slice(&delivery.data).unwrap_or_default();
                let data = &event["data"];
                let id = data["id"].as_str().unwrap_or_default().to_owned();
                let generation = data["generation"].as_i64().unwrap_or_default();
                let mut noted = noted.lock().unwrap_or_else(PoisonError::into_inner);
                noted.entry((id, generation)).or_insert(arrived);
            }
        });
        Ok(Received {
            times,
            queue,
            consuming,
        })
    }

    /// Ends the noting.
    pub(super) async fn forget(&self, received: Received) -> Result<()> {
        let queue = received.queue.as_str();
        self.channel
            .queue_delete(queue.into(), QueueDeleteOptions::default())
            .await?;
        received.consuming.abort();
        Ok(())
    }
}

async fn bind(channel: &Channel, queue: &str, topic: &str) -> Result<()> {
    let options = QueueBindOptions::default();
    channel
        .queue_bind(
            queue.into(),
            topic.into(),
            "".into(),
            options,
            FieldTable::default(),
        )
        .await?;
    Ok(())
}
