//! The configuration of who may call: `server.jwt`, `server.tenant`, `server.authorization` and
//! `server.rate_limit`.
//!
//! Whoever reads the configuration file passes these four members as they are. Everything that can
//! be wrong with them is found before the server starts, all faults at once, each with its key.

mod check;

pub(super) use self::check::is_loopback;

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::roles::Role;

/// Header that carries a token unless the configuration names another.
const DEFAULT_TOKEN_HEADER: &str = "Authorization";

/// Claim that names the caller unless the configuration names another.
const DEFAULT_IDENTITY_CLAIM: &str = "email";

/// Claim that lists the caller's groups unless the configuration names another.
const DEFAULT_GROUPS_CLAIM: &str = "groups";

/// Who may call, and how much. The default asks nobody who they are.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct IdentityConfig {
    /// Tokens.
    pub jwt: JwtConfig,
    /// Tenants.
    pub tenant: TenantConfig,
    /// Roles.
    pub authorization: AuthorizationConfig,
    /// Rate limits.
    pub rate_limit: RateLimitConfig,
}

/// The four members of `server` in the configuration file, not yet read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct IdentitySections {
    /// `server.jwt`.
    pub jwt: Option<Value>,
    /// `server.tenant`.
    pub tenant: Option<Value>,
    /// `server.authorization`.
    pub authorization: Option<Value>,
    /// `server.rate_limit`.
    pub rate_limit: Option<Value>,
}

/// Everything that is wrong with the configuration, each with its key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", faults.join("\n"))]
pub struct ConfigError {
    /// What is wrong, as `key: reason`.
    pub faults: Vec<String>,
}

/// `server.jwt`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JwtConfig {
    /// Whether a token is required. True unless the section says otherwise.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// The issuers, tried in this order.
    #[serde(default)]
    pub configs: Vec<IssuerConfig>,
}

impl Default for JwtConfig {
    /// Off: without the section no token is required.
    fn default() -> Self {
        Self {
            enabled: false,
            configs: Vec::new(),
        }
    }
}

/// One of `server.jwt.configs`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IssuerConfig {
    /// Must be the token's `iss`, to the letter.
    pub issuer_url: String,
    /// Where the issuer publishes its keys: https, or http on a loopback host.
    pub jwk_cert_url: Option<String>,
    /// File with keys, re-read when it changes.
    pub jwk_cert_file: Option<PathBuf>,
    /// PEM file of certificate authorities to trust for the URL, beside the system's.
    pub jwk_cert_ca_file: Option<PathBuf>,
    /// Header that carries the token.
    #[serde(default = "default_token_header")]
    pub header: String,
    /// Must be among the token's `aud`, when set.
    pub audience: Option<String>,
    /// Claim that names the caller.
    #[serde(default = "default_identity_claim")]
    pub identity_claim: String,
    /// Regular expression that the caller's name must match.
    pub identity_claim_pattern: Option<String>,
    /// Header of a trusted gateway that names the caller instead of the claim.
    pub identity_header: Option<String>,
}

/// `server.tenant`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TenantConfig {
    /// Whether callers belong to tenants.
    pub enabled: bool,
    /// Header of a trusted gateway that says, with `true`, that the caller is part of the system.
    pub system_header: String,
    /// What makes a tenant.
    pub dimensions: Vec<DimensionConfig>,
    /// Whether tenants see each other's resources.
    pub isolation: Isolation,
}

/// One of `server.tenant.dimensions`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DimensionConfig {
    /// Header of a trusted gateway that carries the value.
    pub header: String,
    /// Name of the dimension in a resource's `tenancy`.
    pub key: String,
    /// Whether every caller must have it.
    #[serde(default)]
    pub required: bool,
}

/// Whether tenants see each other's resources.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Isolation {
    /// A resource of another tenant is answered exactly like one that does not exist.
    #[default]
    Strict,
    /// Tenancy is stamped and scopes names, nothing else: any tenant reads and changes everything.
    None,
}

/// `server.authorization`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AuthorizationConfig {
    /// Whether roles are checked; unless stated, when there are bindings.
    pub enabled: Option<bool>,
    /// Who has which role.
    pub bindings: Vec<BindingConfig>,
    /// Claim that lists the caller's groups.
    pub groups_claim: String,
}

impl Default for AuthorizationConfig {
    fn default() -> Self {
        Self {
            enabled: None,
            bindings: Vec::new(),
            groups_claim: DEFAULT_GROUPS_CLAIM.to_owned(),
        }
    }
}

