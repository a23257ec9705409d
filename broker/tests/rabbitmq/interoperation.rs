//! To the byte as existing peers, and together with them.

use std::sync::{Arc, Mutex};

use futures::StreamExt as _;
use hyperfleet_broker::{PublishError, Publisher as _, Subscriber as _, Subscription};
use hyperfleet_test_support::{eventually, rabbitmq};
use lapin::options::{
    BasicConsumeOptions, BasicPublishOptions, ExchangeDeclareOptions, QueueBindOptions,
    QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties, ExchangeKind};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::support::{BODY, DEADLINE, ID, Recorder, TOPIC, broker, event, next};

/// Forwards one connection and keeps what its client sends.
async fn listening_in(server: String) -> (String, Arc<Mutex<Vec<u8>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let sent = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&sent);
    tokio::spawn(async move {
        let (mut client_reads, mut client_writes) = listener.accept().await.unwrap().0.into_split();
        let server = TcpStream::connect(server).await.unwrap();
        let (mut server_reads, mut server_writes) = server.into_split();
        tokio::spawn(async move { copy(&mut server_reads, &mut client_writes).await });
        let mut buffer = [0; 4096];
        while let Ok(length @ 1..) = client_reads.read(&mut buffer).await {
            kept.lock().unwrap().extend_from_slice(&buffer[..length]);
            if server_writes.write_all(&buffer[..length]).await.is_err() {
                break;
            }
        }
    });
    (address, sent)
}

