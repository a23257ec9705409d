//! A database of its own for each test, on a real server.
//!
//! The server is the one that `HYPERFLEET_TEST_DATABASE_URL` names (`cargo xtask test` starts one
//! for all suites); without it, each test process starts a private server from a ready-made copy
//! and takes it along when it ends. Either way a template database carries every migration once,
//! and a test's database is a clone of it.

use std::ops::Deref;
use std::path::Path;
use std::str::FromStr as _;

use hyperfleet_runtime::IdSource as _;
use hyperfleet_runtime::UuidV7Source;
use hyperfleet_runtime::postgres::{Postgres, PostgresSettings};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{Connection as _, PgConnection, PgPool};
use tempfile::TempDir;

use crate::server;
use crate::template;

/// Connections of a test's own pool. A shared server serves several tests at once.
const POOL_SIZE: u32 = 10;

/// A migrated database that only this test sees. It is dropped with the value.
#[derive(Debug)]
pub struct TestDatabase {
    /// Where to connect to.
    pub url: String,
    /// A small pool of connections to it.
    pub pool: PgPool,
    name: String,
    maintenance: PgConnectOptions,
}

/// A migrated database of this test's own, on a server that does not wait for the disk.
///
/// # Panics
/// When no server can be had; the message says what to do.
pub async fn database() -> TestDatabase {
    let url = server::url().await;
    TestDatabase::clone_of_template(&url).await
}

impl TestDatabase {
    async fn clone_of_template(server_url: &str) -> Self {
        let maintenance =
            PgConnectOptions::from_str(server_url).expect("the server's URL is well-formed");
        let template = template::ensure(&maintenance).await;
        let name = format!("test_{}", UuidV7Source.new_id().simple());
        let mut connection = PgConnection::connect_with(&maintenance)
            .await
            .expect("the test server accepts connections");
        sqlx::raw_sql(&format!("CREATE DATABASE {name} TEMPLATE {template}"))
            .execute(&mut connection)
            .await
            .expect("the template can be cloned");
        // Best effort: the server notices a closed connection anyway.
        let _ = connection.close().await;
        let options = maintenance.clone().database(&name);
        let pool = PgPoolOptions::new()
            .max_connections(POOL_SIZE)
            .test_before_acquire(false)
            .connect_with(options)
            .await
            .expect("the new database accepts connections");
        Self {
            url: with_database(server_url, &name),
            pool,
            name,
            maintenance,
        }
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        let name = std::mem::take(&mut self.name);
        let maintenance = self.maintenance.clone();
        // On a thread of its own: the test's runtime may be ending, and must not be blocked.
        let dropping = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            runtime.block_on(async {
                let mut connection = PgConnection::connect_with(&maintenance).await?;
                sqlx::raw_sql(&format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"))
                    .execute(&mut connection)
                    .await?;
                connection.close().await
            })
        });
        // A database that stays behind goes with its server; a test must not fail for it.
        let _ = dropping.join();
    }
}

/// A migrated database on a server of its own that waits for the disk, for tests of durability.
#[derive(Debug)]
pub struct DurableDatabase {
    database: Option<TestDatabase>,
    server: Option<Postgres>,
    folder: TempDir,
}

/// A migrated database on a durable server of this test's own.
///
/// # Panics
/// When no server can be had; the message says what to do.
pub async fn durable_database() -> DurableDatabase {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = server::start(PostgresSettings::new(folder.path())).await;
    let database = TestDatabase::clone_of_template(&server.url()).await;
    DurableDatabase {
        database: Some(database),
        server: Some(server),
        folder,
    }
}

impl DurableDatabase {
    /// The server, to look at or to kill.
    pub fn server(&self) -> &Postgres {
        self.server.as_ref().expect("present until dropped")
    }

    /// The server's data directory.
    pub fn data_directory(&self) -> &Path {
        self.folder.path()
    }
}

impl Deref for DurableDatabase {
    type Target = TestDatabase;

    fn deref(&self) -> &TestDatabase {
        self.database.as_ref().expect("present until dropped")
    }
}

impl Drop for DurableDatabase {
    fn drop(&mut self) {
        if let Some(mut database) = self.database.take() {
            // The whole server goes: nothing is left to drop one by one.
            database.name.clear();
            std::mem::forget(database);
        }
        if let Some(server) = self.server.take() {
            server::stop_and_wait(server);
        }
    }
}

/// The same server URL with another database.
fn with_database(server_url: &str, name: &str) -> String {
    let (base, query) = match server_url.split_once('?') {
        Some((base, query)) => (base, format!("?{query}")),
        None => (server_url, String::new()),
    };
    let authority_end = base.find("://").map_or(0, |at| at + "://".len());
    let host_end = base[authority_end..]
        .find('/')
        .map_or(base.len(), |at| authority_end + at);
    format!("{}/{name}{query}", &base[..host_end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_database_of_a_url_is_replaced() {
        for (url, expected) in [
            (
                "postgres://u@h:1/a?host=%2Ft",
                "postgres://u@h:1/b?host=%2Ft",
            ),
            ("postgres://u@h/a", "postgres://u@h/b"),
            ("postgres://u@h", "postgres://u@h/b"),
        ] {
            assert_eq!(with_database(url, "b"), expected);
        }
    }

    #[tokio::test]
    async fn each_test_has_its_own_database_and_takes_it_along() {
        let first = database().await;
        let second = database().await;
        sqlx::raw_sql("CREATE TABLE mine (id int)")
            .execute(&first.pool)
            .await
            .expect("a table");
        let seen: Option<String> = sqlx::query_scalar("SELECT to_regclass('mine')::text")
            .fetch_one(&second.pool)
            .await
            .expect("an answer");
        assert_eq!(seen, None);

        let name = first.name.clone();
        drop(first);
        let exists: bool =
            sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM pg_database WHERE datname = $1)")
                .bind(&name)
                .fetch_one(&second.pool)
                .await
                .expect("an answer");
        assert!(!exists, "{name} is still there");
    }

    #[tokio::test]
    async fn a_durable_database_waits_for_the_disk() {
        let database = durable_database().await;
        let fsync: String = sqlx::query_scalar("SHOW fsync")
            .fetch_one(&database.pool)
            .await
            .expect("a setting");
        assert_eq!(fsync, "on");
    }
}
