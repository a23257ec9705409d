//! What a broker counts. Names and labels of the first four families are those of the existing dashboards.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use prometheus::core::Collector;
use prometheus::{
    GaugeVec, HistogramOpts, HistogramVec, IntCounterVec, IntGaugeVec, Opts, Registry,
};

use crate::{Envelope, SubscriptionDepth};

/// Handler run times are between a quick look-up and two minutes of work.
const DURATION_BUCKETS: [f64; 9] = [0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0];

/// A confirmation takes about a millisecond, and a publish gives up after some seconds.
const PUBLISH_BUCKETS: [f64; 11] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0,
];

/// An event is handled within milliseconds, or waits for as long as its consumers were away.
const LAG_BUCKETS: [f64; 12] = [
    0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 1800.0, 7200.0,
];

/// The names of all families.
pub mod names {
    /// See the family's help text.
    pub const MESSAGES_PUBLISHED_TOTAL: &str = "hyperfleet_broker_messages_published_total";
    /// See the family's help text.
    pub const MESSAGES_CONSUMED_TOTAL: &str = "hyperfleet_broker_messages_consumed_total";
    /// See the family's help text.
    pub const ERRORS_TOTAL: &str = "hyperfleet_broker_errors_total";
    /// See the family's help text.
    pub const MESSAGE_DURATION_SECONDS: &str = "hyperfleet_broker_message_duration_seconds";
    /// See the family's help text.
    pub const PUBLISH_DURATION_SECONDS: &str = "hyperfleet_broker_publish_duration_seconds";
    /// See the family's help text.
    pub const PUBLISHES_OUTSTANDING: &str = "hyperfleet_broker_publishes_outstanding";
    /// See the family's help text.
    pub const REDELIVERIES_TOTAL: &str = "hyperfleet_broker_redeliveries_total";
    /// See the family's help text.
    pub const CONSUMER_LAG_SECONDS: &str = "hyperfleet_broker_consumer_lag_seconds";
    /// See the family's help text.
    pub const DEAD_LETTERS_TOTAL: &str = "hyperfleet_broker_dead_letters_total";
    /// See the family's help text.
    pub const DEAD_LETTERS: &str = "hyperfleet_broker_dead_letters";
    /// See the family's help text.
    pub const DEAD_LETTERS_OLDEST_AGE_SECONDS: &str =
        "hyperfleet_broker_dead_letters_oldest_age_seconds";
    /// See the family's help text.
    pub const EVENTS_WAITING: &str = "hyperfleet_broker_events_waiting";

    /// All of them.
    pub const ALL: [&str; 12] = [
        MESSAGES_PUBLISHED_TOTAL,
        MESSAGES_CONSUMED_TOTAL,
        ERRORS_TOTAL,
        MESSAGE_DURATION_SECONDS,
        PUBLISH_DURATION_SECONDS,
        PUBLISHES_OUTSTANDING,
        REDELIVERIES_TOTAL,
        CONSUMER_LAG_SECONDS,
        DEAD_LETTERS_TOTAL,
        DEAD_LETTERS,
        DEAD_LETTERS_OLDEST_AGE_SECONDS,
        EVENTS_WAITING,
    ];
}

/// Labels of nearly all families.
const LABELS: [&str; 3] = ["topic", "component", "version"];

/// Labels of what belongs to one subscription.
const SUBSCRIPTION_LABELS: [&str; 4] = ["topic", "subscription", "component", "version"];

/// Tells the time, which this crate never reads by itself.
pub type Clock = Arc<dyn Fn() -> DateTime<Utc> + Send + Sync>;

/// The metric families of a process, to be created once per registry.
#[derive(Clone)]
pub struct MetricFamilies {
    clock: Clock,
    published: IntCounterVec,
    consumed: IntCounterVec,
    errors: IntCounterVec,
    duration: HistogramVec,
    publish_duration: HistogramVec,
    outstanding: IntGaugeVec,
    redeliveries: IntCounterVec,
    lag: HistogramVec,
    dead_lettered: IntCounterVec,
    dead_letters: IntGaugeVec,
    oldest_dead_letter: GaugeVec,
    waiting: IntGaugeVec,
}

