//! Where connections come from: plain TCP, or TLS.

use std::net::SocketAddr;

use axum::extract::connect_info::Connected;
use axum::serve::IncomingStream;
use tokio::net::TcpListener;

use crate::tls::TlsListener;

/// A listening socket.
pub enum HttpListener {
    /// Without TLS.
    Plain(TcpListener),
    /// With TLS.
    Tls(TlsListener),
}

impl From<TcpListener> for HttpListener {
    fn from(listener: TcpListener) -> Self {
        Self::Plain(listener)
    }
}

impl From<TlsListener> for HttpListener {
    fn from(listener: TlsListener) -> Self {
        Self::Tls(listener)
    }
}

/// Who is at the other end of a connection, as an extension of each of its requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RemoteAddress(pub SocketAddr);

impl Connected<IncomingStream<'_, TcpListener>> for RemoteAddress {
    fn connect_info(stream: IncomingStream<'_, TcpListener>) -> Self {
        Self(*stream.remote_addr())
    }
}

impl Connected<IncomingStream<'_, TlsListener>> for RemoteAddress {
    fn connect_info(stream: IncomingStream<'_, TlsListener>) -> Self {
        Self(*stream.remote_addr())
    }
}
