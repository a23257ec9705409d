//! Telling operators of condition rules that failed: counted each time, logged when it is news.

use hyperfleet_domain::resource::StreamChange;
use prometheus::{IntCounterVec, Opts, Registry};

/// What is counted of condition rules.
#[derive(Clone, Debug)]
pub struct MappingMetrics {
    failures: IntCounterVec,
}

impl MappingMetrics {
    /// Creates the metrics and registers them. The labels are bounded: rules are configuration.
    ///
    /// # Errors
    /// The registry already has metrics of these names.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let failures = IntCounterVec::new(
            Opts::new(
                "hyperfleet_api_condition_mapping_failures_total",
                "Evaluations of a condition rule that failed; its condition says MappingFailed, or is left out for too long a reason.",
            ),
            &["kind", "type"],
        )?;
        registry.register(Box::new(failures.clone()))?;
        Ok(Self { failures })
    }
}

/// Tells of the rules that failed in changes that are in force.
pub(super) fn tell(changes: &[StreamChange], metrics: Option<&MappingMetrics>) {
    for change in changes {
        for failure in &change.mapping_failures {
            if let Some(metrics) = metrics {
                let labels = [failure.kind.as_str(), failure.condition.as_str()];
                metrics.failures.with_label_values(&labels).inc();
            }
            if failure.is_new {
                tracing::warn!(
                    resource.kind = failure.kind,
                    resource.id = change.resource.id,
                    condition.r#type = failure.condition,
                    expression = %failure.part,
                    error = failure.error,
                    "Condition mapping failed"
                );
            }
        }
    }
}