impl fmt::Debug for MetricFamilies {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("MetricFamilies")
            .finish_non_exhaustive()
    }
}

fn registered<T: Collector + Clone + 'static>(
    registry: &Registry,
    family: T,
) -> Result<T, prometheus::Error> {
    registry.register(Box::new(family.clone()))?;
    Ok(family)
}

/// What a family tells.
fn help(name: &str) -> &'static str {
    match name {
        names::MESSAGES_PUBLISHED_TOTAL => "Events whose publishing was confirmed.",
        names::MESSAGES_CONSUMED_TOTAL => "Deliveries, redeliveries and undecodable ones included.",
        names::ERRORS_TOTAL => "Failures; error_type is conversion, handler or publish.",
        names::MESSAGE_DURATION_SECONDS => "How long handlers ran.",
        names::PUBLISH_DURATION_SECONDS => "From the beginning of a publish to its confirmation.",
        names::PUBLISHES_OUTSTANDING => "Publishes that wait for their confirmation.",
        names::REDELIVERIES_TOTAL => "Deliveries of events that were delivered before.",
        names::CONSUMER_LAG_SECONDS => {
            "From publishing, as the id of the event (UUID version 7) tells it, to the first delivery."
        }
        names::DEAD_LETTERS_TOTAL => "Events that consumers of this process made dead letters.",
        names::DEAD_LETTERS => "Dead letters that the broker holds.",
        names::DEAD_LETTERS_OLDEST_AGE_SECONDS => "Age of the oldest dead letter; 0 without any.",
        names::EVENTS_WAITING => "Events that wait for a consumer, where the broker tells it.",
        _ => "",
    }
}

fn counter(
    registry: &Registry,
    name: &str,
    labels: &[&str],
) -> Result<IntCounterVec, prometheus::Error> {
    registered(
        registry,
        IntCounterVec::new(Opts::new(name, help(name)), labels)?,
    )
}

fn gauge(
    registry: &Registry,
    name: &str,
    labels: &[&str],
) -> Result<IntGaugeVec, prometheus::Error> {
    registered(
        registry,
        IntGaugeVec::new(Opts::new(name, help(name)), labels)?,
    )
}

fn histogram(
    registry: &Registry,
    name: &str,
    buckets: &[f64],
) -> Result<HistogramVec, prometheus::Error> {
    let options = HistogramOpts::new(name, help(name)).buckets(buckets.to_vec());
    registered(registry, HistogramVec::new(options, &LABELS)?)
}

impl MetricFamilies {
    /// Creates the families and registers them. `clock` tells how old events and dead letters are.
    ///
    /// # Errors
    /// The registry already has metrics of these names.
    pub fn register(registry: &Registry, clock: Clock) -> Result<Self, prometheus::Error> {
        let errors = ["topic", "error_type", "component", "version"];
        let count = |name, labels: &[&str]| counter(registry, name, labels);
        let measure = |name, labels: &[&str]| gauge(registry, name, labels);
        let time = |name, buckets: &[f64]| histogram(registry, name, buckets);
        let age = names::DEAD_LETTERS_OLDEST_AGE_SECONDS;
        let age = GaugeVec::new(Opts::new(age, help(age)), &SUBSCRIPTION_LABELS)?;
        Ok(Self {
            clock,
            published: count(names::MESSAGES_PUBLISHED_TOTAL, &LABELS)?,
            consumed: count(names::MESSAGES_CONSUMED_TOTAL, &LABELS)?,
            errors: count(names::ERRORS_TOTAL, &errors)?,
            duration: time(names::MESSAGE_DURATION_SECONDS, &DURATION_BUCKETS)?,
            publish_duration: time(names::PUBLISH_DURATION_SECONDS, &PUBLISH_BUCKETS)?,
            outstanding: measure(names::PUBLISHES_OUTSTANDING, &LABELS)?,
            redeliveries: count(names::REDELIVERIES_TOTAL, &LABELS)?,
            lag: time(names::CONSUMER_LAG_SECONDS, &LAG_BUCKETS)?,
            dead_lettered: count(names::DEAD_LETTERS_TOTAL, &SUBSCRIPTION_LABELS)?,
            dead_letters: measure(names::DEAD_LETTERS, &SUBSCRIPTION_LABELS)?,
            oldest_dead_letter: registered(registry, age)?,
            waiting: measure(names::EVENTS_WAITING, &SUBSCRIPTION_LABELS)?,
        })
    }

