//! Who sends a request.
//!
//! An authentication layer puts an [`Identity`] into the request's extensions. Without such a layer
//! every request is the system's own.

use std::collections::BTreeMap;
use std::convert::Infallible;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use hyperfleet_api_types::SYSTEM_ACTOR;

/// Who sends a request, as authentication resolved it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Recorded as the author of what the request changes.
    pub actor: String,
    /// Tenant dimensions that are stamped on what the request creates.
    pub tenancy: BTreeMap<String, String>,
}

impl Default for Identity {
    fn default() -> Self {
        Self {
            actor: SYSTEM_ACTOR.to_owned(),
            tenancy: BTreeMap::new(),
        }
    }
}

impl<S: Sync> FromRequestParts<S> for Identity {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        Ok(parts.extensions.get::<Self>().cloned().unwrap_or_default())
    }
}
