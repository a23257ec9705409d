//! What arrives is what was published.

use hyperfleet_broker::{Delivery, Envelope, ExtensionValue, Subscription};
use serde_json::{Value, json};

use super::Backend;
use super::support::{Consumer, accept, consume, event, publish};

const TRACEPARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

async fn consumer(backend: &dyn Backend) -> Consumer {
    consume(backend, Subscription::new(backend.topic(), "s"), accept).await
}

/// Publishes an event and checks that it arrives equal, as a first attempt.
async fn arrives(backend: &dyn Backend, sent: Envelope) {
    let mut consumer = consumer(backend).await;
    let topic = backend.topic();
    backend.publisher().publish(&topic, &sent).await.unwrap();
    let expected = Delivery {
        envelope: sent,
        attempt: 1,
    };
    assert_eq!(consumer.next().await, expected);
    consumer.expect_quiet().await;
}

async fn data_arrives(backend: &dyn Backend, data: Value) {
    let mut sent = event("data");
    sent.data = data;
    arrives(backend, sent).await;
}

/// What a handler gets of a body that somebody else wrote.
async fn received(backend: &dyn Backend, attributes: &[(&str, &str)], body: &[u8]) -> Envelope {
    let mut consumer = consumer(backend).await;
    let topic = backend.topic();
    let published = backend.publish_message(&topic, attributes, body).await;
    published.unwrap();
    let delivery = consumer.next().await;
    assert_eq!(delivery.attempt, 1);
    delivery.envelope
}

pub(crate) async fn b019_an_event_arrives_as_it_was_published(backend: &dyn Backend) {
    // Given an event with everything that an event can have
    let mut sent = event("full")
        .with_time("2026-01-02T03:04:05Z".parse().unwrap())
        .with_traceparent(TRACEPARENT);
    sent.data = json!({"list": [1, -2, 0.5, null, true], "nested": {"b": {}, "a": []}});
    sent.subject = Some("cls-1".to_owned());
    sent.dataschema = Some("https://example.com/schema".to_owned());
    let zone = ExtensionValue::String("a".to_owned());
    sent.extensions.insert("zone".to_owned(), zone);
    // Then all of it arrives
    arrives(backend, sent).await;
}

pub(crate) async fn b020_text_of_every_script_arrives(backend: &dyn Backend) {
    data_arrives(
        backend,
        json!({
            "naïve": "Grüße, Καλημέρα, Привет, שלום, مرحبا, नमस्ते, 你好, こんにちは, 안녕",
            "🚀": "👩‍👩‍👧‍👦 🇪🇺 \u{10ffff}",
            "e\u{301}": "combined, and \u{e9} not",
            "\u{202e}reversed": "\u{feff}mark",
        }),
    )
    .await;
}

pub(crate) async fn b021_characters_that_need_escapes_arrive(backend: &dyn Backend) {
    data_arrives(
        backend,
        json!({"<&>": "\u{2028}\u{2029}", "quote\"": "back\\slash /", "control": "\0\u{1}\t\r\n\u{7f}"}),
    )
    .await;
}

pub(crate) async fn b022_a_mebibyte_arrives(backend: &dyn Backend) {
    data_arrives(backend, json!({"text": "x".repeat(1024 * 1024)})).await;
}

pub(crate) async fn b023_two_mebibytes_of_unicode_arrive(backend: &dyn Backend) {
    data_arrives(backend, json!({"text": "ü🚀".repeat(2 * 1024 * 1024 / 6)})).await;
}

