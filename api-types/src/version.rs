//! The public document that names the running version.

use serde::{Deserialize, Serialize};

/// Answer of `GET /api/hyperfleet`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct VersionDocument {
    /// Always `hyperfleet`.
    pub id: String,
    /// Always `API`.
    pub kind: String,
    /// Path of this document.
    pub href: String,
    /// Version of the build.
    pub version: String,
    /// When the build was made.
    pub build_time: String,
}
