//! Between events and RabbitMQ's messages.
//!
//! An event travels in structured mode: the body is the whole event, and the only header is its id, under the
//! name that existing peers use. All headers are strings, because peers refuse messages with others for ever.
//! Events in binary mode are understood too.

use std::collections::BTreeMap;
use std::time::Duration;

use lapin::BasicProperties;
use lapin::message::Delivery;
use lapin::types::{AMQPValue, FieldTable, LongString, ShortString};

use crate::{Envelope, MalformedEnvelope};

/// The header that existing peers send along: the event's id.
const MESSAGE_UUID: &str = "_watermill_message_uuid";

/// How often a retried event was delivered.
const ATTEMPTS: &str = "hyperfleet_attempts";

/// How often a quorum queue gave an event to consumers that did not answer.
const RETURNS: &str = "x-delivery-count";

/// What starts the names of HyperFleet's own headers, and of the server's.
const PASSING: [&str; 2] = ["hyperfleet_", "x-"];

/// Delivery mode of what survives a restart of the server.
const PERSISTENT: u8 = 2;

/// Text headers of a message.
pub(super) type Headers = BTreeMap<String, String>;

pub(super) fn of_event(envelope: &Envelope) -> BasicProperties {
    let headers = Headers::from([(MESSAGE_UUID.to_owned(), envelope.id.clone())]);
    persistent(Some(&headers))
}

/// The properties of a message that survives a restart of the server.
pub(super) fn persistent(headers: Option<&Headers>) -> BasicProperties {
    let properties = BasicProperties::default().with_delivery_mode(PERSISTENT);
    let Some(headers) = headers else {
        return properties;
    };
    let mut table = FieldTable::default();
    for (name, value) in headers {
        let Ok(name) = ShortString::try_new(name.as_str()) else {
            continue;
        };
        table.insert(
            name,
            AMQPValue::LongString(LongString::from(value.as_str())),
        );
    }
    properties.with_headers(table)
}

/// All headers that are text.
pub(super) fn headers(delivery: &Delivery) -> Headers {
    let table = delivery.properties.headers().as_ref();
    let entries = table.into_iter().flat_map(FieldTable::inner);
    entries
        .filter_map(|(name, value)| match value {
            AMQPValue::LongString(text) => Some((
                name.as_str().to_owned(),
                String::from_utf8_lossy(text.as_bytes()).into_owned(),
            )),
            AMQPValue::ShortString(text) => {
                Some((name.as_str().to_owned(), text.as_str().to_owned()))
            }
            _ => None,
        })
        .collect()
}

/// The headers that came with the event, without those that its way through HyperFleet and the server added.
/// The content type becomes one, so that an event in binary mode stays one.
pub(super) fn original_headers(delivery: &Delivery) -> Headers {
    let mut headers = headers(delivery);
    headers.retain(|name, _| !PASSING.iter().any(|prefix| name.starts_with(prefix)));
    if let Some(content_type) = delivery.properties.content_type() {
        headers
            .entry("content-type".to_owned())
            .or_insert_with(|| content_type.as_str().to_owned());
    }
    headers
}

/// The properties of an event that is to be delivered again, after this many deliveries and this delay.
pub(super) fn to_retry(delivery: &Delivery, attempts: u32, delay: Duration) -> BasicProperties {
    let mut headers = original_headers(delivery);
    headers.insert(ATTEMPTS.to_owned(), attempts.to_string());
    let milliseconds = delay.as_millis().max(1).to_string();
    persistent(Some(&headers)).with_expiration(milliseconds.into())
}

/// Deliveries of an event, this one included.
pub(super) fn attempt(delivery: &Delivery) -> u32 {
    let earlier = headers(delivery)
        .get(ATTEMPTS)
        .and_then(|text| text.parse::<u32>().ok())
        .unwrap_or_default();
    let table = delivery.properties.headers().as_ref();
    let returns = table
        .and_then(|table| table.inner().get(RETURNS))
        .and_then(count);
    let returns = returns.unwrap_or_else(|| u32::from(delivery.redelivered));
    earlier.saturating_add(returns).saturating_add(1)
}

