//! Who sends a request, and what they may do.
//!
//! [`Gate`] decides both, for every route, before a handler runs; handlers read the outcome as an
//! [`Identity`]. What is configured, in which order things are checked, and which role may use which
//! route is described in `docs/security.md`.

mod access;
mod bindings;
mod claims;
pub mod config;
mod gate;
mod keys;
mod metrics;
mod rate_limit;
mod refusal;
mod roles;
mod tenancy;
mod tokens;

pub use hyperfleet_runtime::http::{Identity, TenantScope};

pub use self::access::{Access, AccessTable};
pub use self::config::{ConfigError, IdentityConfig, IdentitySections};
pub use self::gate::{Gate, GateError};
pub(crate) use self::refusal::SYSTEM_IDENTITY;
pub use self::roles::{Permission, Role};
