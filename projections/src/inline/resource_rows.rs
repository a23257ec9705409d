//! Rows of the resource view.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use hyperfleet_domain::resource::{ObjectReference, Resource};
use serde_json::{Map, Value};
use sqlx::PgConnection;
use sqlx::types::Json;

use super::Change;
use crate::search::keys;

const UPSERT: &str = "
INSERT INTO resources AS stored (
    id, kind, name, href, owner_id, owner_kind, owner_href, generation, spec, labels, tenancy,
    created_time, updated_time, deleted_time, removed_time, created_by, updated_by, deleted_by,
    version, state, search_keys)
SELECT id, kind, name, href, owner_id, owner_kind, owner_href, generation, spec, labels, tenancy,
    created_time, updated_time, deleted_time, removed_time, created_by, updated_by, deleted_by,
    version, state,
    -- An array of arrays would need equal lengths, so the keys come as one JSON array for each row.
    ARRAY(SELECT jsonb_array_elements_text(search_keys))
FROM UNNEST(
    $1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[],
    $8::integer[], $9::jsonb[], $10::jsonb[], $11::jsonb[],
    $12::timestamptz[], $13::timestamptz[], $14::timestamptz[], $15::timestamptz[],
    $16::text[], $17::text[], $18::text[], $19::bigint[], $20::jsonb[], $21::jsonb[])
    AS changed (
        id, kind, name, href, owner_id, owner_kind, owner_href, generation, spec, labels, tenancy,
        created_time, updated_time, deleted_time, removed_time, created_by, updated_by, deleted_by,
        version, state, search_keys)
ON CONFLICT (id) DO UPDATE SET
    generation = excluded.generation, spec = excluded.spec, labels = excluded.labels,
    updated_time = excluded.updated_time, deleted_time = excluded.deleted_time,
    removed_time = excluded.removed_time, updated_by = excluded.updated_by,
    deleted_by = excluded.deleted_by, version = excluded.version, state = excluded.state,
    search_keys = excluded.search_keys
WHERE stored.version <= excluded.version";

/// Inserts or updates the rows of the changed resources in one statement.
pub(super) async fn write(
    connection: &mut PgConnection,
    changes: &[Change],
) -> Result<(), sqlx::Error> {
    let texts = |read: fn(&Change) -> String| changes.iter().map(read).collect::<Vec<_>>();
    let times =
        |read: fn(&Change) -> Option<DateTime<Utc>>| changes.iter().map(read).collect::<Vec<_>>();
    let owners = |read: fn(&ObjectReference) -> String| {
        let owner = |change: &Change| change.resource.owner.as_ref().map(read);
        changes.iter().map(owner).collect::<Vec<_>>()
    };
    let specs: Vec<Json<&Map<String, Value>>> = changes
        .iter()
        .map(|change| Json(&change.resource.spec))
        .collect();
    let labels: Vec<Json<&BTreeMap<String, String>>> = changes
        .iter()
        .map(|change| Json(&change.resource.labels))
        .collect();
    let tenancies: Vec<Json<&BTreeMap<String, String>>> = changes
        .iter()
        .map(|change| Json(&change.resource.tenancy))
        .collect();
    let deleted_by: Vec<Option<String>> = changes
        .iter()
        .map(|change| change.resource.deleted_by.clone())
        .collect();
    let states: Vec<Json<&Resource>> = changes
        .iter()
        .map(|change| Json(&change.resource))
        .collect();
    let search_keys: Vec<Json<Vec<String>>> = changes
        .iter()
        .map(|change| Json(keys::of(&change.resource)))
        .collect();
    sqlx::query(UPSERT)
        .bind(texts(|change| change.resource.id.clone()))
        .bind(texts(|change| change.resource.kind.clone()))
        .bind(texts(|change| change.resource.name.clone()))
        .bind(texts(|change| change.resource.href.clone()))
        .bind(owners(|owner| owner.id.clone()))
        .bind(owners(|owner| owner.kind.clone()))
        .bind(owners(|owner| owner.href.clone()))
        .bind(
            changes
                .iter()
                .map(|change| change.resource.generation)
                .collect::<Vec<_>>(),
        )
        .bind(specs)
        .bind(labels)
        .bind(tenancies)
        .bind(times(|change| Some(change.resource.created_time)))
        .bind(times(|change| Some(change.resource.updated_time)))
        .bind(times(|change| change.resource.deleted_time))
        .bind(times(|change| change.resource.removed_time))
        .bind(texts(|change| change.resource.created_by.clone()))
        .bind(texts(|change| change.resource.updated_by.clone()))
        .bind(deleted_by)
        .bind(
            changes
                .iter()
                .map(|change| change.version)
                .collect::<Vec<_>>(),
        )
        .bind(states)
        .bind(search_keys)
        .execute(connection)
        .await?;
    Ok(())
}
