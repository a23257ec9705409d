//! Runs a handler on the events of one subscription.

use std::collections::VecDeque;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use futures::{FutureExt as _, StreamExt as _};
use google_cloud_pubsub::model::Message;
use google_cloud_pubsub::subscriber::MessageStream;
use google_cloud_pubsub::subscriber::handler::Handler as Lease;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::delivery::{Held, Worker};
use super::error::Operation;
use super::streams::Streams;
use super::{PubSubBroker, PubSubError, Shared};
use crate::{Handler, SubscribeError, Subscriber, Subscription};

/// Unsettled events that a stream may hold beyond those in work. The client sends its answers ten times a
/// second, so this allows a thousand quick events a second. Not more, because what one consumer holds
/// another cannot take.
const RESERVE: usize = 100;

/// Streams that a consumer has at most. It takes a further one when all places of the others are taken by
/// events that came back early and wait for their delay, so that they do not keep others out.
const MOST_STREAMS: usize = 100;

/// Events that are taken from the streams in one go.
const AT_ONCE: usize = 64;

/// How long a stream may be silent before the service is asked whether it is there. With the pause below, a
/// consumer is back some two seconds after the service is.
const SILENCE: Duration = Duration::from_secs(2);

/// How long to pause before trying again what failed.
const PAUSE: Duration = Duration::from_millis(500);

/// By how much the lease of an event in work is extended at a time, unless configured.
const LEASE: Duration = Duration::from_secs(15);

/// How long a consumer that ended waits for its last answers to be sent.
const FLUSH_DEADLINE: Duration = Duration::from_secs(5);

#[async_trait]
impl Subscriber for PubSubBroker {
    async fn declare(&self, subscription: &Subscription) -> Result<(), SubscribeError> {
        subscription.validate()?;
        let declared = self.shared.ensure_subscription(subscription).await;
        declared
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
        let place = loop {
            match self.shared.ensure_subscription(&subscription).await {
                Ok(place) => break place,
                Err(error) if error.is_permanent() => return Err(refused(&subscription, error)),
                Err(error) => log(&subscription, &error),
            }
            if paused(&shutdown).await.is_none() {
                return Ok(());
            }
        };
        let worker = Worker {
            broker: self.clone(),
            topic: subscription.topic.clone(),
            subscription_id: subscription.subscription_id.clone(),
            place,
            redelivery: subscription.redelivery,
            handler,
        };
        Consumer::new(worker, subscription).run(shutdown).await;
        Ok(())
    }
}

fn refused(subscription: &Subscription, error: PubSubError) -> SubscribeError {
    SubscribeError::Refused {
        topic: subscription.topic.clone(),
        subscription_id: subscription.subscription_id.clone(),
        source: error.into(),
    }
}

fn log(subscription: &Subscription, error: &PubSubError) {
    tracing::warn!(
        topic = subscription.topic,
        subscription_id = subscription.subscription_id,
        error = error as &dyn std::error::Error,
        "cannot receive events now; trying again"
    );
}

/// Nothing when shutdown came first.
async fn paused(shutdown: &CancellationToken) -> Option<()> {
    shutdown.run_until_cancelled(sleep(PAUSE)).await
}

/// Waits until the service answers. Nothing when shutdown came first.
async fn reachable(shared: &Shared, shutdown: &CancellationToken) -> Option<()> {
    loop {
        paused(shutdown).await?;
        let probed = shutdown.run_until_cancelled(shared.probe()).await?;
        if probed.is_ok() {
            return Some(());
        }
    }
}

/// One call of `Subscriber::run`.
struct Consumer {
    worker: Worker,
    subscription: Subscription,
    streams: Streams,
    /// Waits for a worker.
    ready: VecDeque<Held>,
    /// Came back before it was due.
    early: FuturesUnordered<BoxFuture<'static, Held>>,
    working: JoinSet<()>,
}

/// Why nothing is received any longer.
enum End {
    Shutdown,
    /// The service answers neither the streams nor a question.
    Unreachable,
    /// A stream ended by itself.
    Failed(PubSubError),
}

impl Consumer {
    fn new(worker: Worker, subscription: Subscription) -> Self {
        Self {
            worker,
            subscription,
            streams: Streams::new(),
            ready: VecDeque::new(),
            early: FuturesUnordered::new(),
            working: JoinSet::new(),
        }
    }

    /// Runs until shutdown, then waits for running handlers. Dropping the future gives all that is held back.
    async fn run(mut self, shutdown: CancellationToken) {
        loop {
            let end = self.pump(&shutdown).await;
            self.streams.close().await;
            match end {
                End::Shutdown => break,
                End::Unreachable => {}
                End::Failed(error) => {
                    log(&self.subscription, &error);
                    if matches!(error, PubSubError::Missing { .. }) {
                        self.declare_again().await;
                    }
                }
            }
            if reachable(self.shared(), &shutdown).await.is_none() {
                break;
            }
        }
        self.drain().await;
    }

