//! Brokers: the product against a loop over the bare client, on the same server.
//!
//! Both publish the same bytes with the same window of unconfirmed events, and both have a consumer that
//! acknowledges at once. Rounds alternate, and medians are compared, so that what else the machine does hits
//! both.

mod pubsub;
mod rabbitmq;

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use async_trait::async_trait;
use futures::StreamExt as _;
use hyperfleet_broker::{
    Delivery, Envelope, Handler, Outcome, Publisher, Subscriber, Subscription,
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::figure::{Figure, median, percentile};

const ROUNDS: usize = 3;

/// Of the throughput of the bare client, and how much longer events may be on their way.
const TARGET: f64 = 0.9;

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

/// The attribute or header that is the id of an event, by which the bare consumers know it.
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
/// When a server cannot be had or an event is not confirmed or not delivered.
pub(super) fn run() -> Result<Vec<Figure>> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let mut figures = {
        let server = crate::rabbitmq::Server::start().context("RabbitMQ is missing")?;
        runtime.block_on(rabbitmq::measure(&server.url()))?
    };
    let server = crate::pubsub::Server::start().context("the Pub/Sub server is missing")?;
    figures.extend(runtime.block_on(pubsub::measure(server.host()))?);
    Ok(figures)
}

/// Measures a product against a loop over its bare client, window by window, and then what poison costs. `bare` takes a
/// name of its own, a window and how many events; `open` gives a broker under a name of its own.
async fn measure<B: Publisher + Subscriber + Clone + 'static>(
    client: &str,
    windows: [(usize, usize); 3],
    bare: impl AsyncFn(&str, usize, usize) -> Result<Round>,
    open: impl AsyncFn(&str) -> Result<B>,
) -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for (window, events) in windows {
        let (mut theirs, mut ours) = (Vec::new(), Vec::new());
        for number in 0..ROUNDS {
            let name = |side| format!("bench-{side}-{window}-{number}");
            theirs.push(bare(&name("bare"), window, events).await?);
            ours.push(product(open(&name("product")).await?, window, events, None).await?);
        }
        figures.extend(compare(client, window, &theirs, &ours));
    }
    let (window, events) = windows[1];
    let (mut without, mut with) = (Vec::new(), Vec::new());
    for number in 0..ROUNDS {
        let pure = open(&format!("bench-pure-{number}")).await?;
        let measured = product(pure, window, events, None).await?;
        without.push(measured.p99_milliseconds);
        let poisoned = open(&format!("bench-poison-{number}")).await?;
        let measured = product(poisoned, window, events, Some(POISON_EVERY)).await?;
        with.push(measured.p99_milliseconds);
    }
    figures.push(poison(client, without, with));
    Ok(figures)
}

/// How much longer events take when ten of ten thousand are poison: p99 without and with, round by round.
fn poison(broker: &str, without: Vec<f64>, with: Vec<f64>) -> Figure {
    let (without, with) = (median(without), median(with));
    let name = format!("{broker} with 10 poison in 10,000: p99");
    Figure::lower(name, with, "ms")
        .ratio(with / without)
        .target(POISON_TARGET)
}

fn compare(broker: &str, window: usize, bare: &[Round], product: &[Round]) -> [Figure; 3] {
    let name = |what: &str| format!("{broker} window {window}: {what}");
    let rate = |rounds: &[Round]| median(rounds.iter().map(|round| round.per_second));
    let p50 = |rounds: &[Round]| median(rounds.iter().map(|round| round.p50_milliseconds));
    let p99 = |rounds: &[Round]| median(rounds.iter().map(|round| round.p99_milliseconds));
    let latency = |what, of: &dyn Fn(&[Round]) -> f64| {
        Figure::lower(name(what), of(product), "ms")
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
        let latency = percentile(&latencies, percent).unwrap_or_default();
        latency.as_secs_f64() * 1000.0
    };
    Ok(Round {
        per_second: f64::from(u32::try_from(events)?) / took.as_secs_f64(),
        p50_milliseconds: milliseconds(50),
        p99_milliseconds: milliseconds(99),
    })
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
            Outcome::retry("poison")
        }
    }
}

/// One round of the product.
async fn product<B: Publisher + Subscriber + Clone + 'static>(
    broker: B,
    window: usize,
    events: usize,
    poison_every: Option<usize>,
) -> Result<Round> {
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