fn position(all: &[u8], part: &[u8]) -> Option<usize> {
    all.windows(part.len()).position(|window| window == part)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_frames_are_those_of_peers() {
    let Some(server) = rabbitmq() else { return };
    // Given a topic with a subscription, and somebody who listens in on the publisher
    let subscription = Subscription::new(TOPIC, "dns");
    broker(&server.url()).declare(&subscription).await.unwrap();
    let (address, sent) = listening_in(server.host.clone()).await;
    // When an event is published
    let publisher = broker(&server.url_at(&address));
    publisher.publish(TOPIC, &event(ID)).await.unwrap();
    // Then the frames are the documented ones; only the flag that asks for unroutable events to be returned
    // is set, which receivers cannot see
    let sent = sent.lock().unwrap();
    let declare = [
        &[0x00, 0x28, 0x00, 0x0a, 0x00, 0x00, 0x13][..],
        TOPIC.as_bytes(),
        &[0x05],
        b"topic",
        &[0x02, 0x00, 0x00, 0x00, 0x00],
    ];
    let publish = [
        &[0x00, 0x3c, 0x00, 0x28, 0x00, 0x00, 0x13][..],
        TOPIC.as_bytes(),
        &[0x00, 0x01],
    ];
    let header = [
        &[
            0x00, 0x3c, 0x00, 0x00, 0, 0, 0, 0, 0, 0, 0x01, 0x17, 0x30, 0x00,
        ][..],
        &[0x00, 0x00, 0x00, 0x41, 0x17],
        b"_watermill_message_uuid",
        &[b'S', 0x00, 0x00, 0x00, 0x24],
        ID.as_bytes(),
        &[0x02],
    ];
    let body = [BODY.as_bytes()];
    let frames = [&declare[..], &publish, &header, &body].map(<[&[u8]]>::concat);
    let places = frames.map(|frame| position(&sent, &frame).expect("the frame"));
    assert!(places.is_sorted(), "{places:?}");
}

/// A channel of a peer that declared its objects as peers do.
async fn peer(url: &str, kind: ExchangeKind) -> (Connection, Channel) {
    let properties = ConnectionProperties::default();
    let connection = Connection::connect(url, properties).await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    let durable = ExchangeDeclareOptions {
        durable: true,
        ..ExchangeDeclareOptions::default()
    };
    let none = FieldTable::default;
    let declared = channel.exchange_declare(TOPIC.into(), kind, durable, none());
    declared.await.unwrap();
    let queue = format!("{TOPIC}-peer");
    let durable = QueueDeclareOptions::durable();
    let declared = channel.queue_declare(queue.as_str().into(), durable, none());
    declared.await.unwrap();
    let options = QueueBindOptions::default();
    let bound = channel.queue_bind(queue.into(), TOPIC.into(), "".into(), options, none());
    bound.await.unwrap();
    (connection, channel)
}

async fn works_with_peers(kind: ExchangeKind, parameters: &str) {
    let Some(server) = rabbitmq() else { return };
    let (_connection, channel) = peer(&server.url(), kind).await;
    let queue = format!("{TOPIC}-peer");
    let none = FieldTable::default;
    // Given a subscriber of ours, one of the subscriptions being the peer's classic queue
    let broker = broker(&format!("{}{parameters}", server.url()));
    let (sender, mut ours) = mpsc::unbounded_channel();
    let (shared_sender, mut shared) = mpsc::unbounded_channel();
    let shutdown = CancellationToken::new();
    let mut running = Vec::new();
    for (id, sender) in [("dns", sender), ("peer", shared_sender)] {
        let wanted = Subscription::new(TOPIC, id);
        broker.declare(&wanted).await.unwrap();
        let (broker, shutdown) = (broker.clone(), shutdown.clone());
        running.push(tokio::spawn(async move {
            let handler = Arc::new(Recorder(sender));
            broker.run(wanted, handler, shutdown).await.unwrap();
        }));
    }
    // When the peer publishes, without confirmations, with its string header
    let mut headers = none();
    headers.insert(
        "_watermill_message_uuid".into(),
        AMQPValue::LongString(ID.into()),
    );
    let properties = BasicProperties::default()
        .with_delivery_mode(2)
        .with_headers(headers);
    let options = BasicPublishOptions::default();
    let body = BODY.as_bytes();
    let published = channel.basic_publish(TOPIC.into(), "".into(), options, body, properties);
    published.await.unwrap();
    // Then both of ours get the event
    assert_eq!(next(&mut ours).await.envelope, event(ID));
    assert_eq!(next(&mut shared).await.envelope, event(ID));
    shutdown.cancel();
    for task in running {
        task.await.unwrap();
    }
    // And when we publish, the peer gets it, with string headers only
    broker.publish(TOPIC, &event(ID)).await.unwrap();
    let options = BasicConsumeOptions::default();
    let consuming = channel.basic_consume(queue.into(), "".into(), options, none());
    let mut consumer = consuming.await.unwrap();
    let received = timeout(DEADLINE, consumer.next()).await.unwrap();
    let received = received.unwrap().unwrap();
    assert_eq!(received.data, BODY.as_bytes());
    let headers = received.properties.headers().clone().unwrap();
    let are_text = |value: &AMQPValue| matches!(value, AMQPValue::LongString(_));
    assert!(headers.inner().values().all(are_text), "{headers:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn peers_with_topic_exchanges_are_understood_and_understand() {
    works_with_peers(ExchangeKind::Topic, "").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn peers_with_fanout_exchanges_are_understood_and_understand() {
    works_with_peers(ExchangeKind::Fanout, "?exchange_type=fanout").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_exchange_type_is_refused_with_the_way_out() {
    let Some(server) = rabbitmq() else { return };
    let (_connection, _channel) = peer(&server.url(), ExchangeKind::Fanout).await;
    let refused = broker(&server.url()).publish(TOPIC, &event(ID)).await;
    let error = refused.unwrap_err();
    assert!(!error.is_transient(), "{error:?}");
    let PublishError::Refused { source, .. } = error else {
        panic!("{error:?}");
    };
    assert!(
        source.to_string().contains("use the same exchange_type"),
        "{source}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_listening_is_an_error_unless_tolerated() {
    let Some(server) = rabbitmq() else { return };
    let strict = broker(&server.url());
    let error = strict.publish(TOPIC, &event(ID)).await.unwrap_err();
    assert!(
        matches!(error, PublishError::Unroutable { .. }),
        "{error:?}"
    );
    let tolerant = broker(&format!("{}?tolerate_no_subscription=true", server.url()));
    tolerant.publish(TOPIC, &event(ID)).await.unwrap();
    // And a subscription that comes later makes it succeed, on the same connection
    strict
        .declare(&Subscription::new(TOPIC, "late"))
        .await
        .unwrap();
    eventually(DEADLINE, "a routed publish", async || {
        strict.publish(TOPIC, &event(ID)).await
    })
    .await;
}
