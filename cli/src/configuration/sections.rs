//! The settings as types, one for each concern.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::bail;
use hyperfleet_command_api::identity::{IdentityConfig, IdentitySections};
use hyperfleet_projections::WatchOptions;
use hyperfleet_runtime::config::{ConfigError, Settings};
use hyperfleet_runtime::telemetry::{Format, Output};
use serde_json::{Map, Value};

/// Certificate and key of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tls {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

/// Where a server listens, and how.
#[derive(Clone, Debug)]
pub(crate) struct Listen {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) tls: Option<Tls>,
}

/// `server`.
#[derive(Clone, Debug)]
pub(crate) struct Server {
    pub(crate) listen: Listen,
    pub(crate) insecure: bool,
    pub(crate) schema_file: Option<PathBuf>,
    pub(crate) read_timeout: Duration,
    pub(crate) write_timeout: Duration,
    /// `server.jwt`, `server.tenant`, `server.authorization` and `server.rate_limit`.
    pub(crate) identity: IdentityConfig,
    pub(crate) watch: WatchOptions,
}

/// `metrics`.
#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    pub(crate) listen: Listen,
    pub(crate) stuck_threshold: Duration,
}

/// `health`.
#[derive(Clone, Debug)]
pub(crate) struct Health {
    pub(crate) listen: Listen,
    pub(crate) shutdown_timeout: Duration,
    pub(crate) ping_timeout: Duration,
}

/// `log`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Log {
    /// How many positions one partition holds.
    pub(crate) partition_positions: u64,
}

/// `audit`.
#[derive(Clone, Debug)]
pub(crate) struct Audit {
    /// How long refused changes are kept.
    pub(crate) refusal_retention: Duration,
}

/// `logging`.
#[derive(Clone, Debug)]
pub(crate) struct Logging {
    pub(crate) level: String,
    /// Whether some source says how much to log.
    pub(crate) level_is_set: bool,
    pub(crate) format: Format,
    /// Whether some source says how.
    pub(crate) format_is_set: bool,
    pub(crate) output: Output,
    /// Headers whose values are masked; none when masking is off.
    pub(crate) masked_headers: Vec<String>,
}

pub(super) fn server(settings: &Settings) -> anyhow::Result<Server> {
    Ok(Server {
        listen: listen(settings, "server")?,
        insecure: settings.boolean("server.insecure"),
        schema_file: settings.path("server.openapi_schema_path"),
        read_timeout: settings.duration("server.timeouts.read"),
        write_timeout: settings.duration("server.timeouts.write"),
        identity: IdentityConfig::from_sections(IdentitySections {
            jwt: members(settings, "server.jwt", &["enabled", "configs"]),
            tenant: members(
                settings,
                "server.tenant",
                &["enabled", "system_header", "dimensions", "isolation"],
            ),
            authorization: whole(settings, "server.authorization"),
            rate_limit: whole(settings, "server.rate_limit"),
        })?,
        watch: WatchOptions {
            watchers: settings.integer("server.watch.max_watchers"),
            watchers_per_caller: settings.integer("server.watch.max_watchers_per_caller"),
            bookmark_interval: settings.duration("server.watch.bookmark_interval"),
            lifetime: settings.duration("server.watch.max_duration"),
            ..WatchOptions::default()
        },
    })
}

pub(super) fn metrics(settings: &Settings) -> Result<Metrics, ConfigError> {
    Ok(Metrics {
        listen: listen(settings, "metrics")?,
        stuck_threshold: settings.duration("metrics.reconciliation_stuck_threshold"),
    })
}

pub(super) fn health(settings: &Settings) -> Result<Health, ConfigError> {
    Ok(Health {
        listen: listen(settings, "health")?,
        shutdown_timeout: settings.duration("health.shutdown_timeout"),
        ping_timeout: settings.duration("health.db_ping_timeout"),
    })
}

pub(super) fn log(settings: &Settings) -> Log {
    Log {
        partition_positions: settings.integer("log.partition_positions"),
    }
}

pub(super) fn audit(settings: &Settings) -> Audit {
    Audit {
        refusal_retention: settings.duration("audit.refusal_retention"),
    }
}

pub(super) fn logging(settings: &Settings) -> Logging {
    let masks = settings.boolean("logging.masking.enabled");
    Logging {
        level: settings.text("logging.level"),
        level_is_set: settings.is_set("logging.level"),
        format: match settings.text("logging.format").as_str() {
            "text" => Format::Text,
            _ => Format::Json,
        },
        format_is_set: settings.is_set("logging.format"),
        output: match settings.text("logging.output").as_str() {
            "stdout" => Output::Stdout,
            _ => Output::Stderr,
        },
        masked_headers: if masks {
            settings.list("logging.masking.headers")
        } else {
            Vec::new()
        },
    }
}

fn listen(settings: &Settings, section: &str) -> Result<Listen, ConfigError> {
    Ok(Listen {
        host: settings.text(&format!("{section}.host")),
        port: settings.integer(&format!("{section}.port")),
        tls: tls(settings, section)?,
    })
}

/// The certificate of a server, when it has TLS: its own, or the API's.
fn tls(settings: &Settings, section: &str) -> Result<Option<Tls>, ConfigError> {
    if !settings.boolean(&format!("{section}.tls.enabled")) {
        return Ok(None);
    }
    let file = |name: &str| {
        let own = format!("{section}.tls.{name}");
        settings
            .path(&own)
            .or_else(|| settings.path(&format!("server.tls.{name}")))
            .ok_or_else(|| {
                settings.invalid(
                    &own,
                    format!("must name a file, because {section}.tls.enabled is true"),
                )
            })
    };
    Ok(Some(Tls {
        certificate: file("cert_file")?,
        key: file("key_file")?,
    }))
}

/// The members of a section that some source sets.
/// A section that is one setting, if some source sets it.
fn whole(settings: &Settings, path: &str) -> Option<Value> {
    let is_set = settings.is_set(path);
    is_set.then(|| settings.get(path).value.to_json())
}

/// The members of a section that some source sets, flags and variables merged in.
fn members(settings: &Settings, section: &str, names: &[&str]) -> Option<Value> {
    let set = names.iter().filter_map(|name| {
        let path = format!("{section}.{name}");
        let value = settings.get(&path).value.to_json();
        settings.is_set(&path).then(|| ((*name).to_owned(), value))
    });
    let set: Map<String, Value> = set.collect();
    (!set.is_empty()).then_some(Value::Object(set))
}

impl Listen {
    /// Whether only this machine can reach it.
    pub(crate) fn is_loopback(&self) -> bool {
        let address = self.host.parse::<std::net::IpAddr>();
        self.host == "localhost" || address.is_ok_and(|address| address.is_loopback())
    }
}

impl Server {
    /// Refuses to be reachable for everybody without anybody being asked who they are.
    pub(crate) fn require_safe(&self) -> anyhow::Result<()> {
        if self.listen.is_loopback() || self.insecure || self.identity.authenticates() {
            return Ok(());
        }
        bail!(
            "refusing to listen on {} without authentication: anyone who can reach it could change anything; \
             enable server.jwt, listen on 127.0.0.1, or say --insecure",
            self.listen.host
        )
    }
}
