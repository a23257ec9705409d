//! A durable queue behind the sentinels, and when its events arrived. It outlives the broker.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use futures::StreamExt as _;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, ExchangeDeclareOptions, QueueBindOptions,
    QueueDeclareOptions,
};
use lapin::types::FieldTable;
use lapin::{Connection, ConnectionProperties, Consumer, ExchangeKind};
use serde_json::Value;
use tokio::task::JoinHandle;

/// The topic of the built-in sentinel for clusters.
const TOPIC: &str = "hyperfleet-clusters";

const QUEUE: &str = "hyperfleet-clusters-journal";

/// Between two attempts to reach a broker that is away.
const PAUSE: Duration = Duration::from_millis(100);

/// The newest generation of each cluster that arrived by a time.
type Arrivals = Arc<Mutex<HashMap<String, Vec<(i64, Instant)>>>>;

/// Notes what arrives until it is dropped.
pub(super) struct Journal {
    arrivals: Arrivals,
    noting: JoinHandle<()>,
}

impl Journal {
    /// Makes the queue and notes what comes.
    pub(super) async fn start(url: &str) -> Result<Self> {
        let arrivals = Arrivals::default();
        let first = consume(url).await?;
        let noting = tokio::spawn(note(url.to_owned(), first, Arc::clone(&arrivals)));
        Ok(Self { arrivals, noting })
    }

    /// When a generation of a cluster, or a later one, first arrived.
    pub(super) fn time(&self, id: &str, generation: i32) -> Option<Instant> {
        let arrivals = self.arrivals.lock().unwrap_or_else(PoisonError::into_inner);
        let of_cluster = arrivals.get(id)?.iter();
        let late_enough = of_cluster.filter(|(arrived, _)| *arrived >= generation.into());
        late_enough.map(|(_, time)| *time).min()
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.noting.abort();
    }
}

/// Notes what arrives, and connects again whenever the broker is back.
async fn note(url: String, first: (Connection, Consumer), arrivals: Arrivals) {
    let mut open = Some(first);
    loop {
        if let Some((_connection, mut consumer)) = open.take() {
            while let Some(Ok(delivery)) = consumer.next().await {
                let arrived = Instant::now();
                let event: Value = serde_json::from_slice(&delivery.data).unwrap_or_default();
                let id = event["data"]["id"].as_str().unwrap_or_default().to_owned();
                let generation = event["data"]["generation"].as_i64().unwrap_or_default();
                {
                    let mut arrivals = arrivals.lock().unwrap_or_else(PoisonError::into_inner);
                    arrivals.entry(id).or_default().push((generation, arrived));
                }
                if delivery.ack(BasicAckOptions::default()).await.is_err() {
                    break;
                }
            }
        }
        tokio::time::sleep(PAUSE).await;
        open = consume(&url).await.ok();
    }
}

async fn consume(url: &str) -> Result<(Connection, Consumer)> {
    let connection = Connection::connect(url, ConnectionProperties::default())
        .await
        .context("cannot connect to RabbitMQ")?;
    let channel = connection.create_channel().await?;
    let durable = ExchangeDeclareOptions {
        durable: true,
        ..ExchangeDeclareOptions::default()
    };
    channel
        .exchange_declare(
            TOPIC.into(),
            ExchangeKind::Topic,
            durable,
            FieldTable::default(),
        )
        .await?;
    let durable = QueueDeclareOptions {
        durable: true,
        ..QueueDeclareOptions::default()
    };
    channel
        .queue_declare(QUEUE.into(), durable, FieldTable::default())
        .await?;
    channel
        .queue_bind(
            QUEUE.into(),
            TOPIC.into(),
            "".into(),
            QueueBindOptions::default(),
            FieldTable::default(),
        )
        .await?;
    let consumer = channel
        .basic_consume(
            QUEUE.into(),
            "bench".into(),
            BasicConsumeOptions::default(),
            FieldTable::default(),
        )
        .await?;
    Ok((connection, consumer))
}
