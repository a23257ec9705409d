//! `tracing`: whether, where and how traces are exported. The names of the variables are OpenTelemetry's.

use std::collections::BTreeMap;

use hyperfleet_runtime::config::{ConfigError, Settings, Sources};
use hyperfleet_runtime::telemetry::{TraceMetrics, TraceOptions, TraceProtocol, TraceSampler};

use super::keys;

/// The settings of a role that reads no configuration file of the API.
pub(crate) fn of_environment(variables: BTreeMap<String, String>) -> Result<Settings, ConfigError> {
    let is_ours = |name: &str| name.starts_with("OTEL_") || name.starts_with("HYPERFLEET_TRACING_");
    let environment = variables.into_iter().filter(|(name, _)| is_ours(name));
    Sources {
        environment: environment.collect(),
        ..Sources::default()
    }
    .read(keys::KEYS)
}

/// How to export traces; `None` when no collector is named, or export is off. `name` is that of the role, used
/// when nothing else names it.
pub(crate) fn options(
    settings: &Settings,
    name: &str,
    metrics: Option<TraceMetrics>,
) -> Result<Option<TraceOptions>, ConfigError> {
    let sampler = sampler(settings)?;
    let headers = pairs(
        settings,
        "tracing.headers",
        &settings.text("tracing.headers"),
    )?;
    let attributes = settings.text("tracing.resource_attributes");
    let resource_attributes = pairs(settings, "tracing.resource_attributes", &attributes)?;
    let heeds_parent = propagates(settings)? && sampler.heeds_parent;
    let endpoint = endpoint(settings)?;
    let Some(endpoint) = endpoint.filter(|_| is_enabled(settings)) else {
        return Ok(None);
    };
    let service_name = if settings.is_set("tracing.service_name") {
        settings.text("tracing.service_name")
    } else {
        name.to_owned()
    };
    Ok(Some(TraceOptions {
        service_name,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        endpoint,
        protocol: match settings.text("tracing.protocol").as_str() {
            "grpc" => TraceProtocol::Grpc,
            _ => TraceProtocol::HttpProtobuf,
        },
        headers,
        sampler: TraceSampler {
            heeds_parent,
            ..sampler
        },
        resource_attributes,
        metrics,
    }))
}

fn is_enabled(settings: &Settings) -> bool {
    let old_name = "logging.otel.enabled";
    if !settings.is_set("tracing.enabled") && settings.is_set(old_name) {
        return settings.boolean(old_name);
    }
    settings.boolean("tracing.enabled")
}

/// The base URL of the collector.
fn endpoint(settings: &Settings) -> Result<Option<String>, ConfigError> {
    const KEY: &str = "tracing.endpoint";
    let Some(text) = settings.given(KEY) else {
        return Ok(None);
    };
    let is_url = text
        .parse::<reqwest::Url>()
        .is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.host_str().is_some());
    if !is_url {
        return Err(settings.invalid(
            KEY,
            format!(
                "is {text:?}; it must be an http:// or https:// URL, e.g. http://collector:4317"
            ),
        ));
    }
    // The variable for traces alone holds the whole address.
    let base = text.trim_end_matches('/').trim_end_matches("/v1/traces");
    Ok(Some(base.to_owned()))
}

fn sampler(settings: &Settings) -> Result<TraceSampler, ConfigError> {
    const ARGUMENT: &str = "tracing.sampler_argument";
    let name = settings.text("tracing.sampler");
    let text = settings.text(ARGUMENT);
    let ratio = text.parse::<f64>().ok();
    let Some(ratio) = ratio.filter(|ratio| (0.0..=1.0).contains(ratio)) else {
        let problem = format!("is {text:?}; it must be a share of traces, a number from 0 to 1");
        return Err(settings.invalid(ARGUMENT, problem));
    };
    let plain = name.strip_prefix("parentbased_");
    Ok(TraceSampler {
        heeds_parent: plain.is_some(),
        ratio: match plain.unwrap_or(&name) {
            "always_on" => 1.0,
            "always_off" => 0.0,
            _ => ratio,
        },
    })
}