pub(crate) async fn b024_many_large_events_at_a_time_arrive(backend: &dyn Backend) {
    // Given twenty events of 200 KiB, each of a letter of its own
    let mut consumer = consumer(backend).await;
    let events: Vec<Envelope> = ('a'..='t')
        .map(|letter| {
            let mut event = event(&letter.to_string());
            event.data = json!({"text": letter.to_string().repeat(200 * 1024)});
            event
        })
        .collect();
    let window = std::num::NonZeroUsize::new(20).unwrap();
    let topic = backend.topic();
    let publisher = backend.publisher();
    for published in publisher.publish_many(&topic, &events, window).await {
        published.unwrap();
    }
    // Then all arrive whole
    let mut arrived = Vec::new();
    for _ in &events {
        arrived.push(consumer.next().await.envelope);
    }
    arrived.sort_by(|one, other| one.id.cmp(&other.id));
    assert!(arrived == events);
}

pub(crate) async fn b025_deep_data_arrives(backend: &dyn Backend) {
    let mut data = json!("core");
    for level in 0..50 {
        data = json!({ format!("level-{level}"): [data] });
    }
    data_arrives(backend, data).await;
}

pub(crate) async fn b026_numbers_at_their_limits_arrive(backend: &dyn Backend) {
    data_arrives(
        backend,
        json!([i64::MIN, i64::MAX, u64::MAX, 0, -1, 0.1, 1.5e300, -2.5e-300]),
    )
    .await;
}

pub(crate) async fn b027_empty_data_stays_what_it_is(backend: &dyn Backend) {
    data_arrives(
        backend,
        json!({"object": {}, "list": [], "text": "", "null": null}),
    )
    .await;
}

pub(crate) async fn b028_an_event_without_data_arrives(backend: &dyn Backend) {
    data_arrives(backend, Value::Null).await;
}

pub(crate) async fn b029_extensions_keep_their_types(backend: &dyn Backend) {
    let mut sent = event("extended");
    for (name, value) in [
        ("text", ExtensionValue::String("1".to_owned())),
        ("number", ExtensionValue::Number(1.into())),
        ("flag", ExtensionValue::Boolean(true)),
        ("empty", ExtensionValue::String(String::new())),
    ] {
        sent.extensions.insert(name.to_owned(), value);
    }
    arrives(backend, sent).await;
}

pub(crate) async fn b030_the_trace_context_arrives(backend: &dyn Backend) {
    arrives(backend, event("traced").with_traceparent(TRACEPARENT)).await;
}

pub(crate) async fn b031_no_trace_context_is_invented(backend: &dyn Backend) {
    let mut consumer = consumer(backend).await;
    publish(backend, &["untraced"]).await;
    let envelope = consumer.next().await.envelope;
    assert_eq!(envelope.traceparent, None);
    assert!(envelope.extensions.is_empty(), "{envelope:?}");
}

pub(crate) async fn b032_the_trace_state_arrives(backend: &dyn Backend) {
    let mut sent = event("traced").with_traceparent(TRACEPARENT);
    let state = ExtensionValue::String("vendor=1,other=ü".to_owned());
    sent.extensions.insert("tracestate".to_owned(), state);
    arrives(backend, sent).await;
}

pub(crate) async fn b033_times_keep_their_fractions(backend: &dyn Backend) {
    arrives(
        backend,
        event("timed").with_time("2026-01-02T03:04:05.000006Z".parse().unwrap()),
    )
    .await;
}

pub(crate) async fn b034_text_of_another_content_type_arrives(backend: &dyn Backend) {
    let mut sent = event("plain");
    sent.datacontenttype = Some("text/plain".to_owned());
    sent.data = json!("hello");
    arrives(backend, sent).await;
}

pub(crate) async fn b035_unusual_ids_arrive(backend: &dyn Backend) {
    let mut consumer = consumer(backend).await;
    for id in ["", " ", "ü/?#&=", &"long".repeat(60)] {
        publish(backend, &[id]).await;
        assert_eq!(consumer.next().await.envelope.id, id);
    }
}

