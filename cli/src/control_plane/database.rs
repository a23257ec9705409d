//! The database: embedded in a data directory, or the user's; its schema, and the event store on it.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use hyperfleet_event_store::{EventStore, EventStoreOptions, migrator};
use hyperfleet_projections::InlineProjector;
use hyperfleet_runtime::postgres::{Postgres, PostgresSettings};
use sqlx::{Connection as _, PgConnection};

/// Which database to use.
#[derive(Debug)]
pub(crate) enum DatabaseChoice {
    /// A server of the user's.
    Url(String),
    /// A private server with its files in this directory.
    Embedded(PathBuf),
}

/// An open database with the schema that this version knows.
pub(crate) struct Database {
    url: String,
    described: String,
    embedded: Option<Postgres>,
}

impl Database {
    /// Starts or reaches the server and brings the schema up to date. A schema newer than this version is
    /// refused.
    pub(crate) async fn open(choice: &DatabaseChoice) -> anyhow::Result<Self> {
        let database = match choice {
            DatabaseChoice::Url(url) => Self {
                url: url.clone(),
                described: without_password(url),
                embedded: None,
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
                }
            }
        };
        let mut connection = PgConnection::connect(&database.url)
            .await
            .with_context(|| format!("cannot connect to {}", database.described))?;
        migrator().run(&mut connection).await.with_context(|| {
            format!(
                "cannot bring the schema of {} up to date",
                database.described
            )
        })?;
        connection.close().await?;
        Ok(database)
    }

    /// The event store on this database, with the read models that must never be behind.
    pub(crate) async fn store(&self, metrics: &prometheus::Registry) -> anyhow::Result<EventStore> {
        let options = EventStoreOptions::new(&self.url).projection(Arc::new(InlineProjector));
        for collector in options.metrics.collectors() {
            metrics.register(collector)?;
        }
        EventStore::open(options)
            .await
            .with_context(|| format!("cannot open the event store on {}", self.described))
    }

    /// For people; without secrets.
    pub(crate) fn described(&self) -> &str {
        &self.described
    }

    /// Stops an embedded server, so that the next start needs no recovery.
    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        if let Some(server) = self.embedded {
            server.stop().await?;
        }
        Ok(())
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
