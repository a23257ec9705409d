//! The network fails; both sides are back soon.

use std::sync::Arc;
use std::time::{Duration, Instant};

use hyperfleet_broker::{Publisher as _, Subscriber as _, Subscription};
use hyperfleet_test_support::{Cable, eventually, rabbitmq};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::support::{DEADLINE, Recorder, TOPIC, broker, event, next};

/// How soon both sides are to be back.
const RECOVERY: Duration = Duration::from_secs(5);

#[tokio::test(flavor = "multi_thread")]
async fn twenty_cuts_of_the_network_lose_nothing_that_was_confirmed() {
    let Some(server) = rabbitmq() else { return };
    // Given a publisher and a consumer behind a cable
    let cable = Cable::to(&server.host).await;
    let broker = broker(&server.url_at(&cable.address()));
    let subscription = Subscription::new(TOPIC, "dns");
    broker.declare(&subscription).await.unwrap();
    let (sender, mut deliveries) = mpsc::unbounded_channel();
    let shutdown = CancellationToken::new();
    let consuming = (broker.clone(), shutdown.clone());
    let task = tokio::spawn(async move {
        let (broker, shutdown) = consuming;
        let handler = Arc::new(Recorder(sender));
        broker.run(subscription, handler, shutdown).await
    });
    broker.publish(TOPIC, &event("before")).await.unwrap();
    next(&mut deliveries).await;
    for round in 0..20 {
        // When the network is cut, publishing and health say so
        cable.cut();
        broker.publish(TOPIC, &event("lost")).await.unwrap_err();
        broker.check().await.unwrap_err();
        // Then both sides are back soon after it is mended
        cable.mend();
        let mended = Instant::now();
        let id = format!("after-{round}");
        eventually(DEADLINE, "a confirmed publish", async || {
            broker.publish(TOPIC, &event(&id)).await
        })
        .await;
        while next(&mut deliveries).await.envelope.id != id {}
        assert!(mended.elapsed() < RECOVERY, "{:?}", mended.elapsed());
        broker.check().await.unwrap();
    }
    shutdown.cancel();
    task.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_network_fails_publishing_and_health_in_time() {
    let Some(server) = rabbitmq() else { return };
    let cable = Cable::to(&server.host).await;
    let broker = broker(&server.url_at(&cable.address()));
    broker
        .declare(&Subscription::new(TOPIC, "dns"))
        .await
        .unwrap();
    broker.publish(TOPIC, &event("before")).await.unwrap();
    cable.silence();
    let start = Instant::now();
    broker.publish(TOPIC, &event("lost")).await.unwrap_err();
    assert!(
        start.elapsed() < Duration::from_secs(8),
        "{:?}",
        start.elapsed()
    );
    broker.check().await.unwrap_err();
    cable.mend();
    eventually(DEADLINE, "a confirmed publish", async || {
        broker.publish(TOPIC, &event("after")).await
    })
    .await;
    broker.check().await.unwrap();
}