    /// The same families, written to under the name of one component (`sentinel`, or an adapter's name).
    pub fn component(&self, component: &str, version: &str) -> BrokerMetrics {
        BrokerMetrics {
            recorder: Some(Recorder {
                families: self.clone(),
                component: component.to_owned(),
                version: version.to_owned(),
            }),
        }
    }
}

/// Where a backend counts. The default counts nothing and does not know the time.
#[derive(Debug, Clone, Default)]
pub struct BrokerMetrics {
    recorder: Option<Recorder>,
}

#[derive(Debug, Clone)]
struct Recorder {
    families: MetricFamilies,
    component: String,
    version: String,
}

impl Recorder {
    fn labels<'a>(&'a self, topic: &'a str) -> [&'a str; 3] {
        [topic, &self.component, &self.version]
    }

    fn subscription<'a>(&'a self, topic: &'a str, subscription_id: &'a str) -> [&'a str; 4] {
        [topic, subscription_id, &self.component, &self.version]
    }
}

/// What went wrong, as the label `error_type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ErrorType {
    Conversion,
    Handler,
    Publish,
}

impl ErrorType {
    fn label(self) -> &'static str {
        match self {
            Self::Conversion => "conversion",
            Self::Handler => "handler",
            Self::Publish => "publish",
        }
    }
}

/// A publish that has begun. Dropping it without an outcome, as a caller does that gives up waiting, only ends it.
#[derive(Debug)]
pub(crate) struct Publishing<'a> {
    metrics: &'a BrokerMetrics,
    topic: &'a str,
    begun: Instant,
}

impl Publishing<'_> {
    /// Counts the outcome.
    pub(crate) fn ended<T, E>(self, outcome: &Result<T, E>) {
        let Some(recorder) = &self.metrics.recorder else {
            return;
        };
        if outcome.is_err() {
            self.metrics.failed(self.topic, ErrorType::Publish);
            return;
        }
        let labels = recorder.labels(self.topic);
        let families = &recorder.families;
        families.published.with_label_values(&labels).inc();
        let duration = families.publish_duration.with_label_values(&labels);
        duration.observe(self.begun.elapsed().as_secs_f64());
    }
}

impl Drop for Publishing<'_> {
    fn drop(&mut self) {
        if let Some(recorder) = &self.metrics.recorder {
            let outstanding = &recorder.families.outstanding;
            let labels = recorder.labels(self.topic);
            outstanding.with_label_values(&labels).dec();
        }
    }
}

impl BrokerMetrics {
    /// The time, where somebody counts.
    pub(crate) fn now(&self) -> Option<DateTime<Utc>> {
        let recorder = self.recorder.as_ref()?;
        Some((recorder.families.clock)())
    }

    /// A publish begins.
    pub(crate) fn publishing<'a>(&'a self, topic: &'a str) -> Publishing<'a> {
        if let Some(recorder) = &self.recorder {
            let outstanding = &recorder.families.outstanding;
            let labels = recorder.labels(topic);
            outstanding.with_label_values(&labels).inc();
        }
        Publishing {
            metrics: self,
            topic,
            begun: Instant::now(),
        }
    }

    pub(crate) fn consumed(&self, topic: &str) {
        if let Some(recorder) = &self.recorder {
            let labels = recorder.labels(topic);
            recorder.families.consumed.with_label_values(&labels).inc();
        }
    }

