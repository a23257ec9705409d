//! Between events and Pub/Sub's messages.
//!
//! An event travels in structured mode: the data is the whole event, and the only attribute is its id, under
//! the name that existing peers use. Events in binary mode, whose attributes are message attributes, are
//! understood too.

use std::collections::HashMap;

use google_cloud_pubsub::model::Message;

use crate::{Envelope, MalformedEnvelope};

/// The attribute that existing peers send along: the event's id.
const MESSAGE_UUID: &str = "_watermill_message_uuid";

/// Names the one subscription that a requeued event is for; all others pass over it.
const ONLY_SUBSCRIPTION: &str = "hyperfleet_only_subscription";

pub(super) fn of_event(envelope: &Envelope) -> Message {
    Message::new()
        .set_data(envelope.to_bytes())
        .set_attributes([(MESSAGE_UUID, envelope.id.as_str())])
}

/// The message again, for one subscription only.
pub(super) fn for_only(
    subscription_id: &str,
    body: Vec<u8>,
    mut attributes: HashMap<String, String>,
) -> Message {
    attributes.insert(ONLY_SUBSCRIPTION.to_owned(), subscription_id.to_owned());
    Message::new().set_data(body).set_attributes(attributes)
}

/// Whether a message is for this subscription: all are, but for those requeued for another.
pub(super) fn is_for(message: &Message, subscription_id: &str) -> bool {
    message
        .attributes
        .get(ONLY_SUBSCRIPTION)
        .is_none_or(|only| only == subscription_id)
}

/// Reads the event of a message in either mode.
pub(super) fn to_event(message: &Message) -> Result<Envelope, MalformedEnvelope> {
    let attributes = message.attributes.iter();
    let attributes = attributes.map(|(name, value)| (name.as_str(), value.as_str()));
    Envelope::from_message(attributes, &message.data)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const ID: &str = "01a206be-4497-76f4-a843-66c22fed4d4e";
    const BODY: &str = concat!(
        r#"{"specversion":"1.0","id":"01a206be-4497-76f4-a843-66c22fed4d4e","#,
        r#""source":"hyperfleet-sentinel","type":"com.redhat.hyperfleet.cluster.reconcile","#,
        r#""datacontenttype":"application/json","data":{"generation":1,"#,
        r#""href":"/api/hyperfleet/v1/clusters/cls-1","id":"cls-1","kind":"Cluster"}}"#,
    );

    fn cluster_event() -> Envelope {
        Envelope::new(
            ID,
            "hyperfleet-sentinel",
            "com.redhat.hyperfleet.cluster.reconcile",
            json!({
                "kind": "Cluster", "id": "cls-1",
                "href": "/api/hyperfleet/v1/clusters/cls-1", "generation": 1,
            }),
        )
    }

    #[test]
    fn an_event_is_the_documented_message() {
        // When an event becomes a message
        let message = of_event(&cluster_event());
        // Then its data is the structured event, its only attribute is the id, and there is no ordering key
        assert_eq!(message.data, BODY.as_bytes());
        let attributes: Vec<_> = message.attributes.iter().collect();
        assert_eq!(attributes, [(&MESSAGE_UUID.to_owned(), &ID.to_owned())]);
        assert_eq!(message.ordering_key, "");
    }

    #[test]
    fn peers_messages_are_understood_with_and_without_their_attribute() {
        for attributes in [vec![(MESSAGE_UUID, ID)], vec![]] {
            let message = Message::new().set_data(BODY).set_attributes(attributes);
            assert_eq!(to_event(&message).unwrap(), cluster_event());
        }
    }

    #[test]
    fn binary_mode_is_understood() {
        // Given the same event with its attributes as message attributes
        let attributes = [
            ("ce-specversion", "1.0"),
            ("ce-id", ID),
            ("ce-source", "hyperfleet-sentinel"),
            ("ce-type", "com.redhat.hyperfleet.cluster.reconcile"),
            (
                "ce-traceparent",
                "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            ),
            ("Content-Type", "application/json"),
        ];
        let data = r#"{"kind":"Cluster","id":"cls-1","href":"/api/hyperfleet/v1/clusters/cls-1","generation":1}"#;
        let message = Message::new().set_data(data).set_attributes(attributes);
        // Then it reads as the structured one
        let expected = cluster_event()
            .with_traceparent("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
        assert_eq!(to_event(&message).unwrap(), expected);
    }

    #[test]
    fn binary_data_that_is_not_json_stays_data() {
        let attributes = [
            ("ce-specversion", "1.0"),
            ("content-type", "application/octet-stream"),
        ];
        let message = Message::new()
            .set_data(vec![0xff_u8, 0x00])
            .set_attributes(attributes);
        assert!(to_event(&message).is_ok());
        // And an unknown version is refused as in structured mode
        let message = Message::new().set_attributes([("ce-specversion", "7")]);
        assert!(to_event(&message).is_err());
    }

    #[test]
    fn a_requeued_event_is_for_one_subscription() {
        let message = for_only("dns", BODY.into(), HashMap::new());
        assert!(is_for(&message, "dns"));
        assert!(!is_for(&message, "validation"));
        assert!(is_for(&of_event(&cluster_event()), "validation"));
    }
}