pub(crate) async fn b036_the_body_of_peers_is_understood(backend: &dyn Backend) {
    let body = concat!(
        r#"{"specversion":"1.0","id":"01a206be-4497-76f4-a843-66c22fed4d4e","#,
        r#""source":"hyperfleet-sentinel","type":"com.redhat.hyperfleet.cluster.reconcile","#,
        r#""datacontenttype":"application/json","data":{"generation":1,"#,
        r#""href":"/api/hyperfleet/v1/clusters/cls-1","id":"cls-1","kind":"Cluster"}}"#,
    );
    let envelope = received(backend, &[], body.as_bytes()).await;
    assert_eq!(envelope.r#type, "com.redhat.hyperfleet.cluster.reconcile");
    assert_eq!(envelope.data["kind"], "Cluster");
    assert_eq!(envelope.to_bytes(), body.as_bytes());
}

pub(crate) async fn b037_any_order_and_unknown_extensions_are_understood(backend: &dyn Backend) {
    let body =
        br#" {"data":{"id":"x"},"zone":1,"type":"t","source":"s","specversion":"1.0","id":"i"} "#;
    let envelope = received(backend, &[], body).await;
    assert_eq!(
        (envelope.id.as_str(), &envelope.data),
        ("i", &json!({"id": "x"}))
    );
    assert_eq!(
        envelope.extensions["zone"],
        ExtensionValue::Number(1.into())
    );
}

pub(crate) async fn b038_missing_attributes_are_for_the_handler_to_judge(backend: &dyn Backend) {
    let envelope = received(backend, &[], br#"{"specversion":"1.0"}"#).await;
    assert_eq!(
        (
            envelope.id.as_str(),
            envelope.source.as_str(),
            envelope.r#type.as_str()
        ),
        ("", "", "")
    );
    assert_eq!(envelope.data, Value::Null);
}

pub(crate) async fn b039_the_older_version_is_understood(backend: &dyn Backend) {
    let body = br#"{"specversion":"0.3","id":"i","source":"s","type":"t","data":{"a":1}}"#;
    let envelope = received(backend, &[], body).await;
    assert_eq!(envelope.data, json!({"a": 1}));
}

pub(crate) async fn b040_binary_data_in_structured_mode_is_understood(backend: &dyn Backend) {
    let body = br#"{"specversion":"1.0","id":"i","data_base64":"eyJhIjoxfQ=="}"#;
    let envelope = received(backend, &[], body).await;
    assert_eq!(envelope.data, json!({"a": 1}));
}

pub(crate) async fn b041_binary_mode_is_understood(backend: &dyn Backend) {
    let attributes = [
        ("ce-specversion", "1.0"),
        ("ce-id", "i"),
        ("ce-source", "s"),
        ("ce-type", "t"),
        ("ce-traceparent", TRACEPARENT),
        ("content-type", "application/json"),
    ];
    let envelope = received(backend, &attributes, br#"{"a":1}"#).await;
    let mut expected = Envelope::new("i", "s", "t", json!({"a": 1}));
    expected = expected.with_traceparent(TRACEPARENT);
    assert_eq!(envelope, expected);
}

pub(crate) async fn b042_binary_mode_without_data_is_understood(backend: &dyn Backend) {
    let attributes = [("ce-specversion", "1.0"), ("ce-id", "i")];
    let envelope = received(backend, &attributes, b"").await;
    assert_eq!((envelope.id.as_str(), envelope.data), ("i", Value::Null));
}

pub(crate) async fn b043_binary_mode_with_other_data_is_understood(backend: &dyn Backend) {
    let attributes = [
        ("ce-specversion", "1.0"),
        ("ce-id", "i"),
        ("content-type", "application/octet-stream"),
    ];
    let envelope = received(backend, &attributes, &[0xff, 0x00]).await;
    assert_eq!(envelope.data, json!("/wA="));
}

pub(crate) async fn b044_attributes_of_a_structured_message_mean_nothing(backend: &dyn Backend) {
    let attributes = [
        ("id", "other"),
        ("content-type", "text/plain"),
        ("zone", "a"),
    ];
    let envelope = received(backend, &attributes, &event("own").to_bytes()).await;
    assert_eq!(envelope, event("own"));
}