    /// An event goes to its handler, for the time that `attempt` says.
    pub(crate) fn delivered(&self, topic: &str, envelope: &Envelope, attempt: u32) {
        let Some(recorder) = &self.recorder else {
            return;
        };
        let labels = recorder.labels(topic);
        let families = &recorder.families;
        if attempt > 1 {
            families.redeliveries.with_label_values(&labels).inc();
        } else if let Some(published) = time_of(&envelope.id) {
            let lag = (families.clock)().signed_duration_since(published);
            // Clocks of two machines may differ.
            let lag = lag.to_std().unwrap_or_default();
            let histogram = families.lag.with_label_values(&labels);
            histogram.observe(lag.as_secs_f64());
        }
    }

    pub(crate) fn failed(&self, topic: &str, error_type: ErrorType) {
        if let Some(recorder) = &self.recorder {
            let (component, version) = (&recorder.component, &recorder.version);
            let labels = [topic, error_type.label(), component, version];
            recorder.families.errors.with_label_values(&labels).inc();
        }
    }

    pub(crate) fn handled(&self, topic: &str, duration: Duration) {
        if let Some(recorder) = &self.recorder {
            let labels = recorder.labels(topic);
            let histogram = recorder.families.duration.with_label_values(&labels);
            histogram.observe(duration.as_secs_f64());
        }
    }

    pub(crate) fn buried(&self, topic: &str, subscription_id: &str) {
        if let Some(recorder) = &self.recorder {
            let labels = recorder.subscription(topic, subscription_id);
            let family = &recorder.families.dead_lettered;
            family.with_label_values(&labels).inc();
        }
    }

    /// What a broker holds of a subscription.
    pub(crate) fn depth(&self, topic: &str, subscription_id: &str, depth: &SubscriptionDepth) {
        let Some(recorder) = &self.recorder else {
            return;
        };
        let labels = recorder.subscription(topic, subscription_id);
        let families = &recorder.families;
        let figure = |figure: u64| i64::try_from(figure).unwrap_or(i64::MAX);
        let dead_letters = families.dead_letters.with_label_values(&labels);
        dead_letters.set(figure(depth.dead_letters));
        let age = depth
            .oldest_dead_letter
            .and_then(|since| {
                (families.clock)()
                    .signed_duration_since(since)
                    .to_std()
                    .ok()
            })
            .unwrap_or_default();
        let oldest = families.oldest_dead_letter.with_label_values(&labels);
        oldest.set(age.as_secs_f64());
        if let Some(waiting) = depth.waiting {
            let gauge = families.waiting.with_label_values(&labels);
            gauge.set(figure(waiting));
        }
    }
}

/// When a UUID of version 7 was made.
fn time_of(id: &str) -> Option<DateTime<Utc>> {
    let bytes = id.as_bytes();
    let is_version_7 = bytes.len() == 36 && bytes[14] == b'7';
    let hyphens = [8, 13, 18, 23];
    if !is_version_7 || !hyphens.iter().all(|place| bytes[*place] == b'-') {
        return None;
    }
    let milliseconds = format!("{}{}", id.get(..8)?, id.get(9..13)?);
    let milliseconds = i64::from_str_radix(&milliseconds, 16).ok()?;
    DateTime::from_timestamp_millis(milliseconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_of_version_7_tells_its_time() {
        let time = time_of("01a206be-4497-76f4-a843-66c22fed4d4e").unwrap();
        assert_eq!(time.timestamp_millis(), 0x01a2_06be_4497);
        for other in [
            "",
            "evt-1",
            "01a206be-4497-46f4-a843-66c22fed4d4e",
            "01a206be+4497-76f4-a843-66c22fed4d4e",
            "zza206be-4497-76f4-a843-66c22fed4d4e",
            "üüüü-----------7üüüüüüüüüü",
        ] {
            assert_eq!(time_of(other), None, "{other}");
        }
    }
}
