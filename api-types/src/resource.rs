//! Resources: the one shape that every kind shares, its lists, and the requests that change it.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A resource of any kind, as the API shows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Resource {
    /// Id made by the server: UUID version 7 in lower case.
    pub id: String,
    /// Kind, e.g. `Cluster`.
    pub kind: String,
    /// Name, unique among live resources of its scope.
    pub name: String,
    /// Path of the resource.
    pub href: String,
    /// What the user asks for; free form.
    #[cfg_attr(feature = "openapi", schema(value_type = Object))]
    pub spec: Map<String, Value>,
    /// Labels; omitted when there are none.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Tenant dimensions stamped at creation.
    #[serde(default)]
    pub tenancy: BTreeMap<String, String>,
    /// Starts at 1 and grows by one with each change of what is asked for.
    pub generation: i32,
    /// What was observed.
    pub status: ResourceStatus,
    /// The owner; child kinds only. One object, not a list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner_references: Option<ObjectReference>,
    /// Links to other resources by reference type; omitted when there are none.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub references: BTreeMap<String, Vec<ObjectReference>>,
    /// When it was created.
    pub created_time: DateTime<Utc>,
    /// When its spec, labels, references or deletion mark last changed.
    pub updated_time: DateTime<Utc>,
    /// Who created it.
    pub created_by: String,
    /// Who last changed its spec, labels or references.
    pub updated_by: String,
    /// When its deletion was requested; omitted while it is active.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deleted_time: Option<DateTime<Utc>>,
    /// Who requested its deletion; omitted while it is active.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deleted_by: Option<String>,
}

impl Resource {
    /// The condition of that type, if there is one.
    pub fn condition(&self, condition_type: &str) -> Option<&ResourceCondition> {
        self.status
            .conditions
            .iter()
            .find(|condition| condition.condition_type == condition_type)
    }
}

/// A link to another resource.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ObjectReference {
    /// Id of the target.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Kind of the target.
    pub kind: String,
    /// Path of the target; ignored on input.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub href: Option<String>,
}

/// What was observed about a resource.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ResourceStatus {
    /// Aggregated conditions; an empty list when there are none. Look them up by type.
    pub conditions: Vec<ResourceCondition>,
}

/// One aggregated condition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ResourceCondition {
    /// Type, e.g. `Reconciled`.
    #[serde(rename = "type")]
    pub condition_type: String,
    /// `True` or `False`.
    pub status: String,
    /// Why, as one word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Why, for a human.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// The generation that this condition speaks of.
    pub observed_generation: i32,
    /// When the condition first appeared.
    pub created_time: DateTime<Utc>,
    /// When it was last confirmed.
    pub last_updated_time: DateTime<Utc>,
    /// When its status last changed.
    pub last_transition_time: DateTime<Utc>,
}

/// One page of resources.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ResourceList {
    /// The resources of this page.
    pub items: Vec<Resource>,
    /// Number of this page, from 1.
    pub page: u32,
    /// Number of items in this page (not the size asked for).
    pub size: u32,
    /// Number of resources on all pages.
    pub total: u64,
    /// What to send as `page_token` for the next page; there only when the request had a
    /// `page_token` itself, and on the last page never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_page_token: Option<String>,
}

/// Body of a create request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ResourceCreateRequest {
    /// Must be the kind of the route.
    pub kind: String,
    /// Name of the new resource.
    pub name: String,
    /// What is asked for.
    #[cfg_attr(feature = "openapi", schema(value_type = Object))]
    pub spec: Map<String, Value>,
    /// Labels; a null value is an empty one.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<BTreeMap<String, Option<String>>>))]
    pub labels: BTreeMap<String, String>,
    /// Links to other resources by reference type; null is none.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<BTreeMap<String, Option<Vec<ObjectReference>>>>))]
    pub references: BTreeMap<String, Vec<ObjectReference>>,
}

/// Body of a patch request: each member that is present replaces the stored one as a whole.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ResourcePatchRequest {
    /// The new spec.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Object>))]
    pub spec: Option<Map<String, Value>>,
    /// The new labels; an empty object clears them, a null value is an empty one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<BTreeMap<String, Option<String>>>))]
    pub labels: Option<BTreeMap<String, String>>,
    /// The new references; an empty object clears them, null is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<BTreeMap<String, Option<Vec<ObjectReference>>>>))]
    pub references: Option<BTreeMap<String, Vec<ObjectReference>>>,
}

/// Body of a force-delete request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ForceDeleteRequest {
    /// Why the resource is removed without waiting for its adapters; 1 to 1024 characters.
    #[cfg_attr(feature = "openapi", schema(min_length = 1, max_length = 1024))]
    pub reason: String,
}
