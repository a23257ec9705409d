//! Why a command is not carried out. The `Display` text of a refusal is the `detail` that the API
//! shows, to the letter (API contract v1).

use serde::Serialize;
use serde_json::Value;

/// One field-level fault; serialises as an item of a problem document's `errors`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FieldError {
    /// Path of the field.
    pub field: String,
    /// What is wrong with it.
    pub message: String,
    /// The value that was sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<Value>,
    /// Kind of constraint that it breaks, for example `pattern`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub constraint: Option<&'static str>,
}

/// What a refusal means to the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefusalClass {
    /// The command is wrong in itself.
    Validation {
        /// Code without its product prefix: `VAL-000` or `VAL-005`.
        code: &'static str,
        /// Whether it was well-formed but sent to the wrong place (422 instead of 400).
        unprocessable: bool,
    },
    /// What it names does not exist (`NTF-001`).
    NotFound,
    /// What it names is in another state than it needs.
    Conflict {
        /// Code without its product prefix: `CNF-001` or `CNF-003`.
        code: &'static str,
    },
    /// A report that is silently dropped: not an error, answered without content.
    Discarded,
}

/// Why a report is silently dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Discard {
    /// It is about a generation that does not exist yet.
    #[error("the report is about a generation that the resource has not reached")]
    FutureGeneration,
    /// The adapter already reported about a later generation.
    #[error("the adapter already reported about a later generation")]
    StaleGeneration,
    /// The adapter already reported a later observation of this generation.
    #[error("the adapter already reported a later observation of this generation")]
    StaleObservation,
    /// `Available` is unknown, which never replaces something known.
    #[error("Available is Unknown and the adapter has already reported")]
    UnknownAvailability,
}