/// A figure, in whichever of the protocol's sizes.
pub(super) fn count(value: &AMQPValue) -> Option<u32> {
    match *value {
        AMQPValue::LongLongInt(figure) => u32::try_from(figure).ok(),
        AMQPValue::LongInt(figure) => u32::try_from(figure).ok(),
        AMQPValue::LongUInt(figure) => Some(figure),
        AMQPValue::ShortInt(figure) => u32::try_from(figure).ok(),
        AMQPValue::ShortUInt(figure) => Some(figure.into()),
        AMQPValue::ShortShortInt(figure) => u32::try_from(figure).ok(),
        AMQPValue::ShortShortUInt(figure) => Some(figure.into()),
        _ => None,
    }
}

/// Reads the event of a message in either mode.
pub(super) fn to_event(delivery: &Delivery) -> Result<Envelope, MalformedEnvelope> {
    let headers = original_headers(delivery);
    let attributes = headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()));
    Envelope::from_message(attributes, &delivery.data)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const ID: &str = "01a206be-4497-76f4-a843-66c22fed4d4e";

    fn cluster_event() -> Envelope {
        Envelope::new(
            ID,
            "hyperfleet-sentinel",
            "com.redhat.hyperfleet.cluster.reconcile",
            json!({"kind": "Cluster", "id": "cls-1"}),
        )
    }

    fn delivery(properties: BasicProperties, redelivered: bool, data: &[u8]) -> Delivery {
        let mut delivery = Delivery::mock(1, "".into(), "".into(), redelivered, data.to_vec());
        delivery.properties = properties;
        delivery
    }

    fn with_header(name: &str, value: AMQPValue) -> BasicProperties {
        let mut table = FieldTable::default();
        table.insert(name.into(), value);
        BasicProperties::default().with_headers(table)
    }

    #[test]
    fn an_event_has_one_header_and_is_persistent() {
        let properties = of_event(&cluster_event());
        let expected = with_header(MESSAGE_UUID, AMQPValue::LongString(ID.into()));
        assert_eq!(properties, expected.with_delivery_mode(2));
    }

    #[test]
    fn attempts_are_those_before_the_retry_and_those_without_an_answer() {
        let body = cluster_event().to_bytes();
        // Given a first delivery, one that a classic queue repeats, and one that a quorum queue repeats
        assert_eq!(
            attempt(&delivery(BasicProperties::default(), false, &body)),
            1
        );
        assert_eq!(
            attempt(&delivery(BasicProperties::default(), true, &body)),
            2
        );
        let returned = with_header(RETURNS, AMQPValue::LongLongInt(3));
        assert_eq!(attempt(&delivery(returned, true, &body)), 4);
        // And one that was retried after four deliveries
        let first = delivery(of_event(&cluster_event()), false, &body);
        let retried = delivery(to_retry(&first, 4, Duration::from_millis(70)), false, &body);
        assert_eq!(attempt(&retried), 5);
        let expires = retried.properties.expiration().as_ref();
        assert_eq!(expires.map(ShortString::as_str), Some("70"));
        // Then the retry keeps what came with the event
        assert_eq!(original_headers(&retried), original_headers(&first));
    }

    #[test]
    fn binary_mode_is_understood_in_the_ways_of_amqp_and_http() {
        for prefix in ["cloudEvents:", "cloudEvents_", "ce-"] {
            let headers = Headers::from(
                [
                    ("specversion", "1.0"),
                    ("id", ID),
                    ("source", "hyperfleet-sentinel"),
                    ("type", "com.redhat.hyperfleet.cluster.reconcile"),
                ]
                .map(|(name, value)| (format!("{prefix}{name}"), value.to_owned())),
            );
            let properties =
                persistent(Some(&headers)).with_content_type("application/json".into());
            let data = br#"{"kind":"Cluster","id":"cls-1"}"#;
            let event = to_event(&delivery(properties, false, data)).unwrap();
            assert_eq!(event, cluster_event());
        }
    }
}
