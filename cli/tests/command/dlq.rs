//! `hyperfleet dlq`, on RabbitMQ.

use std::process::Output;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use hyperfleet_broker::rabbitmq::{RabbitMqBroker, RabbitMqOptions};
use hyperfleet_broker::{
    DeadLetters as _, Delivery, Handler, Outcome, Publisher as _, Subscriber as _, Subscription,
};
use hyperfleet_test_support::eventually;
use serde_json::Value;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::dev::hyperfleet;
use crate::replay::{ended, ok};

const TOPIC: &str = "clusters";
const DEADLINE: Duration = Duration::from_secs(30);

/// Gives up whatever is not mended, and tells of the rest.
struct Adapter {
    is_mended: bool,
    handled: mpsc::UnboundedSender<String>,
}

#[async_trait]
impl Handler for Adapter {
    async fn handle(&self, delivery: Delivery) -> Outcome {
        if self.is_mended {
            let _ = self.handled.send(delivery.envelope.id.clone());
            return Outcome::Acknowledge;
        }
        Outcome::DeadLetter {
            reason: format!("no zone for {}", delivery.envelope.id),
        }
    }
}

/// Runs a subscription until the token is cancelled.
fn consume(
    broker: &RabbitMqBroker,
    is_mended: bool,
) -> (mpsc::UnboundedReceiver<String>, CancellationToken) {
    let (handled, seen) = mpsc::unbounded_channel();
    let done = CancellationToken::new();
    let (broker, ends) = (broker.clone(), done.clone());
    tokio::spawn(async move {
        let handler = Arc::new(Adapter { is_mended, handled });
        broker
            .run(Subscription::new(TOPIC, "dns"), handler, ends)
            .await
    });
    (seen, done)
}

async fn dlq(url: &str, arguments: &[&str]) -> Output {
    hyperfleet()
        .arg("dlq")
        .args(arguments)
        .args(["--topic", TOPIC, "--subscription", "dns"])
        .env("HYPERFLEET_BROKER", url)
        .output()
        .await
        .unwrap()
}

/// Three events that an adapter gave up, and a body that is no event.
async fn with_dead_letters(url: &str) -> RabbitMqBroker {
    let broker = RabbitMqBroker::new(RabbitMqOptions::from_url(url).unwrap());
    broker
        .declare(&Subscription::new(TOPIC, "dns"))
        .await
        .unwrap();
    for number in 1..=3 {
        broker
            .publish(TOPIC, &event(&format!("e{number}")))
            .await
            .unwrap();
    }
    broker
        .publish_message(TOPIC, &[], b"no event".to_vec())
        .await
        .unwrap();
    let (_, done) = consume(&broker, false);
    eventually(DEADLINE, "four were given up", async || {
        broker
            .list(TOPIC, "dns", 10)
            .await
            .is_ok_and(|letters| letters.len() == 4)
    })
    .await;
    done.cancel();
    broker
}

#[tokio::test]
async fn events_that_were_given_up_on_rabbitmq_are_looked_after() {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let Some(server) = hyperfleet_test_support::rabbitmq() else {
        return;
    };
    let url = server.url();
    let broker = with_dead_letters(&url).await;
    // Then they are listed with their reasons,
    let listed = dlq(&url, &["list"]).await;
    ended(
        &listed,
        0,
        &[
            "ID",
            "no zone for e1",
            "com.redhat.hyperfleet.cluster.reconcile",
            "cls-1",
        ],
    );
    let some = dlq(&url, &["list", "--reason", "for e2", "-o", "json"]).await;
    let some: Value = serde_json::from_slice(&ok(&some).stdout).unwrap();
    assert_eq!(some["dead_letters"].as_array().unwrap().len(), 1);
    let id = some["dead_letters"][0]["id"].as_str().unwrap();
    // shown with their events,
    ended(
        &dlq(&url, &["show", id]).await,
        0,
        &["no zone for e2", "\"id\": \"e2\""],
    );
    let unknown = dlq(&url, &["show", "nothing"]).await;
    ended(&unknown, 1, &["has no dead letter \"nothing\""]);
    // delivered again when somebody says so,
    let dry = dlq(&url, &["requeue", "--reason", "no zone", "--dry-run"]).await;
    ended(&dry, 0, &["3 dead letters would be requeued"]);
    let asked = dlq(&url, &["requeue", "--all"]).await;
    ended(&asked, 1, &["4 dead letters would be requeued", "--yes"]);
    let (mut seen, done) = consume(&broker, true);
    let requeued = dlq(&url, &["requeue", "--reason", "no zone", "--yes"]).await;
    ended(&requeued, 0, &["3 dead letters requeued"]);
    let mut handled = Vec::new();
    for _ in 0..3 {
        let next = tokio::time::timeout(DEADLINE, seen.recv()).await;
        handled.push(next.unwrap().unwrap());
    }
    handled.sort();
    assert_eq!(handled, ["e1", "e2", "e3"]);
    done.cancel();
    // and forgotten.
    let dry = dlq(&url, &["purge", "--dry-run"]).await;
    ended(&dry, 0, &["1 dead letter would be forgotten for good"]);
    ended(
        &dlq(&url, &["purge", "--yes"]).await,
        0,
        &["1 dead letter purged"],
    );
    ended(
        &dlq(&url, &["list"]).await,
        0,
        &["there are no dead letters"],
    );
}

fn event(id: &str) -> hyperfleet_broker::Envelope {
    hyperfleet_broker::Envelope::new(
        id,
        "hyperfleet-sentinel",
        "com.redhat.hyperfleet.cluster.reconcile",
        serde_json::json!({"kind": "Cluster", "id": "cls-1", "generation": 1}),
    )
}

#[tokio::test]
async fn dead_letters_of_another_process_cannot_be_looked_after() {
    let refused = dlq("memory:", &["list"]).await;
    ended(&refused, 1, &["lives inside another process"]);
    let refused = dlq("nonsense://x", &["list"]).await;
    ended(&refused, 1, &["there is no broker \"nonsense\""]);
}
