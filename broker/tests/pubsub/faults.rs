//! The network fails; nothing that was confirmed is lost.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use hyperfleet_broker::pubsub::{PubSubBroker, PubSubOptions};
use hyperfleet_broker::{Outcome, Publisher as _};
use hyperfleet_test_support::{Cable, eventually};

use crate::support::{DEADLINE, Project, TOPIC, consume, event, project, subscription};

/// How soon a consumer is to be back.
const RECOVERY: Duration = Duration::from_secs(5);

/// A broker behind a cable.
async fn cabled(project: &Project) -> (Cable, PubSubBroker) {
    let cable = Cable::to(&project.host).await;
    let broker = PubSubBroker::connect(PubSubOptions {
        emulator_host: Some(cable.address()),
        publish_deadline: Duration::from_secs(2),
        ack_deadline: Some(Duration::from_secs(10)),
        ..project.options()
    });
    (cable, broker.await.unwrap())
}

/// Publishes until it is confirmed.
async fn publish_surely(broker: &PubSubBroker, id: &str) {
    eventually(DEADLINE, "a confirmed publish", async || {
        broker.publish(TOPIC, &event(id)).await
    })
    .await;
}

async fn recovers_from(fault: impl Fn(&Cable)) {
    let Some(project) = project() else { return };
    // Given a publisher and a consumer at work
    let (cable, broker) = cabled(&project).await;
    let wanted = subscription(10, Duration::from_secs(1));
    let mut consumer = consume(&broker, wanted, |_| Outcome::Acknowledge).await;
    broker.publish(TOPIC, &event("before")).await.unwrap();
    consumer.next().await;
    // When the network fails for longer than anybody waits
    fault(&cable);
    let start = Instant::now();
    broker.publish(TOPIC, &event("lost")).await.unwrap_err();
    // Then publishing fails at its deadline, and health says so
    assert!(
        start.elapsed() < Duration::from_secs(4),
        "{:?}",
        start.elapsed()
    );
    broker.check().await.unwrap_err();
    // And once it is mended both are back soon, in the same process
    cable.mend();
    let mended = Instant::now();
    publish_surely(&broker, "after").await;
    while consumer.next().await.envelope.id != "after" {}
    assert!(mended.elapsed() < RECOVERY, "{:?}", mended.elapsed());
    broker.check().await.unwrap();
    consumer.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_network_is_survived() {
    recovers_from(Cable::cut).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_network_is_survived() {
    recovers_from(Cable::silence).await;
}

/// Waits until so many more events were handled that what comes twice is few of them.
async fn some_hundred_more(seen: &Mutex<HashMap<String, u32>>) {
    let handled = seen.lock().unwrap().len();
    eventually(DEADLINE, "some hundred events", async || {
        seen.lock().unwrap().len() > handled + 200
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_confirmed_is_lost_over_twenty_cuts_under_load() {
    let Some(project) = project() else { return };
    // Given a consumer, and a publisher of some 500 events a second that keeps what was confirmed
    let (cable, broker) = cabled(&project).await;
    let seen: Arc<Mutex<HashMap<String, u32>>> = Arc::default();
    let record = Arc::clone(&seen);
    let wanted = subscription(20, Duration::from_millis(100)).with_parallelism(8);
    let consumer = consume(&broker, wanted, move |delivery| {
        *record
            .lock()
            .unwrap()
            .entry(delivery.envelope.id.clone())
            .or_default() += 1;
        Outcome::Acknowledge
    })
    .await;
    let confirmed: Arc<Mutex<Vec<String>>> = Arc::default();
    let begun = Arc::new(AtomicU32::new(0));
    let load = {
        let (broker, confirmed) = (broker.clone(), Arc::clone(&confirmed));
        let begun = Arc::clone(&begun);
        tokio::spawn(async move {
            let mut pace = tokio::time::interval(Duration::from_millis(2));
            let mut publishes = tokio::task::JoinSet::new();
            for number in 0.. {
                pace.tick().await;
                begun.store(number, Ordering::Relaxed);
                let (broker, confirmed) = (broker.clone(), Arc::clone(&confirmed));
                publishes.spawn(async move {
                    let id = format!("event-{number}");
                    if broker.publish(TOPIC, &event(&id)).await.is_ok() {
                        confirmed.lock().unwrap().push(id);
                    }
                });
            }
        })
    };
    // When the network is cut twenty times
    for _ in 0..20 {
        cable.cut();
        tokio::time::sleep(Duration::from_millis(300)).await;
        cable.mend();
        let before = begun.load(Ordering::Relaxed);
        // Then events that were published after that arrive soon
        eventually(RECOVERY, "events flow again", async || {
            let (seen, now) = (seen.lock().unwrap(), begun.load(Ordering::Relaxed));
            let is_seen = |number: &u32| seen.contains_key(&format!("event-{number}"));
            (before + 1..=now).filter(is_seen).count() > 20
        })
        .await;
        // And go on for a while
        some_hundred_more(&seen).await;
    }
    load.abort();
    // And every confirmed event is handled, few of them more than once: those whose confirmation was lost
    let confirmed = confirmed.lock().unwrap().clone();
    assert!(confirmed.len() > 1000, "{}", confirmed.len());
    eventually(DEADLINE, "every confirmed event is handled", async || {
        let seen = seen.lock().unwrap();
        let missing = confirmed.iter().filter(|id| !seen.contains_key(*id));
        match missing.count() {
            0 => Ok(()),
            missing => Err(format!("{missing} of {} are missing", confirmed.len())),
        }
    })
    .await;
    let duplicates: u32 = seen.lock().unwrap().values().map(|times| times - 1).sum();
    let bound = u32::try_from(confirmed.len() / 20).unwrap();
    assert!(
        duplicates <= bound,
        "{duplicates} duplicates of {}",
        confirmed.len()
    );
    consumer.stop().await;
}
