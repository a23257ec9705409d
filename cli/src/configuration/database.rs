//! `database` and `data_dir`.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::bail;
use hyperfleet_runtime::config::{ConfigError, Settings};
use reqwest::Url;
use sqlx::postgres::PgConnectOptions;

/// Which database to use.
#[derive(Clone, Debug)]
pub(crate) enum DatabaseChoice {
    /// A server of the user's.
    Url(String),
    /// A private server with its files in this directory.
    Embedded(PathBuf),
}

/// `database`.
#[derive(Clone, Debug)]
pub(crate) struct Database {
    /// The server that the settings name, if they name one.
    pub(crate) url: Option<String>,
    pub(crate) data_dir: Option<PathBuf>,
    pub(crate) max_connections: u32,
    pub(crate) max_lifetime: Duration,
    pub(crate) max_idle_time: Duration,
    pub(crate) statement_timeout: Duration,
    pub(crate) connect_attempts: u32,
    pub(crate) connect_interval: Duration,
    pub(crate) migration_lock_timeout: Duration,
    pub(crate) logs_statements: bool,
}

pub(super) fn database(settings: &Settings) -> Result<Database, ConfigError> {
    let url = match settings.given("database.url") {
        Some(url) => Some(checked(settings, url)?),
        None if settings.is_set("database.host") => Some(url_of_parts(settings)?),
        None => None,
    };
    Ok(Database {
        url,
        data_dir: settings.path("data_dir"),
        max_connections: settings.integer("database.pool.max_connections"),
        max_lifetime: settings.duration("database.pool.conn_max_lifetime"),
        max_idle_time: settings.duration("database.pool.conn_max_idle_time"),
        statement_timeout: settings.duration("database.pool.request_timeout"),
        connect_attempts: settings.integer("database.pool.conn_retry_attempts"),
        connect_interval: settings.duration("database.pool.conn_retry_interval"),
        migration_lock_timeout: settings.duration("database.advisory_lock_timeout"),
        logs_statements: settings.boolean("database.debug"),
    })
}

fn checked(settings: &Settings, url: String) -> Result<String, ConfigError> {
    let is_postgres = url.starts_with("postgres://") || url.starts_with("postgresql://");
    if is_postgres && url.parse::<PgConnectOptions>().is_ok() {
        return Ok(url);
    }
    Err(settings.invalid(
        "database.url",
        "must be a URL such as postgres://user:password@host:5432/name",
    ))
}

fn url_of_parts(settings: &Settings) -> Result<String, ConfigError> {
    let host = settings.text("database.host");
    // The constant is a URL; the fallback is never taken.
    let Ok(mut url) = Url::parse("postgres://localhost") else {
        return Ok(String::new());
    };
    let is_socket = host.starts_with('/');
    if is_socket {
        url.query_pairs_mut().append_pair("host", &host);
    } else {
        let bracketed = if host.contains(':') && !host.starts_with('[') {
            format!("[{host}]")
        } else {
            host.clone()
        };
        url.set_host(Some(&bracketed))
            .map_err(|error| settings.invalid("database.host", format!("is no host: {error}")))?;
    }
    let password = settings.given("database.password");
    // These fail only for URLs that have no host, which this one has.
    let _ = url.set_port(Some(settings.integer("database.port")));
    let _ = url.set_username(&settings.text("database.username"));
    let _ = url.set_password(password.as_deref());
    url.set_path(&settings.text("database.name"));
    url.query_pairs_mut()
        .append_pair("sslmode", &settings.text("database.ssl.mode"));
    if let Some(certificates) = settings.given("database.ssl.root_cert_file") {
        if !std::path::Path::new(&certificates).is_file() {
            let problem = format!("names {certificates}, which does not exist");
            return Err(settings.invalid("database.ssl.root_cert_file", problem));
        }
        url.query_pairs_mut()
            .append_pair("sslrootcert", &certificates);
    }
    checked(settings, url.to_string())
}

impl Database {
    /// The same database for work over all of it, whose statements may take as long as they need.
    pub(crate) fn for_maintenance(&self) -> Self {
        Self {
            statement_timeout: Duration::ZERO,
            ..self.clone()
        }
    }

    /// The database of a role that has no place of its own on disk.
    pub(crate) fn choice(&self) -> anyhow::Result<DatabaseChoice> {
        match (&self.url, &self.data_dir) {
            (Some(url), _) => Ok(DatabaseChoice::Url(url.clone())),
            (None, Some(folder)) => Ok(DatabaseChoice::Embedded(folder.clone())),
            (None, None) => bail!(
                "say which database: --database-url URL (or --db-host HOST), or --data-dir DIR for an embedded one"
            ),
        }
    }

    /// The database of a control plane: without a server named, the one embedded in its data directory.
    pub(crate) fn choice_beside(&self, data_dir: PathBuf) -> DatabaseChoice {
        match &self.url {
            Some(url) => DatabaseChoice::Url(url.clone()),
            None => DatabaseChoice::Embedded(data_dir),
        }
    }
}
