//! Runs a handler on the events of one subscription.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt as _;
use lapin::options::{BasicCancelOptions, BasicConsumeOptions, BasicQosOptions};
use lapin::types::FieldTable;
use lapin::{Channel, Consumer};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::delivery::{Session, Worker};
use super::link::{Link, failed, short};
use super::{RabbitMqBroker, RabbitMqError, Shared, topology};
use crate::{Handler, SubscribeError, Subscriber, Subscription};

/// How long to pause before trying again what failed.
const PAUSE: Duration = Duration::from_millis(500);

/// How long connecting and declaring may take.
const OPEN_DEADLINE: Duration = Duration::from_secs(10);

#[async_trait]
impl Subscriber for RabbitMqBroker {
    async fn declare(&self, subscription: &Subscription) -> Result<(), SubscribeError> {
        subscription.validate()?;
        let declared = self.shared.within(OPEN_DEADLINE, async {
            let link = self.shared.link().await?;
            topology::declare(&link, &self.shared.options, subscription).await
        });
        declared
            .await
            .map(drop)
            .map_err(|error| refused(subscription, error))
    }

    async fn run(
        &self,
        subscription: Subscription,
        handler: Arc<dyn Handler>,
        shutdown: CancellationToken,
    ) -> Result<(), SubscribeError> {
        subscription.validate()?;
        let worker = Worker {
            broker: self.clone(),
            topic: subscription.topic.clone(),
            subscription_id: subscription.subscription_id.clone(),
            redelivery: subscription.redelivery,
            handler,
        };
        let mut working = JoinSet::new();
        let mut was_open = false;
        loop {
            let opening = timeout(OPEN_DEADLINE, open(&self.shared, &subscription));
            match shutdown.run_until_cancelled(opening).await {
                None => break,
                Some(Ok(Ok(opened))) => {
                    was_open = true;
                    let parallelism = subscription.parallelism.get();
                    let pumped = pump(&opened, parallelism, &worker, &mut working, &shutdown);
                    if pumped.await == End::Shutdown {
                        self.stop(opened, &mut working).await;
                        return Ok(());
                    }
                    tracing::warn!(
                        topic = subscription.topic,
                        subscription_id = subscription.subscription_id,
                        "the connection to RabbitMQ is lost; connecting again"
                    );
                }
                // Once it worked, whoever changes the server may change it back.
                Some(Ok(Err(error))) if error.is_permanent() && !was_open => {
                    return Err(refused(&subscription, error));
                }
                Some(Ok(Err(error))) => log(&subscription, &error),
                Some(Err(_)) => log(
                    &subscription,
                    &RabbitMqError::Deadline {
                        address: self.shared.options.address(),
                        waited: OPEN_DEADLINE,
                    },
                ),
            }
            if shutdown.run_until_cancelled(sleep(PAUSE)).await.is_none() {
                break;
            }
        }
        drain(&mut working, self.shared.options.drain_deadline).await;
        Ok(())
    }
}

fn refused(subscription: &Subscription, error: RabbitMqError) -> SubscribeError {
    SubscribeError::Refused {
        topic: subscription.topic.clone(),
        subscription_id: subscription.subscription_id.clone(),
        source: error.into(),
    }
}

fn log(subscription: &Subscription, error: &RabbitMqError) {
    tracing::warn!(
        topic = subscription.topic,
        subscription_id = subscription.subscription_id,
        error = error as &dyn std::error::Error,
        "cannot receive events now; trying again"
    );
}

/// A consumer that the server knows.
struct Open {
    session: Arc<Session>,
    channel: Channel,
    consumer: Consumer,
}

/// Why nothing is received any longer.
#[derive(Debug, PartialEq, Eq)]
enum End {
    Shutdown,
    Lost,
}

async fn open(shared: &Shared, subscription: &Subscription) -> Result<Open, RabbitMqError> {
    // A connection of its own: the server holds those back that publish faster than it can store.
    let link = Link::open(&shared.options).await?;
    let queues = topology::declare(&link, &shared.options, subscription).await?;
    let channel = link.channel().await?;
    let failed = |source| failed("deliver events of queue", &queues.work, source);
    let configured = shared
        .options
        .prefetch
        .map(|prefetch| prefetch.get().into());
    let parallelism = subscription.parallelism.get();
    let prefetch = subscription.prefetch_or(configured).unwrap_or(parallelism);
    let prefetch = u16::try_from(prefetch).unwrap_or(u16::MAX);
    let bound = channel.basic_qos(prefetch, BasicQosOptions::default());
    bound.await.map_err(failed)?;
    let consumer = channel.basic_consume(
        short(&queues.work)?,
        "".into(),
        BasicConsumeOptions::default(),
        FieldTable::default(),
    );
    let consumer = consumer.await.map_err(failed)?;
    Ok(Open {
        session: Arc::new(Session { link, queues }),
        channel,
        consumer,
    })
}

/// Receives, and keeps the workers busy.
async fn pump(
    open: &Open,
    parallelism: usize,
    worker: &Worker,
    working: &mut JoinSet<()>,
    shutdown: &CancellationToken,
) -> End {
    let mut consumer = open.consumer.clone();
    loop {
        tokio::select! {
            biased;
            () = shutdown.cancelled() => return End::Shutdown,
            Some(worked) = working.join_next() => report(worked),
            () = sleep(PAUSE), if !open.session.link.is_usable() => return End::Lost,
            // Looks again, also while all places are taken and nothing is received.
            () = sleep(2 * PAUSE) => {}
            received = consumer.next(), if working.len() < parallelism => match received {
                Some(Ok(message)) => {
                    working.spawn(worker.clone().work(Arc::clone(&open.session), message));
                }
                Some(Err(error)) => {
                    tracing::warn!(%error, topic = worker.topic, "receiving failed");
                    return End::Lost;
                }
                // The server cancelled the consumer: the queue was deleted, or its node left.
                None => return End::Lost,
            },
        }
    }
}

fn report(worked: Result<(), tokio::task::JoinError>) {
    if let Err(error) = worked {
        tracing::error!(%error, "a delivery's task ended abnormally");
    }
}

async fn drain(working: &mut JoinSet<()>, deadline: Duration) {
    let drained = timeout(deadline, async {
        while let Some(worked) = working.join_next().await {
            report(worked);
        }
    });
    if drained.await.is_err() {
        tracing::warn!("handlers still ran at the drain deadline; their events are given back");
        working.shutdown().await;
    }
}

impl RabbitMqBroker {
    /// Takes nothing new, waits for running handlers and gives back what was received beyond.
    async fn stop(&self, open: Open, working: &mut JoinSet<()>) {
        let tag = open.consumer.tag();
        let cancelled = open
            .channel
            .basic_cancel(tag, BasicCancelOptions::default());
        let _ = timeout(PAUSE, cancelled).await;
        drain(working, self.shared.options.drain_deadline).await;
        open.session.link.close().await;
    }
}
