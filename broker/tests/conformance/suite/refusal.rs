//! What is no event never reaches a handler, and is kept with the reason.

use hyperfleet_broker::{Outcome, Subscription};

use super::support::{
    SHORT, accept, consume, dead_letters, event, ids, publish, publish_all, subscription,
};
use super::{Backend, Difference};

/// Publishes a message that is no event, then one that is: the handler sees only that, and the other becomes a
/// dead letter with the reason.
async fn refused(backend: &dyn Backend, attributes: &[(&str, &str)], body: &[u8], reason: &str) {
    let subscription = Subscription::new(backend.topic(), "s");
    let mut consumer = consume(backend, subscription, accept).await;
    let topic = backend.topic();
    let published = backend.publish_message(&topic, attributes, body).await;
    published.unwrap();
    publish(backend, &["good"]).await;
    assert_eq!(consumer.next().await.envelope.id, "good");
    let letters = dead_letters(backend, "s", 1).await;
    consumer.expect_quiet().await;
    assert_eq!(letters[0].attempts, 0);
    assert!(letters[0].reason.contains(reason), "{}", letters[0].reason);
    let becomes_structured = backend.differs(Difference::BinaryBecomesStructured);
    if attributes.is_empty() || !becomes_structured {
        assert_eq!(letters[0].body, body);
    }
}

const NOT_JSON: &str = "the body is not an event: the body is not one JSON document";

pub(crate) async fn b045_what_is_not_json_becomes_a_dead_letter(backend: &dyn Backend) {
    refused(backend, &[], b"no event", NOT_JSON).await;
}

pub(crate) async fn b046_bytes_that_are_no_text_become_a_dead_letter(backend: &dyn Backend) {
    refused(backend, &[], &[0xff, 0xfe, 0x00, 0x80], NOT_JSON).await;
}

pub(crate) async fn b047_an_event_with_something_behind_becomes_a_dead_letter(
    backend: &dyn Backend,
) {
    refused(backend, &[], br#"{"specversion":"1.0"} x"#, NOT_JSON).await;
}

pub(crate) async fn b048_an_event_behind_a_mark_becomes_a_dead_letter(backend: &dyn Backend) {
    let body = "\u{feff}{\"specversion\":\"1.0\"}";
    refused(backend, &[], body.as_bytes(), NOT_JSON).await;
}

pub(crate) async fn b049_a_list_becomes_a_dead_letter(backend: &dyn Backend) {
    refused(backend, &[], b"[]", "not a JSON object").await;
}

pub(crate) async fn b050_an_unknown_version_becomes_a_dead_letter(backend: &dyn Backend) {
    let body = br#"{"specversion":"2.0","id":"i"}"#;
    refused(backend, &[], body, r#"specversion is "2.0""#).await;
}

pub(crate) async fn b051_no_version_becomes_a_dead_letter(backend: &dyn Backend) {
    refused(backend, &[], br#"{"id":"i"}"#, "specversion is null").await;
}

pub(crate) async fn b052_attributes_of_a_wrong_type_become_a_dead_letter(backend: &dyn Backend) {
    let body = br#"{"specversion":"1.0","id":5}"#;
    refused(backend, &[], body, r#"attribute "id" is not a string"#).await;
}

pub(crate) async fn b053_a_message_without_a_body(backend: &dyn Backend) {
    if !backend.differs(Difference::EmptyMessagesAreRefused) {
        return refused(backend, &[], b"", NOT_JSON).await;
    }
    let subscription = Subscription::new(backend.topic(), "s");
    backend.subscriber().declare(&subscription).await.unwrap();
    let topic = backend.topic();
    let published = backend.publish_message(&topic, &[], b"").await;
    let error = published.unwrap_err();
    assert!(!error.is_transient(), "{error:?}");
}

pub(crate) async fn b054_a_time_that_is_none_becomes_a_dead_letter(backend: &dyn Backend) {
    let body = br#"{"specversion":"1.0","time":"yesterday"}"#;
    refused(backend, &[], body, "not an RFC 3339 time").await;
}

pub(crate) async fn b055_extensions_that_are_none_become_dead_letters(backend: &dyn Backend) {
    let body = br#"{"specversion":"1.0","my-extension":"x"}"#;
    refused(backend, &[], body, "may only have letters and digits").await;
}

pub(crate) async fn b056_nested_extensions_become_dead_letters(backend: &dyn Backend) {
    let body = br#"{"specversion":"1.0","nested":{}}"#;
    refused(backend, &[], body, "not a string, number or boolean").await;
}

pub(crate) async fn b057_an_event_in_binary_mode_of_an_unknown_version(backend: &dyn Backend) {
    let attributes = [("ce-specversion", "7"), ("ce-id", "i")];
    refused(backend, &attributes, b"{}", r#"specversion is "7""#).await;
    // And it is kept as it was, where the backend has attributes
    let letters = dead_letters(backend, "s", 1).await;
    let is_structured = letters[0].body.starts_with(br#"{""#);
    assert_eq!(
        is_structured,
        backend.differs(Difference::BinaryBecomesStructured)
    );
}

pub(crate) async fn b058_data_that_is_not_of_its_content_type_becomes_a_dead_letter(
    backend: &dyn Backend,
) {
    let body = br#"{"specversion":"1.0","datacontenttype":"text/plain","data":{"a":1}}"#;
    refused(backend, &[], body, "is not a string").await;
}

pub(crate) async fn b059_garbage_among_events_holds_up_none(backend: &dyn Backend) {
    // Given as much garbage as events
    let subscription = Subscription::new(backend.topic(), "s").with_parallelism(2);
    let mut consumer = consume(backend, subscription, accept).await;
    let topic = backend.topic();
    let ids = ids(20);
    for id in &ids {
        let garbage = format!("garbage {id}");
        let published = backend.publish_message(&topic, &[], garbage.as_bytes());
        published.await.unwrap();
        publish(backend, &[id]).await;
    }
    // Then all events are handled, and all garbage is kept, each piece once
    assert_eq!(consumer.next_ids(20).await, ids);
    let letters = dead_letters(backend, "s", 20).await;
    let mut bodies: Vec<_> = letters.into_iter().map(|letter| letter.body).collect();
    bodies.sort();
    bodies.dedup();
    assert_eq!(bodies.len(), 20);
}

pub(crate) async fn b060_what_a_handler_cannot_read_is_its_own_decision(backend: &dyn Backend) {
    // Given a handler that gives up what it cannot read
    let wanted = subscription(backend, "s", 10, SHORT);
    let mut consumer = consume(backend, wanted, |delivery| {
        if delivery.envelope.data.is_null() {
            Outcome::dead_letter("there is no data")
        } else {
            Outcome::Acknowledge
        }
    })
    .await;
    let mut dataless = event("dataless");
    dataless.data = serde_json::Value::Null;
    let topic = backend.topic();
    let published = backend.publisher().publish(&topic, &dataless).await;
    published.unwrap();
    publish_all(backend, &ids(3)).await;
    // Then it saw all, and the one was delivered once
    assert_eq!(
        consumer.next_ids(4).await,
        ["000", "001", "002", "dataless"]
    );
    let letters = dead_letters(backend, "s", 1).await;
    assert_eq!(letters[0].attempts, 1);
    assert_eq!(letters[0].reason, "there is no data");
}
