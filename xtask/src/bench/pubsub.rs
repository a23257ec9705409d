//! Pub/Sub: the product against a loop over Google's client, on the same server in memory.
//!
//! Both publish the same bytes with the same window of unconfirmed events, and both have a consumer that
//! acknowledges at once. Rounds alternate, and medians are compared, so that what else the machine does hits
//! both.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use async_trait::async_trait;
use futures::StreamExt as _;
use google_cloud_auth::credentials::anonymous;
use google_cloud_pubsub::client::{Publisher as Client, Subscriber as Receiver};
use google_cloud_pubsub::model::Message;
use hyperfleet_broker::pubsub::{PubSubBroker, PubSubOptions};
use hyperfleet_broker::{
    Delivery, Envelope, Handler, Outcome, Publisher as _, Subscriber as _, Subscription,
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::figure::{Figure, median};
use crate::pubsub::Server;

/// Unconfirmed events at a time, and how many events that takes some seconds for.
const WINDOWS: [(usize, usize); 3] = [(1, 500), (100, 10_000), (1000, 20_000)];

const ROUNDS: usize = 3;

/// Of the throughput of the bare client, and how much longer events may be on their way.
const TARGET: f64 = 0.9;

/// Events that a consumer of either kind may hold.
const OUTSTANDING: usize = 1000;

/// Handlers at a time.
const PARALLELISM: usize = 64;

/// Of so many events one is poison: ten of ten thousand.
const POISON_EVERY: usize = 1000;

/// The most that poison may lengthen the way of the others.
const POISON_TARGET: f64 = 2.0;

/// Longer than any round takes.
const DEADLINE: Duration = Duration::from_mins(1);

const TOPIC: &str = "clusters";
const SUBSCRIPTION: &str = "benchmark";

/// The attribute by which the bare consumer knows an event.
const MESSAGE_UUID: &str = "_watermill_message_uuid";

/// What one round measured.
struct Round {
    per_second: f64,
    p50_milliseconds: f64,
    p99_milliseconds: f64,
}

/// Measures everything.
///
/// # Errors
/// When the server cannot be had or an event is not confirmed or not delivered.
pub(super) fn run() -> Result<Vec<Figure>> {
    let server = Server::start().context("the Pub/Sub server is missing")?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(measure(server.host()))
}

async fn measure(host: &str) -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for (window, events) in WINDOWS {
        let (mut bare, mut product) = (Vec::new(), Vec::new());
        for round in 0..ROUNDS {
            let project = |side| format!("bench-{side}-{window}-{round}");
            bare.push(bare_round(host, &project("bare"), window, events).await?);
            product.push(product_round(host, &project("product"), window, events, None).await?);
        }
        figures.extend(compare(window, &bare, &product));
    }
    figures.push(poison(host).await?);
    Ok(figures)
}

/// How much longer events take when ten of ten thousand are poison.
async fn poison(host: &str) -> Result<Figure> {
    let (window, events) = WINDOWS[1];
    let (mut without, mut with) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let project = |side| format!("bench-{side}-{round}");
        let measured = product_round(host, &project("pure"), window, events, None).await?;
        without.push(measured.p99_milliseconds);
        let every = Some(POISON_EVERY);
        let measured = product_round(host, &project("poison"), window, events, every).await?;
        with.push(measured.p99_milliseconds);
    }
    let (without, with) = (median(without), median(with));
    Ok(Figure {
        higher_is_better: false,
        ..Figure::new("pubsub with 10 poison in 10,000: p99", with, "ms")
            .ratio(with / without)
            .target(POISON_TARGET)
    })
}

fn compare(window: usize, bare: &[Round], product: &[Round]) -> [Figure; 3] {
    let name = |what: &str| format!("pubsub window {window}: {what}");
    let rate = |rounds: &[Round]| median(rounds.iter().map(|round| round.per_second));
    let p50 = |rounds: &[Round]| median(rounds.iter().map(|round| round.p50_milliseconds));
    let p99 = |rounds: &[Round]| median(rounds.iter().map(|round| round.p99_milliseconds));
    let latency = |what, of: &dyn Fn(&[Round]) -> f64| Figure {
        higher_is_better: false,
        ..Figure::new(name(what), of(product), "ms")
            .ratio(of(product) / of(bare))
            .target(1.0 / TARGET)
    };
    [
        Figure::new(name("confirmed publishes"), rate(product), "events/s")
            .ratio(rate(product) / rate(bare))
            .target(TARGET),
        latency("publish to handler p50", &p50),
        latency("publish to handler p99", &p99),
    ]
}

