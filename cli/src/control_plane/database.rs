//! The database: embedded in a data directory, or the user's; its schema, and the event store on it.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::Context as _;
use hyperfleet_event_store::{ConnectionOptions, EventStore, EventStoreOptions, migrator};
use hyperfleet_projections::InlineProjector;
use hyperfleet_runtime::postgres::{Postgres, PostgresSettings};
use hyperfleet_runtime::telemetry::Identity;
use sqlx::{Connection as _, PgConnection, PgPool};

use crate::configuration::{DatabaseChoice, DatabaseConfiguration};

/// How long connections may take to be given back at the end.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// An open database with the schema that this version knows.
pub(crate) struct Database {
    url: String,
    described: String,
    embedded: Option<Postgres>,
    settings: DatabaseConfiguration,
    /// Connections to close before the server goes.
    pool: OnceLock<PgPool>,
}

impl Database {
    /// Starts or reaches the server and brings the schema up to date. A schema newer than this version is
    /// refused.
    pub(crate) async fn open(
        choice: &DatabaseChoice,
        settings: &DatabaseConfiguration,
    ) -> anyhow::Result<Self> {
        let settings = settings.clone();
        let database = match choice {
            DatabaseChoice::Url(url) => Self {
                url: url.clone(),
                described: without_password(url),
                embedded: None,
                settings,
                pool: OnceLock::new(),
            },
            DatabaseChoice::Embedded(folder) => {
                let server = Postgres::start(PostgresSettings::new(folder)).await?;
                Self {
                    url: server.url(),
                    described: format!(
                        "embedded PostgreSQL {} in {} ({})",
                        server.version(),
                        folder.display(),
                        server.url()
                    ),
                    embedded: Some(server),
                    settings,
                    pool: OnceLock::new(),
                }
            }
        };
        database.migrate().await?;
        Ok(database)
    }

    async fn migrate(&self) -> anyhow::Result<()> {
        let mut connection = self.connect().await?;
        // A lock is waited for while another process migrates; then it is waited for no longer.
        let wait = self.settings.migration_lock_timeout.as_millis();
        sqlx::query("SELECT set_config('lock_timeout', $1, false)")
            .bind(wait.to_string())
            .execute(&mut connection)
            .await?;
        migrator()
            .run(&mut connection)
            .await
            .with_context(|| format!("cannot bring the schema of {} up to date", self.described))?;
        connection.close().await?;
        Ok(())
    }

    /// Connects, and tries again while the server cannot be reached: it may be starting too.
    async fn connect(&self) -> anyhow::Result<PgConnection> {
        let attempts = self.settings.connect_attempts;
        let mut attempt = 1;
        loop {
            match PgConnection::connect(&self.url).await {
                Ok(connection) => return Ok(connection),
                Err(error) if attempt < attempts && may_pass(&error) => {
                    tracing::warn!(error = %error, attempt, attempts, "the database cannot be reached, trying again");
                    tokio::time::sleep(self.settings.connect_interval).await;
                    attempt += 1;
                }
                Err(error) => {
                    return Err(error).with_context(|| {
                        format!("cannot connect to {} (try {attempt})", self.described)
                    });
                }
            }
        }
    }

    /// The event store on this database, with the read models that must never be behind.
    pub(crate) async fn store(&self, metrics: &prometheus::Registry) -> anyhow::Result<EventStore> {
        let settings = &self.settings;
        let limited = |duration: Duration| Some(duration).filter(|duration| !duration.is_zero());
        let mut options = EventStoreOptions::new(&self.url).projection(Arc::new(InlineProjector));
        options.read_connections = settings.max_connections;
        let machine = Identity::new("", "").hostname;
        options.runner_name = format!("{machine}, {}", options.runner_name);
        options.connections = ConnectionOptions {
            max_lifetime: limited(settings.max_lifetime),
            idle_timeout: limited(settings.max_idle_time),
            statement_timeout: limited(settings.statement_timeout),
            logs_statements: settings.logs_statements,
        };
        for collector in options.metrics.collectors() {
            metrics.register(collector)?;
        }
        let store = EventStore::open(options)
            .await
            .with_context(|| format!("cannot open the event store on {}", self.described))?;
        let _ = self.pool.set(store.pool().clone());
        Ok(store)
    }

    /// For people; without secrets.
    pub(crate) fn described(&self) -> &str {
        &self.described
    }

    /// Stops an embedded server, so that the next start needs no recovery.
    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        if let Some(pool) = self.pool.get() {
            // Whoever still holds a connection loses it with the server.
            let _ = tokio::time::timeout(CLOSE_TIMEOUT, pool.close()).await;
        }
        if let Some(server) = self.embedded {
            server.stop().await?;
        }
        Ok(())
    }
}

/// Whether an error may pass by itself: the server is away or starting, not wrong.
fn may_pass(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) => true,
        sqlx::Error::Database(error) => error
            .code()
            .is_some_and(|code| code.starts_with("57P") || code.starts_with("53")),
        _ => false,
    }
}

/// A database URL as it may be shown.
fn without_password(url: &str) -> String {
    let Ok(mut parsed) = reqwest::Url::parse(url) else {
        return "the given database".to_owned();
    };
    if parsed.password().is_some() {
        // Fails only for URLs that cannot have a password.
        let _ = parsed.set_password(Some("***"));
    }
    parsed.to_string()
}

#[cfg(test)]
mod tests {
    use super::without_password;

    #[test]
    fn a_password_is_not_shown() {
        assert_eq!(
            without_password("postgres://me:secret@db:5432/fleet"),
            "postgres://me:***@db:5432/fleet"
        );
        assert_eq!(without_password("no url"), "the given database");
    }
}
