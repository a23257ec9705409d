//! What sentinels count. Names and labels of existing dashboards are kept; those of a polling sentinel have
//! the nearest meaning that a queue has.

use std::time::Duration;

use prometheus::{GaugeVec, HistogramOpts, HistogramVec, IntCounterVec, Opts, Registry};

/// Labels that every series has.
const LABELS: [&str; 4] = ["component", "version", "resource_type", "resource_selector"];

/// From a batch in a blink to one that a slow broker holds up.
const CYCLE_BUCKETS: [f64; 11] = [
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];

/// The target is 50 ms; a restart takes seconds.
const LAG_BUCKETS: [f64; 12] = [
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0, 600.0,
];

/// The metric families of a process, to be created once per registry.
#[derive(Debug, Clone)]
pub struct MetricFamilies {
    pending: GaugeVec,
    unselected: GaugeVec,
    oldest_due: GaugeVec,
    published: IntCounterVec,
    skipped: IntCounterVec,
    cycle_duration: HistogramVec,
    queue_errors: IntCounterVec,
    broker_errors: IntCounterVec,
    fenced: IntCounterVec,
    last_cycle: GaugeVec,
    publish_lag: HistogramVec,
}

impl MetricFamilies {
    /// Creates the families and registers them.
    ///
    /// # Errors
    /// The registry already has metrics of these names.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let families = Self {
            pending: gauge(
                registry,
                "pending_resources",
                "Resources of the kind that are due and wait for a sentinel, whatever its selector; of each \
                 priority, 10000 are counted at most.",
            )?,
            unselected: gauge(
                registry,
                "unselected_resources",
                "Resources of the kind that have been due for a minute and that no running sentinel selects; 10000 \
                 are counted at most.",
            )?,
            oldest_due: gauge(
                registry,
                "oldest_due_seconds",
                "How long the longest waiting resource of the kind has been due. When it grows while \
                 sentinels run, no sentinel selects that resource.",
            )?,
            published: counter(
                registry,
                "events_published_total",
                "Events whose publishing was confirmed, by the reason of the decision.",
                "reason",
            )?,
            skipped: counter(
                registry,
                "resources_skipped_total",
                "Due resources that needed no event after all, by reason.",
                "reason",
            )?,
            cycle_duration: histogram(
                registry,
                "poll_duration_seconds",
                "Time from claiming a batch of due resources to completing it.",
                &CYCLE_BUCKETS,
            )?,
            queue_errors: counter(
                registry,
                "api_errors_total",
                "Failures to read or write the reconcile queue; error_type is fetch_error or \
                 complete_error.",
                "error_type",
            )?,
            broker_errors: counter(
                registry,
                "broker_errors_total",
                "Events that were not, or not certainly, published; error_type is publish_error.",
                "error_type",
            )?,
            fenced: {
                let help = "Events published under a claim that had run out and was no longer the \
                            sentinel's: it stood still, and another one may have published the same.";
                let family = IntCounterVec::new(options("fenced_total", help), &LABELS)?;
                registry.register(Box::new(family.clone()))?;
                family
            },
            last_cycle: gauge(
                registry,
                "last_successful_poll_timestamp_seconds",
                "When the queue was last asked successfully.",
            )?,
            publish_lag: histogram(
                registry,
                "publish_lag_seconds",
                "Time from a resource becoming due to the confirmation of its event.",
                &LAG_BUCKETS,
            )?,
        };
        Ok(families)
    }

    /// The same families, written to on behalf of one sentinel.
    pub fn sentinel(&self, version: &str, resource_type: &str, selector: &str) -> SentinelMetrics {
        let labels = ["sentinel", version, resource_type, selector].map(str::to_owned);
        SentinelMetrics {
            recorder: Some(Recorder {
                families: self.clone(),
                labels,
            }),
        }
    }
}

fn options(name: &str, help: &str) -> Opts {
    Opts::new(format!("hyperfleet_sentinel_{name}"), help)
}

fn gauge(registry: &Registry, name: &str, help: &str) -> Result<GaugeVec, prometheus::Error> {
    let family = GaugeVec::new(options(name, help), &LABELS)?;
    registry.register(Box::new(family.clone()))?;
    Ok(family)
}

