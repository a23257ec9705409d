//! Rows of the conditions: what searches compare of them by order.
//!
//! Kept apart from the resource view because the times move with every report, and with them their
//! index; the rows and indexes of the resource view stay as they are. The statuses are not here:
//! they are search keys.

use chrono::{DateTime, Utc};
use hyperfleet_domain::condition::Condition;
use hyperfleet_domain::resource::Resource;
use sqlx::PgConnection;

use super::Change;

/// Deletes what the first ones no longer have, all of whose conditions are given, and inserts or updates what changed, in one statement. `NOT IN` is
/// looked up in a hash of the given rows; `NOT EXISTS` would compare each with each, as the writer's
/// connection joins by nested loops.
const WRITE: &str = "
WITH changed AS (
    SELECT * FROM UNNEST(
        $2::text[], $3::text[], $4::integer[], $5::timestamptz[], $6::timestamptz[])
        AS changed (
            resource_id, type, observed_generation, last_updated_time, last_transition_time)
), gone AS (
    DELETE FROM resource_conditions AS stored
    WHERE resource_id = ANY($1) AND (resource_id, type) NOT IN (SELECT resource_id, type FROM changed)
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
    let mut complete: Vec<&str> = Vec::new();
    let mut rows: Vec<(&str, &Condition)> = Vec::new();
    for change in changes {
        let resource = &change.resource;
        let id = resource.id.as_str();
        let kept = change
            .stored
            .as_ref()
            .filter(|stored| loses_none(stored, resource));
        if kept.is_none() {
            complete.push(id);
        }
        if resource.exists() {
            let conditions = resource.conditions.iter();
            let changed = conditions.filter(|one| kept.is_none_or(|kept| differs(kept, one)));
            rows.extend(changed.map(|condition| (id, condition)));
        }
    }
    if complete.is_empty() && rows.is_empty() {
        return Ok(());
    }
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
        .bind(complete)
        .bind(texts(|(id, _)| (*id).to_owned()))
        .bind(texts(|(_, condition)| condition.r#type.clone()))
        .bind(generations)
        .bind(updated)
        .bind(transitioned)
        .execute(connection)
        .await?;
    Ok(())
}

/// Whether a resource still has every condition that is stored.
fn loses_none(stored: &Resource, resource: &Resource) -> bool {
    let mut conditions = stored.conditions.iter();
    resource.exists() && conditions.all(|one| resource.condition(&one.r#type).is_some())
}

/// Whether the row of a condition is another one than the stored.
fn differs(stored: &Resource, condition: &Condition) -> bool {
    let row = |condition: &Condition| {
        (
            condition.observed_generation,
            condition.last_updated_time,
            condition.last_transition_time,
        )
    };
    stored.condition(&condition.r#type).map(row) != Some(row(condition))
}

#[cfg(test)]
mod tests {
    use hyperfleet_test_support::database;
    use serde_json::Value;
    use sqlx::types::Json;
    use sqlx::{Connection as _, PgConnection, Row as _};

    use super::WRITE;

    /// Resources of a large batch, with [`TYPES`] conditions each.
    const RESOURCES: usize = 200;

    const TYPES: usize = 5;

    /// How often the plan compared, or passed over, a row.
    fn passed_over(plan: &Value) -> f64 {
        let number = |field: &str| plan[field].as_f64().unwrap_or_default();
        let own = number("Rows Removed by Join Filter")
            + number("Rows Removed by Filter") * number("Actual Loops");
        let children = plan["Plans"].as_array().into_iter().flatten();
        own + children.map(passed_over).sum::<f64>()
    }

    /// The writer's plans are made before it is known how many rows a batch has.
    async fn plan_as_the_writer_does(connection: &mut PgConnection) {
        sqlx::raw_sql(
            "SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off;
             SET enable_hashjoin = off; SET enable_mergejoin = off",
        )
        .execute(connection)
        .await
        .unwrap();
    }

    #[tokio::test]
    async fn a_batch_costs_what_its_rows_cost() {
        let database = database().await;
        let mut connection = database.pool.acquire().await.unwrap();
        let mut transaction = connection.begin().await.unwrap();
        plan_as_the_writer_does(&mut transaction).await;
        let ids: Vec<String> = (0..RESOURCES).map(|number| format!("r{number}")).collect();
        let rows = || (0..RESOURCES * TYPES).map(|row| (row / TYPES, row % TYPES));
        let of: Vec<String> = rows().map(|(resource, _)| ids[resource].clone()).collect();
        let types: Vec<String> = rows().map(|(_, number)| format!("Type{number}")).collect();
        let generations: Vec<i32> = rows().map(|_| 1).collect();
        let times: Vec<chrono::DateTime<chrono::Utc>> =
            rows().map(|_| chrono::DateTime::UNIX_EPOCH).collect();
        let explained = format!("EXPLAIN (ANALYZE, FORMAT JSON) {WRITE}");
        let mut passed = 0.0;
        // The second time there are rows to compare with.
        for _ in 0..2 {
            let row = sqlx::query(&explained)
                .bind(&ids)
                .bind(&of)
                .bind(&types)
                .bind(&generations)
                .bind(&times)
                .bind(&times)
                .fetch_one(&mut *transaction)
                .await
                .unwrap();
            let Json(plan): Json<Value> = row.try_get(0).unwrap();
            passed = passed_over(&plan[0]["Plan"]);
        }
        let kept: i64 = sqlx::query_scalar("SELECT count(*) FROM resource_conditions")
            .fetch_one(&mut *transaction)
            .await
            .unwrap();
        let rows = u32::try_from(RESOURCES * TYPES).unwrap();
        assert_eq!(kept, i64::from(rows));
        assert!(passed <= 3.0 * f64::from(rows), "{passed} rows for {rows}");
    }
}
