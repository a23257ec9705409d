//! Counting requests by route, method and code.

use std::time::Instant;

use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::http::StatusCode;
use axum::middleware::{self, Next};
use axum::response::Response;
use prometheus::{HistogramOpts, HistogramVec, IntCounterVec, Opts, Registry};

const REQUESTS: (&str, &str) = (
    "hyperfleet_api_requests_total",
    "Answered requests by route, method and code",
);
const DURATION: (&str, &str) = (
    "hyperfleet_api_request_duration_seconds",
    "Time to answer a request, in seconds",
);
const LABELS: [&str; 5] = ["component", "version", "method", "path", "code"];

/// Bounds of the histogram, in seconds.
const BUCKETS: [f64; 11] = [
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];

/// The request metrics of one server.
#[derive(Clone, Debug)]
pub struct HttpMetrics {
    component: String,
    version: String,
    requests: IntCounterVec,
    duration: HistogramVec,
}

impl HttpMetrics {
    /// Registers the metrics.
    ///
    /// # Errors
    /// When they are registered there already.
    pub fn register(
        registry: &Registry,
        component: &str,
        version: &str,
    ) -> Result<Self, prometheus::Error> {
        let requests = IntCounterVec::new(Opts::new(REQUESTS.0, REQUESTS.1), &LABELS)?;
        let options = HistogramOpts::new(DURATION.0, DURATION.1).buckets(BUCKETS.to_vec());
        let duration = HistogramVec::new(options, &LABELS)?;
        registry.register(Box::new(requests.clone()))?;
        registry.register(Box::new(duration.clone()))?;
        Ok(Self {
            component: component.to_owned(),
            version: version.to_owned(),
            requests,
            duration,
        })
    }

    /// Counts what the routes of a router answer.
    pub fn count(&self, router: Router) -> Router {
        router.route_layer(middleware::from_fn_with_state(self.clone(), counted))
    }
}

async fn counted(State(metrics): State<HttpMetrics>, request: Request, next: Next) -> Response {
    let method = request.method().as_str().to_owned();
    let path = request
        .extensions()
        .get::<MatchedPath>()
        .map(|path| template(path.as_str()))
        .unwrap_or_default();
    let started = Instant::now();
    let response = next.run(request).await;
    if response.status() != StatusCode::METHOD_NOT_ALLOWED {
        let code = response.status().as_u16().to_string();
        let labels = [
            metrics.component.as_str(),
            metrics.version.as_str(),
            method.as_str(),
            path.as_str(),
            code.as_str(),
        ];
        metrics.requests.with_label_values(&labels).inc();
        metrics
            .duration
            .with_label_values(&labels)
            .observe(started.elapsed().as_secs_f64());
    }
    response
}

/// The route with each parameter as `-`, so that labels stay bounded.
fn template(path: &str) -> String {
    let segments: Vec<&str> = path
        .split('/')
        .map(|segment| {
            if segment.starts_with('{') {
                "-"
            } else {
                segment
            }
        })
        .collect();
    segments.join("/")
}

#[cfg(test)]
mod tests {
    use super::template;

    #[test]
    fn parameters_are_not_labels() {
        assert_eq!(
            template("/v1/clusters/{id}/statuses"),
            "/v1/clusters/-/statuses"
        );
    }
}
