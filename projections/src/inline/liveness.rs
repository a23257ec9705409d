//! Liveness: the times that move when adapters only say "still so".
//!
//! Liveness is not in the log, so it lives in the stored state alone, and two reports that were
//! decided from the same state must not overwrite each other's. Times only ever move forward.

use std::collections::BTreeMap;

use hyperfleet_domain::resource::Resource;
use serde::Deserialize as _;
use serde_json::Value;
use sqlx::{PgConnection, Row};

use super::{Change, unwritable};

/// The stored states of the resources in `quiet`, by id. Locks the rows of all changes in the order
/// of ids, so that nothing moves between reading and writing.
pub(super) async fn read(
    connection: &mut PgConnection,
    changes: &[Change],
    quiet: &[&str],
) -> Result<BTreeMap<String, Resource>, sqlx::Error> {
    let all: Vec<&str> = changes
        .iter()
        .map(|change| change.resource.id.as_str())
        .collect();
    let rows = sqlx::query(
        "SELECT id, CASE WHEN id = ANY($2) THEN state END AS state FROM resources
         WHERE id = ANY($1) ORDER BY id FOR UPDATE",
    )
    .bind(all)
    .bind(quiet)
    .fetch_all(connection)
    .await?;
    let mut stored = BTreeMap::new();
    for row in rows {
        let state: Option<Value> = row.try_get("state")?;
        if let Some(state) = state {
            let resource = Resource::deserialize(&state).map_err(unwritable)?;
            stored.insert(row.try_get("id")?, resource);
        }
    }
    Ok(stored)
}

/// Takes over what is newer in the stored states.
pub(super) fn merge(changes: &mut [Change], stored: &BTreeMap<String, Resource>) {
    for change in changes {
        if let Some(stored) = stored.get(&change.resource.id) {
            adopt(&mut change.resource, stored);
        }
    }
}

/// Moves the times of `resource` forward to those of `other` where both say the same.
pub(crate) fn adopt(resource: &mut Resource, other: &Resource) {
    for (adapter, status) in &mut resource.statuses {
        if let Some(known) = other.statuses.get(adapter)
            && known.last_report_time > status.last_report_time
            && known.clone().without_liveness() == status.clone().without_liveness()
        {
            status.last_report_time = known.last_report_time;
        }
    }
    for condition in &mut resource.conditions {
        if let Some(known) = other.condition(&condition.r#type)
            && known.last_updated_time > condition.last_updated_time
            && known.clone().without_liveness() == condition.clone().without_liveness()
        {
            condition.last_updated_time = known.last_updated_time;
        }
    }
}
