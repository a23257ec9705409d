//! Exporting traces by the OpenTelemetry protocol.
//!
//! Invariants:
//! - nobody waits for the collector: spans wait in a bounded queue, and those that find it full are
//!   dropped and counted;
//! - a collector that is away costs one line in the log until it is back, and nothing else;
//! - at the end of the process what waits is sent, for [`FLUSH_TIMEOUT`] at most.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use opentelemetry::trace::TracerProvider as _;
use opentelemetry::{Context, KeyValue};
use opentelemetry_otlp::tonic_types::metadata::MetadataMap;
use opentelemetry_otlp::{
    Protocol, SpanExporter as OtlpExporter, WithExportConfig as _, WithHttpConfig as _,
    WithTonicConfig as _,
};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, Sampler, SdkTracer, SdkTracerProvider, Span, SpanData,
    SpanExporter, SpanProcessor,
};
use prometheus::{IntCounterVec, Opts, Registry};
use tracing::Subscriber;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::registry::LookupSpan;

/// Spans that wait for the collector at most: about two megabytes.
const QUEUE_SIZE: usize = 4096;

/// Spans in one message.
const BATCH_SIZE: usize = 512;

/// How long a span waits for others.
const BATCH_DELAY: Duration = Duration::from_secs(1);

/// How long one message to the collector may take.
const EXPORT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long the last spans may take to leave the process.
pub const FLUSH_TIMEOUT: Duration = Duration::from_secs(5);

/// Spans of these names are requests of probes and scrapers, every few seconds and never of interest.
const QUIET_SPANS: [&str; 1] = ["probe"];

/// The provider of this process, kept to be ended.
static PROVIDER: OnceLock<SdkTracerProvider> = OnceLock::new();

/// How to export traces.
#[derive(Clone, Debug)]
pub struct TraceOptions {
    /// `service.name` of the exported spans.
    pub service_name: String,
    /// `service.version` of the exported spans.
    pub version: String,
    /// The collector: a base URL, to which `http/protobuf` adds `/v1/traces`.
    pub endpoint: String,
    /// How to talk to it.
    pub protocol: TraceProtocol,
    /// Headers of every message to it, such as an API key.
    pub headers: Vec<(String, String)>,
    /// Which traces to export.
    pub sampler: TraceSampler,
    /// More attributes of whoever exports.
    pub resource_attributes: Vec<(String, String)>,
    /// Where spans are counted.
    pub metrics: Option<TraceMetrics>,
}

/// The transport of the OpenTelemetry protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TraceProtocol {
    /// `grpc`.
    Grpc,
    /// `http/protobuf`.
    HttpProtobuf,
}

/// Which traces are exported. What decides at the start of a trace holds for all of it where a parent is
/// heeded.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TraceSampler {
    /// Whether the decision of the caller's span is taken over.
    pub heeds_parent: bool,
    /// The share of traces, from 0 to 1.
    pub ratio: f64,
}

impl TraceSampler {
    fn sampler(self) -> Sampler {
        let own = Sampler::TraceIdRatioBased(self.ratio);
        if self.heeds_parent {
            Sampler::ParentBased(Box::new(own))
        } else {
            own
        }
    }
}

/// Counts exported spans.
#[derive(Clone, Debug)]
pub struct TraceMetrics {
    spans: IntCounterVec,
}

impl TraceMetrics {
    /// Registers the metrics.
    ///
    /// # Errors
    /// When they are registered there already.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let options = Opts::new(
            "hyperfleet_trace_spans_total",
            "Spans by what became of them: exported, failed (the collector did not take them) or dropped (the queue was full)",
        );
        let spans = IntCounterVec::new(options, &["result"])?;
        registry.register(Box::new(spans.clone()))?;
        for result in ["exported", "failed", "dropped"] {
            spans.with_label_values(&[result]);
        }
        Ok(Self { spans })
    }
}

