//! One JSON object a line, with the keys of the API contract: `timestamp`, `level`, `source`, `message`,
//! `component`, `version`, `hostname`, then the fields of the event and of the spans around it.
//!
//! Invariants: a line is always one valid JSON object; a field of an event wins over a field of the
//! same name of a span, and an inner span over an outer one.

use serde_json::{Map, Value};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

use super::Identity;
use super::fields::{self, Fields};
use crate::clock::{Clock, SystemClock};

/// Writes events as JSON lines.
pub(super) struct JsonLines<W> {
    identity: Identity,
    writer: W,
}

impl<W> JsonLines<W> {
    pub(super) fn new(identity: Identity, writer: W) -> Self {
        Self { identity, writer }
    }

    fn head(&self, event: &Event<'_>) -> Map<String, Value> {
        let metadata = event.metadata();
        let source = match (metadata.file(), metadata.line()) {
            (Some(file), Some(line)) => format!("{file}:{line}"),
            _ => metadata.target().to_owned(),
        };
        let timestamp = SystemClock
            .now()
            .to_rfc3339_opts(chrono::SecondsFormat::Micros, true);
        [
            ("timestamp", timestamp),
            ("level", metadata.level().as_str().to_ascii_lowercase()),
            ("source", source),
            ("component", self.identity.component.clone()),
            ("version", self.identity.version.clone()),
            ("hostname", self.identity.hostname.clone()),
        ]
        .into_iter()
        .map(|(key, value)| (key.to_owned(), Value::String(value)))
        .collect()
    }
}

impl<S, W> Layer<S> for JsonLines<W>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: for<'a> MakeWriter<'a> + 'static,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        fields::keep(attributes, id, &context);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        fields::add(id, values, &context);
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut line = self.head(event);
        line.extend(fields::of_spans(event, &context));
        line.extend(Fields::of(event).0);
        if *event.metadata().level() == Level::ERROR {
            line.insert("stack_trace".to_owned(), stack(event, &context));
        }
        let mut text = Value::Object(line).to_string();
        text.push('\n');
        // There is nowhere left to report that logs cannot be written.
        let _ = std::io::Write::write_all(&mut self.writer.make_writer(), text.as_bytes());
    }
}

/// Where an error was logged, and in which spans, innermost first. A trace of return addresses would show
/// the executor instead of what was asked for, and cost milliseconds.
fn stack<S>(event: &Event<'_>, context: &Context<'_, S>) -> Value
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    let place = |metadata: &Metadata<'_>| match (metadata.file(), metadata.line()) {
        (Some(file), Some(line)) => format!(" ({file}:{line})"),
        _ => String::new(),
    };
    let metadata = event.metadata();
    let mut frames = vec![format!("{}{}", metadata.target(), place(metadata))];
    if let Some(scope) = context.event_scope(event) {
        frames.extend(scope.map(|span| format!("{}{}", span.name(), place(span.metadata()))));
    }
    Value::from(frames)
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("not poisoned").write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn lines_of(logging: impl FnOnce()) -> Vec<Value> {
        let lines = Lines::default();
        let writer = lines.clone();
        let identity = Identity {
            component: "api".to_owned(),
            version: "1.2.3".to_owned(),
            hostname: "here".to_owned(),
        };
        let layer = JsonLines::new(identity, move || writer.clone());
        let subscriber = tracing_subscriber::registry().with(layer);
        tracing::subscriber::with_default(subscriber, logging);
        let bytes = lines.0.lock().expect("not poisoned").clone();
        let text = String::from_utf8(bytes).expect("text");
        text.lines()
            .map(|line| serde_json::from_str(line).expect("one JSON object a line"))
            .collect()
    }

    #[test]
    fn a_line_has_the_keys_of_the_contract_and_the_fields_of_its_spans() {
        let lines = lines_of(|| {
            let outer = tracing::info_span!("request", request_id = "r-1", path = "/outer");
            let _outer = outer.enter();
            let inner =
                tracing::info_span!("command", path = "/inner", late = tracing::field::Empty);
            inner.record("late", 7);
            let _inner = inner.enter();
            tracing::warn!(
                duration_ms = 12_u128,
                ok = true,
                "HTTP request completed\nreally"
            );
        });
        let [line] = lines.as_slice() else {
            unreachable!("one event was logged: {lines:?}")
        };
        for (key, expected) in [
            ("level", "warn"),
            ("component", "api"),
            ("version", "1.2.3"),
            ("hostname", "here"),
            ("message", "HTTP request completed\nreally"),
            ("request_id", "r-1"),
            ("path", "/inner"),
        ] {
            assert_eq!(line[key], expected, "{key} of {line}");
        }
        assert_eq!(line["duration_ms"], 12);
        assert_eq!(line["ok"], true);
        assert_eq!(line["late"], 7);
        let source = line["source"].as_str().expect("a source");
        assert!(source.contains("json.rs:"), "{source}");
        let timestamp = line["timestamp"].as_str().expect("a timestamp");
        assert!(timestamp.ends_with('Z'), "{timestamp}");
        assert!(line.get("stack_trace").is_none(), "{line}");
    }

    #[test]
    fn an_error_says_where_and_headers_are_an_object() {
        let lines = lines_of(|| {
            let request = tracing::info_span!("request", request_id = "r-1");
            let _request = request.enter();
            tracing::error!(headers = "{\"a\":\"b\"}", error = "oops", "failed");
        });
        let frames = lines[0]["stack_trace"].as_array().expect("a list");
        assert_eq!(frames.len(), 2, "{frames:?}");
        assert!(
            frames[1]
                .as_str()
                .is_some_and(|frame| frame.starts_with("request ("))
        );
        assert_eq!(lines[0]["headers"]["a"], "b");
        assert_eq!(lines[0]["error"], "oops");
    }
}
