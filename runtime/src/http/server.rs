//! Accepting connections and serving requests on them.
//!
//! Invariants:
//! - a connection on which no complete request head arrives is closed after [`HEADER_TIMEOUT`],
//!   whether its client is slow, silent, or only keeps it open;
//! - a connection whose client takes nothing of its answer is closed after [`STALL_TIMEOUT`], so that
//!   whoever stops reading does not hold on to what its answer needs; slow readers stay;
//! - from shutdown on nothing new is accepted, but what the kernel accepted before is served, every
//!   request that was begun is answered, and each connection ends with the answer that is open on it;
//! - whatever is still open when the drain is over is cut off.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd as _, OwnedFd};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::serve::{Listener, ListenerExt as _};
use futures::FutureExt as _;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustix::event::{self, PollFd, PollFlags, Timespec};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_io_timeout::TimeoutStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;

use super::HttpListener;

/// How long a client may take for a request's head, from the moment the server waits for it.
pub const HEADER_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a client may take nothing of an answer that waits for it: longer than a network is away for
/// a moment, and short against the life of a stream of events.
pub const STALL_TIMEOUT: Duration = Duration::from_mins(1);

/// How long the clients of a server may keep it waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientTimeouts {
    /// For a request's head.
    pub head: Duration,
    /// Without taking anything of an answer.
    pub stall: Duration,
}

impl Default for ClientTimeouts {
    fn default() -> Self {
        Self {
            head: HEADER_TIMEOUT,
            stall: STALL_TIMEOUT,
        }
    }
}

/// What may be read ahead of a connection, in bytes: a request's head must fit. Twice the limit for
/// headers, so that a request a little beyond that limit is answered with the reason.
const READ_BUFFER_BYTES: usize = 2 * super::MAX_HEADER_BYTES;

/// How long a connection that was just made may take to begin its first request at shutdown.
const FIRST_REQUEST_GRACE: Duration = Duration::from_secs(2);

/// How long the kernel may take to hand over a connection that it has accepted.
const HAND_OVER: Duration = Duration::from_secs(1);

/// The address that a request came from, in its extensions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerAddress(pub SocketAddr);

/// Serves until shutdown, then finishes open requests for at most `drain`.
///
/// # Errors
/// When the listener fails.
pub async fn serve(
    listener: impl Into<HttpListener>,
    router: Router,
    shutdown: CancellationToken,
    drain: Duration,
) -> io::Result<()> {
    match listener.into() {
        HttpListener::Plain(listener) => {
            let socket = listener.as_fd().try_clone_to_owned()?;
            // Answers are written at once and whole; waiting for more to send would only delay them.
            let prompt = listener.tap_io(|stream| {
                if let Err(error) = stream.set_nodelay(true) {
                    tracing::debug!(error = %error, "a connection stays with delays");
                }
            });
            let server = Server::new(router, shutdown, ClientTimeouts::default());
            server.serve(prompt, Some(socket), drain).await;
        }
        HttpListener::Tls(listener) => {
            serve_on(listener, router, shutdown, drain, ClientTimeouts::default()).await;
        }
    }
    Ok(())
}

/// As [`serve`], on any kind of listener and with other timeouts.
pub async fn serve_on<L>(
    listener: L,
    router: Router,
    shutdown: CancellationToken,
    drain: Duration,
    timeouts: ClientTimeouts,
) where
    L: Listener<Addr = SocketAddr>,
{
    Server::new(router, shutdown, timeouts)
        .serve(listener, None, drain)
        .await;
}

/// Whether the kernel has accepted a connection that nobody has taken yet. Asks it directly: the listener
/// learns of it later.
fn has_waiting(socket: &OwnedFd) -> bool {
    let mut polled = [PollFd::new(socket, PollFlags::IN)];
    event::poll(&mut polled, Some(&Timespec::default())).is_ok_and(|ready| ready > 0)
}

struct Server {
    router: Router,
    shutdown: CancellationToken,
    cut_off: CancellationToken,
    connections: TaskTracker,
    timeouts: ClientTimeouts,
}

impl Server {
    fn new(router: Router, shutdown: CancellationToken, timeouts: ClientTimeouts) -> Self {
        Self {
            router,
            shutdown,
            cut_off: CancellationToken::new(),
            connections: TaskTracker::new(),
            timeouts,
        }
    }

    /// `socket` is another handle of what the listener listens on.
    async fn serve<L>(self, mut listener: L, socket: Option<OwnedFd>, drain: Duration)
    where
        L: Listener<Addr = SocketAddr>,
    {
        // Failures to accept, such as no free file descriptors, are logged and waited for in there.
        while let Some((stream, peer)) = self.shutdown.run_until_cancelled(listener.accept()).await
        {
            self.connect(stream, peer);
        }
        // These clients are connected and may have sent a request; closing the listener would cut them off.
        while let Some((stream, peer)) = listener.accept().now_or_never() {
            self.connect(stream, peer);
        }
        while socket.as_ref().is_some_and(has_waiting)
            && let Ok((stream, peer)) = tokio::time::timeout(HAND_OVER, listener.accept()).await
        {
            self.connect(stream, peer);
        }
        drop((listener, socket));
        self.connections.close();
        if tokio::time::timeout(drain, self.connections.wait())
            .await
            .is_err()
        {
            tracing::warn!(
                drain_seconds = drain.as_secs(),
                "open requests were cut off at shutdown"
            );
            self.cut_off.cancel();
        }
    }

    fn connect<S>(&self, stream: S, peer: SocketAddr)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let router = self.router.clone();
        let begun = Arc::new(AtomicBool::new(false));
        let begins = Arc::clone(&begun);
        let service = service_fn(move |mut request: Request<Incoming>| {
            begins.store(true, Ordering::Relaxed);
            request.extensions_mut().insert(PeerAddress(peer));
            router.clone().oneshot(request)
        });
        let mut stalling = TimeoutStream::new(stream);
        stalling.set_write_timeout(Some(self.timeouts.stall));
        let stalling = Box::pin(stalling);
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.timeouts.head)
            .max_buf_size(READ_BUFFER_BYTES)
            .serve_connection(TokioIo::new(stalling), service);
        let (shutdown, cut_off) = (self.shutdown.clone(), self.cut_off.clone());
        self.connections.spawn(async move {
            let mut connection = pin!(connection);
            let served = async {
                tokio::select! {
                    served = connection.as_mut() => return served,
                    () = shutdown.cancelled() => {}
                }
                // hyper ends a connection at once on which it has read nothing yet, although a
                // request may be on its way.
                let first_request = poll_fn(|context| match connection.as_mut().poll(context) {
                    Poll::Ready(served) => Poll::Ready(Some(served)),
                    Poll::Pending if begun.load(Ordering::Relaxed) => Poll::Ready(None),
                    Poll::Pending => Poll::Pending,
                });
                let first_request = tokio::time::timeout(FIRST_REQUEST_GRACE, first_request);
                if let Ok(Some(served)) = first_request.await {
                    return served;
                }
                connection.as_mut().graceful_shutdown();
                connection.await
            };
            if let Some(Err(error)) = cut_off.run_until_cancelled(served).await {
                tracing::debug!(error = %error, peer = %peer, "a connection ended badly");
            }
        });
    }
}
