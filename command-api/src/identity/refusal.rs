//! Why a request does not reach a handler, and what its sender is told (API contract v1, §7.2, §7.4).

use std::collections::BTreeSet;

use hyperfleet_api_types::problem::{Fault, codes};

use super::roles::{self, Permission, Role};
use super::tenancy::TenantRefusal;
use super::tokens::TokenRefusal;

/// What a system identity is told that tries anything else.
pub(crate) const SYSTEM_IDENTITY: &str = "system identities may only write status and conditions";

/// Why a request does not reach a handler.
#[derive(Debug)]
pub(super) enum Refusal {
    Token(TokenRefusal),
    /// A change by somebody without a name.
    NoName,
    /// A change by somebody whose name cannot be used.
    UnusableName(String),
    Tenant(TenantRefusal),
    TooOften {
        wait_seconds: u64,
    },
    SystemIdentity,
    NotPermitted {
        permission: Permission,
        roles: BTreeSet<Role>,
    },
    /// Nobody decided who may use the route.
    NoRow {
        route: String,
    },
}

impl From<TokenRefusal> for Refusal {
    fn from(refusal: TokenRefusal) -> Self {
        Self::Token(refusal)
    }
}

impl From<TenantRefusal> for Refusal {
    fn from(refusal: TenantRefusal) -> Self {
        Self::Tenant(refusal)
    }
}

impl Refusal {
    /// The reason as a label of a metric.
    pub(super) fn reason(&self) -> &'static str {
        match self {
            Self::Token(TokenRefusal::Missing) => "token_missing",
            Self::Token(TokenRefusal::NotBearer) => "token_not_bearer",
            Self::Token(TokenRefusal::Expired) => "token_expired",
            Self::Token(TokenRefusal::Invalid) => "token_invalid",
            Self::NoName => "identity_missing",
            Self::UnusableName(_) => "identity_unusable",
            Self::Tenant(TenantRefusal::Missing(_)) => "tenant_header_missing",
            Self::Tenant(TenantRefusal::Invalid(_)) => "tenant_header_invalid",
            Self::Tenant(TenantRefusal::None) => "tenant_missing",
            Self::TooOften { .. } => "rate_limit",
            Self::SystemIdentity => "system_identity",
            Self::NotPermitted { .. } => "permission",
            Self::NoRow { .. } => "route_without_access",
        }
    }

    /// What the sender is told.
    pub(super) fn fault(&self) -> Fault {
        let (code, detail) = match self {
            Self::Token(TokenRefusal::Missing) => (
                codes::AUTHENTICATION_REQUIRED,
                "missing authorization header".to_owned(),
            ),
            Self::Token(TokenRefusal::NotBearer) => (
                codes::INVALID_CREDENTIALS,
                "authorization header does not use Bearer scheme".to_owned(),
            ),
            Self::Token(TokenRefusal::Expired) => {
                (codes::INVALID_TOKEN, "JWT token has expired".to_owned())
            }
            Self::Token(TokenRefusal::Invalid) => {
                (codes::INVALID_CREDENTIALS, "invalid JWT token".to_owned())
            }
            Self::NoName => (
                codes::AUTHENTICATION_REQUIRED,
                "Caller identity is required for mutating requests but could not be resolved"
                    .to_owned(),
            ),
            Self::UnusableName(reason) => (
                codes::AUTHENTICATION_REQUIRED,
                format!("Unable to resolve caller identity: {reason}"),
            ),
            Self::Tenant(refusal) => (codes::PERMISSION_DENIED, refusal.to_string()),
            Self::TooOften { wait_seconds } => (
                codes::RATE_LIMIT,
                format!("too many requests; try again in {wait_seconds} s"),
            ),
            Self::SystemIdentity => (codes::PERMISSION_DENIED, SYSTEM_IDENTITY.to_owned()),
            Self::NotPermitted { permission, roles } => {
                (codes::PERMISSION_DENIED, not_permitted(*permission, roles))
            }
            Self::NoRow { route } => (
                codes::PERMISSION_DENIED,
                format!("nobody may use {route}: it has no row in the table of access"),
            ),
        };
        Fault::new(code, detail)
    }
}

fn not_permitted(permission: Permission, roles: &BTreeSet<Role>) -> String {
    let granting = roles::names(permission.granting_roles());
    let has = if roles.is_empty() {
        "the caller has no role".to_owned()
    } else {
        format!("the caller has {}", roles::names(roles.iter().copied()))
    };
    format!("missing permission {permission}, which comes with the roles {granting}; {has}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_for_lack_of_a_role_names_permission_and_roles() {
        let refusal = |roles| Refusal::NotPermitted {
            permission: Permission::ForceDelete,
            roles,
        };
        let fault = refusal(BTreeSet::from([Role::Viewer, Role::Editor])).fault();
        assert_eq!(
            fault.detail,
            "missing permission resources:force-delete, which comes with the roles operator, admin; \
             the caller has viewer, editor"
        );
        assert_eq!(fault.status, 403);
        assert!(
            refusal(BTreeSet::new())
                .fault()
                .detail
                .ends_with("the caller has no role")
        );
    }
}
