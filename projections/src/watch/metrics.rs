//! What watches count. Names and help are constants; labels are bounded.

use prometheus::core::Collector;
use prometheus::{Gauge, IntCounter, IntCounterVec, IntGauge, Opts};

const WATCHERS: (&str, &str) = ("hyperfleet_watch_watchers", "Watchers now");
const EVENTS: (&str, &str) = (
    "hyperfleet_watch_events_total",
    "Events delivered to watchers, by type: ADDED, MODIFIED, DELETED, BOOKMARK or ERROR",
);
const REFUSED: (&str, &str) = (
    "hyperfleet_watch_refused_total",
    "Watches that were not begun, by reason: watchers, caller_watchers or expired",
);
const FELL_BEHIND: (&str, &str) = (
    "hyperfleet_watch_fell_behind_total",
    "Watchers that were ended because they did not keep up",
);
const CAUGHT_UP: (&str, &str) = (
    "hyperfleet_watch_log_reads_total",
    "Reads of the log for a single watcher that came back, beyond what the ring holds",
);
const LAG_POSITIONS: (&str, &str) = (
    "hyperfleet_watch_lag_positions",
    "How many positions the reader of the log is behind its end; 0 while nobody watches",
);
const LAG_SECONDS: (&str, &str) = (
    "hyperfleet_watch_lag_seconds",
    "Age of the oldest event that the reader of the log has not handed to watchers; 0 while there is none",
);

/// The metrics of watches.
#[derive(Clone, Debug)]
pub(super) struct WatchMetrics {
    pub(super) watchers: IntGauge,
    pub(super) events: IntCounterVec,
    pub(super) refused: IntCounterVec,
    pub(super) fell_behind: IntCounter,
    pub(super) log_reads: IntCounter,
    pub(super) lag_positions: IntGauge,
    pub(super) lag_seconds: Gauge,
}

impl Default for WatchMetrics {
    fn default() -> Self {
        let gauge = |(name, help): (&str, &str)| {
            IntGauge::new(name, help).expect("constant options are valid")
        };
        let counter = |(name, help): (&str, &str)| {
            IntCounter::new(name, help).expect("constant options are valid")
        };
        let counters = |(name, help): (&str, &str), label: &str| {
            IntCounterVec::new(Opts::new(name, help), &[label]).expect("constant options are valid")
        };
        Self {
            watchers: gauge(WATCHERS),
            events: counters(EVENTS, "type"),
            refused: counters(REFUSED, "reason"),
            fell_behind: counter(FELL_BEHIND),
            log_reads: counter(CAUGHT_UP),
            lag_positions: gauge(LAG_POSITIONS),
            lag_seconds: Gauge::new(LAG_SECONDS.0, LAG_SECONDS.1)
                .expect("constant options are valid"),
        }
    }
}

impl WatchMetrics {
    /// Every metric, to be registered where they are served.
    pub(super) fn collectors(&self) -> Vec<Box<dyn Collector>> {
        vec![
            Box::new(self.watchers.clone()),
            Box::new(self.events.clone()),
            Box::new(self.refused.clone()),
            Box::new(self.fell_behind.clone()),
            Box::new(self.log_reads.clone()),
            Box::new(self.lag_positions.clone()),
            Box::new(self.lag_seconds.clone()),
        ]
    }

    /// The counter of a type of event, to be looked up once and not for each event.
    pub(super) fn delivered(&self, event: &str) -> IntCounter {
        self.events.with_label_values(&[event])
    }
}
