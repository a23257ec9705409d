//! Rows of the reconcile queue: what becomes due, and what leaves.

use std::collections::BTreeMap;

use sqlx::PgConnection;
use sqlx::types::Json;

use super::Change;
use crate::reconcile_queue::Priority;

/// Stored types of the events that sentinels need not hear of at once. A report that matters also
/// changes the conditions; what a parent learns of its children matters when they are gone; who
/// refers to a resource changes nothing about it.
/// Everything else, also what is added later, makes a resource due.
const QUIET_EVENTS: [&str; 5] = [
    "hyperfleet.resource.adapter_status_reported",
    "hyperfleet.resource.child_attached",
    "hyperfleet.resource.child_deletion_requested",
    "hyperfleet.resource.reference_attached",
    "hyperfleet.resource.reference_detached",
];

/// Stored types of the events after which adapters have something new to do.
const GENERATION_EVENTS: [&str; 3] = [
    "hyperfleet.resource.created",
    "hyperfleet.resource.spec_changed",
    "hyperfleet.resource.deletion_requested",
];

/// A row that becomes due is taken from whoever holds it: what they saw is outdated.
const MAKE_DUE: &str = "
INSERT INTO reconcile_queue AS stored
    (resource_id, kind, labels, due_time, traceparent, priority, tenant)
SELECT id, kind, labels, now(), traceparent, priority, tenant_of(tenancy)
FROM UNNEST($1::text[], $2::text[], $3::jsonb[], $4::text[], $5::smallint[], $6::jsonb[])
    AS due (id, kind, labels, traceparent, priority, tenancy)
ON CONFLICT (resource_id) DO UPDATE SET
    labels = excluded.labels, tenant = excluded.tenant, due_time = LEAST(stored.due_time, excluded.due_time), attempt = 0,
    claimed_until = NULL, claim_token = NULL, traceparent = excluded.traceparent,
    priority = LEAST(stored.priority, excluded.priority)";

/// Children wait for what their parent's adapters achieve, so they hear of it too. A claim on them stays:
/// their own state has not changed.
const MAKE_CHILDREN_DUE: &str = "
UPDATE reconcile_queue SET due_time = LEAST(due_time, now()), attempt = 0, priority = LEAST(priority, $2)
WHERE resource_id = ANY($1)";

/// Makes resources due at once that changed in a way that matters; takes out what is removed.
pub(super) async fn write(
    connection: &mut PgConnection,
    changes: &[Change],
) -> Result<(), sqlx::Error> {
    let removed: Vec<&str> = changes
        .iter()
        .filter(|change| !change.resource.exists())
        .map(|change| change.resource.id.as_str())
        .collect();
    let due = changes.iter().filter(|change| change.resource.exists());
    make_due(&mut *connection, due).await?;
    let mut children: Vec<&str> = changes
        .iter()
        .filter(|change| change.makes_due.is_some())
        .flat_map(|change| change.resource.children.keys())
        .map(String::as_str)
        .collect();
    if !children.is_empty() {
        children.sort_unstable();
        sqlx::query(MAKE_CHILDREN_DUE)
            .bind(children)
            .bind(Priority::Change.stored())
            .execute(&mut *connection)
            .await?;
    }
    if !removed.is_empty() {
        sqlx::query("DELETE FROM reconcile_queue WHERE resource_id = ANY($1)")
            .bind(removed)
            .execute(connection)
            .await?;
    }
    Ok(())
}

/// How urgently an event of that stored type makes its resource due at once, if it does.
pub(crate) fn priority(event_type: &str) -> Option<Priority> {
    if QUIET_EVENTS.contains(&event_type) {
        None
    } else if GENERATION_EVENTS.contains(&event_type) {
        Some(Priority::Generation)
    } else {
        Some(Priority::Change)
    }
}

/// Makes those of these resources due now that are to be.
pub(crate) async fn make_due<'a>(
    connection: &mut PgConnection,
    due: impl Iterator<Item = &'a Change>,
) -> Result<(), sqlx::Error> {
    let mut ids: Vec<&str> = Vec::new();
    let mut kinds: Vec<&str> = Vec::new();
    let mut labels: Vec<Json<&BTreeMap<String, String>>> = Vec::new();
    let mut tenancies: Vec<Json<&BTreeMap<String, String>>> = Vec::new();
    let mut traces: Vec<Option<&str>> = Vec::new();
    let mut priorities: Vec<i16> = Vec::new();
    for change in due {
        let Some(priority) = change.makes_due else {
            continue;
        };
        ids.push(&change.resource.id);
        kinds.push(&change.resource.kind);
        labels.push(Json(&change.resource.labels));
        tenancies.push(Json(&change.resource.tenancy));
        traces.push(change.traceparent.as_deref());
        priorities.push(priority.stored());
    }
    if ids.is_empty() {
        return Ok(());
    }
    sqlx::query(MAKE_DUE)
        .bind(ids)
        .bind(kinds)
        .bind(labels)
        .bind(traces)
        .bind(priorities)
        .bind(tenancies)
        .execute(connection)
        .await?;
    Ok(())
}
