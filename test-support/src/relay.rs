//! A network that dies around a commit: between a client and the database stands a relay that cuts the
//! connection when it sees the commit, before or after the database does.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use sqlx::postgres::PgConnectOptions;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UnixStream};

/// Where a commit is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// The database never sees the commit.
    Before,
    /// The database has committed, and its answer is lost.
    After,
    /// As `After`, and nobody can connect any more to ask what became of it.
    AfterAndForGood,
}

/// A running relay. It ends with the test's runtime.
#[derive(Debug)]
pub struct Relay {
    /// The database's URL, through the relay.
    pub url: String,
    left: Arc<AtomicUsize>,
}

#[derive(Clone)]
struct Line {
    cut: Cut,
    left: Arc<AtomicUsize>,
    is_dead: Arc<AtomicBool>,
}

impl Relay {
    /// A relay to the database at `database_url` that cuts the next `cuts` commits.
    ///
    /// # Panics
    /// When the URL is not a test database's.
    pub async fn start(database_url: &str, cut: Cut, cuts: usize) -> Self {
        let server: PgConnectOptions = database_url.parse().expect("a database URL");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("it is bound").port();
        // With its password, if the server wants one.
        let (account, _) = database_url
            .trim_start_matches("postgres://")
            .split_once('@')
            .expect("the URL names an account");
        let url = format!(
            "postgres://{account}@127.0.0.1:{port}/{}?sslmode=disable",
            server.get_database().expect("the URL names a database")
        );
        let left = Arc::new(AtomicUsize::new(cuts));
        let line = Line {
            cut,
            left: Arc::clone(&left),
            is_dead: Arc::default(),
        };
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                if line.is_dead.load(Ordering::SeqCst) {
                    continue;
                }
                // A Unix socket is named by its folder.
                if let Some(folder) = server.get_socket() {
                    let path = folder.join(format!(".s.PGSQL.{}", server.get_port()));
                    let upstream = UnixStream::connect(path).await.expect("the server is up");
                    tokio::spawn(pass(client, upstream, line.clone()));
                } else {
                    let address = (server.get_host(), server.get_port());
                    let upstream = TcpStream::connect(address).await.expect("the server is up");
                    tokio::spawn(pass(client, upstream, line.clone()));
                }
            }
        });
        Self { url, left }
    }

    /// Commits that are still to be cut.
    pub fn cuts_left(&self) -> usize {
        self.left.load(Ordering::SeqCst)
    }
}

/// Passes everything on until either end closes or a commit is cut.
async fn pass(
    mut client: TcpStream,
    mut upstream: impl AsyncRead + AsyncWrite + Unpin,
    line: Line,
) {
    let (mut asked, mut answered) = ([0; 8192], [0; 8192]);
    loop {
        tokio::select! {
            read = client.read(&mut asked) => {
                let bytes = &asked[..read.unwrap_or(0)];
                let cutting = is_commit(bytes) && take_one(&line.left);
                if bytes.is_empty() || (cutting && line.cut == Cut::Before) {
                    return;
                }
                if upstream.write_all(bytes).await.is_err() {
                    return;
                }
                if cutting {
                    let answer = upstream.read(&mut answered).await.unwrap_or(0);
                    assert!(answer > 0, "the database answers the commit");
                    line.is_dead.store(line.cut == Cut::AfterAndForGood, Ordering::SeqCst);
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
