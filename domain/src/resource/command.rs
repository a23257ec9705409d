//! What can be asked of a resource. A command carries every input of its decision that is not the
//! state of a resource: the time, new ids, the actor.

mod validate;

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use crate::adapter_status::AdapterMetadata;
use crate::json::JsonObject;

/// References as sent by a user, by reference type.
pub type References = BTreeMap<String, Vec<ReferenceInput>>;

/// One reference as sent by a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReferenceInput {
    /// Id of the target; required, but its absence is a refusal of the decision.
    pub id: Option<String>,
    /// Kind of the target.
    pub kind: String,
}

/// Creates a resource.
#[derive(Debug, Clone, PartialEq)]
pub struct CreateResource {
    /// New id: a UUID v7 in lower case.
    pub id: String,
    /// Kind.
    pub kind: String,
    /// Name.
    pub name: String,
    /// What is wanted; required, but its absence is a refusal of the decision.
    pub spec: Option<JsonObject>,
    /// Labels; empty when none were sent.
    pub labels: BTreeMap<String, String>,
    /// References; empty when none were sent.
    pub references: References,
    /// Tenant dimensions of the caller.
    pub tenancy: BTreeMap<String, String>,
    /// Id of the owner, for a child kind.
    pub parent: Option<String>,
    /// Now.
    pub now: DateTime<Utc>,
    /// The caller.
    pub actor: String,
}

/// Changes what is wanted. Each given member replaces the stored one as a whole.
#[derive(Debug, Clone, PartialEq)]
pub struct PatchResource {
    /// New spec.
    pub spec: Option<JsonObject>,
    /// New labels.
    pub labels: Option<BTreeMap<String, String>>,
    /// New references.
    pub references: Option<References>,
    /// Now.
    pub now: DateTime<Utc>,
    /// The caller.
    pub actor: String,
}

/// Requests the deletion of a resource and of what it owns.
#[derive(Debug, Clone, PartialEq)]
pub struct DeleteResource {
    /// Now.
    pub now: DateTime<Utc>,
    /// The caller.
    pub actor: String,
}

/// Removes a finalizing resource and everything that it owns without waiting for its adapters.
#[derive(Debug, Clone, PartialEq)]
pub struct ForceDeleteResource {
    /// Why, for the record: 1 to 1024 characters.
    pub reason: String,
    /// Now.
    pub now: DateTime<Utc>,
    /// The caller.
    pub actor: String,
}

/// One condition of a report, as sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportedCondition {
    /// What it states.
    pub r#type: String,
    /// `True`, `False` or `Unknown`; anything else is a refusal of the decision.
    pub status: String,
    /// Machine-readable cause.
    pub reason: Option<String>,
    /// The cause in words.
    pub message: Option<String>,
}

/// An adapter says what it found.
#[derive(Debug, Clone, PartialEq)]
pub struct ReportAdapterStatus {
    /// Name of the adapter.
    pub adapter: String,
    /// Generation that it looked at; 0 when the report has none.
    pub observed_generation: i32,
    /// When it looked; now when the report does not say.
    pub observed_time: Option<DateTime<Utc>>,
    /// What it found.
    pub conditions: Vec<ReportedCondition>,
    /// Free-form findings; empty when the report has none.
    pub data: JsonObject,
    /// Facts about the work.
    pub metadata: Option<AdapterMetadata>,
    /// Now.
    pub now: DateTime<Utc>,
}

/// Computes the conditions again, after the rules of the kind changed.
#[derive(Debug, Clone, PartialEq)]
pub struct ReevaluateConditions;

/// What can be asked of a resource.
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// See [`CreateResource`].
    Create(CreateResource),
    /// See [`PatchResource`].
    Patch(PatchResource),
    /// See [`DeleteResource`].
    Delete(DeleteResource),
    /// See [`ForceDeleteResource`].
    ForceDelete(ForceDeleteResource),
    /// See [`ReportAdapterStatus`].
    Report(ReportAdapterStatus),
    /// See [`ReevaluateConditions`].
    Reevaluate(ReevaluateConditions),
}

impl Command {
    /// Name of the command, for event metadata and telemetry.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Create(_) => "CreateResource",
            Self::Patch(_) => "PatchResource",
            Self::Delete(_) => "DeleteResource",
            Self::ForceDelete(_) => "ForceDeleteResource",
            Self::Report(_) => "ReportAdapterStatus",
            Self::Reevaluate(_) => "ReevaluateConditions",
        }
    }
}
