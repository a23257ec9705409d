//! The supervised PostgreSQL server, with a real one.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use hyperfleet_runtime::postgres::{
    Durability, Postgres, PostgresError, PostgresSettings, PostgresState,
};
use hyperfleet_test_support::eventually;
use sqlx::{Connection as _, PgConnection};

const SOON: Duration = Duration::from_secs(20);

/// Names the data directory to the process that is to be killed.
const VICTIM: &str = "HYPERFLEET_TEST_POSTGRES_VICTIM";

async fn connect(url: &str) -> PgConnection {
    PgConnection::connect(url).await.expect("a connection")
}

async fn count(url: &str) -> i64 {
    sqlx::query_scalar("SELECT count(*) FROM kept")
        .fetch_one(&mut connect(url).await)
        .await
        .expect("a count")
}

fn pid_of(server: &Postgres) -> u32 {
    let pid = match *server.state().borrow() {
        PostgresState::Ready { pid, .. } => Some(pid),
        _ => None,
    };
    pid.expect("the server is ready")
}

fn lives(pid: u32) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

#[tokio::test]
async fn a_server_starts_keeps_its_data_and_starts_again() {
    // Given a new data directory
    let folder = tempfile::tempdir().expect("a folder");
    let server = Postgres::start(PostgresSettings::new(folder.path()))
        .await
        .expect("a first start");
    let mut connection = connect(&server.url()).await;
    let durable: String = sqlx::query_scalar("SHOW fsync")
        .fetch_one(&mut connection)
        .await
        .expect("a setting");
    assert_eq!(durable, "on");
    sqlx::raw_sql("CREATE TABLE kept (id int); INSERT INTO kept VALUES (1), (2)")
        .execute(&mut connection)
        .await
        .expect("a table");

    // When the server is stopped and started
    let pid = pid_of(&server);
    server.stop().await.expect("a stop");
    assert!(!lives(pid));
    let again = Instant::now();
    let server = Postgres::start(PostgresSettings::new(folder.path()))
        .await
        .expect("a second start");

    // Then the data is there, and it was quick
    assert_eq!(count(&server.url()).await, 2);
    assert!(again.elapsed() < SOON);
    server.stop().await.expect("a stop");
}

#[tokio::test]
async fn a_second_open_is_refused_and_names_the_holder() {
    let folder = tempfile::tempdir().expect("a folder");
    let settings = PostgresSettings::new(folder.path()).durability(Durability::None);
    let server = Postgres::start(settings.clone()).await.expect("a start");

    let refused = Postgres::start(settings.clone()).await;

    let Err(error @ PostgresError::InUse { .. }) = refused else {
        panic!("expected a refusal, got {refused:?}");
    };
    let text = error.to_string();
    assert!(
        text.contains(&format!("process {}", std::process::id())),
        "{text}"
    );

    server.stop().await.expect("a stop");
    let server = Postgres::start(settings).await.expect("free again");
    server.stop().await.expect("a stop");
}

#[tokio::test]
async fn a_server_that_dies_is_started_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Postgres::start(PostgresSettings::new(folder.path()))
        .await
        .expect("a start");
    sqlx::raw_sql("CREATE TABLE kept (id int); INSERT INTO kept VALUES (1)")
        .execute(&mut connect(&server.url()).await)
        .await
        .expect("a table");
    let first = pid_of(&server);

    kill(first, "KILL");

    let mut state = server.state();
    let restarted = state.wait_for(
        |state| matches!(state, PostgresState::Ready { pid, restarts } if *pid != first && *restarts > 0),
    );
    tokio::time::timeout(SOON, restarted)
        .await
        .expect("in time")
        .expect("a living supervisor");
    assert_eq!(count(&server.url()).await, 1);
    server.stop().await.expect("a stop");
}

#[tokio::test]
async fn a_dropped_server_ends() {
    let folder = tempfile::tempdir().expect("a folder");
    let settings = PostgresSettings::new(folder.path()).durability(Durability::None);
    let server = Postgres::start(settings).await.expect("a start");
    let pid = pid_of(&server);
    drop(server);
    eventually(SOON, "the server has ended", async || !lives(pid)).await;
}