fn event(number: usize) -> Envelope {
    let data = serde_json::json!({
        "id": "cls-1", "kind": "Cluster", "generation": 1,
        "href": "/api/hyperfleet/v1/clusters/cls-1",
    });
    let kind = "com.redhat.hyperfleet.cluster.reconcile";
    Envelope::new(number.to_string(), "hyperfleet-sentinel", kind, data)
}

/// Publishes all with a window, and gathers when each began and when each was handled.
async fn round(
    window: usize,
    events: usize,
    mut handled: mpsc::UnboundedReceiver<(usize, Instant)>,
    publish: impl AsyncFn(usize) -> Result<()>,
    poison_every: Option<usize>,
) -> Result<Round> {
    // The first event opens connections.
    publish(FIRST).await?;
    let first = tokio::time::timeout(DEADLINE, handled.recv()).await?;
    ensure!(first.is_some(), "the consumer ended");
    let start = Instant::now();
    let publish = &publish;
    let published: Vec<Result<(usize, Instant)>> = futures::stream::iter(0..events)
        .map(|number| async move {
            let began = Instant::now();
            publish(number).await.map(|()| (number, began))
        })
        .buffer_unordered(window)
        .collect()
        .await;
    let took = start.elapsed();
    let mut began = vec![start; events];
    for published in published {
        let (number, instant) = published?;
        began[number] = instant;
    }
    let mut latencies = vec![None; events];
    let mut missing = (0..events)
        .filter(|number| !is_poison(*number, poison_every))
        .count();
    while missing > 0 {
        let next = tokio::time::timeout(DEADLINE, handled.recv()).await?;
        let (number, instant) = next.context("the consumer ended")?;
        // A redelivery does not count.
        if number < events && latencies[number].is_none() {
            latencies[number] = Some(instant.duration_since(began[number]));
            missing -= 1;
        }
    }
    let mut latencies: Vec<Duration> = latencies.into_iter().flatten().collect();
    latencies.sort();
    let milliseconds = |percent: usize| {
        let latency = latencies[(latencies.len() * percent / 100).min(latencies.len() - 1)];
        latency.as_secs_f64() * 1000.0
    };
    Ok(Round {
        per_second: f64::from(u32::try_from(events)?) / took.as_secs_f64(),
        p50_milliseconds: milliseconds(50),
        p99_milliseconds: milliseconds(99),
    })
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

/// The number of the event that only opens connections.
const FIRST: usize = usize::MAX;

fn is_poison(number: usize, every: Option<usize>) -> bool {
    number != FIRST && every.is_some_and(|every| number.is_multiple_of(every))
}

/// Reports what it handles, and never takes poison.
struct Report {
    handled: mpsc::UnboundedSender<(usize, Instant)>,
    poison_every: Option<usize>,
}

impl Report {
    /// Whether the event was taken.
    fn takes(&self, id: &str) -> bool {
        let Ok(number) = id.parse() else { return true };
        if is_poison(number, self.poison_every) {
            return false;
        }
        let _ = self.handled.send((number, Instant::now()));
        true
    }
}

#[async_trait]
impl Handler for Report {
    async fn handle(&self, delivery: Delivery) -> Outcome {
        if self.takes(&delivery.envelope.id) {
            Outcome::Acknowledge
        } else {
            Outcome::Retry {
                reason: "poison".to_owned(),
            }
        }
    }
}

async fn product_round(
    host: &str,
    project: &str,
    window: usize,
    events: usize,
    poison_every: Option<usize>,
) -> Result<Round> {
    let broker = broker(host, project).await?;
    let (sender, handled) = mpsc::unbounded_channel();
    let report = Report {
        handled: sender,
        poison_every,
    };
    let shutdown = CancellationToken::new();
    let consumer = tokio::spawn({
        let (broker, shutdown) = (broker.clone(), shutdown.clone());
        let subscription = Subscription::new(TOPIC, SUBSCRIPTION).with_parallelism(PARALLELISM);
        async move { broker.run(subscription, Arc::new(report), shutdown).await }
    });
    let measured = round(
        window,
        events,
        handled,
        async |number| Ok(broker.publish(TOPIC, &event(number)).await?),
        poison_every,
    )
    .await;
    shutdown.cancel();
    consumer.await??;
    measured
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
