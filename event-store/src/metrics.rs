//! What the event store counts. Names and help are constants; labels are bounded.

use prometheus::core::Collector;
use prometheus::{
    Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
};

const BATCH_EVENTS: (&str, &str) = (
    "hyperfleet_event_store_batch_events",
    "Events in one committed batch",
);
const BATCH_TRANSACTIONS: (&str, &str) = (
    "hyperfleet_event_store_batch_transactions",
    "Transactions that shared one batch",
);
const QUEUE_LENGTH: (&str, &str) = (
    "hyperfleet_event_store_queue_length",
    "Transactions that wait for their batch",
);
const BATCH_SECONDS: (&str, &str) = (
    "hyperfleet_event_store_batch_duration_seconds",
    "Time from taking a batch to its commit",
);
const CONFLICTS: (&str, &str) = (
    "hyperfleet_event_store_conflicts_total",
    "Transactions that lost, by reason: version, claim or receipt",
);
const FAILURES: (&str, &str) = (
    "hyperfleet_event_store_batch_failures_total",
    "Batches that the database did not take",
);
const PROJECTION_POSITION: (&str, &str) = (
    "hyperfleet_projection_position",
    "Last applied position of a catch-up projection",
);
const PROJECTION_FAILURES: (&str, &str) = (
    "hyperfleet_projection_failures_total",
    "Batches that a catch-up projection could not apply, by class: transient, event or projection",
);

const PARTITIONS: (&str, &str) = (
    "hyperfleet_event_store_partitions",
    "Partitions of the log, by state: live or archived",
);

/// The metrics of one event store.
#[derive(Clone, Debug)]
pub struct StoreMetrics {
    pub(crate) batch_events: Histogram,
    pub(crate) batch_transactions: Histogram,
    pub(crate) batch_seconds: Histogram,
    pub(crate) queue_length: IntGauge,
    pub(crate) conflicts: IntCounterVec,
    pub(crate) failures: IntCounter,
    pub(crate) projection_position: IntGaugeVec,
    pub(crate) projection_failures: IntCounterVec,
    partitions: IntGaugeVec,
}

impl Default for StoreMetrics {
    fn default() -> Self {
        let histogram = |(name, help): (&str, &str), buckets: &[f64]| {
            Histogram::with_opts(HistogramOpts::new(name, help).buckets(buckets.to_vec()))
                .expect("constant options are valid")
        };
        let counters = |(name, help): (&str, &str), labels: &[&str]| {
            IntCounterVec::new(Opts::new(name, help), labels).expect("constant options are valid")
        };
        let sizes = [1., 2., 4., 8., 16., 32., 64., 128., 256., 512., 1024.];
        let seconds = [
            0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1., 2.5,
        ];
        Self {
            batch_events: histogram(BATCH_EVENTS, &sizes),
            batch_transactions: histogram(BATCH_TRANSACTIONS, &sizes),
            batch_seconds: histogram(BATCH_SECONDS, &seconds),
            queue_length: IntGauge::new(QUEUE_LENGTH.0, QUEUE_LENGTH.1)
                .expect("constant options are valid"),
            conflicts: counters(CONFLICTS, &["reason"]),
            failures: IntCounter::new(FAILURES.0, FAILURES.1).expect("constant options are valid"),
            projection_position: IntGaugeVec::new(
                Opts::new(PROJECTION_POSITION.0, PROJECTION_POSITION.1),
                &["projection"],
            )
            .expect("constant options are valid"),
            projection_failures: counters(PROJECTION_FAILURES, &["projection", "class"]),
            partitions: IntGaugeVec::new(Opts::new(PARTITIONS.0, PARTITIONS.1), &["state"])
                .expect("constant options are valid"),
        }
    }
}

impl StoreMetrics {
    /// Every metric, to be registered where they are served.
    pub fn collectors(&self) -> Vec<Box<dyn Collector>> {
        vec![
            Box::new(self.batch_events.clone()),
            Box::new(self.batch_transactions.clone()),
            Box::new(self.batch_seconds.clone()),
            Box::new(self.queue_length.clone()),
            Box::new(self.conflicts.clone()),
            Box::new(self.failures.clone()),
            Box::new(self.projection_position.clone()),
            Box::new(self.projection_failures.clone()),
            Box::new(self.partitions.clone()),
        ]
    }

    /// How many partitions there are.
    pub(crate) fn tell_partitions(&self, live: usize, archived: usize) {
        for (state, count) in [("live", live), ("archived", archived)] {
            let gauge = self.partitions.with_label_values(&[state]);
            gauge.set(i64::try_from(count).unwrap_or(i64::MAX));
        }
    }

    /// Committed batches and their events so far: their ratio is the group commit's gain.
    pub fn batches(&self) -> (u64, f64) {
        (
            self.batch_events.get_sample_count(),
            self.batch_events.get_sample_sum(),
        )
    }
}
