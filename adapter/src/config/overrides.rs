//! The settings of an `AdapterConfig` file that a flag or a variable of the environment sets.

/// A key of the file, and what sets it instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Setting {
    /// The key, such as `clients.broker.topic`.
    pub key: &'static str,
    /// The variable of the environment.
    pub variable: &'static str,
    /// The flag, without its dashes; some settings have none.
    pub flag: Option<&'static str>,
    /// Whether the value is true or false, so that the flag alone means true.
    pub is_switch: bool,
}

const fn setting(key: &'static str, variable: &'static str, flag: &'static str) -> Setting {
    Setting {
        key,
        variable,
        flag: Some(flag),
        is_switch: false,
    }
}

const fn switch(key: &'static str, variable: &'static str, flag: &'static str) -> Setting {
    Setting {
        is_switch: true,
        ..setting(key, variable, flag)
    }
}

const fn without_flag(key: &'static str, variable: &'static str) -> Setting {
    Setting {
        key,
        variable,
        flag: None,
        is_switch: false,
    }
}

/// Every setting with a variable or flag of its own. Of two variables of one key the later wins.
pub const SETTINGS: [Setting; 36] = [
    switch("debug_config", "HYPERFLEET_DEBUG_CONFIG", "debug-config"),
    setting(
        "clients.hyperfleet_api.base_url",
        "HYPERFLEET_API_BASE_URL",
        "hyperfleet-api-base-url",
    ),
    setting(
        "clients.hyperfleet_api.version",
        "HYPERFLEET_API_VERSION",
        "hyperfleet-api-version",
    ),
    setting(
        "clients.hyperfleet_api.timeout",
        "HYPERFLEET_API_TIMEOUT",
        "hyperfleet-api-timeout",
    ),
    setting(
        "clients.hyperfleet_api.retry_attempts",
        "HYPERFLEET_API_RETRY_ATTEMPTS",
        "hyperfleet-api-retry",
    ),
    setting(
        "clients.hyperfleet_api.retry_backoff",
        "HYPERFLEET_API_RETRY_BACKOFF",
        "hyperfleet-api-retry-backoff",
    ),
    setting(
        "clients.hyperfleet_api.base_delay",
        "HYPERFLEET_API_BASE_DELAY",
        "hyperfleet-api-base-delay",
    ),
    setting(
        "clients.hyperfleet_api.max_delay",
        "HYPERFLEET_API_MAX_DELAY",
        "hyperfleet-api-max-delay",
    ),
    without_flag(
        "clients.hyperfleet_api.auth.token_path",
        "HYPERFLEET_API_AUTH_TOKEN_PATH",
    ),
    without_flag(
        "clients.hyperfleet_api.auth.token_cache_ttl",
        "HYPERFLEET_API_AUTH_TOKEN_CACHE_TTL",
    ),
    without_flag("clients.broker.subscription_id", "BROKER_SUBSCRIPTION_ID"),
    without_flag("clients.broker.topic", "BROKER_TOPIC"),
    setting(
        "clients.broker.subscription_id",
        "HYPERFLEET_BROKER_SUBSCRIPTION_ID",
        "broker-subscription-id",
    ),
    setting(
        "clients.broker.topic",
        "HYPERFLEET_BROKER_TOPIC",
        "broker-topic",
    ),
    setting(
        "clients.kubernetes.kube_config_path",
        "HYPERFLEET_KUBERNETES_KUBE_CONFIG_PATH",
        "kubernetes-kube-config-path",
    ),
    setting(
        "clients.kubernetes.api_version",
        "HYPERFLEET_KUBERNETES_API_VERSION",
        "kubernetes-api-version",
    ),
    setting(
        "clients.kubernetes.qps",
        "HYPERFLEET_KUBERNETES_QPS",
        "kubernetes-qps",
    ),
    setting(
        "clients.kubernetes.burst",
        "HYPERFLEET_KUBERNETES_BURST",
        "kubernetes-burst",
    ),
    setting(
        "clients.maestro.grpc_server_address",
        "HYPERFLEET_MAESTRO_GRPC_SERVER_ADDRESS",
        "maestro-grpc-server-address",
    ),
    setting(
        "clients.maestro.http_server_address",
        "HYPERFLEET_MAESTRO_HTTP_SERVER_ADDRESS",
        "maestro-http-server-address",
    ),
    setting(
        "clients.maestro.source_id",
        "HYPERFLEET_MAESTRO_SOURCE_ID",
        "maestro-source-id",
    ),
    setting(
        "clients.maestro.client_id",
        "HYPERFLEET_MAESTRO_CLIENT_ID",
        "maestro-client-id",
    ),
    setting(
        "clients.maestro.auth.type",
        "HYPERFLEET_MAESTRO_AUTH_TYPE",
        "maestro-auth-type",
    ),
    setting(
        "clients.maestro.auth.tls_config.ca_file",
        "HYPERFLEET_MAESTRO_CA_FILE",
        "maestro-ca-file",
    ),
    setting(
        "clients.maestro.auth.tls_config.cert_file",
        "HYPERFLEET_MAESTRO_CERT_FILE",
        "maestro-cert-file",
    ),
    setting(
        "clients.maestro.auth.tls_config.key_file",
        "HYPERFLEET_MAESTRO_KEY_FILE",
        "maestro-key-file",
    ),
    setting(
        "clients.maestro.auth.tls_config.http_ca_file",
        "HYPERFLEET_MAESTRO_HTTP_CA_FILE",
        "maestro-http-ca-file",
    ),
    setting(
        "clients.maestro.timeout",
        "HYPERFLEET_MAESTRO_TIMEOUT",
        "maestro-timeout",
    ),
    setting(
        "clients.maestro.server_healthiness_timeout",
        "HYPERFLEET_MAESTRO_SERVER_HEALTHINESS_TIMEOUT",
        "maestro-server-healthiness-timeout",
    ),
    setting(
        "clients.maestro.retry_attempts",
        "HYPERFLEET_MAESTRO_RETRY_ATTEMPTS",
        "maestro-retry-attempts",
    ),
    setting(
        "clients.maestro.keepalive.time",
        "HYPERFLEET_MAESTRO_KEEPALIVE_TIME",
        "maestro-keepalive-time",
    ),
    setting(
        "clients.maestro.keepalive.timeout",
        "HYPERFLEET_MAESTRO_KEEPALIVE_TIMEOUT",
        "maestro-keepalive-timeout",
    ),
    switch(
        "clients.maestro.insecure",
        "HYPERFLEET_MAESTRO_INSECURE",
        "maestro-insecure",
    ),
    setting("log.level", "LOG_LEVEL", "log-level"),
    setting("log.format", "LOG_FORMAT", "log-format"),
    setting("log.output", "LOG_OUTPUT", "log-output"),
];
