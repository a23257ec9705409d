//! Liveness: the times that move when adapters only say "still so".
//!
//! Liveness is not in the log, so it lives in the stored state alone, and two reports that were
//! decided from the same state must not overwrite each other's. Times only ever move forward.

use std::collections::BTreeMap;

use hyperfleet_domain::resource::Resource;
use sqlx::types::Json;
use sqlx::{PgConnection, Row};

use super::Change;

/// Reads the stored states of the resources that existed before. Locks their rows in the order of ids, so
/// that nothing moves between reading and writing.
pub(super) async fn read(
    connection: &mut PgConnection,
    changes: &mut [Change],
) -> Result<(), sqlx::Error> {
    let ids: Vec<&str> = changes
        .iter()
        .filter(|change| change.existed)
        .map(|change| change.resource.id.as_str())
        .collect();
    if ids.is_empty() {
        return Ok(());
    }
    let rows =
        sqlx::query("SELECT id, state FROM resources WHERE id = ANY($1) ORDER BY id FOR UPDATE")
            .bind(ids)
            .fetch_all(connection)
            .await?;
    let mut stored: BTreeMap<&str, Resource> = BTreeMap::new();
    for row in &rows {
        let Json(resource): Json<Resource> = row.try_get("state")?;
        stored.insert(row.try_get("id")?, resource);
    }
    for change in changes {
        change.stored = stored.remove(change.resource.id.as_str());
    }
    Ok(())
}

/// Takes over what is newer in the stored states. Beside events only what adapters reported: the
/// conditions are recorded with the events as they were decided.
pub(super) fn merge(changes: &mut [Change]) {
    for change in changes {
        let Some(stored) = &change.stored else {
            continue;
        };
        if change.is_quiet {
            adopt(&mut change.resource, stored);
        } else {
            adopt_statuses(&mut change.resource, stored);
        }
    }
}

/// Moves the times of `resource` forward to those of `other` where both say the same.
pub(crate) fn adopt(resource: &mut Resource, other: &Resource) {
    adopt_statuses(resource, other);
    for condition in &mut resource.conditions {
        if let Some(known) = other.condition(&condition.r#type)
            && known.last_updated_time > condition.last_updated_time
            && known.clone().without_liveness() == condition.clone().without_liveness()
        {
            condition.last_updated_time = known.last_updated_time;
        }
    }
}

fn adopt_statuses(resource: &mut Resource, other: &Resource) {
    for (adapter, status) in &mut resource.statuses {
        if let Some(known) = other.statuses.get(adapter)
            && known.last_report_time > status.last_report_time
            && known.clone().without_liveness() == status.clone().without_liveness()
        {
            status.last_report_time = known.last_report_time;
        }
    }
}
