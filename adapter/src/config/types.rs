//! The checked configuration, as the pipeline uses it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

use crate::expression::Expression;
use crate::jsonpath::JsonPath;
use crate::template::Template;

/// Who the adapter is and how it reaches things.
#[derive(Debug, Clone)]
pub struct AdapterSettings {
    /// The adapter's name; also the name of its field manager.
    pub name: String,
    /// The version the file was written for, possibly empty.
    pub version: String,
    /// Whether the merged configuration may be shown.
    pub debug_config: bool,
    /// Logging.
    pub log: LogSettings,
    /// The HyperFleet API.
    pub api: ApiSettings,
    /// The message broker.
    pub broker: BrokerSettings,
    /// The management cluster.
    pub kubernetes: KubernetesSettings,
    /// Maestro; when present, every object goes there instead of to the management cluster.
    pub maestro: Option<MaestroSettings>,
}

/// Logging settings.
#[derive(Debug, Clone)]
pub struct LogSettings {
    /// `debug`, `info`, `warn` or `error`.
    pub level: String,
    /// `json` or `text`.
    pub format: String,
    /// `stdout` or `stderr`.
    pub output: String,
}

/// How the HyperFleet API is called.
#[derive(Debug, Clone)]
pub struct ApiSettings {
    /// Scheme, host, port and optional path; empty means that URLs are used untouched.
    pub base_url: String,
    /// The version in relative URLs.
    pub version: String,
    /// Per attempt.
    pub timeout: Duration,
    /// Total attempts.
    pub retry_attempts: u32,
    /// How the delay grows.
    pub retry_backoff: Backoff,
    /// The delay's base.
    pub base_delay: Duration,
    /// The delay's ceiling.
    pub max_delay: Duration,
    /// Sent on every request.
    pub default_headers: BTreeMap<String, String>,
    /// A bearer token from a file.
    pub auth: Option<AuthSettings>,
}

/// A bearer token read from a file.
#[derive(Debug, Clone)]
pub struct AuthSettings {
    /// Absolute path of the token file.
    pub token_path: PathBuf,
    /// How long a read token is kept; zero reads it for every request.
    pub token_cache_ttl: Duration,
}

/// How the delay between attempts grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backoff {
    /// base · 2^(n-1)
    Exponential,
    /// base · n
    Linear,
    /// base
    Constant,
}

/// What to subscribe to.
#[derive(Debug, Clone, Default)]
pub struct BrokerSettings {
    /// The subscription's name.
    pub subscription_id: Option<String>,
    /// The topic.
    pub topic: Option<String>,
}

/// How the management cluster is reached.
#[derive(Debug, Clone, Default)]
pub struct KubernetesSettings {
    /// Parsed, not used.
    pub api_version: String,
    /// A kubeconfig file; empty means in-cluster.
    pub kube_config_path: String,
    /// Client-side throttle; zero is the default.
    pub qps: f64,
    /// Burst of the throttle; zero is the default.
    pub burst: i64,
}

/// How Maestro is reached.
#[derive(Debug, Clone, Default)]
pub struct MaestroSettings {
    /// `host:port` of the CloudEvents service.
    pub grpc_server_address: String,
    /// URL of the REST API.
    pub http_server_address: String,
    /// Who publishes.
    pub source_id: String,
    /// Parsed, not used.
    pub client_id: String,
    /// Parsed, not used: the files that are present decide.
    pub auth_type: String,
    /// Certificates.
    pub tls: MaestroTls,
    /// Of one REST call.
    pub timeout: Duration,
    /// After which a silent CloudEvents service counts as gone.
    pub server_healthiness_timeout: Duration,
    /// Whether plain text, or a server that cannot prove who it is, is accepted.
    pub insecure: bool,
}

/// Certificate files for Maestro.
#[derive(Debug, Clone, Default)]
pub struct MaestroTls {
    /// Who signs the servers' certificates.
    pub ca_file: Option<PathBuf>,
    /// The client's certificate.
    pub cert_file: Option<PathBuf>,
    /// The client's key.
    pub key_file: Option<PathBuf>,
    /// Who signs the REST server's certificate, when that is somebody else.
    pub http_ca_file: Option<PathBuf>,
}

