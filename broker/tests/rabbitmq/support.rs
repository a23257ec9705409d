//! Brokers, events and a handler that records.

use std::time::Duration;

use async_trait::async_trait;
use hyperfleet_broker::rabbitmq::{RabbitMqBroker, RabbitMqOptions};
use hyperfleet_broker::{Delivery, Envelope, Handler, Outcome};
use serde_json::json;
use tokio::sync::mpsc;
use tokio::time::timeout;

pub(crate) const TOPIC: &str = "hyperfleet-clusters";
pub(crate) const ID: &str = "01a206be-4497-76f4-a843-66c22fed4d4e";
pub(crate) const BODY: &str = concat!(
    r#"{"specversion":"1.0","id":"01a206be-4497-76f4-a843-66c22fed4d4e","#,
    r#""source":"hyperfleet-sentinel","type":"com.redhat.hyperfleet.cluster.reconcile","#,
    r#""datacontenttype":"application/json","data":{"generation":1,"#,
    r#""href":"/api/hyperfleet/v1/clusters/cls-1","id":"cls-1","kind":"Cluster"}}"#,
);

/// Longest wait for something that must happen.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

pub(crate) fn broker(url: &str) -> RabbitMqBroker {
    RabbitMqBroker::new(RabbitMqOptions::from_url(url).unwrap())
}

pub(crate) fn event(id: &str) -> Envelope {
    Envelope::new(
        id,
        "hyperfleet-sentinel",
        "com.redhat.hyperfleet.cluster.reconcile",
        json!({
            "kind": "Cluster", "id": "cls-1",
            "href": "/api/hyperfleet/v1/clusters/cls-1", "generation": 1,
        }),
    )
}

/// Tells of each delivery, and acknowledges it.
pub(crate) struct Recorder(pub(crate) mpsc::UnboundedSender<Delivery>);

#[async_trait]
impl Handler for Recorder {
    async fn handle(&self, delivery: Delivery) -> Outcome {
        let _ = self.0.send(delivery);
        Outcome::Acknowledge
    }
}

pub(crate) async fn next(deliveries: &mut mpsc::UnboundedReceiver<Delivery>) -> Delivery {
    timeout(DEADLINE, deliveries.recv()).await.unwrap().unwrap()
}
