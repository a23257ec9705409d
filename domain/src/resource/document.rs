//! A resource as users see it: the members, their order and their presence are those of the API
//! contract v1.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::condition::Condition;
use crate::json::JsonObject;
use crate::resource::state::{ObjectReference, Resource};
use crate::timestamp;

/// What is aggregated about a resource.
#[derive(Debug, Clone, Serialize)]
struct Status<'a> {
    conditions: &'a [Condition],
}

/// A resource as users see it.
#[derive(Debug, Clone, Serialize)]
pub struct ResourceDocument<'a> {
    id: &'a str,
    kind: &'a str,
    name: &'a str,
    href: &'a str,
    spec: &'a JsonObject,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    labels: &'a BTreeMap<String, String>,
    tenancy: &'a BTreeMap<String, String>,
    generation: i32,
    status: Status<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    owner_references: Option<&'a ObjectReference>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    references: &'a BTreeMap<String, Vec<ObjectReference>>,
    #[serde(with = "timestamp::rfc3339")]
    created_time: DateTime<Utc>,
    #[serde(with = "timestamp::rfc3339")]
    updated_time: DateTime<Utc>,
    created_by: &'a str,
    updated_by: &'a str,
    #[serde(
        skip_serializing_if = "Option::is_none",
        with = "timestamp::rfc3339_option"
    )]
    deleted_time: Option<DateTime<Utc>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    deleted_by: Option<&'a str>,
}

impl Resource {
    /// The resource as users see it.
    pub fn document(&self) -> ResourceDocument<'_> {
        ResourceDocument {
            id: &self.id,
            kind: &self.kind,
            name: &self.name,
            href: &self.href,
            spec: &self.spec,
            labels: &self.labels,
            tenancy: &self.tenancy,
            generation: self.generation,
            status: Status {
                conditions: &self.conditions,
            },
            owner_references: self.owner.as_ref(),
            references: &self.references,
            created_time: self.created_time,
            updated_time: self.updated_time,
            created_by: &self.created_by,
            updated_by: &self.updated_by,
            deleted_time: self.deleted_time,
            deleted_by: self.deleted_by.as_deref(),
        }
    }
}
