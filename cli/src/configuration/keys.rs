//! Every key of the configuration, in the order of its reference page (docs/configuration.md), which a
//! test compares with this table.

use std::time::Duration;

use hyperfleet_runtime::config::{Key, Kind};

const PORT: Kind = Kind::Integer { min: 0, max: 65535 };

/// From none to what one process can hold open: each is a connection with its buffers, and a place in
/// every wake-up.
const WATCHERS: Kind = Kind::Integer {
    min: 0,
    max: 20_000,
};

const fn seconds(min: u64, max: u64) -> Kind {
    Kind::Duration {
        min: Duration::from_secs(min),
        max: Duration::from_secs(max),
    }
}

/// From nothing to a day: for what has no bound of its own.
const ANY_DURATION: Kind = seconds(0, 86_400);
const YEAR: Kind = seconds(0, 366 * 86_400);

const fn switch(path: &'static str, default: &'static str, help: &'static str) -> Key {
    Key::text(path, help).of(Kind::Boolean).or(default)
}

const NO_EFFECT_LABELS: &str = "unused in the contract too";
const NO_EFFECT_BODIES: &str = "bodies are never logged";

/// The keys.
pub(crate) const KEYS: &[Key] = &[
    Key::text("data_dir", "Directory of the embedded PostgreSQL and of everything else kept on disk")
        .flags(&["data-dir"]),
    // Server.
    Key::text("server.hostname", "Public name of the API; informative").flags(&["server-hostname"]),
    Key::text("server.host", "Address or name to listen on").or("localhost").flags(&["server-host", "host"]),
    Key::text("server.port", "Port of the API; 0 takes a free one")
        .of(PORT).or("8000").flags(&["server-port", "port"]).short('p'),
    switch("server.insecure", "false", "Allow listening beyond loopback without authentication")
        .flags(&["insecure"]),
    Key::text("server.openapi_schema_path", "OpenAPI 3 file (YAML or JSON) whose component schemas validate specs; without it specs are free-form")
        .flags(&["server-openapi-schema-path"]),
    Key::text("server.timeouts.read", "Longest wait for more of a request's body")
        .of(seconds(1, 3600)).or("5s").flags(&["server-read-timeout"]),
    Key::text("server.timeouts.write", "Longest time to answer a request")
        .of(seconds(1, 3600)).or("30s").flags(&["server-write-timeout"]),
    switch("server.tls.enabled", "false", "Serve the API over TLS").flags(&["server-https-enabled"]),
    Key::text("server.tls.cert_file", "Certificate chain, PEM").flags(&["server-https-cert-file"]),
    Key::text("server.tls.key_file", "Private key of the certificate, PEM").flags(&["server-https-key-file"]),
    Key::text("server.jwt.enabled", "Authenticate callers by JWT").of(Kind::Boolean).flags(&["server-jwt-enabled"]),
    Key::text("server.jwt.configs", "Accepted issuers").of(Kind::Structured),
    switch("server.tenant.enabled", "false", "Stamp and scope resources by tenant").flags(&["server-tenant-enabled"]),
    Key::text("server.tenant.system_header", "Header that marks system identities").flags(&["server-tenant-system-header"]),
    Key::text("server.tenant.dimensions", "Headers that name the tenant").of(Kind::Structured),
    Key::text("server.tenant.isolation", "Whether tenants see each other's resources: strict hides them")
        .of(Kind::Choice(&["strict", "none"])).or("strict"),
    Key::text("server.authorization", "Roles and to whom they are bound").of(Kind::Structured),
    Key::text("server.rate_limit", "How many requests each caller may send").of(Kind::Structured),
    Key::text("server.watch.max_watchers", "Watches that may be open at a time")
        .of(WATCHERS).or("2000"),
    Key::text("server.watch.max_watchers_per_caller", "Watches of one caller that may be open at a time")
        .of(WATCHERS).or("1000"),
    Key::text("server.watch.bookmark_interval", "Pause after which a silent watch is sent a bookmark")
        .of(seconds(1, 3600)).or("15s"),
    Key::text("server.watch.max_duration", "How long one watch lasts; its client goes on in a new one, with the rights it has then")
        .of(seconds(60, 86_400)).or("30m"),
    // Database.
    Key::text("database.url", "Use the PostgreSQL at this URL; wins over host, port, name, username, password and ssl")
        .secret().flags(&["database-url"]),
    Key::text("database.dialect", "Only postgres").of(Kind::Choice(&["postgres"])).or("postgres").flags(&["db-dialect"]),
    Key::text("database.host", "Host of a PostgreSQL; setting it chooses that server instead of the embedded one")
        .or("localhost").flags(&["db-host"]),
    Key::text("database.port", "Port of the PostgreSQL").of(Kind::Integer { min: 1, max: 65535 }).or("5432").flags(&["db-port"]),
    Key::text("database.name", "Name of the database").or("hyperfleet").flags(&["db-name"]),
    Key::text("database.username", "User of the database").or("hyperfleet").flags(&["db-username"]),
    Key::text("database.password", "Password of the user").secret().flags(&["db-password"]),
    switch("database.debug", "false", "Log every SQL statement").flags(&["db-debug"]),
    Key::text("database.ssl.mode", "How to protect the connection")
        .of(Kind::Choice(&["disable", "require", "verify-ca", "verify-full"])).or("disable").flags(&["db-ssl-mode"]),
    Key::text("database.ssl.root_cert_file", "Certificates to trust, PEM; needed for verify-ca and verify-full with a private CA")
        .flags(&["db-root-cert-file"]),
    Key::text("database.pool.max_connections", "Connections for reading; writing and listening take one more each")
        .of(Kind::Integer { min: 1, max: 200 }).or("50").flags(&["db-max-open-connections"]),
    Key::text("database.pool.max_idle_connections", "Idle connections to keep")
        .of(Kind::Integer { min: 0, max: 200 }).or("10")
        .without_effect("idle connections are closed after conn_max_idle_time instead"),
    Key::text("database.pool.conn_max_lifetime", "Age at which a connection is replaced; 0 is never").of(ANY_DURATION).or("5m"),
    Key::text("database.pool.conn_max_idle_time", "Idle time after which a connection is closed; 0 is never").of(ANY_DURATION).or("1m"),
    Key::text("database.pool.request_timeout", "Longest time that one statement of a request may take").of(seconds(1, 3600)).or("30s"),
    Key::text("database.pool.conn_retry_attempts", "Tries to reach the database at start-up").of(Kind::Integer { min: 1, max: 1000 }).or("10"),
    Key::text("database.pool.conn_retry_interval", "Pause between them").of(seconds(0, 3600)).or("3s"),
    Key::text("database.advisory_lock_timeout", "Longest wait for another process that migrates the schema").of(seconds(1, 86_400)).or("5m"),
    // Logs.
    Key::text("logging.level", "How much to log: error, warn, info, debug, trace, or a tracing filter")
        .or("info").variables(&["HYPERFLEET_LOG_LEVEL"]).flags(&["log-level"]).short('l'),
    Key::text("logging.format", "How to write lines").of(Kind::Choice(&["json", "text"]))
        .or("json").variables(&["HYPERFLEET_LOG_FORMAT"]).flags(&["log-format"]).short('f'),
    Key::text("logging.output", "Where to write them").of(Kind::Choice(&["stdout", "stderr"])).or("stderr").flags(&["log-output"]),
    switch("logging.masking.enabled", "true", "Mask headers in the log").flags(&["log-masking-enabled"]),
    Key::text("logging.masking.headers", "Headers whose values are masked").of(Kind::List)
        .or("Authorization,X-API-Key,Cookie,X-Auth-Token,X-Forwarded-Authorization").flags(&["log-masking-sensitive-headers"]),
    Key::text("logging.masking.fields", "Members of bodies to mask").of(Kind::List)
        .or("password,secret,token,api_key,access_token,refresh_token,client_secret")
        .flags(&["log-masking-sensitive-fields"]).without_effect(NO_EFFECT_BODIES),
    Key::text("logging.otel.enabled", "Deprecated name of tracing.enabled").of(Kind::Boolean),
    // Traces; the variables are those of OpenTelemetry.
    switch("tracing.enabled", "true", "Export traces, where tracing.endpoint names a collector"),
    Key::text("tracing.service_name", "Name of the exporting service; default: that of the role").or("hyperfleet-api").variables(&["OTEL_SERVICE_NAME"]),
    Key::text("tracing.endpoint", "Base URL of the OpenTelemetry collector; without it no trace is exported")
        .variables(&["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"]),
    Key::text("tracing.protocol", "How to talk to the collector; http means http/protobuf")
        .of(Kind::Choice(&["grpc", "http/protobuf", "http"])).or("grpc")
        .variables(&["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"]),
    Key::text("tracing.headers", "Headers of every message to the collector, name=value separated by commas")
        .variables(&["OTEL_EXPORTER_OTLP_TRACES_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS"]).secret(),
    Key::text("tracing.sampler", "Which traces to export")
        .of(Kind::Choice(&["always_on", "always_off", "traceidratio", "parentbased_always_on", "parentbased_always_off", "parentbased_traceidratio"]))
        .or("parentbased_traceidratio").variables(&["OTEL_TRACES_SAMPLER"]),
    Key::text("tracing.sampler_argument", "Share of traces to export where the sampler is a ratio, from 0 to 1")
        .or("1.0").variables(&["OTEL_TRACES_SAMPLER_ARG"]),
    Key::text("tracing.propagators", "How callers' traces are recognised: tracecontext, baggage (passed by), none")
        .of(Kind::List).or("tracecontext,baggage").variables(&["OTEL_PROPAGATORS"]),
    Key::text("tracing.resource_attributes", "Attributes of the exporting service, name=value separated by commas")
        .variables(&["OTEL_RESOURCE_ATTRIBUTES"]),
    // Metrics.
    Key::text("metrics.host", "Address or name of the metrics server").or("localhost").flags(&["metrics-host"]),
    Key::text("metrics.port", "Port of /metrics; 0 takes a free one").of(PORT).or("9090").flags(&["metrics-port"]),
    switch("metrics.tls.enabled", "false", "Serve metrics over TLS").flags(&["metrics-tls-enabled"]),
    Key::text("metrics.tls.cert_file", "Certificate chain, PEM; default: the API's").flags(&["metrics-tls-cert-file"]),
    Key::text("metrics.tls.key_file", "Private key, PEM; default: the API's").flags(&["metrics-tls-key-file"]),
    Key::text("metrics.label_metrics_inclusion_duration", "Age of resources in label metrics")
        .of(YEAR).or("168h").flags(&["metrics-label-metrics-inclusion-duration"]).without_effect(NO_EFFECT_LABELS),
    Key::text("metrics.reconciliation_stuck_threshold", "Age at which an unreconciled resource counts as stuck")
        .of(seconds(1, 366 * 86_400)).or("10m").flags(&["metrics-reconciliation-stuck-threshold"]),
    // Health.
    Key::text("health.host", "Address or name of the health server").or("localhost").flags(&["health-host"]),
    Key::text("health.port", "Port of /healthz and /readyz; 0 takes a free one").of(PORT).or("8080").flags(&["health-port"]),
    switch("health.tls.enabled", "false", "Serve health over TLS").flags(&["health-tls-enabled"]),
    Key::text("health.tls.cert_file", "Certificate chain, PEM; default: the API's").flags(&["health-tls-cert-file"]),
    Key::text("health.tls.key_file", "Private key, PEM; default: the API's").flags(&["health-tls-key-file"]),
    Key::text("health.shutdown_timeout", "How long the API finishes open requests when it stops")
        .of(seconds(1, 120)).or("20s").flags(&["health-shutdown-timeout"]),
    Key::text("health.db_ping_timeout", "How long the database may take to answer a readiness check")
        .of(seconds(0, 60)).or("2s").flags(&["health-db-ping-timeout"]),
    // The log.
    Key::text("log.partition_positions", "How many positions one partition of the log holds, about one for each event")
        .of(Kind::Integer { min: 1_000, max: 1_000_000_000 }).or("5000000"),
    // Audit.
    Key::text("audit.refusal_retention", "How long refused changes are kept in the audit; they are few and bounded in number too")
        .of(seconds(3600, 10 * 366 * 86_400)).or("2160h").flags(&["audit-refusal-retention"]),
    Key::text("entities", "The kinds of resources; default: Cluster, NodePool, Channel, Version, WifConfig").of(Kind::Structured),
];
