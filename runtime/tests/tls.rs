//! The listener that speaks TLS.

use std::path::PathBuf;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use hyperfleet_runtime::http::serve;
use hyperfleet_runtime::tls::{TlsListener, server_config};
use tempfile::TempDir;
use tokio::io::AsyncReadExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

struct Files {
    folder: TempDir,
    certificate: PathBuf,
    key: PathBuf,
    authority: String,
}

fn files() -> Files {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("made");
    let folder = tempfile::tempdir().expect("a folder");
    let (certificate, key) = (
        folder.path().join("cert.pem"),
        folder.path().join("key.pem"),
    );
    std::fs::write(&certificate, made.cert.pem()).expect("written");
    std::fs::write(&key, made.signing_key.serialize_pem()).expect("written");
    Files {
        folder,
        certificate,
        key,
        authority: made.cert.pem(),
    }
}

#[tokio::test]
async fn requests_are_answered_over_tls_while_a_handshake_hangs() {
    let files = files();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let config = server_config(&files.certificate, &files.key).expect("usable");
    let listener = TlsListener::new(listener, config).expect("a listener");
    let shutdown = CancellationToken::new();
    let router = Router::new().route("/", get(|| async { "hello" }));
    let server = serve(listener, router, shutdown.clone(), Duration::from_secs(5));
    let server = tokio::spawn(server);
    // Somebody who never says a word.
    let _silent = TcpStream::connect(address).await.expect("connected");
    let authority =
        reqwest::Certificate::from_pem(files.authority.as_bytes()).expect("a certificate");
    let client = reqwest::Client::builder()
        .tls_certs_only([authority])
        .resolve("localhost", address)
        .build()
        .expect("a client");
    let url = format!("https://localhost:{}/", address.port());
    let answer = client.get(&url).send().await.expect("answered");
    assert_eq!(answer.text().await.expect("a body"), "hello");
    // Plain HTTP is not answered.
    let mut plain = TcpStream::connect(address).await.expect("connected");
    tokio::io::AsyncWriteExt::write_all(&mut plain, b"GET / HTTP/1.1\r\n\r\n")
        .await
        .expect("sent");
    let mut bytes = Vec::new();
    // The server may also reset the connection.
    let _ = plain.read_to_end(&mut bytes).await;
    assert!(!String::from_utf8_lossy(&bytes).contains("HTTP/1.1"));
    drop(client);
    shutdown.cancel();
    server.await.expect("it ends").expect("it ends well");
}

#[test]
fn files_that_cannot_be_served_are_named() {
    let files = files();
    let other = self::files();
    let complaint = |certificate: &PathBuf, key: &PathBuf| {
        let error = server_config(certificate, key).expect_err("refused");
        hyperfleet_runtime::error_chain(&error)
    };
    let missing = files.folder.path().join("none.pem");
    let said = complaint(&missing, &files.key);
    assert!(
        said.contains("a certificate chain (PEM) from") && said.contains("none.pem"),
        "{said}"
    );
    let said = complaint(&files.certificate, &files.certificate);
    assert!(said.contains("a private key (PEM) from"), "{said}");
    let said = complaint(&files.certificate, &other.key);
    assert!(said.contains("cannot serve"), "{said}");
}
