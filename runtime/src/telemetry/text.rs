//! Lines for people: `<time> LEVEL [component] [version] [hostname] message k=v…`.

use std::fmt::Write as _;

use serde_json::{Map, Value};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

use super::Identity;
use super::fields::{self, Fields};
use crate::clock::{Clock, SystemClock};

/// Writes events as lines of text.
pub(super) struct TextLines<W> {
    identity: Identity,
    writer: W,
}

impl<W> TextLines<W> {
    pub(super) fn new(identity: Identity, writer: W) -> Self {
        Self { identity, writer }
    }
}

impl<S, W> Layer<S> for TextLines<W>
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
        let mut fields = fields::of_spans(event, &context);
        fields.extend(Fields::of(event).0);
        let message = fields.remove("message").unwrap_or_default();
        let timestamp = SystemClock
            .now()
            .to_rfc3339_opts(chrono::SecondsFormat::Micros, true);
        let Identity {
            component,
            version,
            hostname,
        } = &self.identity;
        let level = event.metadata().level().as_str();
        let mut line = format!(
            "{timestamp} {level} [{component}] [{version}] [{hostname}] {}",
            on_one_line(message.as_str().unwrap_or_default())
        );
        append(&mut line, &fields);
        line.push('\n');
        // There is nowhere left to report that logs cannot be written.
        let _ = std::io::Write::write_all(&mut self.writer.make_writer(), line.as_bytes());
    }
}

fn append(line: &mut String, fields: &Map<String, Value>) {
    for (name, value) in fields {
        let plain = value
            .as_str()
            .filter(|text| !text.is_empty() && !text.contains([' ', '"', '=', '\n', '\r']));
        // Writing to a String cannot fail.
        let _ = match plain {
            Some(text) => write!(line, " {name}={text}"),
            None => write!(line, " {name}={value}"),
        };
    }
}

fn on_one_line(text: &str) -> String {
    text.replace('\r', "\\r").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn fields_are_written_so_that_they_can_be_told_apart() {
        let mut line = "m".to_owned();
        let fields = json!({"a": "x", "b": "x y", "c": 1, "d": "", "e": {"f": true}});
        append(&mut line, fields.as_object().expect("an object"));
        assert_eq!(line, r#"m a=x b="x y" c=1 d="" e={"f":true}"#);
        assert_eq!(on_one_line("a\nb"), "a\\nb");
    }
}
