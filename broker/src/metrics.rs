//! What a broker counts. Names and labels are those of the existing dashboards.

use std::time::Duration;

use prometheus::{HistogramOpts, HistogramVec, IntCounterVec, Opts, Registry};

/// Handler run times are between a quick look-up and two minutes of work.
const DURATION_BUCKETS: [f64; 9] = [0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0];

/// The metric families of a process, to be created once per registry.
#[derive(Debug, Clone)]
pub struct MetricFamilies {
    published: IntCounterVec,
    consumed: IntCounterVec,
    errors: IntCounterVec,
    duration: HistogramVec,
}

impl MetricFamilies {
    /// Creates the families and registers them.
    ///
    /// # Errors
    /// The registry already has metrics of these names.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let labels = ["topic", "component", "version"];
        let families = Self {
            published: IntCounterVec::new(
                Opts::new(
                    "hyperfleet_broker_messages_published_total",
                    "Events whose publishing was confirmed.",
                ),
                &labels,
            )?,
            consumed: IntCounterVec::new(
                Opts::new(
                    "hyperfleet_broker_messages_consumed_total",
                    "Deliveries, redeliveries and undecodable ones included.",
                ),
                &labels,
            )?,
            errors: IntCounterVec::new(
                Opts::new(
                    "hyperfleet_broker_errors_total",
                    "Failures; error_type is conversion, handler or publish.",
                ),
                &["topic", "error_type", "component", "version"],
            )?,
            duration: HistogramVec::new(
                HistogramOpts::new(
                    "hyperfleet_broker_message_duration_seconds",
                    "How long handlers ran.",
                )
                .buckets(DURATION_BUCKETS.to_vec()),
                &labels,
            )?,
        };
        registry.register(Box::new(families.published.clone()))?;
        registry.register(Box::new(families.consumed.clone()))?;
        registry.register(Box::new(families.errors.clone()))?;
        registry.register(Box::new(families.duration.clone()))?;
        Ok(families)
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

/// Where a backend counts. The default counts nothing.
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

impl BrokerMetrics {
    pub(crate) fn published(&self, topic: &str) {
        if let Some(recorder) = &self.recorder {
            let labels = [topic, &recorder.component, &recorder.version];
            recorder.families.published.with_label_values(&labels).inc();
        }
    }

    pub(crate) fn consumed(&self, topic: &str) {
        if let Some(recorder) = &self.recorder {
            let labels = [topic, &recorder.component, &recorder.version];
            recorder.families.consumed.with_label_values(&labels).inc();
        }
    }

    pub(crate) fn failed(&self, topic: &str, error_type: ErrorType) {
        if let Some(recorder) = &self.recorder {
            let labels = [
                topic,
                error_type.label(),
                &recorder.component,
                &recorder.version,
            ];
            recorder.families.errors.with_label_values(&labels).inc();
        }
    }

    pub(crate) fn handled(&self, topic: &str, duration: Duration) {
        if let Some(recorder) = &self.recorder {
            let labels = [topic, &recorder.component, &recorder.version];
            let histogram = recorder.families.duration.with_label_values(&labels);
            histogram.observe(duration.as_secs_f64());
        }
    }
}
