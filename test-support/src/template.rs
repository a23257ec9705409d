//! The template database: every migration applied once per server and set of migrations.

use std::path::Path;

use sqlx::migrate::Migrator;
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection as _, PgConnection};

/// Key of the advisory lock under which one process makes the template.
const TEMPLATE_LOCK: i64 = 0x4859_5045_5254_4d50;

/// The template's name on the server of `maintenance`, made first when it is not there.
pub(crate) async fn ensure(maintenance: &PgConnectOptions) -> String {
    let migrator = migrator().await;
    let name = name_of(&migrator);
    let mut connection = PgConnection::connect_with(maintenance)
        .await
        .expect("the test server accepts connections");
    if !exists(&mut connection, &name).await {
        sqlx::query("SELECT pg_advisory_lock($1)")
            .bind(TEMPLATE_LOCK)
            .execute(&mut connection)
            .await
            .expect("the template lock");
        if !exists(&mut connection, &name).await {
            make(&mut connection, maintenance, &migrator, &name).await;
        }
    }
    // Closing releases the lock.
    let _ = connection.close().await;
    name
}

/// Migrates under another name and renames in the end, so that a template is complete when seen.
async fn make(
    connection: &mut PgConnection,
    maintenance: &PgConnectOptions,
    migrator: &Migrator,
    name: &str,
) {
    let unfinished = format!("{name}_unfinished");
    for statement in [
        format!("DROP DATABASE IF EXISTS {unfinished} WITH (FORCE)"),
        format!("CREATE DATABASE {unfinished}"),
    ] {
        sqlx::raw_sql(&statement)
            .execute(&mut *connection)
            .await
            .expect("a new database");
    }
    let mut migrated = PgConnection::connect_with(&maintenance.clone().database(&unfinished))
        .await
        .expect("the new database accepts connections");
    migrator
        .run(&mut migrated)
        .await
        .expect("every migration applies to an empty database");
    migrated.close().await.expect("a closed connection");
    sqlx::raw_sql(&format!("ALTER DATABASE {unfinished} RENAME TO {name}"))
        .execute(connection)
        .await
        .expect("the template gets its name");
}

async fn exists(connection: &mut PgConnection, name: &str) -> bool {
    sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM pg_database WHERE datname = $1)")
        .bind(name)
        .fetch_one(connection)
        .await
        .expect("the server's list of databases")
}

/// Read when the tests run, so that a new migration needs no rebuild of this crate.
async fn migrator() -> Migrator {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../migrations");
    Migrator::new(folder)
        .await
        .expect("the migrations folder is readable")
}

/// Names the content: changed migrations get a new template.
fn name_of(migrator: &Migrator) -> String {
    const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0100_0000_01b3;
    let digest = migrator
        .iter()
        .flat_map(|migration| migration.checksum.iter())
        .fold(OFFSET, |digest, byte| {
            (digest ^ u64::from(*byte)).wrapping_mul(PRIME)
        });
    format!("template_{digest:016x}")
}
