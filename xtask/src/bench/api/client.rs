//! Requests over keep-alive connections, counted and timed over a window after a warm-up.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use axum::body::Bytes;
use axum::http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::scenario::Requests;
use crate::bench::figure::percentile;

const WARM_UP: Duration = Duration::from_millis(300);
const WINDOW: Duration = Duration::from_millis(1200);

const WARMING_UP: u8 = 0;
const MEASURING: u8 = 1;
const OVER: u8 = 2;

/// What came of one run.
pub(super) struct Measured {
    /// Answers per second.
    pub(super) per_second: f64,
    /// Time from request to the end of the answer: the middle one.
    pub(super) p50_milliseconds: f64,
    /// One in a hundred took longer.
    pub(super) p99_milliseconds: f64,
}

/// Sends requests, on each connection one after the other.
///
/// # Errors
/// When a connection breaks, or an answer has another status than expected.
pub(super) async fn measure(server: SocketAddr, requests: &Arc<Requests>) -> Result<Measured> {
    let phase = Arc::new(AtomicU8::new(WARMING_UP));
    let mut running = JoinSet::new();
    for connection in 0..requests.connections {
        let (requests, phase) = (Arc::clone(requests), Arc::clone(&phase));
        let sender = connect(server).await?;
        running.spawn(async move { send(sender, connection, &requests, &phase).await });
    }
    tokio::time::sleep(WARM_UP).await;
    phase.store(MEASURING, Ordering::Relaxed);
    let started = Instant::now();
    tokio::time::sleep(WINDOW).await;
    phase.store(OVER, Ordering::Relaxed);
    let seconds = started.elapsed().as_secs_f64();
    let mut times = Vec::new();
    while let Some(ended) = running.join_next().await {
        times.extend(ended.context("a client stopped")??);
    }
    times.sort_unstable();
    let count = u32::try_from(times.len()).context("more answers than can be counted")?;
    let milliseconds = |hundredths: usize| {
        let time: Duration = percentile(&times, hundredths).unwrap_or_default();
        time.as_secs_f64() * 1000.0
    };
    Ok(Measured {
        per_second: f64::from(count) / seconds,
        p50_milliseconds: milliseconds(50),
        p99_milliseconds: milliseconds(99),
    })
}

/// A keep-alive connection.
///
/// # Errors
/// When the server does not take it.
pub(in crate::bench) async fn connect(server: SocketAddr) -> Result<SendRequest<Full<Bytes>>> {
    let stream = TcpStream::connect(server).await?;
    stream.set_nodelay(true)?;
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // It ends with its sender; what breaks it, the sender is told.
    tokio::spawn(connection);
    Ok(sender)
}

/// The times of the answers that came in the window.
async fn send(
    mut sender: SendRequest<Full<Bytes>>,
    connection: usize,
    requests: &Requests,
    phase: &AtomicU8,
) -> Result<Vec<Duration>> {
    let mut times = Vec::new();
    for number in 0.. {
        let request = requests.request(connection, number)?;
        let started = Instant::now();
        answered(&mut sender, request, requests.expected).await?;
        match phase.load(Ordering::Relaxed) {
            MEASURING => times.push(started.elapsed()),
            OVER => break,
            _ => {}
        }
    }
    Ok(times)
}

/// Sends a request and reads the answer to its end.
///
/// # Errors
/// When the connection breaks, or the answer has another status than expected.
pub(in crate::bench) async fn answered(
    sender: &mut SendRequest<Full<Bytes>>,
    request: Request<Full<Bytes>>,
    expected: StatusCode,
) -> Result<()> {
    sender.ready().await?;
    let response = sender.send_request(request).await?;
    let status = response.status();
    let body = response.into_body().collect().await?.to_bytes();
    ensure!(
        status == expected,
        "an answer has the status {status}, not {expected}: {}",
        String::from_utf8_lossy(&body)
    );
    Ok(())
}
