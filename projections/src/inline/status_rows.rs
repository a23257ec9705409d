//! Rows of the adapter statuses.

use chrono::{DateTime, Utc};
use hyperfleet_domain::adapter_status::AdapterStatus;
use sqlx::PgConnection;
use sqlx::types::Json;

use super::Change;

const UPSERT: &str = "
INSERT INTO adapter_statuses AS stored
    (resource_id, adapter, observed_generation, created_time, last_report_time, status)
SELECT * FROM UNNEST(
    $1::text[], $2::text[], $3::integer[], $4::timestamptz[], $5::timestamptz[], $6::jsonb[])
ON CONFLICT (resource_id, adapter) DO UPDATE SET
    observed_generation = excluded.observed_generation, created_time = excluded.created_time,
    last_report_time = excluded.last_report_time, status = excluded.status
WHERE stored.status IS DISTINCT FROM excluded.status";

/// Writes the statuses of changed resources that exist, and deletes those of removed ones.
pub(super) async fn write(
    connection: &mut PgConnection,
    changes: &[Change],
) -> Result<(), sqlx::Error> {
    let mut rows: Vec<(&str, &AdapterStatus)> = Vec::new();
    let mut removed: Vec<&str> = Vec::new();
    for change in changes {
        let resource = &change.resource;
        if resource.exists() {
            let stored = change.stored.as_ref().map(|stored| &stored.statuses);
            let statuses = resource.statuses.iter().filter(|(adapter, status)| {
                stored.and_then(|stored| stored.get(*adapter)) != Some(*status)
            });
            rows.extend(statuses.map(|(_, status)| (resource.id.as_str(), status)));
        } else {
            removed.push(&resource.id);
        }
    }
    if !rows.is_empty() {
        upsert(&mut *connection, &rows).await?;
    }
    if !removed.is_empty() {
        sqlx::query("DELETE FROM adapter_statuses WHERE resource_id = ANY($1)")
            .bind(removed)
            .execute(connection)
            .await?;
    }
    Ok(())
}

async fn upsert(
    connection: &mut PgConnection,
    rows: &[(&str, &AdapterStatus)],
) -> Result<(), sqlx::Error> {
    let ids: Vec<&str> = rows.iter().map(|(id, _)| *id).collect();
    let adapters: Vec<&str> = rows
        .iter()
        .map(|(_, status)| status.adapter.as_str())
        .collect();
    let generations: Vec<i32> = rows
        .iter()
        .map(|(_, status)| status.observed_generation)
        .collect();
    let created: Vec<DateTime<Utc>> = rows.iter().map(|(_, status)| status.created_time).collect();
    let reported: Vec<DateTime<Utc>> = rows
        .iter()
        .map(|(_, status)| status.last_report_time)
        .collect();
    let statuses: Vec<Json<&AdapterStatus>> =
        rows.iter().map(|(_, status)| Json(*status)).collect();
    sqlx::query(UPSERT)
        .bind(ids)
        .bind(adapters)
        .bind(generations)
        .bind(created)
        .bind(reported)
        .bind(statuses)
        .execute(connection)
        .await?;
    Ok(())
}