/// Why a command is not carried out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No kind was sent.
    #[error("kind is required")]
    KindRequired,
    /// Another kind was sent than the one that is served there.
    #[error("kind must be '{expected}'")]
    KindMismatch {
        /// The kind that is served there.
        expected: String,
    },
    /// The kind is not registered.
    #[error("Unknown entity kind: {kind}")]
    UnknownKind {
        /// The kind.
        kind: String,
    },
    /// No name was sent.
    #[error("name is required")]
    NameRequired,
    /// The name is too short.
    #[error("name must be at least {min} characters")]
    NameTooShort {
        /// Least length in bytes.
        min: usize,
    },
    /// The name is too long.
    #[error("name must be at most {max} characters")]
    NameTooLong {
        /// Greatest length in bytes.
        max: usize,
    },
    /// The name has a wrong character, or one at a wrong place.
    #[error(
        "name must start and end with lowercase letter or number, and contain only lowercase letters, numbers, and hyphens"
    )]
    NamePattern,
    /// No spec was sent.
    #[error("spec is required")]
    SpecRequired,
    /// Labels are wrong; all of them are listed.
    #[error("label validation failed")]
    Labels {
        /// The faults.
        errors: Vec<FieldError>,
    },
    /// A child kind was sent without an owner.
    #[error("kind \"{kind}\" is a child kind; create it via /{parent_plural}/{{id}}/{plural}")]
    ChildKindWithoutParent {
        /// The child kind.
        kind: String,
        /// URL segment of the owner's kind.
        parent_plural: String,
        /// URL segment of the child kind.
        plural: String,
    },
    /// A patch changes nothing.
    #[error("at least one field must be provided for update")]
    NothingToPatch,
    /// A forced deletion has no reason.
    #[error("reason is required")]
    ReasonRequired,
    /// The reason of a forced deletion is too long.
    #[error("reason must be at most {max} characters")]
    ReasonTooLong {
        /// Greatest length in characters.
        max: usize,
    },

    /// A reference that the kind requires is missing.
    #[error("required reference type \"{ref_type}\" missing for {kind} (min {min})")]
    ReferenceMissing {
        /// The reference.
        ref_type: String,
        /// The kind.
        kind: String,
        /// Least number of targets.
        min: usize,
    },
    /// The kind does not declare the reference.
    #[error("unknown reference type \"{ref_type}\" for {kind}")]
    ReferenceUndeclared {
        /// The reference.
        ref_type: String,
        /// The kind.
        kind: String,
    },
    /// A reference has too many targets.
    #[error("reference type \"{ref_type}\" for {kind} exceeds max count {max} (got {count})")]
    ReferenceTooMany {
        /// The reference.
        ref_type: String,
        /// The kind.
        kind: String,
        /// Greatest number of targets.
        max: usize,
        /// Number of targets sent.
        count: usize,
    },
    /// A resource would have more references than are kept.
    #[error("references must name at most {max} targets in all")]
    TooManyReferences {
        /// Greatest number over all types.
        max: usize,
    },
    /// A reference names no target.
    #[error("reference type \"{ref_type}\": id is required")]
    ReferenceIdRequired {
        /// The reference.
        ref_type: String,
    },
    /// A reference names a target twice.
    #[error("reference type \"{ref_type}\": duplicate target id \"{id}\"")]
    ReferenceDuplicate {
        /// The reference.
        ref_type: String,
        /// The target.
        id: String,
    },
    /// A reference names a target of another kind.
    #[error(
        "reference type \"{ref_type}\": kind \"{kind}\" does not match expected target kind \"{expected}\""
    )]
    ReferenceKind {
        /// The reference.
        ref_type: String,
        /// Kind that was sent.
        kind: String,
        /// Kind that the rule wants.
        expected: String,
    },
    /// The target of a reference does not exist.
    #[error("reference type \"{ref_type}\": target {kind} \"{id}\" not found")]
    ReferenceTargetNotFound {
        /// The reference.
        ref_type: String,
        /// Kind of the target.
        kind: String,
        /// Id of the target.
        id: String,
    },
    /// The target of a reference is being deleted.
    #[error("reference type \"{ref_type}\": target {kind} \"{id}\" is marked for deletion")]
    ReferenceTargetFinalizing {
        /// The reference.
        ref_type: String,
        /// Kind of the target.
        kind: String,
        /// Id of the target.
        id: String,
    },

    /// A report has no adapter.
    #[error("adapter is required")]
    AdapterRequired,
    /// The adapter's name is longer than is kept.
    #[error("adapter must be at most {max} characters")]
    AdapterTooLong {
        /// Greatest length in characters.
        max: usize,
    },
    /// A report has no generation.
    #[error("observed_generation must be >= 1")]
    ObservedGeneration,
    /// A condition of a report has no type.
    #[error("condition type cannot be empty at index {index}")]
    ConditionTypeEmpty {
        /// Index of the condition.
        index: usize,
    },
    /// A report has two conditions of one type.
    #[error("duplicate condition type '{condition}' at index {index}")]
    ConditionTypeDuplicate {
        /// The type.
        condition: String,
        /// Index of the second.
        index: usize,
    },
    /// A condition of a report has a status that does not exist.
    #[error(
        "invalid status value '{status}' for condition at index {index} (type: {condition}): must be 'True', 'False', or 'Unknown'"
    )]
    ConditionStatus {
        /// The status that was sent.
        status: String,
        /// Index of the condition.
        index: usize,
        /// Type of the condition.
        condition: String,
    },
    /// A report comes from the future.
    #[error("observed_time must not be more than 5m0s in the future")]
    ObservedInFuture,
    /// A report is too old.
    #[error("observed_time must not be more than 30m0s in the past")]
    ObservedInPast,
    /// A report lacks a condition that all adapters must report.
    #[error(
        "missing mandatory condition '{condition}': all adapters must report Available, Applied, and Health"
    )]
    ConditionMissing {
        /// The first type that is missing.
        condition: &'static str,
    },

    /// A named resource does not exist.
    #[error("{kind} with id='{id}' not found")]
    NotFound {
        /// Kind that was looked for; `Resource` where any kind is served.
        kind: String,
        /// Id that was looked for.
        id: String,
    },
    /// The target of the command does not exist. Which kind and id to name depends on the route,
    /// so the caller, who knows it, says it with [`Refusal::NotFound`].
    #[error("resource not found")]
    TargetNotFound,

    /// The name, or the id, is taken.
    #[error("This {kind} already exists")]
    AlreadyExists {
        /// The kind.
        kind: String,
    },
    /// The resource is being deleted.
    #[error("{kind} '{id}' is marked for deletion")]
    MarkedForDeletion {
        /// Its kind.
        kind: String,
        /// Its id.
        id: String,
    },
    /// The resource owns active resources that forbid its deletion.
    #[error("Cannot delete {kind} '{id}': active {child_kind}(s) exist")]
    ActiveChildren {
        /// Its kind.
        kind: String,
        /// Its id.
        id: String,
        /// Kind of the children.
        child_kind: String,
    },
    /// Other resources refer to the resource.
    #[error(
        "cannot delete {kind} \"{name}\": referenced by {sources} — remove the reference(s) before deleting"
    )]
    Referenced {
        /// Its kind.
        kind: String,
        /// Its name.
        name: String,
        /// The referring resources: kind and quoted name, joined by commas.
        sources: String,
    },
    /// The resource is not being deleted, so it cannot be removed by force.
    #[error("{kind} '{id}' is not in Finalizing state")]
    NotFinalizing {
        /// Its kind.
        kind: String,
        /// Its id.
        id: String,
    },

    /// The report is silently dropped.
    #[error("{0}")]
    Discarded(Discard),
}

