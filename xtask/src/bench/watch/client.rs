//! One watcher: notes when which position arrives.

use std::net::SocketAddr;
use std::sync::OnceLock;

use anyhow::{Context as _, Result, bail, ensure};
use axum::body::Bytes;
use axum::http::header::HOST;
use axum::http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use hyperfleet_api_types::BASE_PATH;
use hyperfleet_api_types::client::event_stream::EventParser;
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use super::Moment;

/// What a watcher got, in the order in which it came.
pub(super) struct Noted {
    /// The shard that it watches; `None` for all.
    pub(super) shard: Option<usize>,
    pub(super) events: Vec<(u64, Moment)>,
}

/// Watches from now on until the position in `end` is reached.
pub(super) async fn watch(
    server: SocketAddr,
    shard: Option<usize>,
    ready: &mpsc::Sender<()>,
    end: &OnceLock<u64>,
) -> Result<Noted> {
    let stream = TcpStream::connect(server).await?;
    stream.set_nodelay(true)?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // It ends with its sender.
    tokio::spawn(connection);
    let search = shard.map(|shard| format!("&search=labels.shard%3D'{shard}'"));
    let search = search.unwrap_or_default();
    let request = Request::get(format!("{BASE_PATH}/clusters?watch=true&from=now{search}"))
        .header(HOST, server.to_string())
        .body(Full::<Bytes>::default())?;
    let response = sender.send_request(request).await?;
    ensure!(response.status() == StatusCode::OK, "{}", response.status());
    let mut body = response.into_body();
    let mut parser = EventParser::default();
    let mut events = Vec::new();
    loop {
        let frame = body.frame().await.context("the watch ended")??;
        let arrived = Moment::now();
        if let Some(piece) = frame.data_ref() {
            parser.push(piece)?;
        }
        while let Some(event) = parser.pop() {
            let position: u64 = event.id.context("an event without a position")?.parse()?;
            match event.event.as_str() {
                "BOOKMARK" if events.is_empty() => ready.try_send(()).unwrap_or_default(),
                "BOOKMARK" => {}
                "ADDED" | "MODIFIED" | "DELETED" => events.push((position, arrived)),
                other => bail!("{other}: {}", event.data),
            }
            if end.get().is_some_and(|end| position >= *end) {
                return Ok(Noted { shard, events });
            }
        }
    }
}