/// What to do for each event.
#[derive(Debug, Clone, Default)]
pub struct Task {
    /// Named values, in order.
    pub params: Vec<Param>,
    /// Gates, in order.
    pub preconditions: Vec<Precondition>,
    /// Objects, in order.
    pub resources: Vec<Resource>,
    /// Payloads and actions.
    pub post: Post,
}

/// A named value.
#[derive(Debug, Clone)]
pub struct Param {
    /// Its name; a later parameter of the same name overwrites.
    pub name: String,
    /// Where it comes from.
    pub source: Source,
    /// The type to convert to, as written.
    pub kind: Option<String>,
    /// Whether failing to obtain it ends the execution.
    pub required: bool,
    /// Used as written when the source gives nothing.
    pub default: Option<Value>,
}

/// Where a parameter comes from.
#[derive(Debug, Clone)]
pub enum Source {
    /// `env.X`, `event.a.b`, `config.a.b`, `param.a.b` or a bare event path.
    Path(String),
    /// An HTTP call whose JSON object becomes the value.
    ApiCall(ApiCall),
    /// A CEL expression.
    Expression(Expression),
    /// A file read at every event.
    File {
        /// The file.
        path: String,
        /// Whether surrounding white space is removed.
        trim: bool,
    },
}

/// The methods a call may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// GET
    Get,
    /// POST
    Post,
    /// PUT
    Put,
    /// PATCH
    Patch,
    /// DELETE
    Delete,
}

/// An HTTP call.
#[derive(Debug, Clone)]
pub struct ApiCall {
    /// The method.
    pub method: Method,
    /// The URL, relative or absolute.
    pub url: Template,
    /// Per attempt, as written; it can only shorten the client's.
    pub timeout: Option<String>,
    /// Total attempts; zero or absent means the client's.
    pub retry_attempts: u32,
    /// The back-off's name as written; an unknown one is constant.
    pub retry_backoff: Option<String>,
    /// The body, for POST, PUT and PATCH.
    pub body: Option<Template>,
    /// Headers; names are literal, values are templates.
    pub headers: Vec<(String, Template)>,
}

/// A gate.
#[derive(Debug, Clone)]
pub struct Precondition {
    /// Its name.
    pub name: String,
    /// A call made first (deprecated in favour of a parameter).
    pub api_call: Option<ApiCall>,
    /// A message to log first.
    pub log: Option<LogAction>,
    /// Values taken from the call's response.
    pub captures: Vec<Capture>,
    /// All must hold; they win over the expression.
    pub conditions: Vec<Condition>,
    /// Must be true.
    pub expression: Option<Expression>,
}

/// A value taken from a response.
#[derive(Debug, Clone)]
pub struct Capture {
    /// The parameter it becomes.
    pub name: String,
    /// How it is found.
    pub source: CaptureSource,
    /// Used when the field is missing.
    pub default: Option<Value>,
}

/// How a captured value is found.
#[derive(Debug, Clone)]
pub enum CaptureSource {
    /// By path.
    Field(JsonPath),
    /// By expression.
    Expression(Expression),
}

/// A condition on a variable.
#[derive(Debug, Clone)]
pub struct Condition {
    /// What is looked at.
    pub field: JsonPath,
    /// How it is compared.
    pub operator: Operator,
    /// What it is compared with; null for `exists`.
    pub value: Value,
}

/// The condition operators.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operator {
    /// Deep equality, types included.
    Equals,
    /// Its negation.
    NotEquals,
    /// Equal to one of a list.
    In,
    /// Equal to none of a list.
    NotIn,
    /// Substring, element or key.
    Contains,
    /// Numeric.
    GreaterThan,
    /// Numeric.
    LessThan,
    /// Present and not empty.
    Exists,
}

/// A managed object.
#[derive(Debug, Clone)]
pub struct Resource {
    /// Its name in `resources`.
    pub name: String,
    /// The Maestro consumer that gets the object; `None` for the Kubernetes transport.
    pub target_cluster: Option<Template>,
    /// The manifest's text and identity.
    pub manifest: Manifest,
    /// How the object is found.
    pub discovery: Discovery,
    /// What to find inside the object, a `ManifestWork`.
    pub nested: Vec<NestedDiscovery>,
    /// When it is created and deleted.
    pub lifecycle: Lifecycle,
    /// Whether a changed generation deletes and creates instead of applying.
    pub recreate_on_change: bool,
}

