//! What happened to a resource: past-tense facts, kept for ever.
//!
//! Invariants: a payload names its own type, so that a reader needs nothing beside it; a payload
//! version is frozen by its golden file; an event carries results, never inputs to a rule.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::adapter_status::AdapterStatus;
use crate::condition::Condition;
use crate::json::JsonObject;
use crate::resource::state::ObjectReference;
use crate::timestamp;

/// A resource came into being, at generation 1.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ResourceCreated {
    /// Id.
    pub id: String,
    /// Kind.
    pub kind: String,
    /// Name.
    pub name: String,
    /// Address.
    pub href: String,
    /// What is wanted.
    pub spec: JsonObject,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Tenant dimensions.
    pub tenancy: BTreeMap<String, String>,
    /// Owner, for a child kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<ObjectReference>,
    /// References.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub references: BTreeMap<String, Vec<ObjectReference>>,
    /// When.
    #[serde(with = "timestamp::rfc3339")]
    pub created_time: DateTime<Utc>,
    /// By whom.
    pub created_by: String,
}

/// The spec was replaced.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SpecChanged {
    /// The new spec.
    pub spec: JsonObject,
    /// Generation from here on; equal in all events of one patch.
    pub generation: i32,
    /// When.
    #[serde(with = "timestamp::rfc3339")]
    pub updated_time: DateTime<Utc>,
    /// By whom.
    pub updated_by: String,
}

/// The labels were replaced.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LabelsChanged {
    /// The new labels.
    pub labels: BTreeMap<String, String>,
    /// Generation from here on; equal in all events of one patch.
    pub generation: i32,
    /// When.
    #[serde(with = "timestamp::rfc3339")]
    pub updated_time: DateTime<Utc>,
    /// By whom.
    pub updated_by: String,
}

/// The references were replaced.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReferencesChanged {
    /// The new references.
    pub references: BTreeMap<String, Vec<ObjectReference>>,
    /// Generation from here on; equal in all events of one patch.
    pub generation: i32,
    /// When.
    #[serde(with = "timestamp::rfc3339")]
    pub updated_time: DateTime<Utc>,
    /// By whom.
    pub updated_by: String,
}

/// The deletion of the resource was requested. It gives up its name and its references.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DeletionRequested {
    /// Generation from here on.
    pub generation: i32,
    /// When; one instant for everything that is deleted together.
    #[serde(with = "timestamp::rfc3339")]
    pub deleted_time: DateTime<Utc>,
    /// By whom.
    pub deleted_by: String,
}

/// An adapter reported something new.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AdapterStatusReported {
    /// The status as stored from here on.
    pub status: AdapterStatus,
}

/// The aggregated conditions became others.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ConditionsChanged {
    /// All conditions from here on.
    pub conditions: Vec<Condition>,
}

/// A resource that this one owns came into being.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ChildAttached {
    /// Id of the child.
    pub child_id: String,
    /// Kind of the child.
    pub child_kind: String,
}

/// The deletion of an owned resource was requested.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ChildDeletionRequested {
    /// Id of the child.
    pub child_id: String,
}

/// An owned resource was removed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ChildDetached {
    /// Id of the child.
    pub child_id: String,
}

/// Another resource refers to this one from now on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReferenceAttached {
    /// Name of the link, as the referring kind declares it.
    pub ref_type: String,
    /// Id of the referring resource.
    pub source_id: String,
    /// Kind of the referring resource.
    pub source_kind: String,
    /// Name of the referring resource.
    pub source_name: String,
}

/// Another resource no longer refers to this one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReferenceDetached {
    /// Name of the link, as the referring kind declares it.
    pub ref_type: String,
    /// Id of the resource that referred to this one.
    pub source_id: String,
}

/// A reference of this resource was dropped, because its target was removed by force. Nobody asked
/// for another state, so the generation stays.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReferenceDropped {
    /// Name of the link.
    pub ref_type: String,
    /// Id of the resource that was removed.
    pub target_id: String,
}

/// The resource was removed, after everything that its kind requires was cleaned up.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ResourceRemoved {
    /// When.
    #[serde(with = "timestamp::rfc3339")]
    pub removed_time: DateTime<Utc>,
}

/// The resource was removed on request, without waiting for its adapters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ResourceForceRemoved {
    /// When.
    #[serde(with = "timestamp::rfc3339")]
    pub removed_time: DateTime<Utc>,
    /// By whom.
    pub removed_by: String,
    /// Why, in the caller's words.
    pub reason: String,
}

