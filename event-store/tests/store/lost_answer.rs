//! A network that dies around a commit: between the store and the database stands a relay that cuts the
//! connection when it sees the commit, before or after the database does.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use hyperfleet_event_store::{AppendError, EventStore, EventStoreOptions};
use hyperfleet_test_support::{TestDatabase, database};
use serde_json::json;
use sqlx::postgres::PgConnectOptions;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UnixStream};

use crate::fixture::{count, one};

#[derive(Clone, Copy)]
enum Cut {
    /// The database never sees the commit.
    Before,
    /// The database has committed, and its answer is lost.
    After,
}

/// A relay to the test's server that cuts the next `cuts` commits.
async fn relay(database: &TestDatabase, cut: Cut, cuts: usize) -> (String, Arc<AtomicUsize>) {
    let server: PgConnectOptions = database.url.parse().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    // With its password, if the server wants one.
    let (account, _) = database
        .url
        .trim_start_matches("postgres://")
        .split_once('@')
        .unwrap();
    let url = format!(
        "postgres://{account}@127.0.0.1:{port}/{}?sslmode=disable",
        server.get_database().unwrap()
    );
    let left = Arc::new(AtomicUsize::new(cuts));
    let counter = Arc::clone(&left);
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let left = Arc::clone(&counter);
            // A Unix socket is named by its folder.
            if let Some(folder) = server.get_socket() {
                let path = folder.join(format!(".s.PGSQL.{}", server.get_port()));
                let upstream = UnixStream::connect(path).await.unwrap();
                tokio::spawn(pass(client, upstream, cut, left));
            } else {
                let address = (server.get_host(), server.get_port());
                let upstream = TcpStream::connect(address).await.unwrap();
                tokio::spawn(pass(client, upstream, cut, left));
            }
        }
    });
    (url, left)
}

/// Passes everything on until either end closes or a commit is cut.
async fn pass(
    mut client: TcpStream,
    mut upstream: impl AsyncRead + AsyncWrite + Unpin,
    cut: Cut,
    left: Arc<AtomicUsize>,
) {
    let (mut asked, mut answered) = ([0; 8192], [0; 8192]);
    loop {
        tokio::select! {
            read = client.read(&mut asked) => {
                let bytes = &asked[..read.unwrap_or(0)];
                let cutting = is_commit(bytes) && take_one(&left);
                if bytes.is_empty() || (cutting && matches!(cut, Cut::Before)) {
                    return;
                }
                if upstream.write_all(bytes).await.is_err() {
                    return;
                }
                if cutting {
                    let answer = upstream.read(&mut answered).await.unwrap();
                    assert!(answer > 0, "the database answers the commit");
                    return;
                }
            }
            read = upstream.read(&mut answered) => {
                let bytes = &answered[..read.unwrap_or(0)];
                if bytes.is_empty() || client.write_all(bytes).await.is_err() {
                    return;
                }
            }
        }
    }
}

fn is_commit(bytes: &[u8]) -> bool {
    bytes.windows(7).any(|window| window == b"COMMIT\0")
}

fn take_one(left: &AtomicUsize) -> bool {
    let less = |count: usize| count.checked_sub(1);
    left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, less)
        .is_ok()
}

async fn open(url: &str) -> EventStore {
    EventStore::open(EventStoreOptions::new(url)).await.unwrap()
}

#[tokio::test]
async fn a_commit_whose_answer_is_lost_is_found_to_be_there() {
    let database = database().await;
    let (url, left) = relay(&database, Cut::After, 1).await;
    let store = open(&url).await;
    let committed = store.append(vec![one("a", 0, json!(1))]).await.unwrap();
    assert_eq!(committed.versions, [1]);
    assert_eq!(left.load(Ordering::SeqCst), 0, "no commit was cut");
    assert_eq!(count(&database, "SELECT count(*) FROM events").await, 1);
    store.append(vec![one("a", 1, json!(2))]).await.unwrap();
}

#[tokio::test]
async fn a_commit_that_never_arrived_is_tried_again() {
    let database = database().await;
    let (url, left) = relay(&database, Cut::Before, 1).await;
    let store = open(&url).await;
    let committed = store.append(vec![one("a", 0, json!(1))]).await.unwrap();
    assert_eq!(committed.versions, [1]);
    assert_eq!(left.load(Ordering::SeqCst), 0, "no commit was cut");
    assert_eq!(count(&database, "SELECT count(*) FROM events").await, 1);
}

#[tokio::test]
async fn a_commit_that_never_arrives_is_known_not_to_be_there() {
    let database = database().await;
    let (url, _) = relay(&database, Cut::Before, 2).await;
    let store = open(&url).await;
    let lost = store.append(vec![one("a", 0, json!(1))]).await;
    assert!(
        matches!(lost, Err(AppendError::Unavailable { .. })),
        "{lost:?}"
    );
    assert_eq!(count(&database, "SELECT count(*) FROM events").await, 0);
    store.append(vec![one("a", 0, json!(1))]).await.unwrap();
}
