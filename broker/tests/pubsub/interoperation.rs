//! Both ways between HyperFleet and peers that use Pub/Sub directly.

use google_cloud_pubsub::model::{self, Message};
use hyperfleet_broker::{Envelope, Outcome, Publisher as _, Subscription};
use serde_json::json;

use crate::support::{SUBSCRIPTION, TOPIC, attributes, consume, project};

const ID: &str = "01a206be-4497-76f4-a843-66c22fed4d4e";
const TRACE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const BODY: &str = concat!(
    r#"{"specversion":"1.0","id":"01a206be-4497-76f4-a843-66c22fed4d4e","#,
    r#""source":"hyperfleet-sentinel","type":"com.redhat.hyperfleet.cluster.reconcile","#,
    r#""datacontenttype":"application/json","data":{"generation":1,"#,
    r#""href":"/api/hyperfleet/v1/clusters/cls-1","id":"cls-1","kind":"Cluster"}}"#,
);

fn reconcile_event() -> Envelope {
    Envelope::new(
        ID,
        "hyperfleet-sentinel",
        "com.redhat.hyperfleet.cluster.reconcile",
        json!({
            "id": "cls-1", "kind": "Cluster",
            "href": "/api/hyperfleet/v1/clusters/cls-1", "generation": 1,
        }),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_receives_the_documented_bytes() {
    let Some(project) = project() else { return };
    // Given a peer's subscription
    project.create_topic(TOPIC).await;
    let peers = model::Subscription::new()
        .set_name(project.subscription(SUBSCRIPTION))
        .set_topic(project.topic(TOPIC));
    project.create_subscription(peers).await;
    // When an event is published
    let broker = project.broker().await;
    broker.publish(TOPIC, &reconcile_event()).await.unwrap();
    // Then the message is the documented one to the byte: structured event, one attribute, no ordering key
    let message = project.receive_bare(SUBSCRIPTION).await;
    assert_eq!(message.data, BODY.as_bytes());
    assert_eq!(message.data.len(), 279);
    assert_eq!(
        message.attributes,
        attributes(&[("_watermill_message_uuid", ID)])
    );
    assert_eq!(message.ordering_key, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn peers_events_are_consumed() {
    let Some(project) = project() else { return };
    let broker = project.broker().await;
    let subscription = Subscription::new(TOPIC, SUBSCRIPTION);
    let mut consumer = consume(&broker, subscription, |_| Outcome::Acknowledge).await;
    let traced = BODY.replace(
        "\"Cluster\"}}",
        &format!("\"Cluster\"}},\"traceparent\":\"{TRACE}\"}}"),
    );
    let binary_data = r#"{"generation":1,"href":"/api/hyperfleet/v1/clusters/cls-1","id":"cls-1","kind":"Cluster"}"#;
    let binary = [
        ("ce-specversion", "1.0"),
        ("ce-id", ID),
        ("ce-source", "hyperfleet-sentinel"),
        ("ce-type", "com.redhat.hyperfleet.cluster.reconcile"),
        ("ce-traceparent", TRACE),
        ("content-type", "application/json"),
    ];
    let watermill = [("_watermill_message_uuid", ID)];
    for (message, expected) in [
        // As peers emit it, with and without trace
        (
            Message::new().set_data(BODY).set_attributes(watermill),
            reconcile_event(),
        ),
        (
            Message::new().set_data(traced).set_attributes(watermill),
            reconcile_event().with_traceparent(TRACE),
        ),
        // Without the attribute
        (Message::new().set_data(BODY), reconcile_event()),
        // In binary mode
        (
            Message::new().set_data(binary_data).set_attributes(binary),
            reconcile_event().with_traceparent(TRACE),
        ),
    ] {
        project.publish_bare(message).await;
        assert_eq!(consumer.next().await.envelope, expected);
    }
    consumer.stop().await;
}