fn counter(
    registry: &Registry,
    name: &str,
    help: &str,
    label: &str,
) -> Result<IntCounterVec, prometheus::Error> {
    let labels: Vec<&str> = LABELS.into_iter().chain([label]).collect();
    let family = IntCounterVec::new(options(name, help), &labels)?;
    registry.register(Box::new(family.clone()))?;
    Ok(family)
}

fn histogram(
    registry: &Registry,
    name: &str,
    help: &str,
    buckets: &[f64],
) -> Result<HistogramVec, prometheus::Error> {
    let options = HistogramOpts {
        common_opts: options(name, help),
        buckets: buckets.to_vec(),
    };
    let family = HistogramVec::new(options, &LABELS)?;
    registry.register(Box::new(family.clone()))?;
    Ok(family)
}

/// Where one sentinel counts. The default counts nothing.
#[derive(Debug, Clone, Default)]
pub struct SentinelMetrics {
    recorder: Option<Recorder>,
}

#[derive(Debug, Clone)]
struct Recorder {
    families: MetricFamilies,
    labels: [String; 4],
}

impl Recorder {
    fn labels(&self) -> [&str; 4] {
        self.labels.each_ref().map(String::as_str)
    }

    fn labels_and<'a>(&'a self, last: &'a str) -> [&'a str; 5] {
        let [component, version, resource_type, selector] = self.labels();
        [component, version, resource_type, selector, last]
    }
}

impl SentinelMetrics {
    pub(crate) fn published(&self, reason: &str, lag: Duration) {
        if let Some(recorder) = &self.recorder {
            let families = &recorder.families;
            families
                .published
                .with_label_values(&recorder.labels_and(reason))
                .inc();
            let lags = families.publish_lag.with_label_values(&recorder.labels());
            lags.observe(lag.as_secs_f64());
        }
    }

    pub(crate) fn skipped(&self, reason: &str) {
        if let Some(recorder) = &self.recorder {
            recorder
                .families
                .skipped
                .with_label_values(&recorder.labels_and(reason))
                .inc();
        }
    }

    pub(crate) fn queue_failed(&self, error_type: &str) {
        if let Some(recorder) = &self.recorder {
            let labels = recorder.labels_and(error_type);
            recorder
                .families
                .queue_errors
                .with_label_values(&labels)
                .inc();
        }
    }

    pub(crate) fn publish_failed(&self) {
        if let Some(recorder) = &self.recorder {
            let labels = recorder.labels_and("publish_error");
            recorder
                .families
                .broker_errors
                .with_label_values(&labels)
                .inc();
        }
    }

    pub(crate) fn fenced(&self, count: usize) {
        if let Some(recorder) = &self.recorder {
            let family = recorder
                .families
                .fenced
                .with_label_values(&recorder.labels());
            family.inc_by(u64::try_from(count).unwrap_or(u64::MAX));
        }
    }

    pub(crate) fn batch_done(&self, duration: Duration) {
        if let Some(recorder) = &self.recorder {
            let durations = recorder
                .families
                .cycle_duration
                .with_label_values(&recorder.labels());
            durations.observe(duration.as_secs_f64());
        }
    }

    pub(crate) fn queue_asked(&self, unix_seconds: f64) {
        if let Some(recorder) = &self.recorder {
            recorder
                .families
                .last_cycle
                .with_label_values(&recorder.labels())
                .set(unix_seconds);
        }
    }

    pub(crate) fn unselected(&self, count: f64) {
        if let Some(recorder) = &self.recorder {
            recorder
                .families
                .unselected
                .with_label_values(&recorder.labels())
                .set(count);
        }
    }

    pub(crate) fn queue_depth(&self, pending: f64, oldest_due_seconds: f64) {
        if let Some(recorder) = &self.recorder {
            let families = &recorder.families;
            families
                .pending
                .with_label_values(&recorder.labels())
                .set(pending);
            families
                .oldest_due
                .with_label_values(&recorder.labels())
                .set(oldest_due_seconds);
        }
    }
}
