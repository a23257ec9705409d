//! Conversion to and from the CloudEvents SDK's type.

use cloudevents::event::ExtensionValue as SdkExtensionValue;
use cloudevents::{AttributesReader, Data, Event, EventBuilder, EventBuilderV10};
use serde_json::Value;

use super::{Envelope, ExtensionValue, TRACEPARENT};

/// Why an envelope has no equivalent in the SDK, which insists on the required attributes.
#[derive(Debug, thiserror::Error)]
#[error("the envelope is not a complete CloudEvent")]
pub struct NotConvertible(#[source] cloudevents::event::EventBuilderError);

impl TryFrom<&Envelope> for Event {
    type Error = NotConvertible;

    fn try_from(envelope: &Envelope) -> Result<Self, Self::Error> {
        let mut builder = EventBuilderV10::new()
            .id(envelope.id.as_str())
            .source(envelope.source.as_str())
            .ty(envelope.r#type.as_str());
        if let Some(subject) = &envelope.subject {
            builder = builder.subject(subject.as_str());
        }
        if let Some(time) = envelope.time {
            builder = builder.time(time);
        }
        for (name, value) in &envelope.extensions {
            builder = match value {
                ExtensionValue::String(text) => builder.extension(name, text.as_str()),
                ExtensionValue::Boolean(flag) => builder.extension(name, *flag),
                ExtensionValue::Number(number) => match number.as_i64() {
                    Some(integer) => builder.extension(name, integer),
                    None => builder.extension(name, number.to_string()),
                },
            };
        }
        if let Some(traceparent) = &envelope.traceparent {
            builder = builder.extension(TRACEPARENT, traceparent.as_str());
        }
        let content_type = envelope
            .datacontenttype
            .as_deref()
            .unwrap_or(super::JSON_CONTENT_TYPE);
        if !envelope.data.is_null() {
            let data = Data::Json(envelope.data.clone());
            builder = match &envelope.dataschema {
                Some(schema) => builder.data_with_schema(content_type, schema.as_str(), data),
                None => builder.data(content_type, data),
            };
        }
        builder.build().map_err(NotConvertible)
    }
}

impl From<&Event> for Envelope {
    /// Text and binary data that is not JSON becomes a JSON string (binary with replacement characters).
    fn from(event: &Event) -> Self {
        let data = match event.data() {
            None => Value::Null,
            Some(Data::Json(json)) => json.clone(),
            Some(Data::String(text)) => Value::String(text.clone()),
            Some(Data::Binary(bytes)) => serde_json::from_slice(bytes)
                .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(bytes).into_owned())),
        };
        let mut envelope = Self::new(event.id(), event.source().as_str(), event.ty(), data);
        envelope.datacontenttype = event.datacontenttype().map(ToOwned::to_owned);
        envelope.dataschema = event.dataschema().map(ToString::to_string);
        envelope.subject = event.subject().map(ToOwned::to_owned);
        envelope.time = event.time().copied();
        for (name, value) in event.iter_extensions() {
            match value {
                SdkExtensionValue::String(text) if name == TRACEPARENT => {
                    envelope.traceparent = Some(text.clone());
                }
                SdkExtensionValue::String(text) => {
                    envelope
                        .extensions
                        .insert(name.into(), ExtensionValue::String(text.clone()));
                }
                SdkExtensionValue::Boolean(flag) => {
                    envelope
                        .extensions
                        .insert(name.into(), ExtensionValue::Boolean(*flag));
                }
                SdkExtensionValue::Integer(integer) => {
                    let number = ExtensionValue::Number((*integer).into());
                    envelope.extensions.insert(name.into(), number);
                }
            }
        }
        envelope
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn survives_the_round_trip_through_the_sdk() {
        let mut envelope = Envelope::new("i", "s", "t", json!({"a": [1, "x"]}))
            .with_time("2026-01-02T03:04:05Z".parse().unwrap())
            .with_traceparent("00-1-2-01");
        envelope
            .extensions
            .insert("zone".into(), ExtensionValue::Number(7.into()));
        let event = Event::try_from(&envelope).unwrap();
        assert_eq!(Envelope::from(&event), envelope);
    }

    #[test]
    fn the_sdk_reads_what_is_written() {
        let envelope = Envelope::new("i", "s", "t", json!({"a": 1})).with_traceparent("00-1-2-01");
        let event: Event = serde_json::from_slice(&envelope.to_bytes()).unwrap();
        assert_eq!(Envelope::from(&event), envelope);
    }
}