/// Why traces cannot be exported.
#[derive(Debug, thiserror::Error)]
pub enum TraceError {
    /// The exporter refused its settings.
    #[error(
        "cannot export traces to {endpoint:?}: check tracing.endpoint (OTEL_EXPORTER_OTLP_ENDPOINT) and tracing.protocol"
    )]
    Exporter {
        /// The collector.
        endpoint: String,
        /// What is wrong.
        #[source]
        source: opentelemetry_otlp::ExporterBuildError,
    },
    /// A header cannot be sent.
    #[error(
        "the header {name:?} of tracing.headers (OTEL_EXPORTER_OTLP_HEADERS) cannot be sent: names are letters, digits and dashes, values are printable ASCII"
    )]
    Header {
        /// Its name.
        name: String,
    },
}

/// The layer that turns spans into exported ones. To be made inside the asynchronous runtime.
pub(super) fn layer<S>(options: &TraceOptions) -> Result<impl Layer<S> + use<S>, TraceError>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    let provider = provider(options)?;
    let tracer: SdkTracer = provider.tracer("hyperfleet");
    // Only one provider is ever set up, because logging is set up once.
    let _ = PROVIDER.set(provider);
    let layer = tracing_opentelemetry::layer()
        .with_tracer(tracer)
        .with_location(false)
        .with_threads(false)
        .with_tracked_inactivity(false)
        .with_context_activation(false);
    Ok(layer.with_filter(filter_fn(|metadata| {
        metadata.is_span()
            && metadata.target().starts_with("hyperfleet")
            && !QUIET_SPANS.contains(&metadata.name())
    })))
}

/// Whether this process exports traces.
pub fn is_exporting() -> bool {
    PROVIDER.get().is_some()
}

/// Sends what waits and ends the export.
pub async fn finish() {
    let Some(provider) = PROVIDER.get() else {
        return;
    };
    // It blocks its thread until the collector answered.
    let ended = tokio::task::spawn_blocking(|| provider.shutdown_with_timeout(FLUSH_TIMEOUT)).await;
    if let Ok(Err(error)) = ended {
        tracing::warn!(
            error = &error as &dyn std::error::Error,
            "the last spans were not exported"
        );
    }
}

fn provider(options: &TraceOptions) -> Result<SdkTracerProvider, TraceError> {
    let state = Arc::new(State::default());
    let exporter = Counted {
        inner: exporter(options)?,
        endpoint: options.endpoint.clone(),
        metrics: options.metrics.clone(),
        state: Arc::clone(&state),
    };
    let batches = BatchConfigBuilder::default()
        // Above what `Bounded` lets in, so that nothing is dropped where it is not counted.
        .with_max_queue_size(QUEUE_SIZE * 2)
        .with_max_export_batch_size(BATCH_SIZE)
        .with_scheduled_delay(BATCH_DELAY)
        .build();
    let processor = Bounded {
        inner: BatchSpanProcessor::builder(exporter)
            .with_batch_config(batches)
            .build(),
        metrics: options.metrics.clone(),
        state,
    };
    let given = options.resource_attributes.iter();
    let attributes = given
        .map(|(name, value)| KeyValue::new(name.clone(), value.clone()))
        .chain([
            KeyValue::new("service.name", options.service_name.clone()),
            KeyValue::new("service.version", options.version.clone()),
            KeyValue::new("host.name", super::hostname()),
        ]);
    Ok(SdkTracerProvider::builder()
        .with_span_processor(processor)
        .with_sampler(options.sampler.sampler())
        .with_resource(
            Resource::builder_empty()
                .with_attributes(attributes)
                .build(),
        )
        .build())
}

fn exporter(options: &TraceOptions) -> Result<OtlpExporter, TraceError> {
    let built = match options.protocol {
        TraceProtocol::Grpc => OtlpExporter::builder()
            .with_tonic()
            .with_endpoint(&options.endpoint)
            .with_timeout(EXPORT_TIMEOUT)
            .with_metadata(metadata(&options.headers)?)
            .build(),
        TraceProtocol::HttpProtobuf => {
            metadata(&options.headers)?;
            let headers: HashMap<String, String> = options.headers.iter().cloned().collect();
            OtlpExporter::builder()
                .with_http()
                .with_protocol(Protocol::HttpBinary)
                .with_endpoint(traces_url(&options.endpoint))
                .with_timeout(EXPORT_TIMEOUT)
                .with_headers(headers)
                .build()
        }
    };
    built.map_err(|source| TraceError::Exporter {
        endpoint: options.endpoint.clone(),
        source,
    })
}