impl AuthorizationConfig {
    /// Whether roles are checked.
    pub fn is_enabled(&self) -> bool {
        self.enabled.unwrap_or(!self.bindings.is_empty())
    }
}

/// One of `server.authorization.bindings`. It holds for a caller who meets every criterion that it
/// states; of each criterion one value suffices.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BindingConfig {
    /// The role that it gives.
    pub role: Role,
    /// Names of callers; `*` stands for any characters.
    #[serde(default)]
    pub subjects: Vec<String>,
    /// Claims of the token, each with the values that are accepted; `*` stands for any characters.
    #[serde(default)]
    pub claims: BTreeMap<String, Accepted>,
    /// Groups of the caller; `*` stands for any characters.
    #[serde(default)]
    pub groups: Vec<String>,
}

/// One accepted value, or several.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum Accepted {
    /// One.
    One(String),
    /// Any of these.
    Any(Vec<String>),
}

impl Accepted {
    /// The values.
    pub fn values(&self) -> &[String] {
        match self {
            Self::One(value) => std::slice::from_ref(value),
            Self::Any(values) => values,
        }
    }
}

/// `server.rate_limit`: a token bucket for each caller.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RateLimitConfig {
    /// Whether callers are limited.
    pub enabled: bool,
    /// Requests that a caller may send each second, in the long run.
    pub requests_per_second: f64,
    /// Requests that a caller may send at once after a pause.
    pub burst: u32,
}

impl Default for RateLimitConfig {
    /// Off. When turned on without figures: more than any well-behaved client needs, far less than
    /// one server answers.
    fn default() -> Self {
        Self {
            enabled: false,
            requests_per_second: 50.0,
            burst: 100,
        }
    }
}

impl IdentityConfig {
    /// Reads and checks the sections. An absent one is off.
    ///
    /// # Errors
    /// With everything that is wrong.
    pub fn from_sections(sections: IdentitySections) -> Result<Self, ConfigError> {
        let mut faults = Vec::new();
        let config = Self {
            jwt: section("server.jwt", sections.jwt, &mut faults),
            tenant: section("server.tenant", sections.tenant, &mut faults),
            authorization: section("server.authorization", sections.authorization, &mut faults),
            rate_limit: section("server.rate_limit", sections.rate_limit, &mut faults),
        };
        // Checks of a section that could not be read would only confuse.
        if faults.is_empty() {
            check::check(&config, &mut faults);
        }
        if faults.is_empty() {
            Ok(config)
        } else {
            Err(ConfigError { faults })
        }
    }

    /// Whether every caller proves who they are, so that listening beyond loopback is acceptable.
    pub fn authenticates(&self) -> bool {
        self.jwt.enabled
    }

    /// What an operator should know at start-up, each in one line.
    pub fn notices(&self) -> Vec<String> {
        let mut notices = Vec::new();
        if !self.jwt.enabled {
            notices.push(
                "authentication is off: anyone who can reach the API may change anything"
                    .to_owned(),
            );
        } else if !self.authorization.is_enabled() {
            notices.push(
                "authorization is off: any authenticated caller may do everything; \
                 bind roles in server.authorization.bindings"
                    .to_owned(),
            );
        }
        if self.tenant.enabled && self.tenant.isolation == Isolation::None {
            notices.push(
                "tenants are not isolated (server.tenant.isolation is none): \
                 any tenant may read and change the resources of any other"
                    .to_owned(),
            );
        }
        if self.tenant.enabled && !self.jwt.enabled {
            notices.push(
                "tenant headers are trusted as sent: only a gateway that sets them may reach the API"
                    .to_owned(),
            );
        }
        notices
    }
}

fn section<T: DeserializeOwned + Default>(
    key: &str,
    value: Option<Value>,
    faults: &mut Vec<String>,
) -> T {
    let Some(value) = value.filter(|value| !value.is_null()) else {
        return T::default();
    };
    serde_path_to_error::deserialize(value).unwrap_or_else(|error| {
        let path = error.path().to_string();
        let key = if path == "." {
            key.to_owned()
        } else {
            format!("{key}.{path}")
        };
        faults.push(format!("{key}: {}", error.inner()));
        T::default()
    })
}

fn yes() -> bool {
    true
}

fn default_token_header() -> String {
    DEFAULT_TOKEN_HEADER.to_owned()
}

fn default_identity_claim() -> String {
    DEFAULT_IDENTITY_CLAIM.to_owned()
}

#[cfg(test)]
mod tests;
