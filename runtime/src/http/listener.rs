//! Where connections come from: plain TCP, or TLS.

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
