#![doc = include_str!("../README.md")]

#[cfg(feature = "client")]
pub mod client;
pub mod history;
#[cfg(feature = "openapi")]
pub mod openapi;
pub mod problem;
pub mod resource;
pub mod status;
pub mod version;

pub use history::{
    AuditEntry, AuditOutcome, FieldChange, History, HistoryEntry, HistoryItem, NDJSON_MEDIA_TYPE,
};
pub use problem::{FieldError, Problem, ProblemCode};
pub use resource::{
    ForceDeleteRequest, ObjectReference, Resource, ResourceCondition, ResourceCreateRequest,
    ResourceList, ResourcePatchRequest, ResourceStatus,
};
pub use status::{
    AdapterCondition, AdapterConditionRequest, AdapterStatus, AdapterStatusCreateRequest,
    AdapterStatusList, AdapterStatusMetadata,
};
pub use version::VersionDocument;

/// Where every versioned route of the API begins.
pub const BASE_PATH: &str = "/api/hyperfleet/v1";

/// The public document that names the running version.
pub const VERSION_PATH: &str = "/api/hyperfleet";

/// Media type of every error answer.
pub const PROBLEM_MEDIA_TYPE: &str = "application/problem+json";

/// Who is recorded as the author of a change when authentication is off.
pub const SYSTEM_ACTOR: &str = "system@hyperfleet.local";