#[tokio::test]
async fn a_killed_process_leaves_no_server_and_loses_nothing() {
    // Given another process that serves a data directory and acknowledged rows
    let folder = tempfile::tempdir().expect("a folder");
    let mut victim = Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", "victim", "--nocapture"])
        .env(VICTIM, folder.path())
        .stdout(Stdio::null())
        .spawn()
        .expect("a process");
    let report = folder.path().join("acknowledged");
    let (pid, acknowledged) = eventually(SOON, "acknowledged rows", async || {
        let text = std::fs::read_to_string(&report).ok()?;
        let (pid, rows) = text.trim().split_once(' ')?;
        let rows = rows.parse::<i64>().ok()?;
        (rows > 50).then_some((pid.parse::<u32>().ok()?, rows))
    })
    .await;
    assert!(lives(pid));

    // When that process is killed
    victim.kill().expect("a kill");
    victim.wait().expect("an end");

    // Then its server ends, and a new process finds every acknowledged row
    eventually(SOON, "the server has ended", async || !lives(pid)).await;
    let server = Postgres::start(PostgresSettings::new(folder.path()))
        .await
        .expect("a start after the kill");
    assert!(count(&server.url()).await >= acknowledged);
    server.stop().await.expect("a stop");
}

/// Not a test of its own: the process that the test above kills. Does nothing when run by itself.
#[tokio::test]
async fn victim() {
    let Some(folder) = std::env::var_os(VICTIM) else {
        return;
    };
    let server = Postgres::start(PostgresSettings::new(&folder))
        .await
        .expect("a start");
    let report = Path::new(&folder).join("acknowledged");
    let unfinished = report.with_extension("unfinished");
    let mut connection = connect(&server.url()).await;
    sqlx::raw_sql("CREATE TABLE kept (id int)")
        .execute(&mut connection)
        .await
        .expect("a table");
    for row in 1.. {
        sqlx::query("INSERT INTO kept VALUES ($1)")
            .bind(row)
            .execute(&mut connection)
            .await
            .expect("a row");
        std::fs::write(&unfinished, format!("{} {row}\n", pid_of(&server))).expect("a report");
        std::fs::rename(&unfinished, &report).expect("a report");
    }
}

#[tokio::test]
async fn a_deep_data_directory_still_gets_a_socket() {
    let folder = tempfile::tempdir().expect("a folder");
    set_mode(folder.path(), 0o711);
    let deep = folder.path().join("d".repeat(60)).join("e".repeat(60));
    let settings = PostgresSettings::new(&deep).durability(Durability::None);
    let server = Postgres::start(settings).await.expect("a start");
    connect(&server.url())
        .await
        .ping()
        .await
        .expect("an answer");
    assert!(deep.join("postgres/data").is_dir());
    let sockets = server.socket_directory().to_owned();
    server.stop().await.expect("a stop");
    assert!(!sockets.starts_with(&deep), "{}", sockets.display());
    std::fs::remove_dir_all(sockets).expect("an empty folder");
}

/// Only a root process hands its server to an account that a folder can shut out.
#[tokio::test]
async fn a_data_directory_out_of_reach_is_linked_to_a_place_within() {
    // Given a data directory below a folder that only we may enter
    let folder = tempfile::tempdir().expect("a folder");
    set_mode(folder.path(), 0o700);
    let closed = folder.path().join("data");
    let settings = PostgresSettings::new(&closed).durability(Durability::None);

    // When a server is started in it, twice
    for _ in 0..2 {
        let server = Postgres::start(settings.clone()).await.expect("a start");
        connect(&server.url())
            .await
            .ping()
            .await
            .expect("an answer");
        server.stop().await.expect("a stop");
    }

    // Then its files are where the link in the data directory says, or right there
    assert!(closed.join("postgres/data/PG_VERSION").is_file());
    if let Ok(elsewhere) = std::fs::read_link(closed.join("postgres")) {
        assert!(elsewhere.starts_with("/var/lib/hyperfleet"));
        std::fs::remove_dir_all(elsewhere).expect("ours to remove");
    }
}

#[tokio::test]
async fn a_server_that_cannot_start_says_why() {
    let folder = tempfile::tempdir().expect("a folder");
    let settings = PostgresSettings::new(folder.path()).setting("no_such_setting", "on");
    let error = Postgres::start(settings).await.expect_err("a refusal");
    assert!(error.to_string().contains("no_such_setting"), "{error}");
}

fn set_mode(folder: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(mode)).expect("a mode");
}

fn kill(pid: u32, signal: &str) {
    let status = Command::new("kill")
        .args([&format!("-{signal}"), &pid.to_string()])
        .status()
        .expect("kill runs");
    assert!(status.success());
}