impl Refusal {
    /// What the refusal means to the caller.
    pub fn class(&self) -> RefusalClass {
        const VALIDATION: RefusalClass = RefusalClass::Validation {
            code: "VAL-000",
            unprocessable: false,
        };
        match self {
            Self::ChildKindWithoutParent { .. } => RefusalClass::Validation {
                code: "VAL-000",
                unprocessable: true,
            },
            Self::NothingToPatch => RefusalClass::Validation {
                code: "VAL-005",
                unprocessable: false,
            },
            Self::NotFound { .. } | Self::TargetNotFound => RefusalClass::NotFound,
            Self::AlreadyExists { .. } => RefusalClass::Conflict { code: "CNF-001" },
            Self::MarkedForDeletion { .. }
            | Self::ActiveChildren { .. }
            | Self::Referenced { .. }
            | Self::NotFinalizing { .. } => RefusalClass::Conflict { code: "CNF-003" },
            Self::Discarded(_) => RefusalClass::Discarded,
            Self::KindRequired
            | Self::KindMismatch { .. }
            | Self::UnknownKind { .. }
            | Self::NameRequired
            | Self::NameTooShort { .. }
            | Self::NameTooLong { .. }
            | Self::NamePattern
            | Self::SpecRequired
            | Self::Labels { .. }
            | Self::ReasonRequired
            | Self::ReasonTooLong { .. }
            | Self::ReferenceMissing { .. }
            | Self::ReferenceUndeclared { .. }
            | Self::ReferenceTooMany { .. }
            | Self::TooManyReferences { .. }
            | Self::ReferenceIdRequired { .. }
            | Self::ReferenceDuplicate { .. }
            | Self::ReferenceKind { .. }
            | Self::ReferenceTargetNotFound { .. }
            | Self::ReferenceTargetFinalizing { .. }
            | Self::AdapterRequired
            | Self::AdapterTooLong { .. }
            | Self::ObservedGeneration
            | Self::ConditionTypeEmpty { .. }
            | Self::ConditionTypeDuplicate { .. }
            | Self::ConditionStatus { .. }
            | Self::ObservedInFuture
            | Self::ObservedInPast
            | Self::ConditionMissing { .. } => VALIDATION,
        }
    }

    /// Field-level faults, for the `errors` of a problem document; empty when the detail says all.
    pub fn field_errors(&self) -> &[FieldError] {
        match self {
            Self::Labels { errors } => errors,
            _ => &[],
        }
    }
}
