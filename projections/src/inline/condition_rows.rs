//! Rows of the conditions: what searches compare of them by order.
//!
//! Kept apart from the resource view because the times move with every report, and with them their
//! index; the rows and indexes of the resource view stay as they are. The statuses are not here:
//! they are search keys.

use chrono::{DateTime, Utc};
use hyperfleet_domain::condition::Condition;
use sqlx::PgConnection;

use super::Change;

/// Deletes what a resource no longer has, and inserts or updates what changed, in one statement.
const WRITE: &str = "
WITH changed AS (
    SELECT * FROM UNNEST(
        $2::text[], $3::text[], $4::integer[], $5::timestamptz[], $6::timestamptz[])
        AS changed (
            resource_id, type, observed_generation, last_updated_time, last_transition_time)
), gone AS (
    DELETE FROM resource_conditions AS stored
    WHERE resource_id = ANY($1) AND NOT EXISTS (
        SELECT FROM changed
        WHERE changed.resource_id = stored.resource_id AND changed.type = stored.type)
)
INSERT INTO resource_conditions AS stored
    (resource_id, type, observed_generation, last_updated_time, last_transition_time)
SELECT * FROM changed
ON CONFLICT (resource_id, type) DO UPDATE SET
    observed_generation = excluded.observed_generation,
    last_updated_time = excluded.last_updated_time,
    last_transition_time = excluded.last_transition_time
WHERE (stored.observed_generation, stored.last_updated_time, stored.last_transition_time)
    IS DISTINCT FROM
    (excluded.observed_generation, excluded.last_updated_time, excluded.last_transition_time)";

/// Writes the conditions of changed resources that exist, and deletes those of removed ones.
pub(super) async fn write(
    connection: &mut PgConnection,
    changes: &[Change],
) -> Result<(), sqlx::Error> {
    let ids: Vec<&str> = changes
        .iter()
        .map(|change| change.resource.id.as_str())
        .collect();
    let rows: Vec<(&str, &Condition)> = changes
        .iter()
        .map(|change| &change.resource)
        .filter(|resource| resource.exists())
        .flat_map(|resource| {
            let conditions = resource.conditions.iter();
            conditions.map(|condition| (resource.id.as_str(), condition))
        })
        .collect();
    let texts = |read: fn(&(&str, &Condition)) -> String| rows.iter().map(read).collect::<Vec<_>>();
    let times =
        |read: fn(&Condition) -> DateTime<Utc>| rows.iter().map(|(_, row)| read(row)).collect();
    let updated: Vec<DateTime<Utc>> = times(|condition| condition.last_updated_time);
    let transitioned: Vec<DateTime<Utc>> = times(|condition| condition.last_transition_time);
    let generations: Vec<i32> = rows
        .iter()
        .map(|(_, condition)| condition.observed_generation)
        .collect();
    sqlx::query(WRITE)
        .bind(ids)
        .bind(texts(|(id, _)| (*id).to_owned()))
        .bind(texts(|(_, condition)| condition.r#type.clone()))
        .bind(generations)
        .bind(updated)
        .bind(transitioned)
        .execute(connection)
        .await?;
    Ok(())
}