/// What happened to a resource.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type")]
pub enum Event {
    /// See [`ResourceCreated`].
    #[serde(rename = "hyperfleet.resource.created")]
    ResourceCreated(ResourceCreated),
    /// See [`SpecChanged`].
    #[serde(rename = "hyperfleet.resource.spec_changed")]
    SpecChanged(SpecChanged),
    /// See [`LabelsChanged`].
    #[serde(rename = "hyperfleet.resource.labels_changed")]
    LabelsChanged(LabelsChanged),
    /// See [`ReferencesChanged`].
    #[serde(rename = "hyperfleet.resource.references_changed")]
    ReferencesChanged(ReferencesChanged),
    /// See [`DeletionRequested`].
    #[serde(rename = "hyperfleet.resource.deletion_requested")]
    DeletionRequested(DeletionRequested),
    /// See [`AdapterStatusReported`].
    #[serde(rename = "hyperfleet.resource.adapter_status_reported")]
    AdapterStatusReported(AdapterStatusReported),
    /// See [`ConditionsChanged`].
    #[serde(rename = "hyperfleet.resource.conditions_changed")]
    ConditionsChanged(ConditionsChanged),
    /// See [`ChildAttached`].
    #[serde(rename = "hyperfleet.resource.child_attached")]
    ChildAttached(ChildAttached),
    /// See [`ChildDeletionRequested`].
    #[serde(rename = "hyperfleet.resource.child_deletion_requested")]
    ChildDeletionRequested(ChildDeletionRequested),
    /// See [`ChildDetached`].
    #[serde(rename = "hyperfleet.resource.child_detached")]
    ChildDetached(ChildDetached),
    /// See [`ReferenceAttached`].
    #[serde(rename = "hyperfleet.resource.reference_attached")]
    ReferenceAttached(ReferenceAttached),
    /// See [`ReferenceDetached`].
    #[serde(rename = "hyperfleet.resource.reference_detached")]
    ReferenceDetached(ReferenceDetached),
    /// See [`ReferenceDropped`].
    #[serde(rename = "hyperfleet.resource.reference_dropped")]
    ReferenceDropped(ReferenceDropped),
    /// See [`ResourceRemoved`].
    #[serde(rename = "hyperfleet.resource.removed")]
    ResourceRemoved(ResourceRemoved),
    /// See [`ResourceForceRemoved`].
    #[serde(rename = "hyperfleet.resource.force_removed")]
    ResourceForceRemoved(ResourceForceRemoved),
}

impl Event {
    /// Every stored type with the version that is written today.
    pub const CURRENT: [(&'static str, &'static str); 15] = [
        ("hyperfleet.resource.created", "1"),
        ("hyperfleet.resource.spec_changed", "1"),
        ("hyperfleet.resource.labels_changed", "1"),
        ("hyperfleet.resource.references_changed", "1"),
        ("hyperfleet.resource.deletion_requested", "1"),
        ("hyperfleet.resource.adapter_status_reported", "1"),
        ("hyperfleet.resource.conditions_changed", "1"),
        ("hyperfleet.resource.child_attached", "1"),
        ("hyperfleet.resource.child_deletion_requested", "1"),
        ("hyperfleet.resource.child_detached", "1"),
        ("hyperfleet.resource.removed", "1"),
        ("hyperfleet.resource.force_removed", "1"),
        ("hyperfleet.resource.reference_attached", "1"),
        ("hyperfleet.resource.reference_detached", "1"),
        ("hyperfleet.resource.reference_dropped", "1"),
    ];

    fn type_and_version(&self) -> (&'static str, &'static str) {
        let at = match self {
            Self::ResourceCreated(_) => 0,
            Self::SpecChanged(_) => 1,
            Self::LabelsChanged(_) => 2,
            Self::ReferencesChanged(_) => 3,
            Self::DeletionRequested(_) => 4,
            Self::AdapterStatusReported(_) => 5,
            Self::ConditionsChanged(_) => 6,
            Self::ChildAttached(_) => 7,
            Self::ChildDeletionRequested(_) => 8,
            Self::ChildDetached(_) => 9,
            Self::ResourceRemoved(_) => 10,
            Self::ResourceForceRemoved(_) => 11,
            Self::ReferenceAttached(_) => 12,
            Self::ReferenceDetached(_) => 13,
            Self::ReferenceDropped(_) => 14,
        };
        Self::CURRENT[at]
    }

    /// Stored type, for example `hyperfleet.resource.created`.
    pub fn event_type(&self) -> &'static str {
        self.type_and_version().0
    }

    /// Version of the payload that is written today.
    pub fn version(&self) -> &'static str {
        self.type_and_version().1
    }

    /// The stored payload: the members of the event and, as `type`, its stored type.
    pub fn to_payload(&self) -> Value {
        serde_json::to_value(self)
            .expect("events have string keys and finite numbers, so they always serialise")
    }
}