    /// Receives, and keeps the workers busy.
    async fn pump(&mut self, shutdown: &CancellationToken) -> End {
        let mut received = Vec::with_capacity(AT_ONCE);
        let mut silence = std::pin::pin!(sleep(SILENCE));
        let mut heard = Instant::now();
        loop {
            self.start_work().await;
            self.adjust_streams();
            let has_room = self.held() < self.limit() * self.streams.len();
            tokio::select! {
                biased;
                () = shutdown.cancelled() => return End::Shutdown,
                Some(worked) = self.working.join_next() => {
                    if let Err(error) = worked {
                        tracing::error!(%error, "a delivery's task ended abnormally");
                    }
                }
                Some(held) = self.early.next() => self.ready.push_back(held),
                count = self.streams.next_many(&mut received, AT_ONCE), if has_room => {
                    heard = Instant::now();
                    if count == 0 {
                        return End::Unreachable;
                    }
                    for next in received.drain(..) {
                        match next {
                            Ok((message, lease)) => self.take(message, lease),
                            Err(answer) => {
                                let name = &self.worker.place.subscription;
                                let error = PubSubError::of(Operation::Receive, name, answer);
                                return End::Failed(error);
                            }
                        }
                    }
                }
                // Moved on only when it has passed, because that is cheaper than with every event.
                () = &mut silence => {
                    if has_room
                        && heard.elapsed() >= SILENCE
                        && let Some(Err(error)) =
                            shutdown.run_until_cancelled(self.shared().probe()).await
                    {
                        log(&self.subscription, &error);
                        return End::Unreachable;
                    }
                    if !has_room || heard.elapsed() >= SILENCE {
                        heard = Instant::now();
                    }
                    silence.as_mut().reset(heard + SILENCE);
                }
            }
        }
    }

    /// Takes a further stream when the places of the others are taken by events that wait for their delay,
    /// and closes those when they are not.
    fn adjust_streams(&mut self) {
        let parallelism = self.subscription.parallelism.get();
        let places = self.limit() * self.streams.len();
        if places < self.early.len() + parallelism && self.streams.len() < MOST_STREAMS {
            self.streams.open(self.open());
        } else if self.early.is_empty() && self.streams.len() > 1 {
            self.streams.close_but(1);
        }
    }

    fn open(&self) -> MessageStream {
        let shared = self.shared();
        let options = &shared.options;
        let clients = shared.connection.clients();
        let mut subscribe = clients
            .subscriber
            .subscribe(&self.worker.place.subscription)
            .set_max_lease_extension(options.ack_deadline.unwrap_or(LEASE))
            .set_max_outstanding_messages(i64::try_from(self.limit()).unwrap_or(i64::MAX));
        if let Some(bytes) = options.max_outstanding_bytes {
            let bytes = i64::try_from(bytes.get()).unwrap_or(i64::MAX);
            subscribe = subscribe.set_max_outstanding_bytes(bytes);
        }
        subscribe.build()
    }

    fn take(&mut self, message: Message, lease: Lease) {
        let Some(held) = self.worker.receive(message, lease) else {
            return;
        };
        match held.due {
            Some(due) => self.early.push(
                async move {
                    sleep_until(due).await;
                    held
                }
                .boxed(),
            ),
            None => self.ready.push_back(held),
        }
    }

    /// Begins as many events as may be in work. One whose handler needs to wait for nothing is done here, which
    /// spares it a task.
    async fn start_work(&mut self) {
        while self.working.len() < self.subscription.parallelism.get() {
            let Some(held) = self.ready.pop_front() else {
                return;
            };
            let mut work = self.worker.clone().work(held).boxed();
            if futures::poll!(&mut work).is_pending() {
                self.working.spawn(work);
            }
        }
    }

    fn held(&self) -> usize {
        self.ready.len() + self.early.len() + self.working.len()
    }

    /// Unsettled events that one stream may hold.
    fn limit(&self) -> usize {
        let configured = self.shared().options.max_outstanding_messages;
        self.subscription
            .prefetch_or(configured.map(NonZeroUsize::get))
            .unwrap_or(self.subscription.parallelism.get() + RESERVE)
    }

    fn shared(&self) -> &Shared {
        &self.worker.broker.shared
    }

    /// The subscription was deleted: makes it again, if that is allowed.
    async fn declare_again(&mut self) {
        let declared = self.shared().ensure_subscription(&self.subscription).await;
        match declared {
            Ok(place) => self.worker.place = place,
            Err(error) => log(&self.subscription, &error),
        }
    }

    /// Gives back what nobody has begun, and waits for the rest.
    async fn drain(mut self) {
        self.ready.clear();
        self.early.clear();
        let deadline = self.shared().options.drain_deadline;
        let drained = timeout(deadline, async {
            while self.working.join_next().await.is_some() {}
        });
        if drained.await.is_err() {
            tracing::warn!(
                topic = self.subscription.topic,
                subscription_id = self.subscription.subscription_id,
                "handlers still ran at the drain deadline; their events are given back"
            );
            self.working.shutdown().await;
        }
        if timeout(FLUSH_DEADLINE, self.streams.flush()).await.is_err() {
            tracing::warn!(
                topic = self.subscription.topic,
                subscription_id = self.subscription.subscription_id,
                "the last answers did not reach Pub/Sub; their events will be delivered again"
            );
        }
    }
}
