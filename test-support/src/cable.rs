//! A network between a client and a server that a test can cut.

use std::net::SocketAddr;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// What the network does now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Passes everything on.
    Whole,
    /// Connections are reset, and new ones end at once.
    Cut,
    /// Connections stay, and nothing arrives.
    Silent,
}

/// A TCP connection's way to a server. It ends with the test's runtime.
#[derive(Debug)]
pub struct Cable {
    address: SocketAddr,
    state: watch::Sender<State>,
}

impl Cable {
    /// A whole cable to a server, `host:port`.
    ///
    /// # Panics
    /// When no port can be had.
    pub async fn to(server: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let (state, watched) = watch::channel(State::Whole);
        let server = server.to_owned();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(connect(client, server.clone(), watched.clone()));
            }
        });
        Self { address, state }
    }

    /// Where to connect to instead of the server, `host:port`.
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// Ends every connection; new ones end at once.
    pub fn cut(&self) {
        self.state.send_replace(State::Cut);
    }

    /// Keeps every connection, but lets nothing through, like a network that loses all packets.
    pub fn silence(&self) {
        self.state.send_replace(State::Silent);
    }

    /// Passes on again. What was sent into the silence arrives now; cut connections stay cut.
    pub fn mend(&self) {
        self.state.send_replace(State::Whole);
    }
}

async fn connect(client: TcpStream, server: String, mut state: watch::Receiver<State>) {
    let uncut = async |state: &mut watch::Receiver<State>| {
        state
            .wait_for(|state| *state != State::Silent)
            .await
            .is_ok()
            && *state.borrow() == State::Whole
    };
    if !uncut(&mut state).await {
        return;
    }
    let Ok(upstream) = TcpStream::connect(server).await else {
        return;
    };
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = upstream.into_split();
    let mut cut = state.clone();
    tokio::select! {
        () = pass(&mut from_client, &mut to_server, state.clone()) => {}
        () = pass(&mut from_server, &mut to_client, state) => {}
        _ = cut.wait_for(|state| *state == State::Cut) => {}
    }
}

/// Passes one direction on until either end closes.
async fn pass(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    mut state: watch::Receiver<State>,
) {
    let mut bytes = [0; 16 * 1024];
    loop {
        let Ok(read) = from.read(&mut bytes).await else {
            return;
        };
        let audible = state
            .wait_for(|state| *state != State::Silent)
            .await
            .is_ok();
        if read == 0 || !audible || to.write_all(&bytes[..read]).await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    /// A server that sends back what it gets.
    async fn echo() -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut from, mut to) = client.split();
                    tokio::io::copy(&mut from, &mut to).await
                });
            }
        });
        address
    }

    async fn ping(client: &mut TcpStream) -> bool {
        let mut answer = [0; 4];
        client.write_all(b"ping").await.is_ok() && client.read_exact(&mut answer).await.is_ok()
    }

    #[tokio::test]
    async fn a_cut_cable_ends_connections_and_a_mended_one_takes_new_ones() {
        let cable = Cable::to(&echo().await).await;
        let mut client = TcpStream::connect(cable.address()).await.unwrap();
        assert!(ping(&mut client).await);
        // When it is cut
        cable.cut();
        // Then the connection ends, and so does a new one
        assert!(!ping(&mut client).await);
        let mut refused = TcpStream::connect(cable.address()).await.unwrap();
        assert!(!ping(&mut refused).await);
        // And when it is mended, a new one works
        cable.mend();
        let mut client = TcpStream::connect(cable.address()).await.unwrap();
        assert!(ping(&mut client).await);
    }

    #[tokio::test]
    async fn a_silent_cable_keeps_connections_and_delivers_late() {
        let cable = Cable::to(&echo().await).await;
        let mut client = TcpStream::connect(cable.address()).await.unwrap();
        assert!(ping(&mut client).await);
        // When nothing gets through
        cable.silence();
        let late = timeout(Duration::from_millis(100), ping(&mut client)).await;
        assert!(late.is_err());
        // Then what was sent arrives once it is mended
        cable.mend();
        let mut answer = [0; 4];
        client.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"ping");
    }
}