/// The address that takes traces, below a base URL.
fn traces_url(base: &str) -> String {
    format!("{}/v1/traces", base.trim_end_matches('/'))
}

fn metadata(headers: &[(String, String)]) -> Result<MetadataMap, TraceError> {
    let mut map = axum::http::HeaderMap::new();
    for (name, value) in headers {
        let bad = || TraceError::Header { name: name.clone() };
        let key = axum::http::HeaderName::try_from(name.as_str()).map_err(|_| bad())?;
        let value = axum::http::HeaderValue::from_str(value).map_err(|_| bad())?;
        map.insert(key, value);
    }
    Ok(MetadataMap::from_headers(map))
}

/// What the two ends of the queue share.
#[derive(Debug, Default)]
struct State {
    /// Spans that ended and were neither exported nor given up.
    waiting: AtomicUsize,
    /// Whether the last message failed.
    is_failing: AtomicBool,
}

/// Lets at most [`QUEUE_SIZE`] spans wait.
#[derive(Debug)]
struct Bounded {
    inner: BatchSpanProcessor,
    metrics: Option<TraceMetrics>,
    state: Arc<State>,
}

impl SpanProcessor for Bounded {
    fn on_start(&self, span: &mut Span, context: &Context) {
        self.inner.on_start(span, context);
    }

    fn on_end(&self, span: SpanData) {
        if !span.span_context.is_sampled() {
            return;
        }
        if self.state.waiting.fetch_add(1, Ordering::Relaxed) >= QUEUE_SIZE {
            self.state.waiting.fetch_sub(1, Ordering::Relaxed);
            count(self.metrics.as_ref(), "dropped", 1);
            return;
        }
        self.inner.on_end(span);
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.inner.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.inner.set_resource(resource);
    }
}

/// Sends spans, and tells once when that begins and ends to fail.
#[derive(Debug)]
struct Counted {
    inner: OtlpExporter,
    endpoint: String,
    metrics: Option<TraceMetrics>,
    state: Arc<State>,
}

impl SpanExporter for Counted {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let size = batch.len();
        let sent = self.inner.export(batch).await;
        self.state.waiting.fetch_sub(size, Ordering::Relaxed);
        let was_failing = self.state.is_failing.swap(sent.is_err(), Ordering::Relaxed);
        let result = match &sent {
            Ok(()) => {
                if was_failing {
                    tracing::info!(endpoint = self.endpoint, "traces are exported again");
                }
                "exported"
            }
            Err(error) => {
                if !was_failing {
                    tracing::warn!(
                        endpoint = self.endpoint,
                        error = error as &dyn std::error::Error,
                        "traces are not exported: the collector does not take them"
                    );
                }
                "failed"
            }
        };
        count(self.metrics.as_ref(), result, size);
        sent
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.inner.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.inner.set_resource(resource);
    }
}

fn count(metrics: Option<&TraceMetrics>, result: &str, spans: usize) {
    if let Some(metrics) = metrics {
        metrics
            .spans
            .with_label_values(&[result])
            .inc_by(u64::try_from(spans).unwrap_or(u64::MAX));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_of_traces_is_below_the_collector() {
        for base in ["http://collector:4318", "http://collector:4318/"] {
            assert_eq!(traces_url(base), "http://collector:4318/v1/traces");
        }
    }

    #[test]
    fn a_header_that_cannot_be_sent_is_named() {
        let bad = [("x api".to_owned(), "v".to_owned())];
        let error = metadata(&bad).expect_err("a space is not allowed");
        assert!(error.to_string().contains("\"x api\""), "{error}");
    }
}
