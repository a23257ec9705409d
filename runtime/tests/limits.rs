//! Limits on real sockets: slow clients, greedy clients, and the end of a server.

#![expect(
    clippy::unwrap_used,
    reason = "a test fails by panicking, also in what tests share"
)]

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::routing::{get, post};
use hyperfleet_runtime::http::{
    CallerKey, ClientTimeouts, Limits, QueueLimits, RequestLimits, layered, serve_on,
};
use hyperfleet_runtime::{SystemClock, UuidV7Source};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

/// Longer than any of these tests should take.
const PATIENCE: Duration = Duration::from_secs(20);

/// Short, so that the tests are; long enough for a quick client on a busy machine.
const SHORT: Duration = Duration::from_millis(400);

const TIMEOUTS: ClientTimeouts = ClientTimeouts {
    head: SHORT,
    stall: SHORT,
};

struct Running {
    address: SocketAddr,
    shutdown: CancellationToken,
    ended: tokio::task::JoinHandle<()>,
}

async fn start(routes: Router, limits: Limits) -> Running {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let shutdown = CancellationToken::new();
    let routes = RequestLimits::new(limits).around(routes);
    let router = layered(routes, Arc::new(SystemClock), Arc::new(UuidV7Source));
    let served = serve_on(listener, router, shutdown.clone(), PATIENCE, TIMEOUTS);
    Running {
        address,
        shutdown,
        ended: tokio::spawn(served),
    }
}

fn routes() -> Router {
    Router::new()
        .route("/echo", post(|body: String| async move { body }))
        .route("/quick", get(|| async { "quick" }))
        .route("/endless", get(endless))
}

/// An answer that goes on as long as somebody takes it.
async fn endless() -> Body {
    let piece = Bytes::from(vec![b'x'; 64 * 1024]);
    let pieces = futures::stream::repeat_with(move || Ok::<_, Infallible>(piece.clone()));
    Body::from_stream(pieces)
}

fn limits() -> Limits {
    Limits {
        body_timeout: SHORT,
        ..Limits::default()
    }
}

/// Everything that comes until the server closes the connection.
async fn rest(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    // A reset is an end too.
    let _ = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer))
        .await
        .expect("the server closes the connection");
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn a_head_that_drips_is_cut_off() {
    let server = start(routes(), limits()).await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let started = Instant::now();
    stream.write_all(b"GET /quick HTTP/1.1\r\n").await.unwrap();
    let (mut read, mut write) = stream.into_split();
    let dripping = tokio::spawn(async move {
        let mut pause = tokio::time::interval(SHORT / 8);
        loop {
            pause.tick().await;
            if write.write_all(b"X: y\r\n").await.is_err() {
                return;
            }
        }
    });
    let mut answer = Vec::new();
    let _ = tokio::time::timeout(PATIENCE, read.read_to_end(&mut answer))
        .await
        .expect("it is closed");
    dripping.abort();
    assert!(started.elapsed() >= SHORT);
    assert!(
        !String::from_utf8_lossy(&answer).contains("200"),
        "it was never a request"
    );
}

#[tokio::test]
async fn a_silent_connection_is_closed() {
    let server = start(routes(), limits()).await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    assert_eq!(rest(&mut stream).await, "");
}

