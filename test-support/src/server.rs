//! The server that a test process works on.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use hyperfleet_runtime::error_chain;
use hyperfleet_runtime::postgres::{Binaries, Durability, Postgres, PostgresSettings};
use tokio::sync::OnceCell;

/// Names a server to use instead of a private one.
pub const URL_VARIABLE: &str = "HYPERFLEET_TEST_DATABASE_URL";

/// Connections that a shared test server accepts.
const MAX_CONNECTIONS: u32 = 500;

/// URL of the server of this test process.
pub(crate) async fn url() -> String {
    static PRIVATE: OnceCell<String> = OnceCell::const_new();
    #[expect(
        clippy::disallowed_methods,
        reason = "tests have no configuration but their environment"
    )]
    if let Ok(url) = std::env::var(URL_VARIABLE) {
        return url;
    }
    PRIVATE.get_or_init(start_private).await.clone()
}

/// Settings of a server for tests: nothing waits for the disk.
pub fn server_settings(data_directory: &Path) -> PostgresSettings {
    PostgresSettings::new(data_directory)
        .durability(Durability::None)
        .max_connections(MAX_CONNECTIONS)
        .setting("shared_buffers", "64MB")
        .setting("autovacuum_naptime", "60s")
        // Dropping a database waits for every session that is still logging in, also that of a client which the
        // end of a test has stopped in the middle.
        .setting("authentication_timeout", "5s")
}

/// Starts a server or fails the test with the reason.
#[expect(clippy::panic, reason = "a test fails by panicking")]
pub(crate) async fn start(settings: PostgresSettings) -> Postgres {
    match Postgres::start(settings).await {
        Ok(server) => server,
        Err(error) => panic!("no PostgreSQL for tests: {}", error_chain(&error)),
    }
}

/// Stops a server from synchronous code and waits for its end.
pub(crate) fn stop_and_wait(server: Postgres) {
    let stopping = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        // A server that hangs goes with this process.
        let _ = runtime.block_on(server.stop());
    });
    let _ = stopping.join();
}

/// Starts this process' own server from a ready-made data directory.
///
/// The server ends with the process, but its files stay; the next process removes them.
async fn start_private() -> String {
    let home = std::env::temp_dir().join(format!("hyperfleet-tests-{}", user()));
    fs::create_dir_all(&home).expect("a folder for test servers");
    // One at a time makes the copy and sweeps; the rest is parallel.
    let turn = File::create(home.join("turn.lock")).expect("a lock file");
    turn.lock().expect("a turn");
    sweep(&home);
    let made = ready_made(&home).await;
    let own = home.join(format!("run-{}", std::process::id()));
    fs::create_dir(&own).expect("a folder for this process' server");
    copy(&made.join("postgres"), &own.join("postgres"));
    let server = start(server_settings(&own)).await;
    drop(turn);
    let url = server.url();
    // Kept until the process ends; its supervisor sees to the rest.
    std::mem::forget(server);
    url
}

/// A data directory that was initialised and stopped, made once per version of PostgreSQL.
async fn ready_made(home: &Path) -> PathBuf {
    let major = Binaries::find()
        .await
        .map_or(0, |binaries| binaries.major());
    let made = home.join(format!("made-{major}"));
    if !made.is_dir() {
        let unfinished = home.join("unfinished");
        let _ = fs::remove_dir_all(&unfinished);
        let server = start(server_settings(&unfinished)).await;
        server.stop().await.expect("a stop");
        fs::rename(&unfinished, &made).expect("a ready-made data directory");
    }
    made
}

/// Copies with owners and modes, which the standard library cannot.
fn copy(from: &Path, to: &Path) {
    let status = Command::new("cp")
        .arg("-a")
        .args([from, to])
        .status()
        .expect("cp runs");
    assert!(status.success(), "cp -a {} failed", from.display());
}

/// Removes what servers of ended processes left.
fn sweep(home: &Path) {
    let Ok(entries) = fs::read_dir(home) else {
        return;
    };
    for entry in entries.filter_map(Result::ok) {
        let is_run = entry.file_name().to_string_lossy().starts_with("run-");
        let lock = entry.path().join("postgres.lock");
        let free = File::open(&lock).is_ok_and(|file| file.try_lock().is_ok());
        if is_run && (free || !lock.exists()) {
            // Another process may be at it, or the server may still be ending: next time then.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// Keeps the users of one machine apart.
fn user() -> String {
    use std::os::unix::fs::MetadataExt as _;
    let own = fs::metadata("/proc/self").or_else(|_| fs::metadata(env!("CARGO_MANIFEST_DIR")));
    own.map_or_else(|_| "any".to_owned(), |metadata| metadata.uid().to_string())
}
