//! Who sends a request, as every router sees it.
//!
//! Plain values: who may do what is decided elsewhere, before a request reaches a handler, and the
//! outcome travels in the request's extensions. A handler that reads an [`Identity`] where none was
//! put fails instead of serving everything, so a router without its guard cannot leak.

use std::collections::BTreeMap;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use hyperfleet_api_types::SYSTEM_ACTOR;
use hyperfleet_api_types::problem::{Fault, codes};

use super::FaultResponse;

/// Which resources a caller sees: those whose tenancy has every dimension of the scope, with the
/// same value. The empty scope sees everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TenantScope(BTreeMap<String, String>);

impl TenantScope {
    /// A scope of these dimensions.
    pub fn of(dimensions: BTreeMap<String, String>) -> Self {
        Self(dimensions)
    }

    /// The scope that sees everything.
    pub fn everything() -> Self {
        Self::default()
    }

    /// The dimensions that a resource must have; empty when everything is seen.
    pub fn dimensions(&self) -> &BTreeMap<String, String> {
        &self.0
    }

    /// Whether everything is seen.
    pub fn is_everything(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a resource of that tenancy is seen.
    pub fn sees(&self, tenancy: &BTreeMap<String, String>) -> bool {
        self.0
            .iter()
            .all(|(key, value)| tenancy.get(key) == Some(value))
    }
}

/// Who sends a request, as authentication resolved it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Recorded as the author of what the request changes; empty when a read came without one.
    pub actor: String,
    /// Tenant dimensions that are stamped on what the request creates.
    pub tenancy: BTreeMap<String, String>,
    /// Which resources the request can see and touch.
    pub scope: TenantScope,
    /// Whether the caller is part of the system: it may read, and write statuses, nothing else.
    pub is_system: bool,
    /// Whether the caller may see what concerns operators alone, such as refusals of others.
    pub may_operate: bool,
}

impl Default for Identity {
    /// The system's own author, who sees everything: for requests that nobody has to prove.
    fn default() -> Self {
        Self {
            actor: SYSTEM_ACTOR.to_owned(),
            tenancy: BTreeMap::new(),
            scope: TenantScope::everything(),
            is_system: false,
            may_operate: true,
        }
    }
}

impl<S: Sync> FromRequestParts<S> for Identity {
    type Rejection = FaultResponse;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        parts.extensions.get::<Self>().cloned().ok_or_else(|| {
            tracing::error!(
                path = parts.uri.path(),
                "a route is served without the guard that says who calls"
            );
            FaultResponse(Fault::new(codes::INTERNAL_ERROR, "Unspecified error"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dimensions(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect()
    }

    #[test]
    fn a_scope_sees_what_has_all_of_its_dimensions() {
        let scope = TenantScope::of(dimensions(&[("org", "a"), ("team", "x")]));
        assert!(scope.sees(&dimensions(&[("org", "a"), ("team", "x")])));
        assert!(scope.sees(&dimensions(&[("org", "a"), ("team", "x"), ("site", "s")])));
        for unseen in [
            &[][..],
            &[("org", "a")],
            &[("team", "x")],
            &[("org", "b"), ("team", "x")],
            &[("org", "a"), ("team", "")],
        ] {
            assert!(!scope.sees(&dimensions(unseen)), "{unseen:?}");
        }
    }

    #[test]
    fn the_empty_scope_sees_everything() {
        assert!(TenantScope::everything().sees(&dimensions(&[])));
        assert!(TenantScope::everything().sees(&dimensions(&[("org", "a")])));
    }
}