#[tokio::test]
async fn a_body_that_drips_is_refused_in_time_and_gives_its_place_back() {
    let one_place = Limits {
        queue: QueueLimits {
            in_work: 1,
            in_work_per_caller: 1,
            ..QueueLimits::default()
        },
        ..limits()
    };
    let server = start(routes(), one_place).await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let head = b"POST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n\r\nabc";
    stream.write_all(head).await.unwrap();
    let answer = rest(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert!(
        answer.contains("the body did not arrive within 0.4 s"),
        "{answer}"
    );
    let quick = reqwest::get(format!("http://{}/quick", server.address))
        .await
        .unwrap();
    assert_eq!(quick.text().await.unwrap(), "quick");
}

#[tokio::test]
async fn a_large_head_is_refused_and_a_huge_one_too() {
    let server = start(routes(), limits()).await;
    for bytes in [40_000, 400_000] {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        let head = format!(
            "GET /quick HTTP/1.1\r\nhost: x\r\nx: {}\r\n",
            "y".repeat(bytes)
        );
        // The server may close before it has read everything.
        let _ = stream.write_all(head.as_bytes()).await;
        let _ = stream.write_all(b"connection: close\r\n\r\n").await;
        let answer = rest(&mut stream).await;
        assert!(
            answer.is_empty() || answer.starts_with("HTTP/1.1 431 "),
            "{answer}"
        );
    }
}

/// A handler that says that it began and ends when it may.
fn gated() -> (Router, mpsc::UnboundedReceiver<String>, Arc<Semaphore>) {
    let (began, begun) = mpsc::unbounded_channel();
    let gate = Arc::new(Semaphore::new(0));
    let opened = Arc::clone(&gate);
    let handler = move |request: Request| async move {
        let caller: Option<&CallerKey> = request.extensions().get();
        let caller = caller.map(|key| key.0.clone()).unwrap_or_default();
        began.send(caller).unwrap();
        opened.acquire().await.unwrap().forget();
        "done"
    };
    (Router::new().route("/work", get(handler)), begun, gate)
}

/// Takes the caller from a header, as an authentication layer would from a token.
async fn as_sent(mut request: Request, next: axum::middleware::Next) -> axum::response::Response {
    let caller = request.headers().get("caller");
    let caller = caller
        .and_then(|value| value.to_str().ok())
        .map(|text| CallerKey(text.to_owned()));
    if let Some(caller) = caller {
        request.extensions_mut().insert(caller);
    }
    next.run(request).await
}

#[tokio::test]
async fn a_greedy_caller_waits_in_its_own_queue_and_is_told_when_it_is_full() {
    let (routes, mut begun, gate) = gated();
    let queue = QueueLimits {
        in_work: 8,
        in_work_per_caller: 2,
        waiting: 100,
        waiting_per_caller: 5,
        patience: PATIENCE,
    };
    let limits = RequestLimits::new(Limits {
        queue,
        ..Limits::default()
    });
    let routes = limits
        .around(routes)
        .route_layer(axum::middleware::from_fn(as_sent));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/work", listener.local_addr().unwrap());
    let router = layered(routes, Arc::new(SystemClock), Arc::new(UuidV7Source));
    let shutdown = CancellationToken::new();
    let server = tokio::spawn(serve_on(
        listener,
        router,
        shutdown.clone(),
        PATIENCE,
        ClientTimeouts::default(),
    ));
    let http = reqwest::Client::new();
    let send = |caller: &'static str| {
        let request = http.get(&url).header("caller", caller).send();
        tokio::spawn(async move { request.await.unwrap() })
    };

    // Given a caller that sends ten times its share
    let greedy: Vec<_> = (0..20).map(|_| send("greedy")).collect();
    for _ in 0..2 {
        assert_eq!(begun.recv().await.unwrap(), "greedy");
    }
    // When others come, then they are worked for at once
    let others: Vec<_> = ["a", "b", "c"].map(send).into();
    let mut came = Vec::new();
    for _ in 0..3 {
        came.push(begun.recv().await.unwrap());
    }
    came.sort();
    assert_eq!(came, ["a", "b", "c"]);
    // And of the greedy one's requests, its share and its queue are answered, the rest refused
    gate.add_permits(100);
    for other in others {
        assert_eq!(other.await.unwrap().status(), 200);
    }
    let mut refused = 0;
    for request in greedy {
        let answer = request.await.unwrap();
        if answer.status() == 503 {
            refused += 1;
            assert_eq!(answer.headers()["retry-after"], "1");
            let problem: serde_json::Value = answer.json().await.unwrap();
            assert_eq!(problem["code"], "HYPERFLEET-SVC-001");
        } else {
            assert_eq!(answer.status(), 200);
        }
    }
    assert_eq!(refused, 20 - 2 - 5);
    shutdown.cancel();
    server.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_connected_at_shutdown_is_answered() {
    let (routes, mut begun, gate) = gated();
    let server = start(routes, limits()).await;
    // Given clients whose requests are in work, and others that connect but are not accepted yet
    let mut clients = Vec::new();
    for _ in 0..16 {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream
            .write_all(b"GET /work HTTP/1.1\r\nhost: x\r\n\r\n")
            .await
            .unwrap();
        clients.push(stream);
    }
    begun.recv().await.unwrap();
    server.shutdown.cancel();
    gate.add_permits(1000);
    for mut client in clients {
        let answer = rest(&mut client).await;
        assert!(
            answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("done"),
            "{answer}"
        );
    }
    server.ended.await.unwrap();
    assert!(TcpStream::connect(server.address).await.is_err());
}

#[tokio::test]
async fn a_client_that_stops_reading_is_cut_off_and_one_that_reads_slowly_is_not() {
    let server = start(routes(), limits()).await;
    let head = b"GET /endless HTTP/1.1\r\nhost: x\r\n\r\n";
    let mut stopped = TcpStream::connect(server.address).await.unwrap();
    stopped.write_all(head).await.unwrap();
    let mut slow = TcpStream::connect(server.address).await.unwrap();
    slow.write_all(head).await.unwrap();
    let mut piece = vec![0; 1024 * 1024];
    let started = Instant::now();
    while started.elapsed() < SHORT * 4 {
        let read = slow.read(&mut piece).await.unwrap();
        assert!(read > 0, "it goes on");
        tokio::time::sleep(SHORT / 8).await;
    }
    // What was sent before is still there to be read, and then the end.
    rest(&mut stopped).await;
    drop(slow);
    server.shutdown.cancel();
    server.ended.await.unwrap();
}