/// Whether callers' traces go on. Baggage is accepted and passed by: nothing here reads it.
fn propagates(settings: &Settings) -> Result<bool, ConfigError> {
    const KEY: &str = "tracing.propagators";
    let names = settings.list(KEY);
    let known = ["tracecontext", "baggage", "none"];
    if let Some(other) = names.iter().find(|name| !known.contains(&name.as_str())) {
        let problem = format!("has {other:?}; known are {}", known.join(", "));
        return Err(settings.invalid(KEY, problem));
    }
    Ok(names.iter().any(|name| name == "tracecontext"))
}

/// `a=1,b=2`, with values percent-encoded, as OpenTelemetry writes headers and attributes.
fn pairs(settings: &Settings, key: &str, text: &str) -> Result<Vec<(String, String)>, ConfigError> {
    let parts = text.split(',').map(str::trim);
    let parts = parts.filter(|part| !part.is_empty());
    parts
        .map(|part| {
            let pair = part
                .split_once('=')
                .filter(|(name, _)| !name.trim().is_empty());
            let Some((name, value)) = pair else {
                // Not quoted: it may be a secret.
                let problem = "must be name=value, several separated by commas";
                return Err(settings.invalid(key, problem));
            };
            let value = percent_encoding::percent_decode_str(value.trim());
            let value = value.decode_utf8_lossy().into_owned();
            Ok((name.trim().to_owned(), value))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<Option<TraceOptions>, ConfigError> {
        let variables = variables.iter();
        let variables = variables.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let settings = of_environment(variables.collect())?;
        options(&settings, "hyperfleet-sentinel", None)
    }

    const ENDPOINT: (&str, &str) = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4317");

    #[test]
    fn without_a_collector_nothing_is_exported() {
        assert!(read(&[]).unwrap().is_none());
        assert!(
            read(&[ENDPOINT, ("HYPERFLEET_TRACING_ENABLED", "false")])
                .unwrap()
                .is_none()
        );
        assert!(
            read(&[ENDPOINT, ("HYPERFLEET_LOGGING_OTEL_ENABLED", "false")])
                .unwrap()
                .is_some()
        );
    }

    #[test]
    fn the_variables_of_opentelemetry_are_understood() {
        let options = read(&[
            (
                "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
                "https://collector:4318/v1/traces",
            ),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "api-key=a%20b, x-team=fleet"),
            ("OTEL_TRACES_SAMPLER", "traceidratio"),
            ("OTEL_TRACES_SAMPLER_ARG", "0.25"),
            ("OTEL_RESOURCE_ATTRIBUTES", "k8s.namespace.name=hyperfleet"),
            ("OTEL_SERVICE_NAME", "mine"),
        ]);
        let options = options.unwrap().unwrap();
        assert_eq!(options.endpoint, "https://collector:4318");
        assert_eq!(options.protocol, TraceProtocol::HttpProtobuf);
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(
            options.headers,
            [pair("api-key", "a b"), pair("x-team", "fleet")]
        );
        assert_eq!(
            options.resource_attributes,
            [pair("k8s.namespace.name", "hyperfleet")]
        );
        let expected = TraceSampler {
            heeds_parent: false,
            ratio: 0.25,
        };
        assert_eq!(options.sampler, expected);
        assert_eq!(options.service_name, "mine");
    }

    #[test]
    fn defaults_follow_the_role() {
        let options = read(&[ENDPOINT]).unwrap().unwrap();
        assert_eq!(options.service_name, "hyperfleet-sentinel");
        assert_eq!(options.protocol, TraceProtocol::Grpc);
        let expected = TraceSampler {
            heeds_parent: true,
            ratio: 1.0,
        };
        assert_eq!(options.sampler, expected);
    }

    #[test]
    fn what_cannot_work_is_named() {
        for (variable, value, named) in [
            (
                "OTEL_EXPORTER_OTLP_ENDPOINT",
                "collector:4317",
                "tracing.endpoint",
            ),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "thrift", "tracing.protocol"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "secret", "tracing.headers"),
            ("OTEL_TRACES_SAMPLER", "sometimes", "tracing.sampler"),
            ("OTEL_TRACES_SAMPLER_ARG", "1.5", "tracing.sampler_argument"),
            ("OTEL_PROPAGATORS", "b3", "tracing.propagators"),
            (
                "OTEL_RESOURCE_ATTRIBUTES",
                "=x",
                "tracing.resource_attributes",
            ),
        ] {
            let error = read(&[(variable, value)]).unwrap_err().to_string();
            assert!(error.contains(named), "{variable}: {error}");
            assert!(error.contains(variable), "{variable}: {error}");
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
