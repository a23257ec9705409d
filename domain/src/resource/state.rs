//! What is known about a resource.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::adapter_status::AdapterStatus;
use crate::condition::Condition;
use crate::json::JsonObject;
use crate::timestamp;

/// Where a resource is in its life.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Lifecycle {
    /// There is no such resource.
    #[default]
    Absent,
    /// It exists and is wanted.
    Active,
    /// It exists, but its deletion was requested.
    Finalizing,
    /// It is gone; what remains is the record of its last state.
    Removed,
}

/// A link to another resource.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectReference {
    /// Id of the target.
    pub id: String,
    /// Kind of the target.
    pub kind: String,
    /// Address of the target.
    pub href: String,
}

/// What an owner knows about one of its children.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Child {
    /// Kind of the child.
    pub kind: String,
    /// Whether the child's deletion was requested.
    pub deleting: bool,
}

/// A resource of any kind. The default value is the absent one. Its JSON is the snapshot of the
/// aggregate; what users see is [`Resource::document`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resource {
    /// Where it is in its life.
    pub lifecycle: Lifecycle,
    /// Id: also the id of the event stream.
    pub id: String,
    /// Kind, as registered.
    pub kind: String,
    /// Name, unique among active resources of its scope.
    pub name: String,
    /// Address.
    pub href: String,
    /// What the user wants, in free form.
    pub spec: JsonObject,
    /// Labels of the user.
    pub labels: BTreeMap<String, String>,
    /// Tenant dimensions, stamped at creation.
    pub tenancy: BTreeMap<String, String>,
    /// Counts the changes of what is wanted, from 1.
    pub generation: i32,
    /// The resource that owns this one.
    pub owner: Option<ObjectReference>,
    /// Links other than ownership, by reference type.
    pub references: BTreeMap<String, Vec<ObjectReference>>,
    /// How many references of other resources point here. Who they belong to is in the stream, see
    /// [`Referrers`](super::Referrers): a popular target must not carry thousands of names in its
    /// state. States that were stored before there was such a count have no inbound references.
    #[serde(default)]
    pub inbound_references: u64,
    /// Aggregated conditions, in their order of display.
    pub conditions: Vec<Condition>,
    /// Stored report of each adapter.
    pub statuses: BTreeMap<String, AdapterStatus>,
    /// Resources that this one owns, by id.
    pub children: BTreeMap<String, Child>,
    /// When it was created.
    #[serde(with = "timestamp::rfc3339")]
    pub created_time: DateTime<Utc>,
    /// When what is wanted last changed.
    #[serde(with = "timestamp::rfc3339")]
    pub updated_time: DateTime<Utc>,
    /// When its deletion was requested.
    #[serde(with = "timestamp::rfc3339_option")]
    pub deleted_time: Option<DateTime<Utc>>,
    /// When it was removed.
    #[serde(with = "timestamp::rfc3339_option")]
    pub removed_time: Option<DateTime<Utc>>,
    /// Who created it.
    pub created_by: String,
    /// Who last changed what is wanted.
    pub updated_by: String,
    /// Who requested its deletion.
    pub deleted_by: Option<String>,
}

impl Resource {
    /// Whether there is such a resource: active or finalizing.
    pub fn exists(&self) -> bool {
        matches!(self.lifecycle, Lifecycle::Active | Lifecycle::Finalizing)
    }

    /// Whether its deletion was requested and it still exists.
    pub fn is_finalizing(&self) -> bool {
        self.lifecycle == Lifecycle::Finalizing
    }

    /// Whether it owns a resource whose deletion was not requested.
    pub fn has_active_child(&self) -> bool {
        self.children.values().any(|child| !child.deleting)
    }

    /// Whether it owns a resource whose deletion was requested and that still exists.
    pub fn has_finalizing_child(&self) -> bool {
        self.children.values().any(|child| child.deleting)
    }

    /// Ids of the resources that this one refers to.
    pub fn referred_ids(&self) -> impl Iterator<Item = String> {
        self.references
            .values()
            .flatten()
            .map(|link| link.id.clone())
    }

    /// The condition of a type, if it has one.
    pub fn condition(&self, r#type: &str) -> Option<&Condition> {
        self.conditions
            .iter()
            .find(|condition| condition.r#type == r#type)
    }

    /// The key that keeps names unique while a resource is active: kind, scope and name, where
    /// the scope is the owner for children and the tenancy for the top level.
    pub fn name_claim(&self) -> String {
        let scope = match &self.owner {
            Some(owner) => owner.id.clone(),
            None => self
                .tenancy
                .iter()
                .map(|(key, value)| format!("{key:?}={value:?}"))
                .collect::<Vec<_>>()
                .join(","),
        };
        format!("{}/{scope}/{}", self.kind, self.name)
    }

    /// Moves whenever liveness moves what users see of this resource, as long as nothing else does:
    /// the ages of the conditions, added up. They only ever move forward between two events, so
    /// equal marks of one version mean equal documents.
    pub fn liveness_mark(&self) -> u64 {
        let ages = self.conditions.iter().map(|condition| {
            let age = condition.last_updated_time - self.created_time;
            age.num_microseconds().unwrap_or_default().cast_unsigned()
        });
        ages.fold(0, u64::wrapping_add)
    }

    /// The canonical form without liveness, for comparing a live read model with a fold of the
    /// log: reports that only said "still so" move `last_report_time` of a status and
    /// `last_updated_time` of conditions, and are not in the log.
    pub fn without_liveness(&self) -> Self {
        let mut canonical = self.clone();
        canonical.conditions = canonical
            .conditions
            .into_iter()
            .map(Condition::without_liveness)
            .collect();
        canonical.statuses = canonical
            .statuses
            .into_iter()
            .map(|(adapter, status)| (adapter, status.without_liveness()))
            .collect();
        canonical
    }
}