/// A manifest.
#[derive(Debug, Clone)]
pub struct Manifest {
    /// The text that is templated as a whole, then parsed.
    pub template: Template,
    /// `apiVersion` as written, before templating.
    pub api_version: String,
    /// `kind` as written, before templating.
    pub kind: String,
}

/// How an object is found.
#[derive(Debug, Clone)]
pub struct Discovery {
    /// Empty or absent: cluster scope, or all namespaces for selectors.
    pub namespace: Option<Template>,
    /// By name or by labels.
    pub by: DiscoverBy,
}

/// A manifest to find inside a `ManifestWork`.
#[derive(Debug, Clone)]
pub struct NestedDiscovery {
    /// Its name in `resources`.
    pub name: String,
    /// How it is found.
    pub discovery: Discovery,
}

/// The two ways of finding an object.
#[derive(Debug, Clone)]
pub enum DiscoverBy {
    /// By its name.
    Name(Template),
    /// By labels, all of which must match.
    Selectors(Vec<(Template, Template)>),
}

/// When an object is created and deleted.
#[derive(Debug, Clone, Default)]
pub struct Lifecycle {
    /// Consulted while the object is absent.
    pub create_when: Option<Expression>,
    /// Deletion.
    pub delete: Option<DeleteRule>,
}

/// When and how an object is deleted.
#[derive(Debug, Clone)]
pub struct DeleteRule {
    /// The condition.
    pub when: Expression,
    /// What happens to dependents.
    pub propagation_policy: PropagationPolicy,
}

/// What happens to an object's dependents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PropagationPolicy {
    /// Deleted afterwards.
    Background,
    /// Deleted before.
    Foreground,
    /// Left.
    Orphan,
}

/// What happens after the resources.
#[derive(Debug, Clone, Default)]
pub struct Post {
    /// Built in order, before any action.
    pub payloads: Vec<Payload>,
    /// Run in order.
    pub actions: Vec<Action>,
}

/// A JSON text that actions can send.
#[derive(Debug, Clone)]
pub struct Payload {
    /// The parameter it becomes.
    pub name: String,
    /// What it is built from.
    pub build: Build,
    /// Built only when true.
    pub when: Option<Expression>,
}

/// A node of a payload.
#[derive(Debug, Clone)]
pub enum Build {
    /// The value at a path.
    Field {
        /// The path, over the variables.
        path: JsonPath,
        /// Used when nothing is found.
        default: Option<Value>,
    },
    /// The value of an expression.
    Expression {
        /// The expression.
        expression: Expression,
        /// Used on a soft error or no value.
        default: Option<Value>,
    },
    /// An object; keys are templates.
    Object(Vec<(Template, Build)>),
    /// A list.
    List(Vec<Build>),
    /// A rendered text, always a JSON string.
    Text(Template),
    /// A literal.
    Literal(Value),
    /// A definition that contradicts itself; it fails when built.
    Contradiction(String),
}

/// Something done at the end.
#[derive(Debug, Clone)]
pub struct Action {
    /// Its name.
    pub name: String,
    /// A call.
    pub api_call: Option<ApiCall>,
    /// A message to log.
    pub log: Option<LogAction>,
    /// Done only when true.
    pub when: Option<Expression>,
}

/// A message to log.
#[derive(Debug, Clone)]
pub struct LogAction {
    /// The message.
    pub message: Template,
    /// Its level; unknown is info.
    pub level: String,
}

impl Method {
    /// The method's name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }

    /// Whether a body is sent.
    pub fn has_body(self) -> bool {
        matches!(self, Self::Post | Self::Put | Self::Patch)
    }
}

impl Operator {
    /// The operator's name in configurations.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Equals => "equals",
            Self::NotEquals => "notEquals",
            Self::In => "in",
            Self::NotIn => "notIn",
            Self::Contains => "contains",
            Self::GreaterThan => "greaterThan",
            Self::LessThan => "lessThan",
            Self::Exists => "exists",
        }
    }
}

impl Backoff {
    /// The back-off of a name, if it is one.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "exponential" => Some(Self::Exponential),
            "linear" => Some(Self::Linear),
            "constant" => Some(Self::Constant),
            _ => None,
        }
    }

    /// The back-off's name in configurations.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Exponential => "exponential",
            Self::Linear => "linear",
            Self::Constant => "constant",
        }
    }
}
